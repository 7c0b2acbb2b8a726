"""The key that signs enclaves: made where there is none, checked before GSC sees it."""

from __future__ import annotations

import contextlib
import getpass
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from workflow.errors import WorkflowError
from workflow.notes import note
from workflow.settings import GscSettings

KEY_BITS = 3072
KEY_EXPONENT = 3
"""What SGX takes. Source: Intel SDM, volume 3D, "SIGSTRUCT"."""

KEY_COPY = "gsc-signer-key.pem"
"""The name of the copy that GSC builds with. Source: gsc.py, gsc_sign_image."""

_MAKE = f"make another: openssl genrsa -{KEY_EXPONENT} -out KEY {KEY_BITS}"

AskPassphrase = Callable[[], bytes]


def ensure_key(path: Path, *, for_trying: bool = False) -> Path:
    """Return the key's path; make a key where there is none, never overwrite one.

    The new file has mode 0600 from its first moment.

    Raises: WorkflowError where it cannot be written.
    """
    if path.exists():
        return path
    if path.parts[0] == "~":
        raise WorkflowError("no home folder for the signing key; set HOME, or name one: --key FILE")
    key = rsa.generate_private_key(public_exponent=KEY_EXPONENT, key_size=KEY_BITS)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
    except OSError as error:
        raise WorkflowError(f"{path} cannot be made: {error.strerror}") from error
    use = "for direct mode alone" if for_trying else "keep it safe: it opens what its enclaves seal"
    note(f"{path}: a new signing key, {use}")
    return path


@contextlib.contextmanager
def usable_key(gsc: GscSettings, path: Path) -> Iterator[Path]:
    """Yield a key that GSC can use as it is: checked, and without a pass phrase.

    A key with a pass phrase is opened here, because GSC would put the phrase on a command line and
    into a build argument; the opened one lies in the memory of this process, of which nothing is
    left, however the process ends.

    Raises: WorkflowError where it is no key for SGX.
    """
    opened = open_key(path, lambda: _passphrase(gsc, path))
    if opened is None:
        yield path
        return
    with _held(opened) as file:
        yield file


@contextlib.contextmanager
def no_copy_left(folder: Path) -> Iterator[None]:
    """Leave no copy of a key below the folder in which GSC builds.

    GSC deletes its own, unless it is killed before that, now or at an earlier time.
    """
    try:
        _delete_copies(folder)
        yield
    finally:
        _delete_copies(folder)


def open_key(path: Path, ask: AskPassphrase) -> bytes | None:
    """Check the key; return its PEM without pass phrase where it has one, else None.

    Raises: WorkflowError with what was expected and found.
    """
    data = _read(path)
    try:
        key, encrypted = _load(data, None), False
    except TypeError:
        key, encrypted = _load_encrypted(data, path, ask()), True
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WorkflowError(f"{path} is no private key in PEM; {_MAKE}") from error
    _check(key, path)
    if not encrypted:
        return None
    return bytes(
        key.private_bytes(  # type: ignore[attr-defined]
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _delete_copies(folder: Path) -> None:
    for path in folder.rglob(KEY_COPY):
        path.unlink()
        note(f"{path}: the copy of a signing key that a killed GSC left is deleted")


def _check(key: object, path: Path) -> None:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise WorkflowError(f"{path}: expected an RSA key, got {type(key).__name__}; {_MAKE}")
    exponent = key.public_key().public_numbers().e
    if (key.key_size, exponent) != (KEY_BITS, KEY_EXPONENT):
        raise WorkflowError(
            f"{path}: expected an RSA key of {KEY_BITS} bits with exponent {KEY_EXPONENT}, got "
            f"{key.key_size} bits with exponent {exponent}; {_MAKE}"
        )


def _read(path: Path) -> bytes:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            note(f"{path}: others may read this key; run: chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise WorkflowError(f"{path} cannot be read: {error.strerror}") from error


def _load(data: bytes, passphrase: bytes | None) -> object:
    return serialization.load_pem_private_key(data, passphrase)


def _load_encrypted(data: bytes, path: Path, passphrase: bytes) -> object:
    try:
        return _load(data, passphrase)
    except (TypeError, ValueError) as error:  # TypeError for an empty one
        raise WorkflowError(f"{path}: the pass phrase does not open it") from error


def _passphrase(gsc: GscSettings, path: Path) -> bytes:
    if gsc.passphrase_file:
        try:
            lines = Path(gsc.passphrase_file).expanduser().read_bytes().splitlines()
        except OSError as error:
            raise WorkflowError(f"gsc.passphrase_file cannot be read: {error.strerror}") from error
        return lines[0] if lines else b""
    if not sys.stdin.isatty():
        raise WorkflowError(f"{path} has a pass phrase; name a file with it: gsc.passphrase_file")
    return getpass.getpass(f"pass phrase of {path}: ").encode()


@contextlib.contextmanager
def _held(data: bytes) -> Iterator[Path]:
    """Yield a path under which this user's programs read the data, as long as this one runs.

    On Linux that is no file; elsewhere, where there is no enclave either, a temporary one.
    """
    with contextlib.ExitStack() as stack:
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("signing-key")
            os.fchmod(descriptor, 0o600)
            file = stack.enter_context(os.fdopen(descriptor, "wb", buffering=0))
            path = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="key-"))
            path = Path(folder) / "key.pem"
            path.touch(mode=0o600)
            file = stack.enter_context(path.open("wb", buffering=0))
        file.write(data)
        yield path
