"""What a person's Docker is set to, and the one line that says what is wrong with it."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker.errors
import requests
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.credentials.errors import StoreError

from workflow.core.console import plain
from workflow.core.errors import WorkflowError

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"


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
    """Return the address at which a daemon is looked for: DOCKER_HOST's, or the context's."""
    if host := environ.get("DOCKER_HOST"):
        return host
    context = environ.get("DOCKER_CONTEXT") or get_current_context_name()
    try:
        host = ContextAPI.kwargs_from_context(environment=environ).get("base_url")
    except Exception:  # a damaged one; what is wrong with it is said elsewhere
        host = None
    if context == "default":
        return host or DEFAULT_ADDRESS
    if host:
        return f"{host} of the Docker context {context}"
    return f"{DEFAULT_ADDRESS}, as there is no Docker context {context}"


@contextlib.contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn what the library raises into a line for a person."""
    try:
        yield
    except docker.errors.APIError as error:
        raise WorkflowError(f"docker: {one_line(error.explanation or error)}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        reason = f"{tried(os.environ)}: {_reason(error)}"
        raise WorkflowError(
            f"no Docker daemon answers ({reason}); start it, or look: inv doctor"
        ) from error


@contextlib.contextmanager
def credentials() -> Iterator[None]:
    """Tell what is wrong in config.json, in a context, and with the credential helpers.

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
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise WorkflowError(one_line(error)) from error  # docker-py's word on a damaged context


def _reason(error: BaseException) -> str:
    """Return the innermost reason: ``Permission denied`` rather than a tower of wrappers."""
    text = one_line(error)
    for known in ("Permission denied", "No such file or directory", "Connection refused"):
        if known in text:
            return known
    return text[:200]


def one_line(text: object) -> str:
    """Return the text with its white space folded and without colours, as one line."""
    return " ".join(plain(str(text)).split())


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
