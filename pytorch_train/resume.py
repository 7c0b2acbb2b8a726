"""Checkpoints: what a run needs to go on after it was stopped, one written after each epoch.

They are as secret as the network, and hold its weights as plain data. In an enclave they lie on a
mount that opens for the same enclave alone: whoever could put one there would decide what comes of
an attested run. The newest two are kept: the newest may be damaged by whatever stopped the run.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Mapping

import torch

from pytorch_common.checkpoint import load_plain, plain
from pytorch_common.errors import RunError
from pytorch_common.files import write_atomically
from pytorch_common.script import note

FORMAT = b"enclave-finetune/checkpoint/1"
KEPT = 2

Content = Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run."""

    def __init__(self, net: Path, run: Mapping[str, Any]) -> None:
        """``net`` is how the network would be called beside them.

        ``run`` says what the run is made of: its settings, digests and versions.
        """
        self._net = net
        self._run = dict(run)

    def save(self, epoch: int, content: Content) -> None:
        """Write the checkpoint of the epoch whole, then delete those that it makes needless.

        The values of ``content`` are tensors in a mapping or a list, or anything that JSON knows.
        """
        tensors = {name: _plain(value) for name, value in content.items() if _has_tensors(value)}
        plain_data = {name: value for name, value in content.items() if name not in tensors}
        # As JSON: the weights-only unpickler of torch 1.13 knows no floating point number.
        description = json.dumps({"run": self._run, "epoch": epoch, **plain_data})
        buffer = io.BytesIO()
        torch.save({"description": description, **tensors}, buffer)
        data = buffer.getvalue()
        digest = hashlib.sha256(data).hexdigest().encode()
        write_atomically(self._path(epoch), FORMAT + b" " + digest + b"\n" + data)
        kept = {self._path(number) for number in range(epoch, epoch - KEPT, -1)}
        for path in self.paths():
            if path not in kept:
                path.unlink()

    def newest(self) -> dict[str, Any] | None:
        """Return the newest checkpoint that is whole, None where there is none.

        A damaged one is named, and the one before it taken.
        Raises: RunError with the difference where it is of another run.
        """
        for path in self.paths():
            try:
                content = _read(path)
            except (OSError, RunError) as error:
                note(f"{path} is damaged and left aside: {error}")
                continue
            if differences := _differences(content["run"], self._run):
                raise RunError(
                    f"{path} is of another run: {', '.join(differences)}; "
                    "give the same settings and inputs, or train without --resume"
                )
            return content
        return None

    def paths(self) -> list[Path]:
        """Return the files that are there, the newest first."""
        found = self._net.parent.glob(f"{self._net.name}.epoch-*")
        numbers = {path: path.name.rpartition("-")[2] for path in found}
        known = [path for path, number in numbers.items() if number.isdigit()]
        return sorted(known, key=lambda path: int(numbers[path]), reverse=True)

    def clear(self) -> None:
        """Delete every checkpoint, and what a kill left of one: the network is there."""
        begun = self._net.parent.glob(f".{self._net.name}.epoch-*.tmp")
        for path in (*self.paths(), *begun):
            path.unlink()

    def _path(self, epoch: int) -> Path:
        return self._net.with_name(f"{self._net.name}.epoch-{epoch}")


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, whose digest stands on its first line.

    torch.load alone does not notice a changed weight.
    """
    head, _, data = path.read_bytes().partition(b"\n")
    name, _, digest = head.partition(b" ")
    if name != FORMAT:
        raise RunError(f"expected {FORMAT.decode()} on the first line")
    if hashlib.sha256(data).hexdigest().encode() != digest:
        raise RunError("its content does not have the sha256 of its first line")
    try:
        content = dict(load_plain(data, path))
        described = {**json.loads(content.pop("description")), **content}
        described["run"].items()
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunError("it does not say of which run it is") from error
    return described


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    names = sorted(set(found) | set(wanted))
    return [
        f"{name} {found.get(name)}, here {wanted.get(name)}"
        for name in names
        if found.get(name) != wanted.get(name)
    ]


def _has_tensors(value: Any) -> bool:
    inner = list(value.values()) if isinstance(value, Mapping) else value
    return isinstance(inner, list) and all(isinstance(each, torch.Tensor) for each in inner)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: plain(tensor) for name, tensor in value.items()}
    return [plain(tensor) for tensor in value]
