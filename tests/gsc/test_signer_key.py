"""The signing key: made as it should be, checked before GSC sees it, never laid open."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings
from workflow.gsc import signer_key
from workflow.tools import doctor_shielded

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
        assert signer_key.ensure_key(path) == path
    finally:
        os.umask(before)
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert (key.key_size, key.public_key().public_numbers().e) == (3072, 3)
    assert b"PRIVATE KEY" in signer_key.open_key(path, never)
    said = f"{path}: a new signing key, keep it safe: it opens what its enclaves seal\n"
    assert capsys.readouterr().err == said

    text = path.read_bytes()
    signer_key.ensure_key(path)
    assert path.read_bytes() == text
    assert capsys.readouterr().err == ""


def test_a_key_that_is_there_is_never_overwritten_whatever_it_is(
    write: Callable[[bytes], Path],
) -> None:
    path = write(b"mine")
    signer_key.ensure_key(path, for_trying=True)
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
        signer_key.ensure_key(path)
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
        signer_key.open_key(path, never)
    assert caught.value.message == f"{path}{said}{MAKE}"


def test_a_public_key_is_no_key(
    write: Callable[[bytes], Path], signing_key: rsa.RSAPrivateKey
) -> None:
    public = signing_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(WorkflowError, match="is no private key in PEM"):
        signer_key.open_key(write(public), never)


@pytest.mark.parametrize(
    ("name", "reason"), [("none.pem", "No such file or directory"), (".", "Is a directory")]
)
def test_a_key_that_cannot_be_read_is_one_line(name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with pytest.raises(WorkflowError) as caught:
        signer_key.open_key(path, never)
    assert caught.value.message == f"{path} cannot be read: {reason}"


def test_a_key_that_others_may_read_is_named_with_the_command(
    write: Callable[[bytes], Path],
    signing_key: rsa.RSAPrivateKey,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(pem(signing_key))
    path.chmod(0o644)
    signer_key.open_key(path, never)
    assert capsys.readouterr().err == f"{path}: others may read this key; run: chmod 600 {path}\n"


@pytest.mark.parametrize("phrase", [b"", b"a phrase"])
def test_every_key_reaches_the_signer_in_one_form_without_pass_phrase(
    phrase: bytes, write: Callable[[bytes], Path], signing_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    path = write(pem(signing_key, phrase))
    file = tmp_path / "phrase"
    file.write_bytes(phrase + b"\nand a second line\n")
    before = path.read_bytes()
    opened = signer_key.key_pem(GscSettings(passphrase_file=str(file)), path)
    assert opened.splitlines()[0] == b"-----BEGIN PRIVATE KEY-----"
    assert opened.splitlines()[-1] == b"-----END PRIVATE KEY-----"
    key = serialization.load_pem_private_key(opened, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.private_numbers() == signing_key.private_numbers()
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == sorted([path, file])


def test_a_key_that_is_named_and_missing_is_never_made(tmp_path: Path) -> None:
    path = tmp_path / "TYPO.pem"
    with pytest.raises(WorkflowError) as caught:
        signer_key.ensure_key(path, is_named=True)
    assert caught.value.message == (
        f"no signing key {path}; name one that is there, or none: then inv sign makes "
        f"{GscSettings().key}"
    )
    assert not path.exists()


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
        with pytest.raises(WorkflowError) as caught:
            signer_key.key_pem(settings, path)
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
        signer_key.getpass, "getpass", lambda prompt: asked.append(prompt) or "a phrase"
    )
    assert signer_key.open_key(path, lambda: b"a phrase") == signer_key.key_pem(GscSettings(), path)
    assert asked == [f"pass phrase of {path}: "]


def test_the_doctor_tells_a_default_key_that_is_made_from_a_named_one_that_is_not(
    write: Callable[[bytes], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = doctor_shielded.key_check(GscSettings(key=tmp_path / "none.pem"))
    assert (named.state, named.mend) == ("missing", "name one that is there")
    assert doctor_shielded.key_check(GscSettings(key=write(b"x"))).state == "ok"
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    assert doctor_shielded.key_check(GscSettings()).mend == "inv sign makes it"
