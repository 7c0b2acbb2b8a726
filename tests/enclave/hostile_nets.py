"""Networks that are not what they say, for the tests that have them refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch

from pytorch_common.checkpoint import load_net
from pytorch_common.errors import RunError

ARCH = "squeezenet1_1"
WEIGHT = "features.3.squeeze.weight"
NAN, INF = float("nan"), float("inf")


def saved(content: Any, *, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def refusal(path: Path, data: bytes) -> str:
    """Return why the file is no network; nothing but one line of plain text may come of it."""
    path.write_bytes(data)
    with pytest.raises(RunError) as caught:
        load_net(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert line.isprintable()
    return line


def spoilt(weight: torch.Tensor, value: float) -> torch.Tensor:
    other = weight.clone()
    other.view(-1)[7] = value
    return other
