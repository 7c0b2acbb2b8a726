"""The doctor's decisions, and deleting what was made."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from workflow import cleaning, dataset, machine
from workflow.errors import WorkflowError
from workflow.machine import Check
from workflow.settings import InferSettings, Settings, TrainSettings


def test_each_check_says_what_mends_it() -> None:
    assert machine.python_check((3, 9)).state == "bad"
    assert machine.python_check((3, 10)).state == "ok"
    assert machine.package_check("no-such-package").mend.startswith("pip install")
    assert machine.package_check("invoke").state == "ok"
    short = machine.room_check("disk", 2**30, 2 * 2**30)
    assert (short.state, short.found, short.mend) == ("bad", "1.0 GiB free", "free 2 GiB")


def test_an_old_torch_is_said_in_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "version", lambda name: "2.9.1")
    check = machine.torch_check()
    assert check.state in machine.ALARMING
    assert check.found.startswith("torch 2.9.1 is older than 2.10: ")
    monkeypatch.setattr(machine, "version", lambda name: "2.14.1+cu130")
    assert (machine.torch_check().state, machine.torch_check().found) == ("ok", "2.14.1+cu130")


def test_the_network_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert machine.network_check("127.0.0.1", port).state == "ok"
    refused = machine.network_check("127.0.0.1", port)
    assert refused.state == "missing"
    assert "inv demo" in refused.mend
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    assert "not tried" in machine.network_check("127.0.0.1", port).found


def test_doctor_is_a_table_or_json_and_fails_where_something_is_bad(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [Check("python", "ok", "3.12"), Check("weights", "missing", "none", "inv x")]
    monkeypatch.setattr(machine, "examine", lambda settings: checks)
    machine.doctor(Settings())
    assert capsys.readouterr().out.splitlines() == [
        "ok        python   3.12",
        "missing   weights  none  ->  inv x",
    ]
    machine.doctor(Settings(), as_json=True)
    assert json.loads(capsys.readouterr().out)[1]["mend"] == "inv x"
    checks.append(Check("disk", "bad", "0.1 GiB free", "free 2 GiB"))
    with pytest.raises(WorkflowError, match="not usable as it is: disk"):
        machine.doctor(Settings())


@pytest.mark.usefixtures("swept")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_examination_names_what_the_tasks_need(tmp_path: Path) -> None:
    settings = Settings(
        train=TrainSettings(out=tmp_path), infer=InferSettings(net=tmp_path / "net.pt")
    )
    checks = {check.name: check for check in machine.examine(settings)}
    assert set(checks) >= {"python", "torch", "disk", "memory", "weights", "images", "network"}
    assert checks["network"].mend == "inv train, then: inv copy-net"


def test_clean_deletes_what_was_made_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    for name in ("out/train/net.pt", "pytorch_train/model/w.pth", "pytorch_train/train.py"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("net.pt", "record.json", "mine.txt"):
        (elsewhere / name).write_text("x")
    monkeypatch.setattr(cleaning, "PROJECT", project)
    monkeypatch.setattr(dataset, "HYMENOPTERA", project / "pytorch_train" / "hymenoptera_data")
    monkeypatch.setattr(dataset, "SAMPLE", project / "pytorch_train" / "hymenoptera_sample")
    settings = Settings(
        train=TrainSettings(out=elsewhere),
        infer=InferSettings(net=tmp_path / "none" / "net.pt", out=tmp_path / "none"),
    )

    cleaning.clean(settings)
    assert [path.name for path in elsewhere.iterdir()] == ["mine.txt"]
    assert not (project / "out").exists()
    assert (project / "pytorch_train" / "model" / "w.pth").exists()
    cleaning.clean(replace(settings), downloads=True)
    assert [path.name for path in (project / "pytorch_train").iterdir()] == ["train.py"]
