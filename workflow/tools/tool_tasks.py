"""The tasks beside the documented steps: what prepares, shows, measures and checks."""

from __future__ import annotations

from typing import Any

from workflow.core import configuration
from workflow.core.flags import BACKEND, DATA, FORCE, THREADS, given, whole_number
from workflow.core.task import task
from workflow.gsc import checkout
from workflow.steps import pipeline
from workflow.tools import bench as benchmark
from workflow.tools import cleaning, quality
from workflow.tools import doctor as machine
from workflow.tools import report as reporting


@task(
    help={"gramine_image": "Docker image with a Gramine built before (default: build the pinned)"},
    auto_shortflags=False,
)
def gsc_setup(ctx: Any, gramine_image: str | None = None) -> None:
    """Bring GSC at the pinned commit and write its config.yaml."""
    checkout.setup(configuration.read(ctx.config, {"gsc.gramine_image": gramine_image}))


@task(
    help={"backend": BACKEND, "force": FORCE},
    auto_shortflags=False,
)
def demo(ctx: Any, backend: str | None = None, force: bool = False) -> None:
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
def report(
    ctx: Any, out: str | None = None, net: str | None = None, data: str | None = None
) -> None:
    """Classify the validation images and write a page for people: out/train/report.html."""
    flags = {"train.out": out, "infer.net": net, "data.dir": data}
    reporting.write_report(configuration.read(ctx.config, flags))


@task(
    help={
        "what": "train, classify, accuracy (against a plain reading of the tutorial), scale, or "
        "images (every file of --data is read, whatever it is)",
        "rounds": "how often each is run; for accuracy the seeds, from train.seed on (default: 1)",
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
    ctx: Any,
    what: str = "train",
    rounds: str = "1",
    epochs: str | None = None,
    method: str | None = None,
    arch: str | None = None,
    data: str | None = None,
    weights: str | None = None,
    net: str | None = None,
    threads: str | None = None,
    json: bool = False,
) -> None:
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
    benchmark.bench(
        chosen,
        what,
        rounds=whole_number("rounds", rounds),
        method="".join(given("method", [method])),
        as_json=json,
    )


@task(help={"json": "print it for programs"}, auto_shortflags=False)
def doctor(ctx: Any, json: bool = False) -> None:
    """Say what this machine offers, what is missing, and which command mends it."""
    machine.doctor(configuration.read(ctx.config), as_json=json)


@task(
    help={"downloads": "delete the downloaded weights and images too"},
    auto_shortflags=False,
)
def clean(ctx: Any, downloads: bool = False) -> None:
    """Delete what the tasks made: out/ and the copied network."""
    cleaning.clean(configuration.read(ctx.config), downloads=downloads)


@task(help={"fix": "mend what can be mended"}, auto_shortflags=False)
def lint(ctx: Any, fix: bool = False) -> None:
    """Check style and types with ruff and mypy."""
    quality.lint(fix=fix)


@task(
    help={
        "fast": "leave out the tests that train a network",
        "real": "only the tests on the real data set and weights",
        "docker": "only the tests that need a Docker daemon",
        "fuzz": "only the mutants of images, 20,000 instead of 2,000; FUZZ_SEED draws others",
        "only": "only the tests whose names match this pytest expression",
    },
    auto_shortflags=False,
)
def test(
    ctx: Any,
    fast: bool = False,
    real: bool = False,
    docker: bool = False,
    fuzz: bool = False,
    only: str | None = None,
) -> None:
    """Check style and types, then run the tests."""
    only = next(iter(given("only", [only])), None)
    if fuzz:
        quality.fuzz()
    else:
        quality.test(fast=fast, real=real, docker=docker, only=only)


TASKS = (gsc_setup, demo, report, bench, doctor, clean, lint, test)
