"""Reading and writing networks: a state_dict and plain settings, never code."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import torch
from torch import nn

from pytorch_common.contract import NET_FORMAT, old_torch_problem
from pytorch_common.errors import RunError
from pytorch_common.files import is_lfs_pointer, write_atomically
from pytorch_common.network import StateDict, restore_network
from pytorch_common.schema import (
    container_problem,
    format_problem,
    net_problems,
    read_description,
    state_problem,
)
from pytorch_common.script import note


@dataclass(frozen=True)
class Net:
    """A fine-tuned network and what is needed to use it."""

    network: nn.Module
    """In evaluation mode."""
    arch: str
    classes: list[str]
    """Class names, in the order of the logits."""
    preprocess: Mapping[str, Any]
    """What ``preprocessing`` returned: the arguments of validation_pixels and normalise."""
    sha256: str
    """Of the file that it was read from."""


def save_net(
    path: Path,
    state: StateDict,
    *,
    classes: list[str],
    preprocess: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> str:
    """Write net.pt and return its sha256; equal content gives equal bytes.

    ``settings`` holds the train options, ``arch`` and ``method`` among them.
    """
    description = {
        "arch": settings["arch"],
        "classes": list(classes),
        "preprocess": dict(preprocess),
        "settings": dict(settings),
    }
    # As JSON: the weights-only unpickler of torch 1.13 knows no floating point number.
    content = {
        "format": NET_FORMAT,
        "description": json.dumps(description),
        "state_dict": {key: plain(tensor) for key, tensor in state.items()},
    }
    # Through a buffer: torch.save writes a file's own name into it, here a temporary one.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def load_net(path: Path, expected_sha256: str | None = None) -> Net:
    """Read net.pt; with ``expected_sha256`` no other file is accepted.

    Raises: RunError where the file is missing, foreign, damaged, or carries code.
    """
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if expected_sha256 and sha256 != expected_sha256:
        raise RunError(
            f"{path} is not the network expected here: sha256 {expected_sha256}, got {sha256}"
        )
    content = load_plain(data, path)
    not_ours = f"{path} is not a network that train.py wrote"
    if problem := format_problem(content):
        raise RunError(f"{not_ours}: {problem}")
    description = read_description(content.get("description"))
    if problems := list(net_problems(content, description)):
        names = " and ".join(name for name, _ in problems)
        raise RunError(f"{not_ours}: it has no usable {names}: expected {problems[0][1]}")
    method = description["settings"]["method"]
    arch, classes = description["arch"], description["classes"]
    network = restore_network(arch, len(classes), method, content["state_dict"], str(path))
    return Net(network, arch, classes, description["preprocess"], sha256)


def load_base_weights(path: Path, expected_sha256: str = "") -> tuple[dict[str, torch.Tensor], str]:
    """Read a pretrained network's state_dict; return it and the file's sha256.

    With ``expected_sha256``, which may be how it begins, no other file is accepted.

    Raises: RunError where the file is missing, damaged, carries code or holds anything else.
    """
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if not sha256.startswith(expected_sha256):
        raise RunError(f"{path}: expected sha256 {expected_sha256}, got {sha256}")
    state = load_plain(data, path)
    if problem := state_problem(state):
        raise RunError(f"{path} holds no state_dict: expected {problem}")
    return dict(state), sha256


def _read(path: Path) -> bytes:
    """Return the bytes, read once: what is hashed is what is loaded."""
    if problem := old_torch_problem(torch.__version__):
        note(problem)
    try:
        if is_lfs_pointer(path):
            raise RunError(f"{path} is a Git LFS pointer, not the file; run: git lfs pull")
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error


def load_plain(data: bytes, path: Path) -> Any:
    """Return what torch.save wrote into the bytes: tensors and plain data, never code.

    Raises: RunError, naming the path, where it is anything else.
    """
    if problem := container_problem(data):
        raise RunError(f"{path} is damaged, or no file of torch.save: {problem}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RunError(
            f"{path} is not plain weights: it carries pickled code (torch.save of a whole model?) "
            "or is damaged, and is not loaded"
        ) from error
    except Exception as error:  # whatever a reader of hostile bytes raises
        raise RunError(f"{path} is damaged, or no file of torch.save") from error


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy without graph, sharing or memory format, so that the bytes depend on values."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)
