"""A person's Docker settings: what is wrong with them is one line that names the file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from docker.auth import load_config

from tests.conftest import SOCKETS
from workflow.core.errors import WorkflowError
from workflow.images import daemon, daemon_config
from workflow.images.daemon_config import (
    DEFAULT_ADDRESS,
    credentials,
    errors_in_one_line,
    fault,
    tried,
)
from workflow.tools import doctor_shielded

pytestmark = [*SOCKETS]

HELPERS = {
    "fails": 'echo "keychain is locked"; exit 1',
    "garbage": "echo hello",
}


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the config.json of a person with three helpers, of which none works."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name, script in HELPERS.items():
        path = tmp_path / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
    return tmp_path / "config.json"


def line_of_a_build(content: Any, config: Path) -> str:
    """Return what is said where the library reads the file and asks the helpers, as in a build."""
    text = content if isinstance(content, str) else json.dumps(content)
    config.write_text(text, encoding="utf-8")
    with pytest.raises(WorkflowError) as caught, errors_in_one_line(), credentials():
        load_config().get_all_credentials()
    assert "\n" not in caught.value.message
    return str(caught.value.message)


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothere", "docker-credential-nothere not installed or not available in PATH; "),
        ("fails", 'Credentials store docker-credential-fails exited with "keychain is locked ".; '),
        ("garbage", " and docker-credential-garbage: of no use to Docker's library: JSONDecodeErr"),
    ],
)
def test_a_helper_that_does_not_serve_is_named_with_the_file(
    key: str, name: str, said: str, config: Path
) -> None:
    content = {key: name if key == "credsStore" else {"x.io": name}}
    line = line_of_a_build(content, config)
    assert said in line
    assert str(config) in line
    assert "daemon" not in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"auths": 5}, "expected auths to be an object"),
        ({"auths": {"x": 5}}, "Invalid configuration for registry x"),
        ({"auths": {"x": {"auth": "!!"}}}, "of no use to Docker's library: ValueError("),
        ({"credsStore": 5}, "docker-credential-5: of no use to Docker's library: TypeError("),
        ({"credHelpers": 5}, "expected credHelpers to be an object"),
        ([1], "expected an object in JSON, got [1]"),
    ],
)
def test_a_file_of_another_shape_is_named(content: Any, said: str, config: Path) -> None:
    line = line_of_a_build(content, config)
    assert line.startswith(f"{config}")
    assert said in line


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"auths": {', ":1: not JSON: Expecting property name enclosed in double quotes"),
        (b"", ":1: not JSON: Expecting value"),
        (b'{"\xff": 1}', ": expected text in UTF-8, got another encoding"),
        (b"5", ": expected an object in JSON, got 5"),
        (b'{"proxies": 5}', ": expected proxies to be an object"),
        (b'{"auths": null}', None),
        (b"{}", None),
    ],
)
def test_a_damaged_file_is_named_with_its_line(data: bytes, said: str | None, config: Path) -> None:
    config.write_bytes(data)
    assert fault(config) == ("" if said is None else f"{config}{said}")


def test_a_file_that_cannot_be_read_is_named_and_none_is_no_fault(config: Path) -> None:
    assert fault(config) == ""
    config.mkdir()
    assert fault(config) == f"{config} cannot be read: Is a directory"


def test_an_error_that_is_none_of_these_passes(config: Path) -> None:
    with pytest.raises(docker.errors.ImageNotFound), credentials():
        raise docker.errors.ImageNotFound("x")
    with pytest.raises(KeyError), credentials():
        raise KeyError("x")


def test_the_file_is_the_one_that_the_library_takes(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from docker.utils.config import find_config_file

    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    assert daemon_config.config_file(os.environ) == config
    (home / ".docker").mkdir(parents=True)
    (home / ".docker" / "config.json").touch()
    for path in (home / ".docker" / "config.json", config):
        path.touch()
        assert str(daemon_config.config_file(os.environ)) == find_config_file() == str(path)


@pytest.mark.parametrize("by", ["variable", "file"])
def test_the_address_of_the_context_is_named(
    by: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "variable":
        config.write_text("{}", encoding="utf-8")
        monkeypatch.setenv("DOCKER_CONTEXT", "mine")
    else:
        config.write_text('{"currentContext": "mine"}', encoding="utf-8")
    assert tried(os.environ) == f"{DEFAULT_ADDRESS}, as there is no Docker context mine"
    meta = context_file(config)
    meta.write_text(
        '{"Name": "mine", "Metadata": {}, "Endpoints": {"docker": {"Host": "unix:///run/no.sock"}}}',
        encoding="utf-8",
    )
    assert daemon.problem() == (
        "no Docker daemon answers (unix:///run/no.sock of the Docker context mine: No such file or "
        "directory); start it, or look: inv doctor"
    )
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/other.sock")
    assert tried(os.environ) == "unix:///run/other.sock"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Detected corrupted meta file for context mine : "),
        ('{"Name": "mine", "Endpoints": {}}', "of no use to Docker's library: KeyError("),
    ],
)
def test_a_damaged_context_is_one_line(text: str, said: str, config: Path) -> None:
    config.write_text('{"currentContext": "mine"}', encoding="utf-8")
    context_file(config).write_text(text, encoding="utf-8")
    problem = daemon.problem()
    assert problem is not None
    assert said in problem
    assert "\n" not in problem


def test_the_default_context_is_the_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tried(os.environ) == DEFAULT_ADDRESS
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert tried(os.environ) == DEFAULT_ADDRESS


def context_file(config: Path) -> Path:
    """Return where the context called mine is described."""
    name = hashlib.sha256(b"mine").hexdigest()
    meta = config.parent / "contexts" / "meta" / name / "meta.json"
    meta.parent.mkdir(parents=True)
    return meta


def test_the_doctors_mend_is_the_lines_own(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[1]", encoding="utf-8")
    (check,) = doctor_shielded.docker_checks()
    assert (check.state, check.mend) == ("missing", "mend it, or move it away")
    config.unlink()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    (check,) = doctor_shielded.docker_checks()
    assert check.mend.startswith("install Docker Engine; ")


def test_a_damaged_file_is_noted_and_no_daemon_is_blamed_for_it(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Answering:
        def ping(self) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr(daemon.docker, "from_env", lambda timeout: Answering())
    config.write_text("{", encoding="utf-8")
    daemon.client.__wrapped__()
    assert capsys.readouterr().err.startswith(f"{config}:1: not JSON: ")
