"""A genuine quote of another run, or another's key, beside evidence that is sound in itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.judging import failures, judged
from tests.evidence.made_up_run import RESULTS, Run
from workflow.evidence.builder import sha256_hex
from workflow.evidence.claims import parse_claims, report_data


def first_claim(folder: Path) -> bytes:
    return parse_claims((folder / "claims.jsonl").read_bytes(), "claims")[0].payload


def data_of(folder: Path) -> bytes:
    """Return what the quote of a run is over."""
    return report_data(first_claim(folder), (folder / "key.pub").read_bytes())


def same_quote(one: Path, other: Path) -> bool:
    quotes = [sha256_hex((folder / "quote.bin").read_bytes()) for folder in (one, other)]
    return quotes[0] == quotes[1]


@pytest.mark.parametrize("key", ["run", "other"])
def test_a_quote_replayed_for_another_network(key: str, tmp_path: Path) -> None:
    """Its owner signs everything anew; the quote is still over the statement of the first run."""
    honest = Run(tmp_path / "honest").train()
    forged = Run(
        tmp_path / "forged", key=key, net=b"other", report_data=lambda *_: data_of(honest)
    ).train()
    assert same_quote(honest, forged)
    verdict = judged(forged)
    assert list(failures(verdict)) == ["report data"]
    assert "the quote is over another statement" in failures(verdict)["report data"]
    assert not verdict.is_attested


def test_a_quote_replayed_for_other_results(tmp_path: Path) -> None:
    honest = Run(tmp_path / "honest").classify()
    forged = Run(tmp_path / "forged", report_data=lambda *_: data_of(honest)).classify(RESULTS[1:])
    assert same_quote(honest, forged)
    assert "over another statement" in failures(judged(forged))["report data"]


@pytest.mark.parametrize("kind", ["train", "classify"])
def test_a_statement_that_another_key_signed_again(kind: str, tmp_path: Path) -> None:
    """The very statement of the enclave names the enclave's key, so no other can speak for it."""
    honest: Path = getattr(Run(tmp_path / "honest"), kind)()
    said: Any = json.loads(first_claim(honest))
    swapped = Run(
        tmp_path / "swapped",
        key="other",
        change=lambda _: said,
        report_data=lambda *_: data_of(honest),
    )
    folder: Path = getattr(swapped, kind)()
    assert first_claim(folder) == first_claim(honest)
    assert same_quote(honest, folder)
    check = {"train": "provenance", "classify": "classification"}[kind]
    assert "builder.builderDependencies" in failures(judged(folder))[check]
