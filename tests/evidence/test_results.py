"""Evidence of a classification: results, proofs, and the way on to the network's provenance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evidence import made_up_chain as chain
from tests.evidence.bad_samples import edit, flip, swap_lines
from tests.evidence.judging import failures, judged, names
from tests.evidence.made_up_run import RESULTS, Run
from workflow.core.settings import EvidenceSettings
from workflow.evidence import lock


def test_results_lead_on_to_the_networks_provenance(tmp_path: Path) -> None:
    trained = Run(tmp_path / "train").train()
    answered = Run(tmp_path / "infer", key="second").classify()
    verdict = judged(answered, network=trained)
    assert not verdict.failed
    assert verdict.is_attested
    assert "network's origin" in names(verdict, "ok")
    assert "network's origin" in names(judged(answered), "not checked")
    other = Run(tmp_path / "other", net=b"other").train()
    assert "network's provenance" in failures(judged(answered, network=other))["network's origin"]


def test_answers_of_a_network_that_nothing_proves_are_called_that(tmp_path: Path) -> None:
    trained = Run(tmp_path / "train", backend="native").train()
    answered = Run(tmp_path / "infer", key="second").classify()
    verdict = judged(answered, network=trained)
    assert "there is no quote to hold it against" in failures(verdict)["network's origin"]
    lock.LOCK.write_text(
        'schema = "enclave-finetune/measurement/1"\n'
        f'[[enclave]]\nrole = "infer"\nmrenclave = "{chain.MRENCLAVE}"\n'
    )
    verdict = judged(answered, EvidenceSettings(), network=trained)
    assert not verdict.failed
    assert not verdict.is_attested
    assert "nothing proves where the network that gave them was trained" in verdict.headline


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9])
def test_any_number_of_results(count: int, tmp_path: Path) -> None:
    results = [{**RESULTS[0], "image": f"{n}.jpg"} for n in range(count)]
    assert not judged(Run(tmp_path / "run").classify(results)).failed


@pytest.mark.parametrize(
    ("name", "change", "check", "error"),
    [
        ("result.json", flip(30), "results", "result.json: sha256"),
        ("proofs.jsonl", lambda d: d.replace(b"bees", b"ants", 1), "proofs", "does not lead"),
        ("proofs.jsonl", swap_lines, "proofs", "index"),
        ("proofs.jsonl", lambda d: d[: d.index(b"\n") + 1], "proofs", "expected 5 lines, got 1"),
        ("proofs.jsonl", lambda d: d * 2, "proofs", "index"),
        ("proofs.jsonl", lambda d: d[:-1], "proofs", "not ended"),
        ("proofs.jsonl", lambda d: d.replace(b":0,", b": 0,", 1), "proofs", "compactly"),
        (
            "proofs.jsonl",
            lambda d: b'{"index":0,"leaf":"\\ud800","path":[]}\n',
            "proofs",
            "half of a letter",
        ),
    ],
)
def test_results_and_proofs_are_held_to_the_root(
    name: str, change: Callable[[bytes], bytes], check: str, error: str, tmp_path: Path
) -> None:
    folder = Run(tmp_path / "run").classify()
    edit(name, change)(folder)
    assert error in failures(judged(folder)).get(check, ""), failures(judged(folder))
