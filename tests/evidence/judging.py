"""Verdicts about made-up evidence, by the made-up root and at the time of the made-up chain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.evidence import made_up_chain as chain
from workflow.core.settings import EvidenceSettings
from workflow.evidence.request import Request
from workflow.evidence.verdict import Verdict
from workflow.evidence.verification import verify_folder

BOTH = EvidenceSettings(mrenclave=chain.MRENCLAVE, mrsigner=chain.MRSIGNER)


def judged(folder: Path, chosen: EvidenceSettings = BOTH, **more: Any) -> Verdict:
    request = Request(chosen, chain.NOW, root=chain.root_der())
    return verify_folder(folder, replace(request, **more))


def failures(verdict: Verdict) -> dict[str, str]:
    return {row.name: row.found for row in verdict.failed}


def names(verdict: Verdict, state: str) -> list[str]:
    return [row.name for row in verdict.rows if row.state == state]
