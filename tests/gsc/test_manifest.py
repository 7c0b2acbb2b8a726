"""The manifest that is signed: merged, pruned, sorted, the same from the same image."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.conftest import PROJECT
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings
from workflow.gsc import lint, manifest
from workflow.gsc.modes import DIRECT, MODES, SGX

FIXTURE = Path(__file__).with_name("made-by-gsc.manifest")
KEPT = [
    "file:/app/pytorch_common/contract.py",
    "file:/app/pytorch_train/model/base.pth",
    "file:/app/pytorch_train/train.py",
    "file:/etc/deluser.conf",
    "file:/etc/ld.so.cache",
    "file:/etc/passwd",
    "file:/gramine/app_files/python3",
    "file:/gramine/app_files/trusted_argv",
    "file:/gramine/meson_build_output/lib/x86_64-linux-gnu/gramine/runtime/glibc/libc.so.6",
    "file:/lib/libnothing.so",
    "file:/lib64/ld-linux-x86-64.so.2",
    "file:/usr/bin/python3",
    "file:/usr/bin/python3.11",
    "file:/usr/lib/python3.11/os.py",
    "file:/usr/lib/python3/dist-packages/torch/__init__.py",
    "file:/usr/lib/x86_64-linux-gnu/libz.so.1",
]


def made() -> dict[str, Any]:
    return tomli.loads(FIXTURE.read_text())


def settled(raw: dict[str, Any], mode: str = "sgx", *insecure: str, threads: int = 2) -> Any:
    return manifest.settle(raw, mode=MODES[mode], threads=threads, insecure=frozenset(insecure))


def test_the_trusted_files_are_those_of_the_scripts_sorted() -> None:
    trusted = settled(made())["sgx"]["trusted_files"]
    assert [entry["uri"] for entry in trusted] == KEPT
    known = {entry["uri"]: entry["sha256"] for entry in made()["sgx"]["trusted_files"]}
    assert all(entry == {"uri": entry["uri"], "sha256": known[entry["uri"]]} for entry in trusted)


def test_the_order_of_the_file_system_and_the_build_containers_names_change_nothing() -> None:
    expected = manifest.dumps(settled(made()))
    for seed in range(5):
        other = made()
        trusted = other["sgx"]["trusted_files"]
        random.Random(seed).shuffle(trusted)  # noqa: S311 - an order, not a secret
        trusted.append(dict(trusted[0]))
        for entry in trusted:
            if entry["uri"] in ("file:/etc/hosts", "file:/etc/hostname", "file:/etc/resolv.conf"):
                entry["sha256"] = f"{seed:064x}"
        assert manifest.dumps(settled(other)) == expected


def test_a_changed_file_of_the_image_does_change_it() -> None:
    other = made()
    for entry in other["sgx"]["trusted_files"]:
        if entry["uri"] == "file:/app/pytorch_train/train.py":
            entry["sha256"] = "0" * 64
    assert manifest.dumps(settled(other)) != manifest.dumps(settled(made()))


@pytest.mark.parametrize("mode", ["sgx", "direct"])
def test_what_is_settled_is_settled(mode: str) -> None:
    once = settled(made(), mode)
    assert manifest.dumps(settled(once, mode)) == manifest.dumps(once)
    assert tomli.loads(manifest.dumps(once).decode()) == once


def test_what_the_host_may_change_is_in_two_folders_and_a_pack_of_a_measured_digest() -> None:
    pack = "file:/app/pytorch_train/data.tar"
    assert settled(made())["sgx"]["allowed_files"] == ["file:/in/", "file:/out/", pack]
    other = made()
    other["sgx"]["trusted_files"] = [
        entry for entry in other["sgx"]["trusted_files"] if entry["uri"] != pack
    ]
    assert settled(other)["sgx"]["allowed_files"] == ["file:/in/", "file:/out/"]


@pytest.mark.parametrize("digest", [None, "", "abc", {"passthrough": True}])
def test_a_pack_whose_digest_is_not_measured_is_a_trusted_file_like_any_other(digest: Any) -> None:
    other, pack = made(), "file:/app/pytorch_train/data.tar"
    other["loader"]["env"]["TRAIN_DATA_SHA256"] = digest
    if digest is None:
        del other["loader"]["env"]["TRAIN_DATA_SHA256"]
    sgx = settled(other)["sgx"]
    assert sgx["allowed_files"] == ["file:/in/", "file:/out/"]
    assert pack in {entry["uri"] for entry in sgx["trusted_files"]}


@pytest.mark.parametrize(
    ("mode", "keys"),
    [("sgx", ("_sgx_mrsigner", "_sgx_mrenclave")), ("direct", ("default", "default"))],
)
def test_the_network_is_handed_over_encrypted_and_checkpoints_are_for_one_enclave(
    mode: str, keys: tuple[str, str]
) -> None:
    mounts = [
        {"type": "encrypted", "path": path, "uri": f"file:{path}", "key_name": key}
        for path, key in zip(("/handover", "/checkpoints"), keys, strict=True)
    ]
    fs = settled(made(), mode)["fs"]
    assert fs["mounts"] == [{"type": "tmpfs", "path": "/tmp"}, *mounts]  # noqa: S108 - inside
    assert fs["root"] == {"type": "chroot", "uri": "file:/"}
    assert ("insecure__keys" in fs) == (mode == "direct")


def test_an_enclave_makes_quotes_and_direct_mode_cannot() -> None:
    assert settled(made())["sgx"]["remote_attestation"] == "dcap"
    assert "remote_attestation" not in settled(made(), "direct")["sgx"]


def test_the_script_is_told_what_weakens_its_enclave() -> None:
    def told(*insecure: str, mode: str = "sgx") -> Any:
        return settled(made(), mode, *insecure)["loader"]["env"].get("RUN_INSECURE")

    assert told() is None
    assert told("debug-enclave", "allow-all-but-log") == "allow-all-but-log,debug-enclave"
    assert told(mode="direct") == "insecure-keys"


def test_memory_is_added_as_it_is_needed_where_it_is_asked_for() -> None:
    assert "edmm_enable" not in settled(made())["sgx"]
    assert "edmm_enable" not in made()["sgx"]
    given = manifest.settle(made(), mode=SGX, threads=2, insecure=frozenset(), edmm=True)
    assert given["sgx"]["edmm_enable"] is True
    assert lint.lint(given, SGX) == lint.lint(settled(made()), SGX)


def test_the_threads_of_torch_are_measured_and_have_room() -> None:
    few, many = settled(made(), threads=2), settled(made(), threads=20)
    assert few["loader"]["env"]["OMP_NUM_THREADS"] == "2"
    assert few["sgx"]["max_threads"] == 32
    assert many["loader"]["env"]["OMP_NUM_THREADS"] == "20"
    assert many["sgx"]["max_threads"] == 3 * 20 + 16


def test_what_gsc_decided_stays() -> None:
    result = settled(made())
    assert result["libos"] == made()["libos"]
    assert result["loader"]["argv_src_file"] == "file:/gramine/app_files/trusted_argv"
    added = {"MALLOC_ARENA_MAX", "GOMP_SPINCOUNT", "OMP_NUM_THREADS"}
    added |= {"RUN_PROGRESS", "RUN_MARKED_ANSWERS"}
    environment = result["loader"]["env"]
    assert {name: environment[name] for name in environment if name not in added} == (
        made()["loader"]["env"]
    )
    assert settled(made(), "direct")["loader"]["env"]["RUN_BACKEND"] == "direct"


def test_rules_of_another_image_are_refused() -> None:
    other = made()
    other["sgx"]["trusted_files"] = [{"uri": "file:/opt/x", "sha256": "0" * 64}]
    with pytest.raises(WorkflowError, match="its rules leave no trusted file of this image"):
        settled(other)


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"a = ", "Invalid value (at end of document)"), (b"\xff", "codec can't decode")],
)
def test_what_is_no_toml_says_where(text: bytes, reason: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        manifest.parse(text, "x.manifest")
    assert caught.value.message.startswith("x.manifest is no TOML: ")
    assert reason in caught.value.message


@pytest.mark.parametrize("mode", ["sgx", "direct"])
def test_by_hand_it_is_settled_to_the_same_bytes(mode: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workflow.gsc.manifest", "train", mode],
        input=FIXTURE.read_bytes(),
        capture_output=True,
        cwd=PROJECT,
        check=True,
    )
    assert done.stdout == manifest.dumps(settled(made(), mode))


def test_every_role_has_a_manifest_for_gsc_without_what_gsc_breaks_on() -> None:
    for role, name in (("train", "pytorch_train.manifest"), ("infer", "pytorch.manifest")):
        path = manifest.user_manifest(GscSettings(), role)
        assert path == PROJECT / "manifests" / name
        sgx = manifest.parse(path.read_bytes(), name)["sgx"]
        assert sgx.keys() == {"enclave_size", "max_threads", "isvprodid", "isvsvn"}
        size = int(sgx["enclave_size"].removesuffix("G"))
        assert size & (size - 1) == 0
    ids = [
        tomli.loads(manifest.user_manifest(GscSettings(), role).read_text())["sgx"]
        for role in ("train", "infer")
    ]
    assert [(sgx["isvprodid"], sgx["isvsvn"]) for sgx in ids] == [(1, 1), (1, 1)]


def test_the_digest_of_the_sources_is_of_all_that_decides_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    folder = tmp_path / "manifests"
    shutil.copytree(manifest.MANIFESTS, folder)
    monkeypatch.setattr(manifest, "MANIFESTS", folder)
    monkeypatch.setattr(manifest, "FINISH", folder / "finish.toml")
    first = manifest.sources_digest(GscSettings(), "train", SGX, [])
    others = {
        manifest.sources_digest(GscSettings(), "infer", SGX, []),
        manifest.sources_digest(GscSettings(), "train", DIRECT, []),
        manifest.sources_digest(GscSettings(), "train", SGX, ["insecure-args"]),
        manifest.sources_digest(GscSettings(dialect="graphene"), "train", SGX, []),
        manifest.sources_digest(GscSettings(edmm=True), "train", SGX, []),
    }
    assert len(others | {first}) == 6
    both = [["host-env", "log-level"], ["log-level", "host-env"]]
    assert len({manifest.sources_digest(GscSettings(), "train", SGX, names) for names in both}) == 1
    (folder / "pytorch.manifest").write_text("# the other role's\n")
    (folder / "direct.toml").write_text("# the other backend's\n")
    assert manifest.sources_digest(GscSettings(), "train", SGX, []) == first
    for name in ("pytorch_train.manifest", "finish.toml", "sgx.toml"):
        path = folder / name
        text = path.read_text()
        path.write_text(text + "# changed\n")
        assert manifest.sources_digest(GscSettings(), "train", SGX, []) != first
        path.write_text(text)
