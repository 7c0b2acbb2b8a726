"""Reading and writing networks: a state_dict and plain settings, never code."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import torch
from torch import nn

from pytorch_common.contract import IMAGE_SIZES, METHODS, NET_FORMAT
from pytorch_common.errors import RunError
from pytorch_common.files import is_lfs_pointer, write_atomically
from pytorch_common.network import StateDict, restore_network


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
    description = _description(content)
    problem = _net_problem(content, description)
    if problem:
        raise RunError(f"{path} is not a network that train.py wrote: {problem}")
    method = description["settings"]["method"]
    arch, classes = description["arch"], description["classes"]
    network = restore_network(arch, len(classes), method, content["state_dict"], str(path))
    return Net(network, arch, classes, description["preprocess"], sha256)


def load_base_weights(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Read a pretrained network's state_dict; return it and the file's sha256.

    Raises: RunError where the file is missing, damaged, carries code or holds anything else.
    """
    data = _read(path)
    state = load_plain(data, path)
    if not _is_state_dict(state):
        raise RunError(f"{path} holds no state_dict (names of weights and tensors)")
    return dict(state), hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes:
    """Return the bytes, read once: what is hashed is what is loaded."""
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
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RunError(
            f"{path} is not plain weights: it carries pickled code (torch.save of a whole model?) "
            "or is damaged, and is not loaded"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(f"{path} is damaged, or no file of torch.save") from error


def _description(content: Any) -> dict[str, Any]:
    """Return what the net says of itself, nothing where it says it in another way."""
    text = content.get("description") if isinstance(content, dict) else None
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _net_problem(content: Any, description: dict[str, Any]) -> str | None:
    """Say what keeps the content from being a net of NET_FORMAT, None when nothing does."""
    if not isinstance(content, dict) or content.get("format") != NET_FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        return f"expected format {NET_FORMAT}, got {found}"
    classes, settings = description.get("classes"), description.get("settings")
    checks = {
        "arch": description.get("arch") in IMAGE_SIZES,
        "classes": isinstance(classes, list)
        and len(classes) > 1
        and all(isinstance(name, str) for name in classes),
        "preprocess": _is_preprocessing(description.get("preprocess")),
        "settings": isinstance(settings, dict) and settings.get("method") in METHODS,
        "state_dict": _is_state_dict(content.get("state_dict")),
    }
    wrong = [name for name, holds in checks.items() if not holds]
    return "it has no usable " + " and ".join(wrong) if wrong else None


def _is_preprocessing(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"size", "mean", "std"}:
        return False
    triples = (value["mean"], value["std"])
    return (
        isinstance(value["size"], int)
        and 1 <= value["size"] <= 4096
        and all(isinstance(triple, list) and len(triple) == 3 for triple in triples)
        and all(isinstance(number, float) for triple in triples for number in triple)
        and all(number > 0 for number in value["std"])
    )


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) for key in value)
        and all(isinstance(tensor, torch.Tensor) for tensor in value.values())
    )


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy without graph, sharing or memory format, so that the bytes depend on values."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)
