"""What weakens an enclave is found, refused by name, and admitted by name alone."""

from __future__ import annotations

from typing import Any

import pytest
import tomli

from tests.gsc.test_manifest import FIXTURE
from workflow.core.errors import WorkflowError
from workflow.core.values import INSECURE_OPTIONS
from workflow.gsc import lint, manifest
from workflow.gsc.manifest import merge
from workflow.gsc.modes import DIRECT, MODES, SGX

MOUNT = {"type": "encrypted", "path": "/handover", "uri": "file:/handover"}
RESUMED = {"type": "encrypted", "path": "/checkpoints", "uri": "file:/checkpoints"}
OURS = {**MOUNT, "key_name": "_sgx_mrsigner"}, {**RESUMED, "key_name": "_sgx_mrenclave"}
CASES: list[tuple[str, dict[str, Any], str]] = [
    (
        "insecure-args",
        {"loader": {"insecure__use_cmdline_argv": True}},
        "loader.insecure__use_cmdline_argv: the host chooses the arguments, unmeasured",
    ),
    (
        "host-env",
        {"loader": {"insecure__use_host_env": True}},
        "loader.insecure__use_host_env: the host chooses every variable",
    ),
    (
        "host-env",
        {"loader": {"env": {"TRAIN_EPOCHS": {"passthrough": True}}}},
        "loader.env.TRAIN_EPOCHS passthrough: the host chooses its value",
    ),
    (
        "log-level",
        {"loader": {"log_level": "trace"}},
        'loader.log_level = "trace": what the enclave does is logged',
    ),
    (
        "insecure-keys",
        {"fs": {"insecure__keys": {"default": "00" * 16}}},
        "fs.insecure__keys: Gramine's own name for it says insecure",
    ),
    (
        "insecure-options",
        {"sys": {"insecure__allow_eventfd": True}},
        "sys.insecure__allow_eventfd: Gramine's own name for it says insecure",
    ),
    (
        "insecure-options",
        {"sgx": {"insecure__rpc_thread_num": 4}},
        "sgx.insecure__rpc_thread_num: Gramine's own name for it says insecure",
    ),
    (
        "allow-all-but-log",
        {"sgx": {"file_check_policy": "allow_all_but_log"}},
        'sgx.file_check_policy = "allow_all_but_log": any file is taken as it is',
    ),
    (
        "debug-enclave",
        {"sgx": {"debug": True}},
        "sgx.debug = true: a debugger reads the enclave's memory",
    ),
    (
        "allowed-files",
        {"sgx": {"allowed_files": ["file:/app/"]}},
        'sgx.allowed_files "file:/app/": the host can change it',
    ),
    (
        "old-torch",
        {"loader": {"env": {"TORCH_VERSION": "1.13.0a0"}}},
        "TORCH_VERSION 1.13.0a0: torch 1.13.0a0 is older than 2.10: a hostile network or weights "
        "may run code in it (CVE-2025-32434, CVE-2026-24747)",
    ),
]


def settled(more: dict[str, Any] | None = None, mode: str = "sgx") -> dict[str, Any]:
    raw = tomli.loads(FIXTURE.read_text())
    made = manifest.settle(raw, mode=MODES[mode], threads=1, insecure=frozenset())
    return merge(made, more or {})


def test_ours_has_nothing_insecure_but_the_test_key_of_direct_mode() -> None:
    assert lint.lint(settled(), SGX) == []
    findings = lint.lint(settled(mode="direct"), DIRECT)
    assert [finding.option for finding in findings] == ["insecure-keys"]
    assert lint.refuse_insecure(findings, DIRECT, frozenset()) == ["insecure-keys"]
    with pytest.raises(WorkflowError, match="--insecure insecure-keys"):
        lint.refuse_insecure(findings, SGX, frozenset())


@pytest.mark.parametrize(("option", "more", "text"), CASES)
def test_each_is_found_refused_with_its_flag_and_admitted_with_it(
    option: str, more: dict[str, Any], text: str
) -> None:
    findings = lint.lint(settled(more), SGX)
    assert [finding.option for finding in findings] == [option]
    with pytest.raises(WorkflowError) as caught:
        lint.refuse_insecure(findings, SGX, frozenset(INSECURE_OPTIONS) - {option})
    assert caught.value.message == (
        f"the manifest has {text}; take it out, or admit it by name: "
        f"inv gsc-build --insecure {option}"
    )
    assert lint.refuse_insecure(findings, SGX, frozenset({option})) == [option]


@pytest.mark.parametrize("digest", [None, "", "AB" * 32, "ab" * 31, {"value": "ab" * 32}])
def test_a_pack_that_nothing_measured_holds_to_a_digest_is_found(digest: Any) -> None:
    made = settled()
    assert "file:/app/pytorch_train/data.tar" in made["sgx"]["allowed_files"]
    variables = {**made["loader"]["env"], "TRAIN_DATA_SHA256": digest}
    if digest is None:
        del variables["TRAIN_DATA_SHA256"]
    (finding,) = lint.lint({**made, "loader": {**made["loader"], "env": variables}}, SGX)
    assert finding.option == "allowed-files"
    assert finding.where == 'sgx.allowed_files "file:/app/pytorch_train/data.tar"'
    assert finding.why == "the host can change it"


@pytest.mark.parametrize(
    "uri",
    [
        *("file:/app/pytorch_train/", "file:/app/pytorch_train/data.tar/", "file:/app/data.tar"),
        *("file:/app/pytorch_train/data.tar.old", "/app/pytorch_train/data.tar"),
    ],
)
def test_no_other_file_passes_for_the_pack(uri: str) -> None:
    (finding,) = lint.lint(settled({"sgx": {"allowed_files": [uri]}}), SGX)
    assert (finding.option, finding.where) == ("allowed-files", f'sgx.allowed_files "{uri}"')


def found(mounts: list[dict[str, str]]) -> list[str]:
    """Return where the linter sees a weakness when these are the mounts."""
    bare = settled()
    findings = lint.lint({**bare, "fs": {**bare["fs"], "mounts": mounts}}, SGX)
    return [finding.where for finding in findings]


def test_a_network_that_would_leave_in_plain_is_found() -> None:
    handover, checkpoints = OURS
    assert found([handover, checkpoints]) == []
    for mounts in (
        [],
        [{**MOUNT, "key_name": "_sgx_mrenclave"}],
        [{**MOUNT, "key_name": "_sgx_mrsigner", "path": "/elsewhere"}],
        [{**MOUNT, "key_name": "_sgx_mrsigner", "uri": "file:/out"}],
        [{"type": "chroot", "path": "/handover", "uri": "file:/handover"}],
        [handover, {"type": "chroot", "path": "/handover", "uri": "file:/handover"}],
    ):
        assert found([*mounts, checkpoints]) == ["no encrypted mount at /handover"]


def test_checkpoints_that_another_enclave_could_write_are_found() -> None:
    handover, checkpoints = OURS
    for mounts in (
        [],
        [{**RESUMED, "key_name": "_sgx_mrsigner"}],
        [{**RESUMED, "key_name": "default"}],
        [{"type": "chroot", "path": "/checkpoints", "uri": "file:/checkpoints"}],
        [checkpoints, {**RESUMED, "key_name": "_sgx_mrsigner"}],
    ):
        assert found([handover, *mounts]) == ["no encrypted mount at /checkpoints"]


@pytest.mark.parametrize("kind", ["none", "epid", None])
def test_an_enclave_that_makes_no_quotes_is_found(kind: str | None) -> None:
    made = settled()
    made["sgx"].pop("remote_attestation")
    made["sgx"].update({"remote_attestation": kind} if kind else {})
    (finding,) = lint.lint(made, SGX)
    assert finding.where == f'sgx.remote_attestation = "{kind or "none"}"'
    assert finding.why == "there is no quote: nothing proves what ran"
    assert lint.lint(settled(mode="direct"), DIRECT)[1:] == []


def test_every_name_that_can_be_admitted_is_one_that_is_looked_for() -> None:
    assert {option for option, _, _ in CASES} == set(INSECURE_OPTIONS)


def test_what_is_switched_off_is_not_found() -> None:
    more: dict[str, Any] = {
        "loader": {
            "insecure__use_cmdline_argv": False,
            "insecure__use_host_env": False,
            "log_level": "warning",
            "env": {"X": {"passthrough": False}, "Y": {"value": "1"}},
        },
        "sgx": {"file_check_policy": "strict", "debug": False},
        "sys": {"insecure__allow_eventfd": False},
    }
    assert lint.lint(settled(more), SGX) == []


@pytest.mark.parametrize(
    ("option", "key", "value"),
    [("debug-enclave", "debug", True), ("allow-all-but-log", "file_check_policy", None)],
)
def test_an_option_that_is_a_key_of_the_manifest_is_set_where_it_is_asked_for(
    option: str, key: str, value: object
) -> None:
    raw = tomli.loads(FIXTURE.read_text())
    made = manifest.settle(raw, mode=SGX, threads=1, insecure=frozenset({option}))
    assert made["sgx"][key] == (value or "allow_all_but_log")
    findings = lint.lint(made, SGX)
    assert lint.refuse_insecure(findings, SGX, frozenset({option})) == [option]


@pytest.mark.parametrize("is_gscs_own", [False, True])
def test_where_any_file_is_taken_no_list_is_kept_but_the_measured_arguments(
    is_gscs_own: bool,
) -> None:
    """GSC that is told the policy lists no file, and names that of the arguments alone."""
    raw = tomli.loads(FIXTURE.read_text())
    argv = raw["loader"]["argv_src_file"]
    admitted = frozenset({"allow-all-but-log"})
    if is_gscs_own:
        raw["sgx"].update(file_check_policy="allow_all_but_log", trusted_files=[argv])
        admitted = frozenset()
    made = manifest.settle(raw, mode=SGX, threads=1, insecure=admitted)
    (entry,) = made["sgx"]["trusted_files"]
    assert (entry if is_gscs_own else entry["uri"]) == argv
    assert made["loader"]["log_level"] == "error"
    raw["loader"] = {"insecure__use_cmdline_argv": True, "env": {}}
    made = manifest.settle(raw, mode=SGX, threads=1, insecure=admitted)
    assert made["sgx"]["trusted_files"] == []
