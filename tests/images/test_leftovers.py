"""What a build leaves on the way is deleted with its image, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import SOCKETS
from workflow.images import daemon, leftovers

pytestmark = [pytest.mark.docker, *SOCKETS]


def made(tag: str, dockerfile: str) -> daemon.Image:
    daemon.build_files(
        {"Dockerfile": dockerfile.encode()},
        tag=tag,
        labels={"shieldtest": "leftovers"},
        on_line=lambda line: None,
    )
    image = daemon.find_image(tag)
    assert image is not None
    return image


@pytest.fixture
def name(tiny_image: str) -> Iterator[str]:
    name = f"{tiny_image}_left"
    yield name
    for image in (f"{name}2", f"{name}1", name):
        daemon.remove_image(image)


def test_what_stands_on_an_image_goes_with_it(tiny_image: str, name: str) -> None:
    made(name, f"FROM {tiny_image}\nENV A=1\n")
    stage = made(f"{name}1", f"FROM {name}\nENV A=2\nENV A=3\n").id
    made(f"{name}2", f"FROM {name}\nENV A=2\nENV A=4\n")
    made(f"{name}1", f"FROM {tiny_image}\nENV A=5\n")
    assert daemon.find_image(stage)
    leftovers.remove_images([f"{name}2", name])
    assert [daemon.find_image(each) for each in (stage, name, f"{name}2")] == [None] * 3
    assert daemon.find_image(f"{name}1")
    assert daemon.find_image(tiny_image)


def test_an_image_that_is_not_here_takes_none_with_it(tiny_image: str, name: str) -> None:
    made(name, f"FROM {tiny_image}\nENV A=6\n")
    nameless = made(name, f"FROM {name}\nENV A=7\n").id
    made(name, f"FROM {tiny_image}\nENV A=8\n")
    leftovers.remove_images([f"{name}1"], ["0" * 64])
    assert daemon.find_image(nameless)
    assert list(leftovers._nameless_ends(f"{name}1")) == []
    leftovers.remove_images([], [nameless])
    assert daemon.find_image(nameless) is None
