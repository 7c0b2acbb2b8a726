"""The tasks: one a documented step, `inv all` for all of them in order, then those beside them."""

from dataclasses import replace
from functools import partial

from invoke import Collection

from workflow.assets import dataset
from workflow.backends.base import pick_shielded
from workflow.core import config_files
from workflow.core.task import given, text, whole_number
from workflow.evidence.sending import Collateral, EvidencePack
from workflow.evidence.verifying import Verify, request_of
from workflow.images.build_spec import INFER, TRAIN, roles
from workflow.steps import options
from workflow.steps.all import All
from workflow.steps.build import Build
from workflow.steps.classify import Classify
from workflow.steps.clean_result import CleanResult
from workflow.steps.copy_net import CopyNet
from workflow.steps.demo import Demo, demo_settings
from workflow.steps.download_model import DownloadModel
from workflow.steps.fetch_hymenoptera import FetchHymenoptera, MakeSample
from workflow.steps.gsc_build import GscBuild
from workflow.steps.info import Info
from workflow.steps.options import task
from workflow.steps.sign import Sign
from workflow.steps.train import Train, TrainTwice, train_again
from workflow.tools import quality
from workflow.tools.bench import Bench
from workflow.tools.cleaning import Clean
from workflow.tools.doctor import doctor as examine
from workflow.tools.environment import Lock
from workflow.tools.gsc_setup import GscSetup
from workflow.tools.report import Report
from workflow.tools.reproduce import Reproduce
from workflow.tools.size import Size


@task(options.ARCH, options.MODEL_SOURCE, help=options.FORCE)
def download_model(settings, force=False):
    """1. Download squeezenet1_0-b66bff10.pth into pytorch_train/model/."""
    return DownloadModel(settings, again=force)


@task(
    options.DATA_SOURCE,
    help={
        **options.FORCE,
        "sample": "draw a stand-in into pytorch_train/hymenoptera_sample instead",
    },
)
def fetch_hymenoptera(settings, sample=False, force=False):
    """2. Put hymenoptera_data into pytorch_train/."""
    if sample:
        drawn = replace(settings, data=replace(settings.data, dir=dataset.SAMPLE))
        return MakeSample(drawn, again=force)
    return FetchHymenoptera(settings, again=force)


@task(*options.TRAINING, *options.IMAGES, help=options.ROLE)
def build(settings, image="all"):
    """3. Build the Docker images; options and data are part of them."""
    return Build(settings, roles(image))


@task(*options.GSC_BUILD, help=options.INSECURE, iterable=["insecure"])
def gsc_build(settings, insecure, image="all", insecure_args=False):
    """4. Make the images shielded ones with GSC and settle their manifests."""
    admitted = given("insecure", [*insecure, "insecure-args" if insecure_args else None])
    chosen = settings.admitting(admitted)
    return GscBuild(chosen, pick_shielded(chosen).mode, roles(image))


@task(options.SHIELD, options.EDMM, options.KEY, help=options.ROLE)
def sign(settings, image="all"):
    """5. Sign the shielded images."""
    return Sign(settings, pick_shielded(settings).mode, roles(image))


@task(options.SHIELD, help={**options.ROLE, **options.JSON})
def info(settings, image="all", json=False):
    """6. Say what the signed images measure to: MRENCLAVE, MRSIGNER, and what weakens them."""
    return Info(settings, pick_shielded(settings).mode, roles(image), as_json=json)


@task(*options.TRAINING, options.BACKEND, options.EDMM, options.TRAIN_OUT, help=options.TRAIN)
def train(settings, resume=False, compare_scratch=False):
    """7. Fine-tune the network: out/train/net.pt."""
    step = Train(settings, resume, again=not resume)
    return TrainTwice(settings, step) if compare_scratch else step


@task(options.TRAINED, options.NET_COPY)
def copy_net(settings):
    """8. Copy net.pt to where the classifying side reads it: pytorch_infer/net.pt."""
    return CopyNet(settings)


@task(
    *options.INFERENCE,
    help={"image": options.PICTURES, "json": "print result.json instead of result.txt"},
    iterable=["image"],
)
def classify(settings, image, json=False):
    """9. Classify images with pytorchexample.py: out/infer/result.txt."""
    return Classify(settings, given("image", image), as_json=json)


@task()
def clean_result(settings):
    """10. Delete result.txt and result.json before the next run."""
    return CleanResult(settings)


@task(
    *options.ALL,
    options.BACKEND,
    options.MODEL_SOURCE_OF_ALL,
    options.DATA_SOURCE_OF_ALL,
    name="all",
    help=options.WHOLE_WAY,
    iterable=["image"],
)
def all_steps(settings, image, before=None, force=False):
    """Do all of it: every step of the backend, each skipped when its output is there, verified."""
    return All(settings, given("image", image), text("before", before), again=force)


@task(options.BACKEND, help=options.FORCE)
def demo(settings, force=False):
    """Do all of it on drawn insects, with weights from the package index: a bee is recognised."""
    return Demo(demo_settings(settings), again=force)


@task(*options.ACCEPTANCE, options.DATA, options.WEIGHTS, help=options.VERIFY)
def verify(
    settings,
    place=None,
    json=False,
    rerun=False,
    at=None,
    collateral=None,
    network=None,
    key=None,
    vsa=None,
):
    """Verify what a run says about itself, offline; say what was checked and what was not."""
    files = text("collateral", collateral), text("network", network)
    request = request_of(settings, text("at", at), *files)
    retrain = train_again if rerun else None
    signed = text("key", key), text("vsa", vsa)
    return Verify(settings, request, text("place", place), json, *signed, retrain)


@task(options.SERVICE, help=options.COLLATERAL)
def collateral(settings, place=None, to=None):
    """Save what Intel says of a quote's processor, to verify offline later: collateral.json."""
    return Collateral(settings, text("place", place), text("to", to))


@task(options.TRAINED, options.ANSWERS, help=options.EVIDENCE_PACK)
def evidence_pack(settings, to=None, net=False):
    """Put the evidence of a run into one file to send: out/evidence.tar."""
    return EvidencePack(settings, text("to", to), net)


@task(*options.REPRODUCED, help=options.REPRODUCE)
def reproduce(settings, image="all", write=False):
    """Build the images again from nothing, and compare the enclaves with the lock."""
    return Reproduce(settings, roles(image), write)


@task(options.GRAMINE_IMAGE)
def gsc_setup(settings):
    """Bring GSC at the pinned commit and write its config.yaml."""
    return GscSetup(settings)


@task(options.TRAINED, options.NET_OF_REPORT, options.DATA)
def report(settings):
    """Classify the validation images and write a page for people: out/train/report.html."""
    return Report(settings, partial(Classify, quiet=True))


@task(*options.BENCH, help=options.BENCHED)
def bench(settings, what="train", rounds="1", method=None, json=False):
    """Say how fast this is, beside a plain reading of the tutorial, run in turn."""
    number = whole_number("rounds", rounds)
    return Bench(settings, what, number, text("method", method), as_json=json)


@task(*options.SIZE, help={**options.ROLE, **options.JSON})
def size(settings, image="all", json=False):
    """Run the jobs, and propose how large each enclave is to be from what they took."""
    steps = {TRAIN: partial(Train, quiet=True, again=True), INFER: partial(Classify, quiet=True)}
    return Size(settings, {role: steps[role] for role in roles(image)}, as_json=json)


@task(help=options.JSON)
def doctor(settings, json=False):
    """Say what this machine offers, what is missing, and which command mends it."""
    examine(settings, as_json=json)


@task(help={"downloads": "delete the downloaded weights and images too"})
def clean(settings, downloads=False):
    """Delete what the tasks made: out/ and the copied network."""
    return Clean(settings, downloads)


@task(help={"fix": "mend what can be mended"})
def lint(settings, fix=False):
    """Check style and types with ruff and mypy."""
    quality.lint(fix=fix)


@task(help=options.TESTS)
def test(settings, fast=False, real=False, docker=False, fuzz=False, only=None):
    """Check style and types, then run the tests."""
    if fuzz:
        quality.fuzz()
    else:
        only = next(iter(given("only", [only])), None)
        quality.test(fast=fast, real=real, docker=docker, only=only)


@task(help={"upgrade": "take the newest versions that fit, in place of those that still do"})
def lock(settings, upgrade=False):
    """Write constraints.txt: the version of every package that pyproject.toml needs."""
    return Lock(settings, upgrade)


ns = Collection(
    *(download_model, fetch_hymenoptera, build, gsc_build, sign, info),
    *(train, copy_net, classify, clean_result, all_steps),
    *(demo, verify, collateral, evidence_pack, reproduce, gsc_setup),
    *(report, bench, size, doctor, clean, lint, test, lock),
)

config_files.sections()  # a plain `invoke` reads them next, and a damaged one is a traceback there
