"""Every byte changed, one at a time, and damage at random: no traceback, no hang, no "verified"."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.evidence import made_up_chain as chain
from tests.evidence.made_up_run import RESULTS, Run
from workflow.core.errors import WorkflowError
from workflow.core.settings import EvidenceSettings
from workflow.evidence import pack, quotes
from workflow.evidence.collateral import parse_collateral
from workflow.evidence.request import Request
from workflow.evidence.verification import verify_folder

CHOSEN = EvidenceSettings(mrenclave=chain.MRENCLAVE, mrsigner=chain.MRSIGNER)
REQUEST = Request(CHOSEN, chain.NOW, root=chain.root_der())
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "300"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Run(tmp_path_factory.mktemp("flips") / "train").train()


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Run(tmp_path_factory.mktemp("flips") / "infer").classify(RESULTS[:3])


def passing_flips(folder: Path, name: str) -> list[int]:
    """Return at which bytes a change is not noticed."""
    path = folder / name
    data, passing = path.read_bytes(), []
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        if not verify_folder(folder, REQUEST).failed:
            passing.append(at)
    path.write_bytes(data)
    assert not verify_folder(folder, REQUEST).failed
    return passing


@pytest.mark.parametrize(
    "name",
    ["claims.jsonl", "key.pub", "record.json", "history.json", "net.pt", "model.sig", "quote.bin"],
)
def test_no_changed_byte_of_a_training_passes(name: str, trained: Path) -> None:
    assert passing_flips(trained, name) == []


@pytest.mark.parametrize(
    "name", ["claims.jsonl", "key.pub", "result.json", "proofs.jsonl", "quote.bin"]
)
def test_no_changed_byte_of_a_classification_passes(name: str, answered: Path) -> None:
    assert passing_flips(answered, name) == []


def test_of_a_quote_alone_not_every_changed_byte_is_noticed(trained: Path) -> None:
    """Each of them fails by the SHA-256 in the second claim: see the flips of quote.bin."""
    quote = (trained / "quote.bin").read_bytes()
    collateral = parse_collateral(_json(), "collateral")
    unnoticed = []
    for at in range(len(quote)):
        flipped = quote[:at] + bytes([quote[at] ^ 1]) + quote[at + 1 :]
        try:
            quotes.verify(flipped, collateral, chain.NOW, chain.root_der())
            unnoticed.append(at)
        except WorkflowError:
            pass
    assert (len(quote), len(unnoticed)) == (3503, 534)
    assert min(unnoticed) >= 48 + 384  # never in header or report


def _json() -> bytes:
    import json

    return json.dumps(chain.collateral()).encode()


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Return the bytes with a few cut out, doubled, or replaced by what parsers trip over."""
    tokens = (b"", b"\0", b"\xff\xfe", b'"', b"[" * 40, b"{", b"-1", b"1e400", b"null", b"\\ud800")
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((0, 1, 2, 30, 400)))
        data = data[:at] + draw.choice((*tokens, data[at:end] * 2)) + data[end:]
    return data


@pytest.mark.parametrize("which", ["train", "infer"])
def test_damage_at_random_ends_in_a_verdict(which: str, trained: Path, answered: Path) -> None:
    folder = trained if which == "train" else answered
    names = sorted(path.name for path in folder.iterdir())
    draw = random.Random(int(os.environ.get("FUZZ_SEED", "0")))  # noqa: S311 - no secret
    for _ in range(ROUNDS):
        name = draw.choice(names)
        data = (folder / name).read_bytes()
        bad = damaged(data, draw)
        (folder / name).write_bytes(bad)
        verdict = verify_folder(folder, REQUEST)
        (folder / name).write_bytes(data)
        assert bad == data or verdict.failed or name == "collateral.json", name


def test_a_pack_damaged_at_random_is_one_line_or_the_same_evidence(
    trained: Path, tmp_path: Path
) -> None:
    path = tmp_path / "evidence.tar"
    pack.write(path, pack.found(trained, "train", net=True))
    data = path.read_bytes()
    draw = random.Random(int(os.environ.get("FUZZ_SEED", "0")))  # noqa: S311 - no secret
    for number in range(ROUNDS):
        bad = damaged(data, draw)
        path.write_bytes(bad)
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            pack.unpack(path, folder)
        except WorkflowError:
            continue
        if bad != data and (folder / "train").is_dir():
            assert {p.name for p in folder.iterdir()} <= {"about.json", "train"}
            found = {p.name: p.read_bytes() for p in (folder / "train").iterdir()}
            others = {n for n, bytes_ in found.items() if bytes_ != (trained / n).read_bytes()}
            # Collateral is Intel's, signed member by member, and may be written in other ways.
            if others - {"collateral.json"}:
                assert verify_folder(folder / "train", REQUEST).failed, others
