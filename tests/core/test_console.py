from __future__ import annotations

from pathlib import Path

import pytest

from workflow.core.console import shorten, shown
from workflow.core.errors import WorkflowError


def test_paths_are_shown_as_the_caller_would_type_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b") == "a/b"
    assert shown(tmp_path.parent / "c") == str(tmp_path.parent / "c")
    assert shorten(f"{tmp_path}/a: no, {tmp_path}/b") == "a: no, b"
    assert WorkflowError(f"{tmp_path}/a is missing").message == "a is missing"
    monkeypatch.chdir("/")
    assert shorten("/a/b") == "/a/b"
