"""Intel's extension of a PCK certificate, in DER: which platform it is, and how new.

Source: Intel, "SGX PCK Certificate and Certificate Revocation List Profile Specification".
"""

from __future__ import annotations

PPID = bytes(range(16))
FMSPC = bytes.fromhex("00906EA10000")
CPU_SVN = bytes([11, 11, 2, 2, 255, 1, *[0] * 10])
PCE_SVN = 13
OID = "1.2.840.113741.1.13.1"


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    if size < 0x80:
        return bytes([tag, size]) + body
    return bytes([tag, 0x82]) + size.to_bytes(2, "big") + body


def entry(oid: str, value: bytes) -> bytes:

    numbers = [int(part) for part in oid.split(".")]
    body = bytes([numbers[0] * 40 + numbers[1]])
    for number in numbers[2:]:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        body += bytes(reversed(groups))
    return der(0x30, der(0x06, body), value)


def integer(number: int) -> bytes:
    return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


FEATURES = ("DynamicPlatform", "CachedKeys", "SMT")
"""What a multi-package platform says of itself, in the extension's order."""


def pck_extension(features: tuple[str, ...] = ()) -> bytes:
    """Return Intel's extension of a PCK certificate; with features that of a multi-package one."""
    components = [entry(f"{OID}.2.{n}", integer(svn)) for n, svn in enumerate(CPU_SVN, start=1)]
    tcb = [*components, entry(f"{OID}.2.17", integer(PCE_SVN))]
    tcb.append(entry(f"{OID}.2.18", der(0x04, CPU_SVN)))
    parts = [
        entry(f"{OID}.1", der(0x04, PPID)),
        entry(f"{OID}.2", der(0x30, *tcb)),
        entry(f"{OID}.3", der(0x04, bytes(2))),
        entry(f"{OID}.4", der(0x04, FMSPC)),
        entry(f"{OID}.5", der(0x0A, b"\0")),
    ]
    if features:
        truths = [
            entry(f"{OID}.7.{n}", der(0x01, b"\xff" if name in features else b"\0"))
            for n, name in enumerate(FEATURES, start=1)
        ]
        parts += [
            entry(f"{OID}.6", der(0x04, bytes(16))),
            entry(f"{OID}.7", der(0x30, *truths)),
        ]
    return der(0x30, *parts)
