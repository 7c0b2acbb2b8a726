"""Signing: the key goes to the signer in memory, and lies nowhere, whatever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import doing
from tests.conftest import PROJECT, SOCKETS
from tests.gsc.shield_world import World, pem, world, write_key
from workflow.core.errors import WorkflowError
from workflow.core.values import GRAPHENE
from workflow.gsc import modes, sign_image
from workflow.gsc.modes import SGX
from workflow.images import daemon
from workflow.images.container_run import OUR_LABEL

__all__ = ["world"]

pytestmark = [pytest.mark.docker, *SOCKETS]


def docker(*words: str) -> str:
    """Return what the docker command prints on both its outputs."""
    done = subprocess.run(["docker", *words], capture_output=True)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.fixture(scope="module")
def unsigned(world: World) -> World:
    world.app()
    doing.gsc_build(world.settings, "sgx", ["train"])
    return world


def containers(world: World) -> list[str]:
    label = f"label={OUR_LABEL}={modes.unsigned_name(world.name())}"
    return docker("ps", "--all", "--quiet", "--filter", label).split()


def test_the_signed_image_is_the_unsigned_one_and_the_signature(unsigned: World) -> None:
    doing.sign(unsigned.settings, "sgx", ["train"])
    base, signed = unsigned.unsigned(), unsigned.signed()
    assert base is not None
    assert signed is not None
    assert signed.is_one_layer_on(base)
    listing = "ls -1 /gramine/app_files"
    names = docker("run", "--rm", "--entrypoint=/bin/sh", signed.id, "-c", listing).split()
    assert names == ["entrypoint.manifest", "entrypoint.manifest.sgx", "entrypoint.sig"]
    assert containers(unsigned) == []


def image_of(base: str, label: str, path: str, *tag: str) -> str:
    """Build an image with the label and a file of random text; return its id."""
    folder, text = path.rpartition("/")[0], os.urandom(16).hex()
    made = f"RUN mkdir -p {folder} && echo {text} > {path}\nRUN true\n"
    dockerfile = f"FROM {base}\nUSER root\nLABEL {label}=1\n{made}"
    command = ["docker", "build", "--quiet", *(f"--tag={name}" for name in tag), "-"]
    done = subprocess.run(command, input=dockerfile, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_a_killed_gsc_left_is_deleted_and_nothing_else(
    unsigned: World, tiny_image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = unsigned.settings.gsc.dir / "build" / "gsc-x" / "gsc-signer-key.pem"
    copy.parent.mkdir(parents=True)
    copy.write_text("a key")
    named = f"shieldtest_named{os.getpid()}:latest"
    left, others = (
        image_of(tiny_image, "build_id", sign_image.KEY_IN_IMAGE),
        (
            image_of(tiny_image, "build_id", sign_image.KEY_IN_IMAGE, named),
            image_of(tiny_image, "build_id", "/app/gsc-signer-key.pem"),
            image_of(tiny_image, "shieldtest", sign_image.KEY_IN_IMAGE),
        ),
    )
    container = docker("create", left, "sh").strip()
    try:
        doing.sign(unsigned.settings, "sgx", ["train"])
        said = capsys.readouterr().err.splitlines()
        assert said[0] == f"{copy}: the copy of a signing key that a killed GSC left is deleted"
        deleted = "with the copy of a signing key, which a killed GSC left: deleted"
        assert f"image {left[7:19]}, {deleted}" in said
        assert f"image {named} holds a copy of a signing key; run: docker rmi {named}" in said
        assert sum("copy of a signing key" in line for line in said) == 3
        assert not copy.exists()
        assert daemon.find_image(left) is None
        assert container not in docker("ps", "--all", "--quiet", "--no-trunc").split()
        assert all(daemon.find_image(other) for other in others)
    finally:
        docker("rmi", *others)


def test_without_an_image_no_key_is_made(world: World, tmp_path: Path) -> None:
    missing = world.changed(key=tmp_path / "none.pem")
    with pytest.raises(WorkflowError, match=r"no image .*-unsigned here; run: inv gsc-build"):
        doing.sign(missing, "sgx", ["infer"])
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_named_and_missing_is_an_error(unsigned: World, tmp_path: Path) -> None:
    missing = unsigned.changed(key=tmp_path / "TYPO.pem")
    with pytest.raises(WorkflowError, match=f"no signing key {tmp_path}/TYPO.pem; name one that"):
        doing.sign(missing, "sgx", ["train"])
    assert list(tmp_path.iterdir()) == []


def test_in_direct_mode_a_key_is_refused_by_flag_and_left_alone_by_setting(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.app()
    doing.gsc_build(world.settings, "direct", ["train"])
    with pytest.raises(WorkflowError) as caught:
        flagged = replace(world.settings, flags={"gsc.key": ("--key", "K.pem")})
        doing.sign(flagged, "direct", ["train"])
    assert caught.value.message == (
        "--key K.pem: images for direct mode are signed with a key of their own, because nothing "
        "guards them; leave --key out, or sign for SGX: --backend sgx"
    )
    capsys.readouterr()
    doing.sign(world.settings, "direct", ["train"])
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        f"direct mode signs with a key of its own; {world.settings.gsc.key} is left alone"
    )


def test_old_graphene_is_given_no_key(unsigned: World) -> None:
    with pytest.raises(WorkflowError, match="old Graphene's GSC copies the signing key into a lay"):
        doing.sign(unsigned.changed(dialect=GRAPHENE), "sgx", ["train"])


def test_by_hand_the_same_lines_make_the_same_image(
    unsigned: World,
    signing_key: rsa.RSAPrivateKey,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    phrase = tmp_path / "phrase"
    phrase.write_text("open sesame\n")
    key = write_key(tmp_path / "sealed.pem", pem(signing_key, b"open sesame"))
    monkeypatch.chdir(tmp_path)
    settings = unsigned.changed(key=key, passphrase_file=str(phrase))
    lines = sign_image.sign_lines(settings.gsc, unsigned.name(), SGX)
    doing.sign(settings, "sgx", ["train"])
    signed, base = modes.signed_name(unsigned.name()), unsigned.unsigned()
    paths = [f"/gramine/app_files/{name}" for name in sign_image.SIGNATURE]
    ours = [daemon.read_file(signed, path) for path in paths]
    daemon.remove_image(signed)
    # The project's images have a user of that name, the tiny one has its number alone.
    text = "\n".join(lines).replace("--chown=app", "--chown=10001:10001")
    subprocess.run(["sh", "-euc", text], check=True, cwd=tmp_path)
    theirs = unsigned.signed()
    assert base is not None
    assert theirs is not None
    assert theirs.is_one_layer_on(base)
    assert [daemon.read_file(signed, path) for path in paths] == ours
    assert "sesame" not in "\n".join(lines)


def test_a_container_whose_task_is_killed_before_the_key_came_ends_too(unsigned: World) -> None:
    image = modes.unsigned_name(unsigned.name())
    code = f"""
import os
from workflow.images import container_run, daemon
from workflow.gsc import sign_image
api = daemon.client().api
start = api.start
def start_and_die(container):
    print(container, flush=True)
    start(container)
    os.kill(os.getpid(), 9)
api.start = start_and_die
container_run.run(sign_image.signer({image!r}), print, print, secret=b"a key")
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True)
    name = killed.stdout.decode().strip()
    assert name and killed.returncode == -9
    try:
        for _ in range(100):
            if docker("inspect", "--format={{.State.Running}}", name).strip() == "false":
                return
            time.sleep(0.1)
        raise AssertionError("it waits for ever")
    finally:
        docker("rm", "--force", name)
