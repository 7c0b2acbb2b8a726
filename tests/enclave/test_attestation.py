"""Asking Gramine for a quote: what comes, and what keeps it from coming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytorch_common import attestation
from pytorch_common.errors import RunError
from tests.enclave import made_up_gramine

DATA = bytes(range(64))


def test_a_quote_is_over_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attestation, "FOLDER", made_up_gramine.device(tmp_path / "dev"))
    assert attestation.quote(DATA) == made_up_gramine.quote(DATA)
    assert (tmp_path / "dev" / "user_report_data").read_bytes() == DATA
    assert attestation.mrenclave() == made_up_gramine.MRENCLAVE.hex()


@pytest.mark.parametrize("kind", [None, "none", "none\n"])
def test_where_none_is_made_there_is_none(
    kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "dev"
    monkeypatch.setattr(attestation, "FOLDER", folder)
    if kind is not None:
        made_up_gramine.device(folder, kind=kind, answer=None)
    assert attestation.quote(DATA) is None
    assert (attestation.mrenclave() is None) == (kind is None)


def _of_another(data: bytes) -> bytes:
    return made_up_gramine.quote(bytes(64))


@pytest.mark.parametrize(
    ("kind", "answer", "line"),
    [
        ("epid", made_up_gramine.quote, "attestation_type: expected dcap or none, got epid"),
        ("dcap", None, "quote: No such file or directory; is AESM there? see: inv doctor"),
        ("dcap", _of_another, "and no quote over what was asked"),
        ("dcap", lambda data: b"", "quote: 0 bytes, and no quote over what was asked"),
        ("dcap", lambda data: data, "quote: 64 bytes, and no quote over what was asked"),
    ],
)
def test_a_quote_that_should_come_and_does_not_is_an_error_and_never_none(
    kind: str,
    answer: Callable[[bytes], bytes] | None,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = made_up_gramine.device(tmp_path / "dev", kind=kind, answer=answer)
    monkeypatch.setattr(attestation, "FOLDER", device)
    with pytest.raises(RunError) as caught:
        attestation.quote(DATA)
    assert line in str(caught.value) and "\n" not in str(caught.value)
