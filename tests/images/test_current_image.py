"""Before a run, the image is held to today's code, images, weights and options."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import SOCKETS
from workflow.core.errors import WorkflowError
from workflow.core.settings import (
    DataSettings,
    ImageSettings,
    ModelSettings,
    Settings,
    TrainSettings,
)
from workflow.images import build_spec, currency, daemon
from workflow.images.context import context_digest

pytestmark = [pytest.mark.docker, *SOCKETS]

_NUMBERS = itertools.count()

Pretend = Callable[[Settings], None]


@pytest.fixture
def chosen(tiny_data: Path, tmp_path: Path) -> Settings:
    name = f"shieldtest_current{os.getpid()}-{next(_NUMBERS)}"
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"weights")
    return Settings(
        model=ModelSettings(weights=str(weights)),
        data=DataSettings(dir=tiny_data),
        train=TrainSettings(epochs=4, threads=2),
        image=ImageSettings(train=name),
    )


@pytest.fixture
def pretend(tiny_image: str) -> Iterator[Pretend]:
    """Return what makes an image that says of itself what the real one would."""
    made: list[str] = []

    def build(settings: Settings) -> None:
        item = currency.app_build(settings, "train")
        options = currency.option_arguments(item).items()
        variables = "".join(f"ENV {name}={value}\n" for name, value in options)
        daemon.build_files(
            {"Dockerfile": f"FROM {tiny_image}\n{variables}".encode()},
            tag=item.image,
            labels={build_spec.CONTEXT_LABEL: context_digest(item)},
            on_line=lambda line: None,
        )
        made.append(item.image)

    yield build
    for name in made:
        daemon.remove_image(name)


def test_without_an_image_the_task_that_makes_it_is_named(
    chosen: Settings, tiny_image: str
) -> None:
    with pytest.raises(WorkflowError) as caught:
        currency.check_is_current(chosen, "train", sealed=True)
    assert caught.value.message == (
        f"no image {chosen.image.train} here; run: inv build --image train"
    )


def test_options_of_a_sealed_image_are_refused_and_of_a_plain_one_given(
    chosen: Settings, pretend: Pretend
) -> None:
    pretend(chosen)
    for sealed in (True, False):
        assert currency.check_is_current(chosen, "train", sealed=sealed) == []
    train = replace(chosen.train, epochs=2, seed=7, export_net=True)
    other = replace(chosen, train=train)
    assert currency.check_is_current(other, "train", sealed=False) == [
        *("--epochs=2", "--seed=7", "--export-net")
    ]
    with pytest.raises(WorkflowError) as caught:
        currency.check_is_current(other, "train", sealed=True)
    assert caught.value.message == (
        f"image {chosen.image.train} has built in epochs 4 (asked for: 2), seed 0 (asked for: 7), "
        "export_net 0 (asked for: 1), and a sealed image takes no arguments; "
        "run: inv build --image train --epochs 2 --seed 7 --export-net, then gsc-build and sign"
    )
    # As many threads as there are is whatever the image has.
    everything = replace(chosen, train=replace(chosen.train, threads=0))
    assert currency.check_is_current(everything, "train", sealed=True) == []
    other_weights = Path(chosen.model.weights)
    other_weights.write_bytes(b"others")
    with pytest.raises(WorkflowError) as caught:
        currency.check_is_current(chosen, "train", sealed=False)
    assert caught.value.message == (
        f"image {chosen.image.train} is of other code, images or weights than today's; "
        "run: inv build --image train"
    )
