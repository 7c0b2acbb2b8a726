"""The key that signs enclaves: the default one made where there is none, each checked."""

from __future__ import annotations

import contextlib
import getpass
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from workflow.core.console import note
from workflow.core.disk import nearest
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings

KEY_BITS = 3072
KEY_EXPONENT = 3
"""What SGX takes. Source: Intel SDM, volume 3D, "SIGSTRUCT"."""

_MAKE = f"make another: openssl genrsa -{KEY_EXPONENT} -out KEY {KEY_BITS}"

AskPassphrase = Callable[[], bytes]


def ensure_key(path: Path, *, is_named: bool = False, for_trying: bool = False) -> Path:
    """Return the key's path; make the default key where there is none, never overwrite one.

    A key that a person named is never made: in place of a misspelt one it would be another signer.
    The new file has mode 0600 from its first moment.

    Raises: WorkflowError where a named one is missing, or it cannot be written.
    """
    if path.exists():
        return path
    if is_named:
        raise WorkflowError(missing_message(path))
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


def throwaway_pem() -> bytes:
    """Return a new key that is written nowhere: to measure takes a signer, but not whose it is."""
    key = rsa.generate_private_key(public_exponent=KEY_EXPONENT, key_size=KEY_BITS)
    return _plain_pem(key)


def missing_message(path: Path) -> str:
    """Return the line for a key that a person named and that is not there."""
    return (
        f"no signing key {path}; name one that is there, or none: then inv sign makes "
        f"{GscSettings().key}"
    )


def key_pem(gsc: GscSettings, path: Path) -> bytes:
    """Return the key as Gramine's signer takes it: checked, and without a pass phrase.

    Opened here, in memory, because the signer takes a pass phrase on its command line alone.

    Raises: WorkflowError where it is no key for SGX.
    """
    return open_key(path, lambda: _passphrase(gsc, path))


def open_key(path: Path, ask: AskPassphrase) -> bytes:
    """Check the key; return its PEM, without pass phrase.

    Raises: WorkflowError with what was expected and found.
    """
    data = _read(path)
    try:
        key = _load(data, None)
    except TypeError:
        key = _load_encrypted(data, path, ask())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WorkflowError(f"{path} is no private key in PEM; {_MAKE}") from error
    return _plain_pem(_checked(key, path))


def check_key(checkout: GscSettings, key: Path) -> None:
    """Refuse a key that is none for SGX, or that can neither be read nor made.

    One whose pass phrase is going to be asked for is opened then.

    Raises: WorkflowError.
    """
    if not key.exists():
        if checkout.key_is_named and key == checkout.key:
            raise WorkflowError(missing_message(key))
        folder = nearest(key)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise WorkflowError(f"{key} cannot be made: {folder} cannot be written; name another")
    elif checkout.passphrase_file or not sys.stdin.isatty():
        key_pem(checkout, key)
    else:
        with contextlib.suppress(_AskedForLaterError):
            open_key(key, _ask_later)


class _AskedForLaterError(Exception):
    """Say that the pass phrase is not asked for yet."""


def _ask_later() -> NoReturn:
    raise _AskedForLaterError


def _plain_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Return the key as Gramine's signer takes it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _checked(key: object, path: Path) -> rsa.RSAPrivateKey:
    if not isinstance(key, rsa.RSAPrivateKey):
        raise WorkflowError(f"{path}: expected an RSA key, got {type(key).__name__}; {_MAKE}")
    exponent = key.public_key().public_numbers().e
    if (key.key_size, exponent) != (KEY_BITS, KEY_EXPONENT):
        raise WorkflowError(
            f"{path}: expected an RSA key of {KEY_BITS} bits with exponent {KEY_EXPONENT}, got "
            f"{key.key_size} bits with exponent {exponent}; {_MAKE}"
        )
    return key


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
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:  # TypeError for an empty one
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
