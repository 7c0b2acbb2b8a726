"""What several tests of the assets need."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow.core.settings import InferSettings, Settings, TrainSettings


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return Settings(
        train=TrainSettings(out=tmp_path / "train"),
        infer=InferSettings(net=tmp_path / "infer" / "net.pt", out=tmp_path / "out"),
    )
