"""Collateral fetched from a service on this machine, as a PCCS and as Intel's PCS answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote as escaped

import pytest

from tests import doing
from tests.evidence import made_up_chain as chain
from tests.evidence.made_up_run import Run
from workflow.core.errors import WorkflowError
from workflow.core.settings import EvidenceSettings, Settings, TrainSettings
from workflow.evidence import quotes, service
from workflow.evidence.collateral import parse_collateral


class Pccs(ThreadingHTTPServer):
    """Answer what a PCCS answers, and remember the paths that were asked for."""

    asked: list[str]
    bodies: dict[str, tuple[bytes, dict[str, str]]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Pccs

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        end = self.path.removeprefix("/sgx/certification/v4/")
        body, headers = self.server.bodies.get(end, (b"", {}))
        self.send_response(200 if end in self.server.bodies else 404)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


def answers(made: dict[str, str]) -> dict[str, tuple[bytes, dict[str, str]]]:
    info = f'{{"tcbInfo":{made["tcb_info"]},"signature":"{made["tcb_info_signature"]}"}}'
    identity = (
        f'{{"enclaveIdentity":{made["qe_identity"]},"signature":"{made["qe_identity_signature"]}"}}'
    )
    crl_chain = {"SGX-PCK-CRL-Issuer-Chain": escaped(made["pck_crl_issuer_chain"])}
    tcb_chain = {"TCB-Info-Issuer-Chain": escaped(made["tcb_info_issuer_chain"])}
    qe_chain = {"SGX-Enclave-Identity-Issuer-Chain": escaped(made["qe_identity_issuer_chain"])}
    return {
        "pckcrl?ca=platform&encoding=der": (bytes.fromhex(made["pck_crl"]), crl_chain),
        f"tcb?fmspc={chain.FMSPC.hex().upper()}": (info.encode(), tcb_chain),
        "qe/identity?update=standard": (identity.encode(), qe_chain),
        "rootcacrl": (made["root_ca_crl"].encode(), {}),
    }


@pytest.fixture
def pccs() -> Iterator[Pccs]:
    server = Pccs(("127.0.0.1", 0), Handler)
    server.asked, server.bodies = [], answers(chain.collateral())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def settings(folder: Path, url: str) -> Settings:
    return Settings(
        train=TrainSettings(out=folder), evidence=EvidenceSettings(collateral_service=url)
    )


def test_what_is_fetched_verifies_the_quote_offline(
    pccs: Pccs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Run(tmp_path / "run").train()
    (folder / "collateral.json").unlink()
    saved = doing.collateral(settings(folder, pccs.url + "/"))
    assert saved == folder / "collateral.json"
    assert capsys.readouterr().out.strip().endswith("collateral.json")
    schema = {"schema": "enclave-finetune/collateral/1"}
    assert json.loads(saved.read_bytes()) == {**schema, **chain.collateral()}
    assert len(pccs.asked) == 4
    quote = (folder / "quote.bin").read_bytes()
    collateral = parse_collateral(saved.read_bytes(), "saved")
    assert quotes.verify(quote, collateral, chain.NOW, chain.root_der()).ppid == chain.PPID.hex()
    assert doing.collateral(settings(folder, pccs.url)) == saved


def test_nobody_is_asked_who_is_not_named(tmp_path: Path) -> None:
    folder = Run(tmp_path / "run").train()
    (folder / "collateral.json").unlink()
    with pytest.raises(WorkflowError, match="none is asked unasked; give --service"):
        doing.collateral(settings(folder, ""))
    for url in ("pccs", "ftp://x/", "http://[::1", "http://h:99999", "https://x?y"):
        with pytest.raises(WorkflowError, match="expected an http"):
            doing.collateral(settings(folder, url))


def test_a_persons_file_is_not_written_over(pccs: Pccs, tmp_path: Path) -> None:
    folder = Run(tmp_path / "run").train()
    for text in ("{}", "mine", json.dumps(chain.collateral())):
        (folder / "collateral.json").write_text(text)
        with pytest.raises(WorkflowError, match="did not write it, so it is not written over"):
            doing.collateral(settings(folder, pccs.url))
        assert (folder / "collateral.json").read_text() == text
    assert not pccs.asked


@pytest.mark.parametrize(
    ("end", "answer", "error"),
    [
        ("rootcacrl", (b"not hex", {}), "no revocation list"),
        (
            "qe/identity?update=standard",
            (b"{}", {"SGX-Enclave-Identity-Issuer-Chain": ""}),
            "signature",
        ),
        ("pckcrl?ca=platform&encoding=der", (b"\x30", {}), "no header SGX-PCK-CRL-Issuer-Chain"),
        ("pckcrl?ca=platform&encoding=der", (b"x" * (4 << 20) + b"x", {}), "at most 4194304 bytes"),
        ("pckcrl?ca=platform&encoding=der", None, "answered 404"),
    ],
)
def test_a_wrong_answer_is_one_line(
    end: str,
    answer: tuple[bytes, dict[str, str]] | None,
    error: str,
    pccs: Pccs,
    tmp_path: Path,
) -> None:
    folder = Run(tmp_path / "run").train()
    (folder / "collateral.json").unlink()
    if answer is None:
        del pccs.bodies[end]
    else:
        pccs.bodies[end] = answer
    with pytest.raises(WorkflowError, match=error):
        doing.collateral(settings(folder, pccs.url))
    assert not (folder / "collateral.json").exists()


def test_a_service_that_is_not_there_is_one_line(pccs: Pccs) -> None:
    with pytest.raises(WorkflowError, match="Connection refused"):
        service.fetch("http://127.0.0.1:9", chain.quote(bytes(64)))
