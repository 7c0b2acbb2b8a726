"""What a download does when there is no way to the host, or a proxy or TLS on it."""

from __future__ import annotations

import errno
import hashlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.assets.fault_server import (  # noqa: F401  (found by pytest)
    CONTENT,
    FaultServer,
    no_proxy_fixture,
    redirect,
    server_fixture,
)
from workflow.assets.download import Asset, Policy, fetch
from workflow.core.errors import WorkflowError

QUICK = Policy(connect_timeout_s=2, read_timeout_s=2, attempts=3, backoff_s=5)
NAME = "file.bin"
HINT = "or do without it"

pytestmark = pytest.mark.usefixtures("no_proxy")


def pinned(url: str) -> Asset:
    return Asset(NAME, url, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), HINT)


def failure(url: str, folder: Path) -> str:
    """Fetch, which must fail in one line that ends with the hint, and return that line."""
    with pytest.raises(WorkflowError) as caught:
        fetch(pinned(url), folder / NAME, policy=QUICK)
    line = str(caught.value.message)
    assert line.startswith(url)
    assert line.endswith(HINT)
    assert "\n" not in line
    assert list(folder.iterdir()) == []
    return line


def test_a_name_that_does_not_resolve_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_such_name(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    line = failure("http://files.invalid/file.bin", tmp_path)
    assert "files.invalid cannot be reached: Name or service not known" in line


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT])
def test_an_unreachable_host_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    error = OSError(number, "the system's words")

    def unreachable(*_: Any) -> None:
        raise error

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert "127.0.0.1 cannot be reached: the system's words" in failure(
        "http://127.0.0.1/file.bin", tmp_path
    )


def test_a_refused_connection_ends_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/file.bin"
        assert "127.0.0.1 cannot be reached: Connection refused" in failure(url, tmp_path)
    assert "attempt" not in capsys.readouterr().err


def test_the_proxy_of_the_environment_is_used(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "")
    assert fetch(pinned("http://files.invalid/file.bin"), tmp_path / NAME, policy=QUICK)
    assert [request.path for request in server.requests] == ["http://files.invalid/file.bin"]


def test_a_proxy_that_fails_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    monkeypatch.setenv("no_proxy", "")
    line = failure("http://files.invalid/file.bin", tmp_path)
    assert "the proxy on the way to files.invalid failed: Connection refused" in line


def test_redirects_in_a_circle_end(server: FaultServer, tmp_path: Path) -> None:
    server.script(*[redirect("/file.bin")] * 40)
    assert "redirects" in failure(server.url, tmp_path)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that nobody vouches for, in one file with its key."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("needs openssl")
    pem = tmp_path_factory.mktemp("tls") / "certificate-and-key.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    command = [openssl, "req", "-x509", *key, *subject, "-keyout", str(pem), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    return pem


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[FaultServer]:
    server = FaultServer(CONTENT, certificate)
    yield server
    server.stop()


def test_an_untrusted_certificate_ends_at_once(
    tls_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    line = failure(tls_server.url, tmp_path)
    assert "no trusted TLS connection to 127.0.0.1: " in line
    assert "certificate verify failed" in line


def test_the_certificates_of_the_environment_are_trusted(
    tls_server: FaultServer,
    tmp_path: Path,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert fetch(pinned(tls_server.url), tmp_path / NAME, policy=QUICK)


def test_a_missing_certificate_file_is_one_line(
    tls_server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(WorkflowError, match=r"CA certificate bundle, invalid path: /nowhere.pem"):
        fetch(pinned(tls_server.url), tmp_path / NAME, policy=QUICK)
