"""What a person's Docker is set to, and the one line that says what is wrong with it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker.errors
import requests
from docker.credentials.errors import StoreError

from workflow.errors import WorkflowError

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
NO_CONTEXT = ("", "default")


def config_file(environ: Mapping[str, str]) -> Path:
    """Return Docker's config.json, whether it is there or not.

    Source: docker-py, docker/utils/config.py.
    """
    named = environ.get("DOCKER_CONFIG")
    usual = _home() / "config.json"
    if named and (not usual.exists() or (Path(named) / "config.json").exists()):
        return Path(named) / "config.json"
    return usual


def fault(path: Path) -> str:
    """Say in one line why the file cannot be used, "" where it can or is not there."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    except json.JSONDecodeError as error:
        return f"{path}:{error.lineno}: not JSON: {error.msg}"
    except ValueError:
        return f"{path}: expected text in UTF-8, got another encoding"
    if not isinstance(content, dict):
        return f"{path}: expected an object in JSON, got {content!r}"
    wrong = [
        key
        for key in ("auths", "credHelpers", "proxies", "HttpHeaders")
        if not _is_object(content, key)
    ]
    return f"{path}: expected {wrong[0]} to be an object" if wrong else ""


def helpers(path: Path) -> list[str]:
    """Return the credential helpers that the file names."""
    content = _read(path)
    named = content.get("credHelpers") or {}
    names = {content.get("credsStore"), *(named.values() if isinstance(named, dict) else ())}
    return sorted(f"docker-credential-{name}" for name in names if name)


def tried(environ: Mapping[str, str]) -> str:
    """Return the address at which a daemon is looked for."""
    return environ.get("DOCKER_HOST") or DEFAULT_ADDRESS


def context_hint(environ: Mapping[str, str]) -> str:
    """Say how the daemon of the Docker context is reached, "" where none is chosen.

    The docker command follows the context, docker-py does not.
    """
    chosen = environ.get("DOCKER_CONTEXT") or _read(config_file(environ)).get("currentContext")
    if environ.get("DOCKER_HOST") or not isinstance(chosen, str) or chosen in NO_CONTEXT:
        return ""
    folder = config_file(environ).parent / "contexts" / "meta"
    meta = _read(folder / hashlib.sha256(chosen.encode()).hexdigest() / "meta.json")
    try:
        host = str(meta["Endpoints"]["docker"]["Host"])
    except (KeyError, TypeError):
        return f"the Docker context {chosen} is not followed; set DOCKER_HOST"
    return f"the Docker context {chosen} is not followed; run: export DOCKER_HOST={host}"


@contextlib.contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn what the library raises into a line for a person."""
    try:
        yield
    except docker.errors.APIError as error:
        raise WorkflowError(f"docker: {one_line(error.explanation or error)}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        mend = context_hint(os.environ) or "start it, or look: inv doctor"
        address = tried(os.environ)
        raise WorkflowError(
            f"no Docker daemon answers ({address}: {_reason(error)}); {mend}"
        ) from error


@contextlib.contextmanager
def credentials() -> Iterator[None]:
    """Tell what is wrong in config.json, and with the credential helpers that it names.

    The library looks at the file as it makes a client, and asks the helpers before a build.
    """
    path = config_file(os.environ)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a helper that is missing
            yield
    except docker.errors.InvalidConfigFile as error:
        raise WorkflowError(f"{path}: {one_line(error)}; mend it, or move it away") from error
    except (docker.errors.DockerException, StoreError) as error:
        cause = error if isinstance(error, StoreError) else error.__cause__
        if not isinstance(cause, StoreError):
            raise
        mend = f"{path} names it: mend it, or take credsStore and credHelpers out there"
        raise WorkflowError(f"{one_line(cause)}; {mend}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, requests.exceptions.RequestException) or not path.exists():
            raise
        who = " and ".join([str(path), *helpers(path)])
        reason = fault(path) or f"{who}: of no use to Docker's library: {error!r}"
        raise WorkflowError(f"{one_line(reason)}; mend it, or move it away") from error


def _reason(error: BaseException) -> str:
    """Return the innermost reason: ``Permission denied`` rather than a tower of wrappers."""
    text = one_line(error)
    for known in ("Permission denied", "No such file or directory", "Connection refused"):
        if known in text:
            return known
    return text[:200]


def one_line(text: object) -> str:
    """Return the text with its white space folded, as one line."""
    return " ".join(str(text).split())


def _home() -> Path:
    return Path(os.path.expanduser("~/.docker"))  # noqa: PTH111 - there may be no home


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_object(content: dict[str, Any], key: str) -> bool:
    return isinstance(content.get(key) or {}, dict)
