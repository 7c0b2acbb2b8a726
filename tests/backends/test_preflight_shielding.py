"""Before the first step: what GSC needs, Gramine and the signing key."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests import doing
from tests.backends.conftest import Docker, in_backend
from tests.gsc.shield_world import pem, write_key
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.core.step import problem
from workflow.core.values import PathText
from workflow.gsc import checkout, shielded_images, signer_key


@pytest.mark.usefixtures("free", "docker")
def test_images_that_are_made_and_of_today_need_nothing_made(
    ready: Settings, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key(ready.gsc.key, b"no key")
    chosen = in_backend(ready, "sgx")
    with pytest.raises(WorkflowError):
        doing.run_all(chosen)
    monkeypatch.setattr(shielded_images, "runnable", lambda *asked: ("image", []))
    doing.run_all(chosen)
    assert started == ["download-model"]
    with pytest.raises(WorkflowError):
        doing.run_all(chosen, force=True)


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("text", ["", "[]", "Gramine:\n", "Gramine: {Branch: x}\n", "Distro: d\n"])
def test_a_gramine_that_gsc_compiles_needs_no_image(text: str, ready: Settings) -> None:
    (ready.gsc.dir / "config.yaml").write_text(text)
    checkout.check_gramine(ready.gsc)


def test_the_gramine_image_is_the_one_that_gsc_takes(ready: Settings, docker: Docker) -> None:
    docker.images |= {"gramine-here", "another"}
    checkout.check_gramine(ready.gsc)
    checkout.check_gramine(replace(ready.gsc, gramine_image="gramine-here"))
    with pytest.raises(
        WorkflowError, match=r"names gramine-here, but gsc\.gramine_image is another"
    ):
        checkout.check_gramine(replace(ready.gsc, gramine_image="another"))
    (ready.gsc.dir / "config.yaml").write_text("Gramine: [")
    with pytest.raises(WorkflowError, match="cannot be read; run: inv gsc-setup"):
        checkout.check_gramine(ready.gsc)


class Terminal(io.StringIO):
    """Stand in for a terminal on which nobody may be asked."""

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> str:
        raise AssertionError("asked")


def test_a_key_with_a_pass_phrase_is_looked_at_as_far_as_can_be(
    ready: Settings,
    docker: Docker,
    signing_key: rsa.RSAPrivateKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_key(ready.gsc.key, pem(signing_key, b"open sesame"))
    with pytest.raises(WorkflowError, match=r"name a file with it: gsc\.passphrase_file"):
        signer_key.check_key(ready.gsc, ready.gsc.key)
    phrase = tmp_path / "phrase"
    named = replace(ready.gsc, passphrase_file=PathText(phrase))
    for text, said in (("open sesame\n", ""), ("wrong\n", "the pass phrase does not open it")):
        phrase.write_text(text)
        found = problem(lambda: signer_key.check_key(named, named.key))
        assert found.endswith(said) and bool(found) == bool(said)
    monkeypatch.setattr("sys.stdin", Terminal())
    signer_key.check_key(ready.gsc, ready.gsc.key)  # it is asked for when it is signed with
    write_key(ready.gsc.key, b"no key")
    with pytest.raises(WorkflowError, match="is no private key in PEM"):
        signer_key.check_key(ready.gsc, ready.gsc.key)


def test_a_key_that_is_not_here_must_be_one_that_can_be_made(
    ready: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer_key.check_key(ready.gsc, tmp_path / "new" / "folder" / "key.pem")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(WorkflowError, match=f"cannot be made: {tmp_path} cannot be written"):
        signer_key.check_key(ready.gsc, tmp_path / "new" / "key.pem")


def test_a_key_that_is_named_and_missing_stops_before_the_first_step(
    ready: Settings, tmp_path: Path
) -> None:
    typo = replace(ready.gsc, key=tmp_path / "TYPO.pem")
    with pytest.raises(WorkflowError, match=r"no signing key .*/TYPO\.pem; name one that is there"):
        signer_key.check_key(typo, typo.key)
