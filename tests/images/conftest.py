"""What the tests of images and containers need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import docker
import pytest


@pytest.fixture(scope="module")
def client(tiny_image: str) -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def left(client: Any, tiny_image: str) -> Iterator[list[Any]]:
    """Hold the test to leaving no container of the image, running or not."""
    yield []
    assert client.containers.list(all=True, filters={"ancestor": tiny_image}) == []
