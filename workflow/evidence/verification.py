"""Verifying evidence: each check in its order, a row each; docs/evidence-format.md has the list."""

from __future__ import annotations

from pathlib import Path

from pytorch_common.contract import (
    CLAIMS_FILE,
    MODEL_SIGNATURE_FILE,
    NET_FILE,
    PROOFS_FILE,
    PUBLIC_KEY_FILE,
    QUOTE_FILE,
    RECORD_FILE,
    RESULT_JSON_FILE,
)
from pytorch_common.files import sha256_file, some_of
from workflow.core.errors import WorkflowError
from workflow.evidence import attested, provenance, results
from workflow.evidence.builder import Builder, parse_placement, sha256_hex
from workflow.evidence.claims import (
    CLAIMS_MOST_BYTES,
    CLASSIFICATION_TYPE,
    KEY_MOST_BYTES,
    Claim,
    RunKey,
    check_signature,
    parse_claims,
    parse_key,
)
from workflow.evidence.quotes import QUOTE_MOST_BYTES
from workflow.evidence.reading import KIB, MIB, expect, parse_json, read_file
from workflow.evidence.request import Request
from workflow.evidence.verdict import NOTHING_PROVES, Verdict

RECORD_MOST_BYTES = 64 * MIB
MODEL_SIGNATURE_MOST_BYTES = 64 * KIB


Signed = tuple[Claim, Claim, RunKey]
"""What was done, where, and the key that signed both."""


def verify_folder(folder: Path, request: Request, *, shown_as: str = "") -> Verdict:
    """Return the verdict about the evidence in the folder: of a training or of a classification."""
    verdict = Verdict(shown_as or str(folder), request.time_s)
    signed = verdict.check(
        "signatures",
        "the holder of this run's key made both statements, and they are unchanged",
        lambda: _signed(folder, verdict),
    )
    if signed is None:
        return verdict
    done, where, key = signed
    if done.predicate_type == CLASSIFICATION_TYPE:
        _verify_results(folder, request, verdict, (done, where, key))
    else:
        _verify_training(folder, request, verdict, (done, where, key))
    return verdict


def _signed(folder: Path, verdict: Verdict) -> Signed:
    """Return the two claims, which this run's key signed."""
    data = _read(folder, CLAIMS_FILE, CLAIMS_MOST_BYTES, verdict)
    key = parse_key(_read(folder, PUBLIC_KEY_FILE, KEY_MOST_BYTES, verdict), PUBLIC_KEY_FILE)
    claims = parse_claims(data, CLAIMS_FILE)
    for number, claim in enumerate(claims, start=1):
        check_signature(claim, key, f"{CLAIMS_FILE}:{number}")
        expect(claim.keyid, key.digest, f"{CLAIMS_FILE}:{number}: keyid")
    return *claims, key


def _verify_training(folder: Path, request: Request, verdict: Verdict, signed: Signed) -> None:
    done, _, key = signed
    verdict.subject = NET_FILE
    made = verdict.check(
        "provenance",
        "it says how the network was made: options, data, weights and code by digest",
        lambda: provenance.parse_provenance(done, key),
    )
    if made is None:
        return
    verdict.digest = made.net
    verdict.check(
        "record, history",
        "the record and the figures of each epoch are those that the run wrote",
        lambda: _check_record(folder, made, verdict),
    )
    if (folder / NET_FILE).is_file():
        verdict.check(
            NET_FILE,
            "this network, byte for byte, is the one that the statement is about",
            lambda: _check_digest(folder / NET_FILE, made.net),
        )
    else:
        why = f"{NET_FILE} is not here (sealed, or left out); it has to be sha256 {made.net}"
        verdict.leave_out(NET_FILE, why)
    verdict.check(
        MODEL_SIGNATURE_FILE,
        "the same key signed the network in the format of OpenSSF Model Signing",
        lambda: provenance.check_model_signature(
            _read(folder, MODEL_SIGNATURE_FILE, MODEL_SIGNATURE_MOST_BYTES, verdict), key, made.net
        ),
    )
    insecure = made.run.get("insecure", [])
    _verify_place(folder, request, verdict, signed, (made.builder, provenance.TRAINED), insecure)
    verdict.leave_out(
        "images, weights",
        f"the data are named by digest, {made.inputs['data']}; whether they are good, or yours, or "
        "what their name says, no statement can say",
    )
    _leave_out_always(verdict)


def _check_record(folder: Path, made: provenance.Provenance, verdict: Verdict) -> None:
    for name, digest in made.byproducts.items():
        data = _read(folder, name, RECORD_MOST_BYTES, verdict)
        expect(sha256_hex(data), digest, f"{name}: sha256")
        if name == RECORD_FILE:
            provenance.check_record(parse_json(data, name), made)


def _verify_results(folder: Path, request: Request, verdict: Verdict, signed: Signed) -> None:
    done, _, key = signed
    verdict.subject = RESULT_JSON_FILE
    said = verdict.check(
        "classification",
        "it says which network answered, with which options, and the root of all results",
        lambda: results.parse_answers(done, key),
    )
    if said is None:
        return
    verdict.digest = said.result
    answers = verdict.check(
        "results",
        "result.json is, byte for byte, the one that the run wrote",
        lambda: _check_result(folder, said, verdict),
    )
    verdict.check(
        "proofs",
        "each result, with its image's digest, is one of those that the run signed",
        lambda: f"{results.check_proofs(folder / PROOFS_FILE, said, answers)} results",
    )
    insecure = said.run.get("insecure", [])
    _verify_place(folder, request, verdict, signed, (said.builder, results.CLASSIFIED), insecure)
    _verify_chain(request, verdict, said)
    _leave_out_always(verdict)


def _check_result(folder: Path, said: results.Answers, verdict: Verdict) -> list[object]:
    data = _read(folder, RESULT_JSON_FILE, results.RESULT_MOST_BYTES, verdict)
    expect(sha256_hex(data), said.result, "result.json: sha256")
    return results.check_result(parse_json(data, RESULT_JSON_FILE), said)


def _verify_chain(request: Request, verdict: Verdict, said: results.Answers) -> None:
    """Go on from the results to the provenance of the network that answered."""
    name = "network's origin"
    if request.network is None:
        why = f"no claims of the training of network {said.network} are here; give --network FOLDER"
        verdict.leave_out(name, why)
        return
    trained = verify_folder(request.network, request)
    means = "the network that answered is the one that this provenance is about"

    def look() -> str:
        if trained.failed:
            raise WorkflowError(f"{trained.failed[0].name}: {trained.failed[0].found}")
        expect(trained.digest, said.network, "network's provenance: sha256 of net.pt")
        return f"sha256 {trained.digest}, {trained.headline}"

    if trained.subject == NET_FILE or trained.failed:
        verdict.check(name, means, look)
    else:
        verdict.leave_out(name, f"{request.network} has no claims of a training")
    verdict.network_is_unproven = verdict.is_attested and not trained.is_attested
    verdict.is_attested = verdict.is_attested and trained.is_attested


def _verify_place(
    folder: Path,
    request: Request,
    verdict: Verdict,
    signed: Signed,
    said: tuple[Builder, str],
    insecure: list[str],
) -> None:
    """Check where it ran: the quote, or in so many words that nothing proves it."""
    done, where, key = signed
    builder, attribute = said
    quote = verdict.check(
        "place",
        f"the run says that it ran in: {builder.backend}",
        lambda: _quote(folder, verdict, parse_placement(where, done, key, builder, attribute)),
    )
    if quote is None:
        return
    if not quote:
        attested.refuse_without_quote(verdict, request.chosen)
        verdict.leave_out("where it ran", NOTHING_PROVES)
        return
    role = "train" if attribute == provenance.TRAINED else "infer"
    verdict.check(
        "insecure options",
        "nothing that weakens an enclave was built into it, as it says itself",
        lambda: _refuse_insecure(insecure),
    )
    quoted = attested.Quoted(quote, done, key, builder, role)
    attested.verify_quote(folder, request, verdict, quoted)


def _refuse_insecure(insecure: list[str]) -> str:
    if insecure:
        raise WorkflowError(f"built into the enclave: {some_of(insecure)}")
    return "none"


def _quote(folder: Path, verdict: Verdict, digest: str) -> bytes:
    """Return the quote that the second claim names, nothing where it names none."""
    path = folder / QUOTE_FILE
    if not digest:
        if path.exists():
            raise WorkflowError(f"{QUOTE_FILE} is here, but the statement says that there is none")
        return b""
    quote = _read(folder, QUOTE_FILE, QUOTE_MOST_BYTES, verdict)
    expect(sha256_hex(quote), digest, f"{QUOTE_FILE}: sha256")
    return quote


def _check_digest(path: Path, expected: str) -> str:
    expect(sha256_file(path), expected, "sha256")
    return f"sha256 {expected}"


def _read(folder: Path, name: str, most_bytes: int, verdict: Verdict) -> bytes:
    data = read_file(folder / name, most_bytes)
    verdict.inputs[name] = sha256_hex(data)
    return data


def _leave_out_always(verdict: Verdict) -> None:
    """Name what no evidence of this kind shows, so that nobody reads it into the verdict."""
    verdict.leave_out(
        "when, how often",
        "an enclave has no clock: an older run's evidence is as good, and runs that were thrown "
        "away leave none",
    )
