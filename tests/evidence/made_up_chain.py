"""A made-up SGX DCAP chain: own root, PCK certificate, TCB info, QE identity, CRLs, quotes.

It shows that the checks are made, and that each refuses what it should. It says nothing of
hardware: whoever has the root's key, as here, makes any quote. Deterministic: fixed keys, times,
signatures.

Source of the layouts: Intel, "SGX PCK Certificate and Certificate Revocation List Profile
Specification"; "SGX ECDSA QuoteLibReference DCAP API"; "PCS API documentation", version 4.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.evidence.pck_extension import CPU_SVN as CPU_SVN
from tests.evidence.pck_extension import FMSPC as FMSPC
from tests.evidence.pck_extension import OID, PCE_SVN, pck_extension
from tests.evidence.pck_extension import PPID as PPID

NOW = 1_780_272_000
"""2026-06-01, in seconds since 1970."""
DAY = 86_400
QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
MRENCLAVE, MRSIGNER = "01" * 32, "02" * 32
ROOT, PLATFORM, PCK, TCB = (
    "Test SGX Root CA",
    "Test SGX PCK Platform CA",
    "Test SGX PCK Certificate",
    "Test SGX TCB Signing",
)
PCK_SERIAL = 4711


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the key of this name, the same in every run."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big") >> 1
    return ec.derive_private_key(number, ec.SECP256R1())


def at(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def iso(seconds: int) -> str:
    return at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def sign(name: str, data: bytes) -> bytes:
    """Return r and s, 32 bytes each, as quotes have signatures."""
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key(name).sign(data, algorithm))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def point(name: str) -> bytes:
    encoding = serialization.Encoding.X962
    kind = serialization.PublicFormat.UncompressedPoint
    return key(name).public_key().public_bytes(encoding, kind)[1:]


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@cache
def certificate(
    subject: str, issuer: str, is_ca: bool, extension: bytes = b"", serial: int = 1
) -> x509.Certificate:
    own, theirs = key(subject).public_key(), key(issuer).public_key()
    usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(theirs)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(own)
        .serial_number(serial)
        .not_valid_before(at(NOW - 1000 * DAY))
        .not_valid_after(at(NOW + 1000 * DAY))
        .add_extension(x509.BasicConstraints(is_ca, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), False)
        .add_extension(identifier, False)
        .add_extension(usage, True)
    )
    if extension:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(OID), extension)
        builder = builder.add_extension(unknown, False)
    return builder.sign(key(issuer), hashes.SHA256(), ecdsa_deterministic=True)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


@cache
def crl(issuer: str, revoked: tuple[int, ...] = ()) -> bytes:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key(issuer).public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name(issuer))
        .last_update(at(NOW - DAY))
        .next_update(at(NOW + 29 * DAY))
        .add_extension(x509.CRLNumber(1), False)
        .add_extension(identifier, False)
    )
    for serial in revoked:
        when = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at(NOW - DAY))
        builder = builder.add_revoked_certificate(when.build())
    made = builder.sign(key(issuer), hashes.SHA256(), ecdsa_deterministic=True)
    return made.public_bytes(serialization.Encoding.DER)


def root() -> x509.Certificate:
    return certificate(ROOT, ROOT, True)


def root_der() -> bytes:
    return root().public_bytes(serialization.Encoding.DER)


def platform_ca() -> x509.Certificate:
    return certificate(PLATFORM, ROOT, True)


def report(mrenclave: str, mrsigner: str, data: bytes, flags: int, prod: int, svn: int) -> bytes:
    body = CPU_SVN + bytes(32) + bytes([flags, *[0] * 7, 0xE7, *[0] * 7])
    body += bytes.fromhex(mrenclave) + bytes(32) + bytes.fromhex(mrsigner) + bytes(96)
    body += struct.pack("<HH", prod, svn) + bytes(60) + data.ljust(64, b"\0")
    assert len(body) == 384
    return body


@dataclass(frozen=True)
class Enclave:
    """Say what a made-up quote is of."""

    mrenclave: str = MRENCLAVE
    mrsigner: str = MRSIGNER
    debug: bool = False
    prod: int = 1
    svn: int = 1
    features: tuple[str, ...] = ()
    """Of its platform: SMT, DynamicPlatform, CachedKeys."""


def quote(report_data: bytes, enclave: Enclave | None = None) -> bytes:
    """Return a quote, version 3, over the report data."""
    enclave = enclave or Enclave()
    header = struct.pack("<HHIHH", 3, 2, 0, 8, PCE_SVN) + QE_VENDOR + bytes(20)
    flags = 0x07 if enclave.debug else 0x05
    own = (enclave.mrenclave, enclave.mrsigner, report_data, flags, enclave.prod, enclave.svn)
    body, more = report(*own), bytes(32)
    bound = hashlib.sha256(point("attestation") + more).digest()
    quoting = report("00" * 32, "00" * 32, bound, 0x05, 1, 8)
    leaf = certificate(PCK, PLATFORM, False, pck_extension(enclave.features), PCK_SERIAL)
    chain = pem(leaf, platform_ca(), root()).encode()
    auth = sign("attestation", header + body) + point("attestation") + quoting
    auth += sign(PCK, quoting) + struct.pack("<H", len(more)) + more
    auth += struct.pack("<HI", 5, len(chain)) + chain
    return header + body + struct.pack("<I", len(auth)) + auth


def tcb_info(status: str = "UpToDate", advisories: Sequence[str] = ()) -> str:
    level = {
        "tcb": {"sgxtcbcomponents": [{"svn": svn} for svn in CPU_SVN], "pcesvn": PCE_SVN},
        "tcbDate": "2026-01-01T00:00:00Z",
        "tcbStatus": status,
        "advisoryIDs": list(advisories),
    }
    content = {
        **{"id": "SGX", "version": 3, "issueDate": iso(NOW - DAY)},
        **{"nextUpdate": iso(NOW + 29 * DAY), "fmspc": FMSPC.hex().upper(), "pceId": "0000"},
        **{"tcbType": 0, "tcbEvaluationDataNumber": 20, "tcbLevels": [level]},
    }
    return json.dumps(content, separators=(",", ":"))


def qe_identity(status: str = "UpToDate") -> str:
    level = {"tcb": {"isvsvn": 8}, "tcbDate": "2026-01-01T00:00:00Z", "tcbStatus": status}
    content = {
        **{"id": "QE", "version": 2, "issueDate": iso(NOW - DAY)},
        **{"nextUpdate": iso(NOW + 29 * DAY), "tcbEvaluationDataNumber": 20},
        **{"miscselect": "00000000", "miscselectMask": "FFFFFFFF"},
        **{"attributes": "05" + "00" * 15, "attributesMask": "FBFFFFFFFFFFFFFF" + "00" * 8},
        **{"mrsigner": "00" * 32, "isvprodid": 1, "tcbLevels": [level]},
    }
    return json.dumps(content, separators=(",", ":"))


def collateral(
    status: str = "UpToDate",
    advisories: Sequence[str] = (),
    *,
    qe_status: str = "UpToDate",
    revoked: tuple[int, ...] = (),
    revoked_ca: tuple[int, ...] = (),
) -> dict[str, str]:
    """Return the collateral of the made-up processor, as the file has it."""
    info, identity = tcb_info(status, advisories), qe_identity(qe_status)
    chain = pem(certificate(TCB, ROOT, False, b"", 3), root())
    return {
        "pck_crl_issuer_chain": pem(platform_ca(), root()),
        "root_ca_crl": crl(ROOT, revoked_ca).hex(),
        "pck_crl": crl(PLATFORM, revoked).hex(),
        "tcb_info_issuer_chain": chain,
        "tcb_info": info,
        "tcb_info_signature": sign(TCB, info.encode()).hex(),
        "qe_identity_issuer_chain": chain,
        "qe_identity": identity,
        "qe_identity_signature": sign(TCB, identity.encode()).hex(),
    }
