"""What a network's file may hold: the one schema, which stands in docs/files.md too.

The file may be hostile, so all of it is held to this before any of it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickletools
import re
import zipfile
from dataclasses import asdict
from typing import Any, Iterator, Mapping, Tuple

import torch

from pytorch_common.contract import IMAGE_SIZES, NET_FORMAT, TrainOptions
from pytorch_common.trainable import CLASSES_MAX, classes_problem

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save began a file before torch 1.6. Source: torch/serialization.py, MAGIC_NUMBER."""
LEGACY_WEIGHTS = ("6002323d", "a639ec97")
"""How the sha256 of torchvision's two files begins that are still of that format: vgg11_bn and
densenet121, of 2017. The others were written anew in 2021. Source: pytorch/vision issue 2068."""

RECORD = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|version|byteorder|\.data/serialization_id"
    r"|\.format_version|\.storage_alignment)"
)
"""What torch.save writes into its zip. TorchScript's, which torch.load would run, has more."""

GREEDY_CALL = re.compile(r"\w+ bytearray|torch[\w.]* (?:\w*Tensor|UntypedStorage)")
"""What torch.load calls for a pickle, and makes as large as a number in it: gigabytes of nothing.
torch.save writes none of them for plain tensors."""

DESCRIPTION_MAX_CHARS = 2**22
WEIGHT_NAME_MAX_CHARS = 255
MEAN_RANGE = (0.0, 1.0)
STD_RANGE = (0.001, 1.0)
"""Of pixels on 0..1."""

Problem = Tuple[str, str]
"""What is not as it must be, and how it must be."""


def container_problem(data: bytes) -> str | None:
    """Say why torch.load may not see the bytes at all, None where it may."""
    if data.startswith(LEGACY_MAGIC):
        if hashlib.sha256(data).hexdigest().startswith(LEGACY_WEIGHTS):
            return None
        return "it is in torch.save's format of before torch 1.6; torch.save it anew"
    if not data.startswith(ZIP_MAGIC):
        return "it does not begin as torch.save writes since torch 1.6 (a zip)"
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = archive.infolist()
    except Exception as error:  # whatever a reader of hostile bytes raises
        return f"its zip cannot be read ({error})"
    names = [entry.filename for entry in entries]
    folders = {name.split("/")[0] for name in names}
    if len(folders) != 1 or len(set(names)) < len(names):
        return "its zip has not one folder of records"
    for entry in entries:
        if not RECORD.fullmatch(entry.filename) or entry.compress_type != zipfile.ZIP_STORED:
            return f"its zip has a record that torch.save does not write: {entry.filename[:80]!a}"
    return _pickle_problem(archive, f"{folders.pop()}/data.pkl")


def _pickle_problem(archive: zipfile.ZipFile, name: str) -> str | None:
    """Say what torch.load would call that takes any memory, None where that is nothing."""
    try:
        pickle = archive.read(name)
        operations = pickletools.genops(pickle)
        calls = (str(call) for operation, call, _ in operations if operation.name == "GLOBAL")
        greedy = next((call for call in calls if GREEDY_CALL.fullmatch(call)), None)
    except Exception as error:  # whatever a reader of hostile bytes raises
        return f"its pickle cannot be read ({str(error)[:80]})"
    return f"it calls {greedy[:80]!a}" if greedy else None


def read_description(text: Any) -> dict[str, Any]:
    """Return what a network says of itself in JSON, nothing where it says it in another way."""
    if not isinstance(text, str) or len(text) > DESCRIPTION_MAX_CHARS:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def net_problems(content: Any, description: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what keeps a file's content from being a network of NET_FORMAT."""
    arch, settings = description.get("arch"), description.get("settings")
    size = IMAGE_SIZES.get(arch) if isinstance(arch, str) else None
    if size is None:
        yield "arch", "one of " + ", ".join(IMAGE_SIZES)
    if classes_problem(description.get("classes")):
        yield "classes", f"from 2 to {CLASSES_MAX} of them, no name twice, each printable text"
    if not _is_preprocessing(description.get("preprocess"), size):
        yield "preprocess", f"size {size}, three of mean on 0..1, three of std on 0.001..1"
    if not _are_settings(settings, arch):
        yield "settings", "train options, arch and method among them"
    if state_problem(content.get("state_dict")):
        yield "state_dict", str(state_problem(content.get("state_dict")))
    for name, value, known in (("content", content, _CONTENT), ("description", description, _SAID)):
        for key in value:
            if not isinstance(key, str) or key not in known:
                yield name, f"{', '.join(known)}, and not {_shown(key)}"


def format_problem(content: Any) -> str | None:
    """Say what the content is instead of NET_FORMAT, None where it is that."""
    found = content.get("format") if isinstance(content, dict) else content
    if isinstance(found, str) and found == NET_FORMAT:
        return None
    return f"expected format {NET_FORMAT}, got {_shown(found)}"


def state_problem(state: Any) -> str | None:
    """Say what keeps the value from being a state_dict, None where it is one."""
    if not isinstance(state, dict) or not state:
        return "names of weights and tensors"
    for name, tensor in state.items():
        if not isinstance(name, str) or not name.isprintable() or len(name) > WEIGHT_NAME_MAX_CHARS:
            return f"printable names, not {_shown(name)}"
        # A pickle may lay attributes of its own over a tensor's.
        if not isinstance(tensor, torch.Tensor) or vars(tensor):
            return f"a plain tensor for {name}, not {_shown(tensor)}"
    return None


def weights_problem(
    state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> str | None:
    """Say which tensor is no weight for a network, None where none is.

    ``expected`` is the network's own state_dict. Names and shapes are for load_state_dict to
    compare; no value is looked at where the shape differs, for what a file calls a tensor may be
    larger than any memory.
    """
    for name, wanted in expected.items():
        if name not in state:
            continue
        found = state[name]
        kinds = [_kind(tensor) for tensor in (wanted, found)]
        if kinds[0] != kinds[1]:
            return f"{name} is {kinds[1]}, expected {kinds[0]}"
        if found.shape != wanted.shape:
            continue
        least, most = (bound.item() for bound in torch.aminmax(found.detach()))
        if not -float("inf") < least <= most < float("inf"):
            return f"{name} has values that are not finite numbers"
        if name.endswith("running_var") and least < 0:
            return f"{name} has a negative variance"
    return None


_CONTENT = ("format", "description", "state_dict")
_SAID = ("arch", "classes", "preprocess", "settings")


def _kind(tensor: torch.Tensor) -> str:
    nested = " nested" if tensor.is_nested else ""
    return f"{tensor.dtype} {tensor.layout} {tensor.device.type}{nested}"


def _shown(value: Any) -> str:
    """Return a short text in one line, whatever the value is."""
    return ascii(value)[:80] if isinstance(value, str) else f"a {type(value).__name__}"


def _is_preprocessing(value: Any, size: int | None) -> bool:
    if not isinstance(value, dict) or set(value) != {"size", "mean", "std"}:
        return False
    return (
        type(value["size"]) is int
        and value["size"] == size
        and _are_three(value["mean"], *MEAN_RANGE)
        and _are_three(value["std"], *STD_RANGE)
    )


def _are_three(value: Any, low: float, high: float) -> bool:
    is_triple = isinstance(value, list) and len(value) == 3
    return is_triple and all(type(each) is float and low <= each <= high for each in value)


def _are_settings(value: Any, arch: Any) -> bool:
    defaults = asdict(TrainOptions())
    if not isinstance(value, dict) or not {"arch", "method"} <= set(value) <= set(defaults):
        return False
    if any(type(each) is not type(defaults[name]) for name, each in value.items()):
        return False
    return value["arch"] == arch and not TrainOptions(**value).problems()
