"""A made-up /dev/attestation: what an enclave sees of itself, and quotes that nobody signed."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

MRENCLAVE = bytes(range(32))
TARGET_INFO_BYTES = 512


def quote(report_data: bytes, mrenclave: bytes = MRENCLAVE) -> bytes:
    """Return what has the form of a DCAP quote of version 3 over the 64 bytes.

    Source: Intel, "SGX ECDSA QuoteLibReference DCAP API", "Quote format".
    """
    head = struct.pack("<HHIHH16s20s", 3, 2, 0, 8, 13, bytes(16), bytes(20))
    body = bytes(64) + mrenclave + bytes(224) + report_data
    assert (len(head), len(body)) == (48, 384)
    signature = b"signed by nobody" * 40
    return head + body + struct.pack("<I", len(signature)) + signature


def device(
    folder: Path, *, kind: str = "dcap", answer: Callable[[bytes], bytes] | None = quote
) -> Path:
    """Make the pseudo-files in the folder and return it; the quote is made when it is read, once.

    ``answer`` makes it of what was asked; without one there is no such file.
    """
    folder.mkdir()
    (folder / "attestation_type").write_text(kind)
    (folder / "my_target_info").write_bytes(MRENCLAVE.ljust(TARGET_INFO_BYTES, b"\0"))
    (folder / "user_report_data").write_bytes(bytes(64))
    if answer is not None:
        os.mkfifo(folder / "quote")
        threading.Thread(target=_serve, args=(folder, answer), daemon=True).start()
    return folder


def _serve(folder: Path, answer: Callable[[bytes], bytes]) -> None:
    with (folder / "quote").open("wb") as pipe:  # opens when somebody reads
        pipe.write(answer((folder / "user_report_data").read_bytes()))
