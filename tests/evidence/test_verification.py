"""Evidence of a training verified: good evidence passes, each bad sample gives its error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.evidence import made_up_chain as chain
from tests.evidence.bad_samples import SAMPLES, Bad
from tests.evidence.judging import BOTH, failures, judged, names
from tests.evidence.made_up_chain import Enclave
from tests.evidence.made_up_run import NET, Run, sha
from workflow.core.settings import EvidenceSettings
from workflow.evidence.quotes import FEATURES, STATUSES
from workflow.evidence.verdict import NOTHING_PROVES, table


@pytest.mark.parametrize("bad", SAMPLES, ids=lambda bad: bad.name)
def test_a_bad_sample_gives_its_error(bad: Bad, tmp_path: Path) -> None:
    folder = bad.run(tmp_path / "run").train(bad.collateral)
    bad.damage(folder)
    verdict = judged(folder, bad.chosen, time_s=bad.time_s)
    assert bad.error in failures(verdict).get(bad.check, ""), failures(verdict)
    assert verdict.headline.startswith("NOT VERIFIED: ")
    assert not verdict.for_programs()["verified"]
    assert not verdict.for_programs()["attested"]


def test_what_is_accepted_by_name_passes(tmp_path: Path) -> None:
    made = chain.collateral("OutOfDate", ["INTEL-SA-00999"])
    folder = Run(tmp_path / "run", enclave=Enclave(features=("SMT",))).train(made)
    chosen = replace(BOTH, accept_tcb="OutOfDate,SMT", advisories="INTEL-SA-00999")
    assert failures(judged(folder, chosen)) == {}
    assert (
        "expected of"
        in failures(judged(folder, replace(BOTH, accept_tcb="Fine")))["what you accept"]
    )


@pytest.mark.parametrize("word", [*STATUSES[1:], *FEATURES])
def test_each_status_and_feature_passes_by_its_own_name_alone(word: str, tmp_path: Path) -> None:
    if word in STATUSES:
        folder = Run(tmp_path / "run").train(chain.collateral(word))
    else:
        folder = Run(tmp_path / "run", enclave=Enclave(features=(word,))).train()
    others = ",".join({*STATUSES[1:], *FEATURES} - {word})
    assert failures(judged(folder, replace(BOTH, accept_tcb=word))) == {}
    assert "TCB status" in failures(judged(folder, replace(BOTH, accept_tcb=others)))


def test_good_evidence_of_a_training(tmp_path: Path) -> None:
    folder = Run(tmp_path / "run").train()
    verdict = judged(folder)
    assert not verdict.failed
    assert verdict.is_attested
    assert verdict.digest == sha(NET)
    assert {"signatures", "provenance", "net.pt", "model.sig", "genuine", "MRENCLAVE"} <= set(
        names(verdict, "ok")
    )
    assert {"Intel's root", "machine", "source of MRENCLAVE"} <= set(names(verdict, "not checked"))
    assert "a made-up chain proves nothing of hardware" in verdict.headline
    assert not verdict.for_programs()["attested"]
    (folder / "net.pt").unlink()
    assert "net.pt" in names(judged(folder), "not checked")


def test_intels_own_root_refuses_a_made_up_chain(tmp_path: Path) -> None:
    folder = Run(tmp_path / "run").train()
    assert "genuine" in failures(judged(folder, root=None))


@pytest.mark.parametrize("backend", ["native", "docker", "direct"])
def test_without_a_quote_the_verdict_says_that_nothing_proves_it(
    backend: str, tmp_path: Path
) -> None:
    verdict = judged(Run(tmp_path / "run", backend=backend).train(), EvidenceSettings())
    assert not verdict.failed
    assert not verdict.is_attested
    assert NOTHING_PROVES in verdict.headline
    assert any("nothing proves where it ran" in line for line in table(verdict))
