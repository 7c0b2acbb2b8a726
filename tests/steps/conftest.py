"""What several tests of the steps need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import copy_project, paint


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project as it comes from git, with one picture and one old result."""
    folder = tmp_path_factory.mktemp("dry") / "the project"
    copy_project(folder)
    paint(folder / "it's a bee.png", (1, 2, 3), 1)
    (folder / "out" / "infer").mkdir(parents=True)
    (folder / "out" / "infer" / "result.json").write_text('{"schema": "enclave-finetune/result/1"}')
    return folder
