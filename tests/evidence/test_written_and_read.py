"""What the enclave side writes is what the verifier reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evidence.made_up_run import RESULTS, SETTINGS, VERSIONS
from workflow.core.settings import EvidenceSettings
from workflow.evidence.request import Request
from workflow.evidence.verification import verify_folder

evidence = pytest.importorskip("pytorch_common.evidence")
FACTS = {"backend": "native", "protected_from_host": False, "versions": VERSIONS}


def test_a_training(tmp_path: Path) -> None:
    from pytorch_common.contract import ImageLimits

    digests = {"base_weights": "a" * 64, "data": "b" * 64, "code": "c" * 64, "net": "d" * 64}
    record = {**FACTS, "settings": SETTINGS, "digests": digests}
    files = {"history.json": b"{}", "record.json": json.dumps(record).encode()}
    evidence.write_training(tmp_path, record, ImageLimits(), files)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    verdict = verify_folder(tmp_path, Request(EvidenceSettings(), 0))
    assert not verdict.failed
    assert verdict.digest == "d" * 64


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_classification(count: int, tmp_path: Path) -> None:
    digests = {"net": "d" * 64, "code": "c" * 64}
    content = {**FACTS, "digests": digests, "results": RESULTS[:count]}
    data = json.dumps(content).encode()
    limits = {"file_mb": 200, "megapixels": 64, "side": 100000}
    options = {"top_k": 5, "ignore_profiles": False, "threads": 1, "image_limits": limits}
    evidence.write_classification(tmp_path, content, data, options)
    (tmp_path / "result.json").write_bytes(data)
    verdict = verify_folder(tmp_path, Request(EvidenceSettings(), 0))
    assert not verdict.failed
