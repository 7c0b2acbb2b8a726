"""What every test of evidence needs: the project's own lock left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.evidence import lock


@pytest.fixture(autouse=True)
def no_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no lock where the project's own would be."""
    monkeypatch.setattr(lock, "LOCK", tmp_path / "no.lock")
