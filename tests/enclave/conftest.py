"""What several tests of the enclave side need."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytorch_train.labelled import Labelled, find_images


@pytest.fixture(scope="module")
def labelled(tiny_data: Path) -> Labelled:
    return find_images(tiny_data / "train")
