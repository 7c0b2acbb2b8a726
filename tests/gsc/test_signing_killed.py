"""A signing that is watched, and killed: the key lies nowhere, before or after."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests import doing
from tests.conftest import PROJECT, SOCKETS
from tests.gsc.shield_world import World, world
from tests.gsc.test_signatures import containers, docker
from workflow.gsc import shielded_images, signer_key
from workflow.images import daemon

__all__ = ["world"]

pytestmark = [pytest.mark.docker, *SOCKETS]


@pytest.fixture
def waiting(world: World) -> Iterator[World]:
    """Have an unsigned image whose signer takes the key and then takes its time."""
    world.app(SIGNER="waits")
    doing.gsc_build(world.settings, "sgx", ["train"])
    yield world
    for container in containers(world):
        docker("rm", "--force", container)


def images_of(world: World) -> set[str]:
    """Return the ids of all images that stand on the world's app image and are settled."""
    app = daemon.find_image(world.name())
    assert app is not None
    label = f"label={shielded_images.APP_LABEL}={app.id}"
    return set(docker("images", "--all", "--quiet", "--no-trunc", "--filter", label).split())


@contextlib.contextmanager
def signing_task(world: World) -> Iterator[subprocess.Popen[bytes]]:
    """Run `inv sign` on the world's image, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "invoke", "--search-root", str(PROJECT), "sign", "--image=train"],
        cwd=world.folder,
        env={
            **os.environ,
            "INVOKE_IMAGE_TRAIN": world.name(),
            "INVOKE_GSC_KEY": str(world.settings.gsc.key),
            "INVOKE_MACHINE_BACKEND": "sgx",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def signer_has_the_key(world: World) -> str:
    """Wait until the signer sleeps on its key; return its container."""
    for _ in range(300):
        if (found := containers(world)) and "sleep 600" in docker("top", found[0]):
            return found[0]
        time.sleep(0.1)
    raise AssertionError("the signer was not started")


def test_while_it_signs_the_key_is_in_nothing_that_docker_shows_or_keeps(waiting: World) -> None:
    key = signer_key.key_pem(waiting.settings.gsc, waiting.settings.gsc.key).decode()
    lines = key.splitlines()[1:-1]
    with signing_task(waiting):
        container = signer_has_the_key(waiting)
        facts = json.loads(docker("inspect", container))[0]
        seen = {
            "inspect": json.dumps(facts),
            "logs": docker("logs", container),
            "processes": docker("top", container, "-eo", "pid,args"),
            "environment": docker("exec", container, "sh", "-c", "cat /proc/[0-9]*/environ"),
            "files": docker("export", container),
            "changed": docker("diff", container),
            "images": docker("images", "--all", "--no-trunc"),
        }
    assert not [place for place, text in seen.items() if any(line in text for line in lines)]
    host = facts["HostConfig"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"]) == ("none", True, ["ALL"])
    assert (host["LogConfig"]["Type"], facts["Mounts"], host["Binds"]) == ("none", [], None)
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert seen["changed"] == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signing_that_is_killed_leaves_nothing_and_the_next_one_works(
    number: signal.Signals, waiting: World
) -> None:
    before = images_of(waiting)
    with signing_task(waiting) as process:
        signer_has_the_key(waiting)
        process.send_signal(number)
        process.wait(60)
    assert images_of(waiting) == before
    assert waiting.signed() is None
    # Nobody is left to take it away after SIGKILL; the next signing does.
    assert len(containers(waiting)) == (number == signal.SIGKILL)
    waiting.app()
    doing.gsc_build(waiting.settings, "sgx", ["train"])
    doing.sign(waiting.settings, "sgx", ["train"])
    assert containers(waiting) == []
