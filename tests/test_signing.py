"""The signing key: made as it should be, checked before GSC sees it, never laid open."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from workflow import signing
from workflow.errors import WorkflowError
from workflow.settings import GscSettings

MAKE = "make another: openssl genrsa -3 -out KEY 3072"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    opened = serialization.NoEncryption()
    sealed = serialization.BestAvailableEncryption(passphrase) if passphrase else opened
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def never() -> bytes:
    raise AssertionError("asked for a pass phrase")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write_key(text: bytes) -> Path:
        path = tmp_path / "key.pem"
        path.touch(mode=0o600)
        path.write_bytes(text)
        return path

    return write_key


def test_a_key_is_made_as_sgx_takes_it_and_for_its_owner_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep" / "key.pem"
    before = os.umask(0)
    try:
        assert signing.ensure_key(path) == path
    finally:
        os.umask(before)
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert (key.key_size, key.public_key().public_numbers().e) == (3072, 3)
    assert signing.open_key(path, never) is None
    said = f"{path}: a new signing key, keep it safe: it opens what its enclaves seal\n"
    assert capsys.readouterr().err == said

    text = path.read_bytes()
    signing.ensure_key(path)
    assert path.read_bytes() == text
    assert capsys.readouterr().err == ""


def test_a_key_that_is_there_is_never_overwritten_whatever_it_is(
    write: Callable[[bytes], Path],
) -> None:
    path = write(b"mine")
    signing.ensure_key(path, for_trying=True)
    assert path.read_bytes() == b"mine"


def test_a_key_that_somebody_else_makes_meanwhile_is_not_overwritten(
    tmp_path: Path, signing_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.pem"

    def generate(**_: int) -> rsa.RSAPrivateKey:
        path.write_bytes(b"theirs")
        return signing_key

    monkeypatch.setattr(rsa, "generate_private_key", generate)
    with pytest.raises(WorkflowError) as caught:
        signing.ensure_key(path)
    assert caught.value.message == f"{path} cannot be made: File exists"
    assert path.read_bytes() == b"theirs"


def small() -> bytes:
    return pem(rsa.generate_private_key(public_exponent=3, key_size=2048))


def other_exponent() -> bytes:
    return pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def elliptic() -> bytes:
    return pem(ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            small,
            ": expected an RSA key of 3072 bits with exponent 3, got 2048 bits with exponent 3; ",
        ),
        (
            other_exponent,
            ": expected an RSA key of 3072 bits with exponent 3, "
            "got 2048 bits with exponent 65537; ",
        ),
        (elliptic, ": expected an RSA key, got ECPrivateKey; "),
        (lambda: b"no key", " is no private key in PEM; "),
        (lambda: b"", " is no private key in PEM; "),
    ],
)
def test_what_is_no_key_for_sgx_is_one_line(
    text: Callable[[], bytes], said: str, write: Callable[[bytes], Path]
) -> None:
    path = write(text())
    with pytest.raises(WorkflowError) as caught:
        signing.open_key(path, never)
    assert caught.value.message == f"{path}{said}{MAKE}"


def test_a_public_key_is_no_key(
    write: Callable[[bytes], Path], signing_key: rsa.RSAPrivateKey
) -> None:
    public = signing_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(WorkflowError, match="is no private key in PEM"):
        signing.open_key(write(public), never)


@pytest.mark.parametrize(
    ("name", "reason"), [("none.pem", "No such file or directory"), (".", "Is a directory")]
)
def test_a_key_that_cannot_be_read_is_one_line(name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(WorkflowError) as caught:
        signing.open_key(path, never)
    assert caught.value.message == f"{path} cannot be read: {reason}"


def test_a_key_that_others_may_read_is_named_with_the_command(
    write: Callable[[bytes], Path],
    signing_key: rsa.RSAPrivateKey,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(pem(signing_key))
    path.chmod(0o644)
    assert signing.open_key(path, never) is None
    assert capsys.readouterr().err == f"{path}: others may read this key; run: chmod 600 {path}\n"


def test_a_key_without_pass_phrase_is_given_to_gsc_as_it_is(
    write: Callable[[bytes], Path], signing_key: rsa.RSAPrivateKey
) -> None:
    path = write(pem(signing_key))
    with signing.usable_key(GscSettings(), path) as usable:
        assert usable == path
    assert path.read_bytes() == pem(signing_key)


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_a_key_with_pass_phrase_is_opened_for_the_time_of_its_use(
    has_memory_files: bool,
    write: Callable[[bytes], Path],
    signing_key: rsa.RSAPrivateKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_memory_files:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    elif not hasattr(os, "memfd_create"):
        pytest.skip("files in memory alone are Linux's")
    path = write(pem(signing_key, b"a phrase"))
    phrase = tmp_path / "phrase"
    phrase.write_text("a phrase\nand a second line\n")
    before = os.umask(0)
    try:
        with signing.usable_key(GscSettings(passphrase_file=str(phrase)), path) as usable:
            assert usable != path
            assert usable.is_relative_to("/proc") == has_memory_files
            assert mode_of(usable) == 0o600
            assert mode_of(usable.parent) in (0o500, 0o700)
            copied = tmp_path / "as another program sees it"
            subprocess.run(["cp", usable, copied], check=True)
            opened = serialization.load_pem_private_key(copied.read_bytes(), None)
            assert isinstance(opened, rsa.RSAPrivateKey)
            assert opened.private_numbers() == signing_key.private_numbers()
    finally:
        os.umask(before)
    assert not usable.exists()
    assert has_memory_files or not usable.parent.exists()
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_an_opened_key_is_gone_after_a_failure_too(
    write: Callable[[bytes], Path], signing_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    path = write(pem(signing_key, b"a phrase"))
    phrase = tmp_path / "phrase"
    phrase.write_text("a phrase")
    left: list[Path] = []
    with (
        pytest.raises(KeyboardInterrupt),
        signing.usable_key(GscSettings(passphrase_file=str(phrase)), path) as usable,
    ):
        left.append(usable)
        raise KeyboardInterrupt
    assert not left[0].exists()


def test_no_copy_of_a_key_is_left_where_gsc_builds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = [tmp_path / name / "gsc-signer-key.pem" for name in ("gsc-a", "gsc-b:direct")]
    for path in copies:
        path.parent.mkdir()
    copies[0].write_text("of an earlier GSC")
    with pytest.raises(KeyboardInterrupt), signing.no_copy_left(tmp_path):
        assert not copies[0].exists()
        copies[1].write_text("of this one, which is killed")
        raise KeyboardInterrupt
    assert not copies[1].exists()
    end = "the copy of a signing key that a killed GSC left is deleted"
    assert capsys.readouterr().err.splitlines() == [f"{path}: {end}" for path in copies]


def test_a_wrong_pass_phrase_a_missing_file_and_no_terminal_are_one_line_each(
    write: Callable[[bytes], Path],
    signing_key: rsa.RSAPrivateKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(pem(signing_key, b"a phrase"))
    (tmp_path / "wrong").write_text("another\n")
    (tmp_path / "empty").write_text("")
    monkeypatch.setattr(sys, "stdin", io.StringIO("a phrase\n"))
    for phrase, said in (
        (str(tmp_path / "wrong"), f"{path}: the pass phrase does not open it"),
        (str(tmp_path / "empty"), f"{path}: the pass phrase does not open it"),
        (
            str(tmp_path / "none"),
            "gsc.passphrase_file cannot be read: No such file or directory",
        ),
        ("", f"{path} has a pass phrase; name a file with it: gsc.passphrase_file"),
    ):
        settings = GscSettings(passphrase_file=phrase)
        with pytest.raises(WorkflowError) as caught, signing.usable_key(settings, path):
            pass
        assert caught.value.message == said


def test_on_a_terminal_the_pass_phrase_is_asked_for(
    write: Callable[[bytes], Path],
    signing_key: rsa.RSAPrivateKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write(pem(signing_key, b"a phrase"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked: list[str] = []
    monkeypatch.setattr(
        signing.getpass, "getpass", lambda prompt: asked.append(prompt) or "a phrase"
    )
    with signing.usable_key(GscSettings(), path) as usable:
        assert signing.open_key(usable, never) is None
    assert asked == [f"pass phrase of {path}: "]
