"""What a download does when the network or the server misbehaves."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.assets import fault_server as faults
from tests.assets.fault_server import CONTENT, FaultServer, no_proxy_fixture, server_fixture  # noqa: F401  (found by pytest)
from workflow.assets.download import Asset, Policy, fetch
from workflow.core.errors import WorkflowError
from workflow.core.locks import lock_beside

QUICK = Policy(connect_timeout_s=2, read_timeout_s=0.3, attempts=3, backoff_s=0.01)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HINT = "or do without it"


@pytest.fixture
def asset(server: FaultServer) -> Asset:
    return Asset("file.bin", server.url, SHA256, max_bytes=len(CONTENT), hint=HINT)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "file.bin"


def failure(asset: Asset, target: Path, policy: Policy = QUICK) -> str:
    """Fetch, which must fail in one line that ends with the hint, and return that line."""
    with pytest.raises(WorkflowError) as caught:
        fetch(asset, target, policy=policy)
    line = str(caught.value.message)
    assert "\n" not in line
    assert not target.exists()
    assert not lock_beside(target).exists()
    return line


def leave_part(target: Path, content: bytes) -> Path:
    target.parent.mkdir()
    part = target.with_name(".file.bin.enclave-finetune.part")
    part.write_bytes(content)
    return part


def assert_only(target: Path) -> None:
    """Hold that the whole file is there, and nothing beside it."""
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    "behaviour",
    [faults.ok, faults.chunked, faults.too_much_declared, faults.slow(pause_s=0.1, pieces=5)],
)
def test_a_download_leaves_the_whole_file_alone(
    server: FaultServer, asset: Asset, target: Path, behaviour: faults.Behaviour
) -> None:
    server.script(behaviour)
    assert fetch(asset, target, policy=QUICK)
    assert_only(target)
    assert server.ranges() == [None]


@pytest.mark.parametrize("breaking", [faults.truncate_after(5000), faults.stall_after(5000)])
def test_a_transfer_that_breaks_off_goes_on_where_it_ended(
    server: FaultServer,
    asset: Asset,
    target: Path,
    breaking: faults.Behaviour,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.script(breaking, breaking)
    assert fetch(asset, target, policy=QUICK)
    assert_only(target)
    assert server.ranges() == [None, "bytes=5000-", "bytes=10000-"]
    assert "attempt 2 of 3 in 0.01 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "passing", [faults.drop_connection, faults.silent, faults.fail(500), faults.fail(503)]
)
def test_a_passing_failure_is_tried_again(
    server: FaultServer, asset: Asset, target: Path, passing: faults.Behaviour
) -> None:
    server.script(passing)
    assert fetch(asset, target, policy=QUICK)
    assert len(server.requests) == 2


def test_the_attempts_end_and_the_part_is_kept(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    server.script(*[faults.truncate_after(100)] * 3)
    line = failure(asset, target)
    assert line.startswith(f"{server.url}: gave up after 3 attempts: the transfer broke off: ")
    assert line.endswith(HINT)
    assert target.with_name(".file.bin.enclave-finetune.part").stat().st_size == 300


def test_the_pause_before_an_attempt_doubles(
    server: FaultServer, asset: Asset, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server.script(*[faults.fail(500)] * 3)
    assert "answered 500" in failure(asset, target, replace(QUICK, backoff_s=4))
    assert pauses == [4, 8]


@pytest.mark.parametrize(
    ("behaviour", "later"), [(faults.ignore_range, []), (faults.wrong_content_range, [None])]
)
def test_a_server_that_cannot_resume_sends_the_whole(
    server: FaultServer,
    asset: Asset,
    target: Path,
    behaviour: faults.Behaviour,
    later: list[None],
) -> None:
    leave_part(target, CONTENT[:5000])
    server.script(behaviour)
    assert fetch(asset, target, policy=QUICK)
    assert_only(target)
    assert server.ranges() == ["bytes=5000-", *later]


@pytest.mark.parametrize("stale", [b"x" * 5000, CONTENT + b"x" * 5000])
def test_a_part_of_another_file_is_started_over_once(
    server: FaultServer, asset: Asset, target: Path, stale: bytes
) -> None:
    leave_part(target, stale)  # the longer one is answered with 416
    assert fetch(asset, target, policy=QUICK)
    assert_only(target)
    assert server.ranges() == [f"bytes={len(stale)}-", None]


def test_a_complete_part_needs_no_request(server: FaultServer, asset: Asset, target: Path) -> None:
    leave_part(target, CONTENT)
    assert fetch(asset, target, policy=QUICK)
    assert_only(target)
    assert server.requests == []


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        (faults.fail(403), "answered 403 Forbidden"),
        (faults.fail(404), "answered 404 Not Found"),
        (faults.html("text/html; charset=utf-8"), "got an HTML page from 127.0.0.1"),
    ],
)
def test_a_lasting_problem_ends_at_once_and_keeps_the_part(
    server: FaultServer, asset: Asset, target: Path, behaviour: faults.Behaviour, problem: str
) -> None:
    part = leave_part(target, CONTENT[:5000])
    server.script(behaviour)
    line = failure(asset, target)
    assert line.startswith(f"{server.url}: {problem}, expected ")
    assert line.endswith(HINT)
    assert len(server.requests) == 1
    assert part.exists()


def test_a_page_that_is_not_declared_as_one_is_noticed(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    server.script(faults.html("application/zip"))
    assert "got an HTML page" in failure(replace(asset, sha256=""), target)


def test_wrong_bytes_are_refused_and_removed(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    server.script(faults.wrong_bytes)
    assert f"{server.url}: expected sha256 {SHA256}, got " in failure(asset, target)
    assert list(target.parent.iterdir()) == []


def test_a_compressed_answer_is_refused(server: FaultServer, asset: Asset, target: Path) -> None:
    server.script(faults.gzip_encoded)
    assert "encoded as gzip" in failure(asset, target)


def test_a_file_declared_too_large_is_not_begun(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    line = failure(replace(asset, max_bytes=1000), target)
    assert f"expected at most 1000 bytes, got {len(CONTENT)}" in line


def test_a_transfer_that_does_not_end_is_cut_off(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    server.script(faults.too_much)
    assert f"expected at most {len(CONTENT)} bytes" in failure(asset, target)
    assert list(target.parent.iterdir()) == []


def test_a_redirect_is_followed(server: FaultServer, asset: Asset, target: Path) -> None:
    leave_part(target, CONTENT[:5000])
    server.script(faults.redirect("/elsewhere.bin"))
    assert fetch(asset, target, policy=QUICK)
    assert [request.path for request in server.requests] == ["/file.bin", "/elsewhere.bin"]
    assert server.ranges() == ["bytes=5000-", "bytes=5000-"]


def test_the_cause_is_not_an_error_that_the_caller_is_handling(
    server: FaultServer, asset: Asset, target: Path
) -> None:
    server.script(*[faults.drop_connection] * 3)
    try:
        raise KeyError("the caller's own trouble")
    except KeyError:
        assert "closed connection without response" in failure(asset, target)
