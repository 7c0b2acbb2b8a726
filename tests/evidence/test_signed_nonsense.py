"""Nonsense behind a right signature: whoever has the key signs what he likes. None is verified."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.evidence import made_up_chain as chain
from tests.evidence.judging import BOTH, failures, judged
from tests.evidence.made_up_run import RESULTS, Run
from tests.evidence.test_flips import ROUNDS, damaged
from workflow.core.errors import WorkflowError
from workflow.core.settings import EvidenceSettings, PathText
from workflow.evidence import quotes
from workflow.evidence.collateral import parse_collateral

SEED = int(os.environ.get("FUZZ_SEED", "0"))
JUNK: tuple[Any, ...] = (
    *(None, True, 0, -1, 1 << 70, 10**400, 0.5, float("nan"), float("inf"), "", "\ud800", "\0"),
    *([], {}, [[]], {"": {}}, "x" * 100_000, [None] * 9, json.loads("[" * 40 + "]" * 40)),
)
FREE = ("image_limits", "options")
"""What a run says of itself and nothing beside it says again; its types alone are its own."""


def nonsense(content: Any, draw: random.Random) -> tuple[Any, list[str]]:
    """Return the JSON with one value replaced, left out or added, and the names that lead there."""
    content, way = json.loads(json.dumps(content)), []
    inner = content
    while True:
        names = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        name = draw.choice(names)
        way.append(str(name))
        if not isinstance(inner[name], (dict, list)) or not inner[name] or draw.random() < 0.2:
            break
        inner = inner[name]
    kind = draw.choice(("replace", "replace", "leave out", "add"))
    if kind == "replace":
        inner[name] = draw.choice(JUNK)
    elif kind == "leave out":
        del inner[name]
    elif isinstance(inner, dict):
        inner["more"] = draw.choice(JUNK)
    else:
        inner.append(draw.choice(JUNK))
    return content, way


@pytest.mark.parametrize("which", ["change", "change_place"])
@pytest.mark.parametrize("kind", ["train", "classify"])
def test_a_statement_of_nonsense_fails(kind: str, which: str, tmp_path: Path) -> None:
    draw = random.Random(SEED)  # noqa: S311 - no secret
    for _ in range(ROUNDS // 3):
        ways: list[list[str]] = []

        def change(content: Any, ways: list[list[str]] = ways) -> Any:
            made, way = nonsense(content, draw)
            ways.append([] if json.dumps(made) == json.dumps(content) else way)
            return made

        run = Run(tmp_path / "run", **{which: change})
        folder = run.train() if kind == "train" else run.classify(RESULTS[:2])
        verdict = judged(folder)
        for line in failures(verdict).values():
            assert "\n" not in line
        is_free = not ways[0] or any(name in FREE for name in ways[0])
        assert verdict.failed or is_free, ways


def test_a_damaged_quote_is_one_line() -> None:
    draw = random.Random(SEED)  # noqa: S311 - no secret
    quote = chain.quote(b"\1" * 64)
    collateral = parse_collateral(json.dumps(chain.collateral()).encode(), "collateral")
    for _ in range(ROUNDS):
        bad = damaged(quote, draw)
        try:
            quotes.verify(bad, collateral, chain.NOW, chain.root_der())
        except WorkflowError as error:
            assert "\n" not in error.message
        else:
            assert bad[: 48 + 384] == quote[: 48 + 384]


def test_damaged_collateral_is_one_line_or_says_the_same() -> None:
    draw = random.Random(SEED)  # noqa: S311 - no secret
    quote, made = chain.quote(b"\1" * 64), chain.collateral()
    whole = parse_collateral(json.dumps(made).encode(), "collateral")
    expected = quotes.verify(quote, whole, chain.NOW, chain.root_der())
    for _ in range(ROUNDS):
        name = draw.choice(sorted(made))
        text = damaged(made[name].encode(), draw).decode("utf-8", "replace")
        try:
            parsed = parse_collateral(json.dumps({**made, name: text}).encode(), "collateral")
            assert quotes.verify(quote, parsed, chain.NOW, chain.root_der()) == expected
        except WorkflowError as error:
            assert "\n" not in error.message


def test_a_damaged_lock_or_list_accepts_no_other(tmp_path: Path) -> None:
    draw = random.Random(SEED)  # noqa: S311 - no secret
    folder, path = Run(tmp_path / "run").train(), tmp_path / "file"
    lock = (
        'schema = "enclave-finetune/measurement/1"\n[[enclave]]\nrole = "train"\n'
        f'mrenclave = "{chain.MRENCLAVE}"\nmrsigner = "{chain.MRSIGNER}"\nisv_svn = 1\n'
    ).encode()
    listed = f"# ours\n{chain.PPID.hex()}  # rack 4\n".encode()
    by_lock = EvidenceSettings(lock=PathText(path))
    by_list = EvidenceSettings(mrenclave=BOTH.mrenclave, ppids=PathText(path))
    for _ in range(ROUNDS // 3):
        for text, chosen, needed in (
            (lock, by_lock, chain.MRENCLAVE),
            (listed, by_list, chain.PPID.hex()),
        ):
            bad = damaged(text, draw)
            path.write_bytes(bad)
            verdict = judged(folder, chosen)
            assert verdict.failed or needed.encode() in bad.lower()
            for line in failures(verdict).values():
                assert "\n" not in line
