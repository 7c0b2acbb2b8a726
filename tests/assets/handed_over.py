"""What a run leaves, written by hand: the network, its record and its description."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pytorch_common.contract import RECORD_SCHEMA
from workflow.assets.trained import ENCRYPTED_MAGIC, write_run
from workflow.core.settings import Settings

NET = b"a network"
SEALED = ENCRYPTED_MAGIC + b"\x01 nobody reads this"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_record(folder: Path, net: bytes = NET, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"schema": RECORD_SCHEMA, "classes": ["a", "b"], "digests": {"net": sha256(net)}}
    (folder / "record.json").write_text(json.dumps({**record, **more}))


def hand_made(settings: Settings, backend: str, *, exported: bool = False) -> None:
    """Write what a run of the backend leaves."""
    out = settings.train.out
    write_record(out, backend=backend, exported=exported)
    sealed = backend in ("sgx", "direct")
    if sealed:
        (out / "encrypted").mkdir()
        (out / "encrypted" / "net.pt").write_bytes(SEALED)
    if exported or not sealed:
        (out / "net.pt").write_bytes(NET)
    facts = {"backend": backend, "encrypted": sha256(SEALED) if sealed else None}
    write_run(out, {**facts, "image_id": "sha256:1"})
