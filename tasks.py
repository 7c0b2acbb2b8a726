"""The tasks: one a documented step, `inv all` for all of them in order, and those beside them."""

from invoke import Collection

from workflow.assets import dataset, handover
from workflow.core import config_files, configuration
from workflow.core.flags import (
    ARCH,
    BACKEND,
    BUILD_HELP,
    CACHE,
    DATA_SOURCE,
    EXPORT,
    FORCE,
    IMAGE,
    INSECURE,
    KEY,
    MODEL_SOURCE,
    ROLE,
    SHIELD,
    THREADS,
    TRAIN_HELP,
    given,
    train_flags,
)
from workflow.core.task import task
from workflow.gsc import enclaves, shielding, signatures
from workflow.images import build_spec, building
from workflow.steps import classification, fetching, pipeline, training
from workflow.tools import tool_tasks


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
    building.build(configuration.read(ctx.config, flags), build_spec.roles(image))


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
    admitted = given("insecure", [*insecure, "insecure-args" if insecure_args else None])
    flags = {"machine.backend": backend, "gsc.insecure": ",".join(admitted) or None}
    chosen = configuration.read(ctx.config, flags)
    shielding.build(chosen, shielding.mode(chosen), build_spec.roles(image))


@task(help={"image": ROLE, "backend": SHIELD, "key": KEY}, auto_shortflags=False)
def sign(ctx, image="all", backend=None, key=None):
    """5. Sign the shielded images."""
    chosen = configuration.read(ctx.config, {"machine.backend": backend, "gsc.key": key})
    signatures.sign(chosen, shielding.mode(chosen), build_spec.roles(image), key_flag=key)


@task(
    help={"image": ROLE, "backend": SHIELD, "json": "print it for programs"},
    auto_shortflags=False,
)
def info(ctx, image="all", backend=None, json=False):
    """6. Say what the signed images measure to: MRENCLAVE, MRSIGNER, and what weakens them."""
    chosen = configuration.read(ctx.config, {"machine.backend": backend})
    enclaves.info(chosen, shielding.mode(chosen), build_spec.roles(image), as_json=json)


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
    chosen = configuration.read(ctx.config, flags)
    classification.classify(chosen, given("image", image), as_json=json)


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
    pipeline.run_all(configuration.read(ctx.config, flags), given("image", image), force=force)


ns = Collection(
    download_model,
    fetch_hymenoptera,
    build,
    gsc_build,
    sign,
    info,
    train,
    copy_net,
    classify,
    clean_result,
    all_steps,
    *tool_tasks.TASKS,
)

config_files.sections()  # a plain `invoke` reads them next, and a damaged one is a traceback there
