"""Going on with a file whose digest is not known: by its ETag alone, never by a guess."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.assets.fault_server import (  # noqa: F401  (pytest finds the fixtures here)
    CONTENT,
    FaultServer,
    no_proxy_fixture,
    server_fixture,
    truncate_after,
    wrong_content_range,
)
from workflow.assets.download import Asset, Policy, fetch
from workflow.core.errors import WorkflowError

QUICK = Policy(connect_timeout_s=2, read_timeout_s=0.3, attempts=3, backoff_s=0.01)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file.bin"


def assert_only(target: Path) -> None:
    """Hold that the whole file is there, and nothing beside it."""
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def begin(server: FaultServer, target: Path) -> Asset:
    """Leave the first bytes of a file whose digest is not known, and return its asset."""
    asset = Asset("file.bin", server.url, sha256="", max_bytes=2 * len(CONTENT))
    server.script(truncate_after(5000))
    with pytest.raises(WorkflowError, match="gave up after 1 attempts"):
        fetch(asset, target, policy=replace(QUICK, attempts=1))
    return asset


def test_a_part_is_resumed_by_its_etag(server: FaultServer, target: Path) -> None:
    server.etag = '"1"'
    assert fetch(begin(server, target), target, policy=QUICK)
    assert_only(target)
    assert (server.requests[1].range, server.requests[1].if_range) == ("bytes=5000-", '"1"')


def test_another_range_is_not_appended(server: FaultServer, target: Path) -> None:
    server.etag = '"1"'
    asset = begin(server, target)
    server.script(wrong_content_range)
    assert fetch(asset, target, policy=QUICK)
    assert_only(target)


def test_a_file_that_changed_is_not_mixed(server: FaultServer, target: Path) -> None:
    server.etag, server.content = '"1"', b"x" * len(CONTENT)
    asset = begin(server, target)
    server.etag, server.content = '"2"', CONTENT
    assert fetch(asset, target, policy=QUICK)
    assert_only(target)


@pytest.mark.parametrize(
    ("etag", "query"), [("", ""), ('W/"1"', ""), ('"1"', "?mirror")], ids=["no", "weak", "foreign"]
)
def test_without_an_etag_that_tells_nothing_is_resumed(
    server: FaultServer, target: Path, etag: str, query: str
) -> None:
    server.etag = etag
    asset = begin(server, target)
    assert fetch(replace(asset, url=server.url + query), target, policy=QUICK)
    assert_only(target)
    assert server.ranges() == [None, None]
