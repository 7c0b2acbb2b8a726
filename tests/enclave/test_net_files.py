"""What torch.load is given, of which digest; and that classify and copy-net refuse alike."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import struct
import tarfile
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from pytorch_common import schema
from pytorch_common.checkpoint import load_base_weights, load_net
from pytorch_common.contract import RECORD_SCHEMA
from pytorch_common.errors import RunError
from pytorch_common.network import build_network
from tests import doing
from tests.conftest import PROJECT, paint
from tests.enclave.hostile_nets import ARCH, NAN, WEIGHT, refusal, saved, spoilt
from workflow.assets import pins
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings

MUTANTS = int(os.environ.get("NET_MUTANTS", "150"))
"""Of a network; NET_MUTANTS=5000 for a long run."""


def rezipped(data: bytes, *, method: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        extra = {name.replace("__", "/").replace("_DOT_", "."): data for name, data in more.items()}
        for name in old.namelist():
            new.writestr(name, extra.pop(name, None) or old.read(name))
        for name, record in extra.items():
            new.writestr(name, record)
    return buffer.getvalue()


def test_torch_load_sees_nothing_but_what_torch_save_writes_today(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = saved(content)
    (tmp_path / "net.pt").write_bytes(rezipped(data))
    load_net(tmp_path / "net.pt")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("torch.load has seen it")

    monkeypatch.setattr(torch, "load", never)
    for bad in (
        b"",
        b"PK\x03\x04",
        data[:-30],
        b"#" + data,
        saved(content, new=False),
        tar.getvalue(),
        rezipped(data, method=zipfile.ZIP_DEFLATED),
        rezipped(data, archive__constants_DOT_pkl=b""),
        rezipped(data, archive__code__x_DOT_py=b""),
        rezipped(data, other__data_DOT_pkl=b""),
    ):
        line = refusal(tmp_path / "net.pt", bad)
        assert "is damaged, or no file of torch.save: " in line


class _Tensor:
    """Pickle a tensor as torch did in 2017."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor.contiguous()

    def __reduce__(self) -> tuple[Any, ...]:
        size, stride = tuple(self.tensor.size()), tuple(self.tensor.stride())
        return torch._utils._rebuild_tensor, (_Storage(self.tensor), 0, size, stride)


@dataclass
class _Storage:
    tensor: torch.Tensor


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=2)
        self.storages: dict[str, torch.Tensor] = {}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, _Storage):
            return None
        key = str(len(self.storages))
        self.storages[key] = value.tensor
        return "storage", torch.FloatStorage, key, "cpu", value.tensor.numel(), None


def written_in_2017(state: dict[str, torch.Tensor]) -> bytes:
    """Return the state_dict as torch wrote one before 0.4. Source: torch/serialization.py."""
    file = io.BytesIO()
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}
    for head in (0x1950A86A20F9469CFC6C, 1001, system):
        pickle.dump(head, file, protocol=2)
    pickler = _Pickler(file)
    pickler.dump(OrderedDict((name, _Tensor(tensor)) for name, tensor in state.items()))
    pickle.dump(list(pickler.storages), file, protocol=2)
    for tensor in pickler.storages.values():
        file.write(struct.pack("<q", tensor.numel()) + tensor.numpy().tobytes())
    return file.getvalue()


def test_torchvisions_two_files_of_2017_are_taken_by_their_digest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {pins.WEIGHTS[arch].sha256 for arch in ("vgg11_bn", "densenet121")}
    assert set(schema.LEGACY_WEIGHTS) == old
    state = build_network(ARCH, 1000, "full").state_dict()
    path = tmp_path / "old.pth"
    for data in (saved(state, new=False), written_in_2017(state)):
        path.write_bytes(data)
        with pytest.raises(RunError, match=r"it is in torch\.save's format of before torch 1\.6"):
            load_base_weights(path)
        digest = hashlib.sha256(data).hexdigest()
        with monkeypatch.context() as patch:
            patch.setattr(schema, "LEGACY_WEIGHTS", (digest[:8],))
            found, _ = load_base_weights(path)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)


def test_weights_of_another_digest_than_the_known_one_are_not_looked_at(
    tmp_path: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(random_weights.read_bytes()).hexdigest()
    for known in ("", digest[:8], digest):
        assert load_base_weights(random_weights, known)[1] == digest
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(RunError, match=r"expected sha256 b66bff10, got "):
        load_base_weights(random_weights, "b66bff10")


def test_torch_load_is_called_in_one_place() -> None:
    files = [path for room in PROJECT.glob("pytorch_*") for path in room.glob("*.py")]
    calls = {path.name: path.read_text().count("torch.load(") for path in files}
    assert {name: count for name, count in calls.items() if count} == {"checkpoint.py": 1}


def test_the_scripts_say_so_where_torch_is_old(
    random_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_base_weights(random_weights)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    load_base_weights(random_weights)
    assert capsys.readouterr().err.startswith(
        "torch 2.9.1+cpu is older than 2.10: a hostile network"
    )


def handed_over(settings: Settings, data: bytes) -> None:
    """Write the network with a record that fits it: who changes the one can change the other."""
    settings.train.out.mkdir(parents=True, exist_ok=True)
    (settings.train.out / "net.pt").write_bytes(data)
    digests = {"net": hashlib.sha256(data).hexdigest()}
    record = {"schema": RECORD_SCHEMA, "classes": ["ants", "bees"], "digests": digests}
    (settings.train.out / "record.json").write_text(json.dumps(record))


def test_copy_net_and_classify_refuse_alike(
    content: dict[str, Any], tiny_settings: Settings, tmp_path: Path
) -> None:
    state = content["state_dict"]
    bad = saved({**content, "state_dict": {**state, WEIGHT: spoilt(state[WEIGHT], NAN)}})
    reason = f"net.pt does not fit the network: {WEIGHT} has values that are not finite numbers"
    handed_over(tiny_settings, bad)
    with pytest.raises(WorkflowError) as caught:
        doing.copy_net(tiny_settings)
    assert caught.value.message == f"{tiny_settings.train.out}/{reason}; run: inv train"
    assert not tiny_settings.infer.net.exists()

    tiny_settings.infer.net.parent.mkdir()
    for name in ("net.pt", "record.json"):
        (tiny_settings.infer.net.parent / name).write_bytes(
            (tiny_settings.train.out / name).read_bytes()
        )
    paint(tmp_path / "red.png", (190, 40, 30), seed=1)
    with pytest.raises(WorkflowError) as caught:
        doing.classify(tiny_settings, [str(tmp_path / "red.png")])
    assert caught.value.message == f"{tiny_settings.infer.net.parent}/{reason}"

    handed_over(tiny_settings, saved(content))
    doing.copy_net(tiny_settings)
    assert tiny_settings.infer.net.is_file()


def mutated(data: bytes, spots: range, chance: random.Random) -> bytes:
    """Return the bytes with some of them changed, cut, doubled or put elsewhere."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 40])):
        at, elsewhere = chance.choice(spots), chance.choice(spots)
        length = chance.choice([1, 1, 4, 64])
        out[at : at + length] = chance.choice(
            [b"", chance.randbytes(length), out[at : at + length] * 2, out[elsewhere:][:length]]
        )
    return bytes(out)


@pytest.mark.slow
def test_a_mutant_is_taken_or_refused_in_one_line(content: dict[str, Any], tmp_path: Path) -> None:
    data, path = saved(content), tmp_path / "net.pt"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickled = archive.read("archive/data.pkl")
    directory = range(len(data) - 12_000, len(data))
    for seed in range(MUTANTS):
        chance = random.Random(seed)  # noqa: S311 - to be repeated
        if seed % 3:  # what the file says, in a zip that is as it should be
            whole = range(len(pickled))
            path.write_bytes(rezipped(data, archive__data_DOT_pkl=mutated(pickled, whole, chance)))
        else:
            path.write_bytes(mutated(data, directory, chance))
        try:
            load_net(path)
        except RunError as error:
            assert str(error).isprintable(), seed
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error


@pytest.mark.parametrize(
    "call",
    [b"c__builtin__\nbytearray\n", b"ctorch\nFloatTensor\n", b"ctorch.storage\nUntypedStorage\n"],
)
def test_a_number_in_a_pickle_takes_no_memory(
    content: dict[str, Any], call: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = b"\x80\x02" + call + b"J\0\0\0\x01\x85R."
    data = rezipped(saved(content), archive__data_DOT_pkl=greedy)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load has seen it"))
    assert "is damaged, or no file of torch.save: it calls" in refusal(tmp_path / "net.pt", data)
