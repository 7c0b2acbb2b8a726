"""The network from one side to the other: plain, sealed, exported; never another one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytorch_common.contract import RECORD_SCHEMA
from workflow.assets import handover
from workflow.assets.handover import ENCRYPTED_MAGIC
from workflow.core.errors import WorkflowError
from workflow.core.settings import GRAPHENE, GscSettings, InferSettings, Settings, TrainSettings
from workflow.steps import classification
from workflow.tools import cleaning

pytestmark = pytest.mark.usefixtures("any_network")

NET = b"a network"
SEALED = ENCRYPTED_MAGIC + b"\x01 nobody reads this"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return Settings(
        train=TrainSettings(out=tmp_path / "train"),
        infer=InferSettings(net=tmp_path / "infer" / "net.pt", out=tmp_path / "out"),
    )


def write_record(folder: Path, net: bytes = NET, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"schema": RECORD_SCHEMA, "classes": ["a", "b"], "digests": {"net": sha256(net)}}
    (folder / "record.json").write_text(json.dumps({**record, **more}))


def trained(settings: Settings, backend: str, *, exported: bool = False) -> None:
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
    handover.write_run(out, {**facts, "image_id": "sha256:1"})


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_plain_network_is_copied_with_its_record_and_its_run(chosen: Settings) -> None:
    trained(chosen, "docker")
    assert handover.copy_net(chosen) == chosen.infer.net
    assert files(chosen.infer.net.parent) == ["net.pt", "record.json", "run.json"]
    assert handover.accepted_digest(chosen.infer) == sha256(NET)
    assert handover.readable_in(chosen.infer) == (("docker", "native"), "plain")


def test_a_sealed_network_is_copied_as_it_is(
    chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(chosen, "direct")
    target = handover.copy_net(chosen)
    assert target == chosen.infer.net.parent / "encrypted" / "net.pt"
    assert target.read_bytes() == SEALED
    assert files(chosen.infer.net.parent) == ["encrypted/net.pt", "record.json", "run.json"]
    assert handover.accepted_digest(chosen.infer) == sha256(NET)
    assert handover.readable_in(chosen.infer) == (("direct",), "sealed by a direct run")
    assert capsys.readouterr().err == f"{target}: copied and verified\n"
    handover.copy_net(chosen)
    assert capsys.readouterr().err == f"{target}: already there, verified\n"


def test_an_exported_network_opens_in_every_way(chosen: Settings) -> None:
    trained(chosen, "sgx", exported=True)
    handover.copy_net(chosen)
    assert files(chosen.infer.net.parent) == [
        *("encrypted/net.pt", "net.pt", "record.json", "run.json")
    ]
    how = "sealed by a sgx run"
    assert handover.readable_in(chosen.infer) == (("sgx", "docker", "native"), how)


@pytest.mark.parametrize(("first", "second"), [("docker", "direct"), ("direct", "docker")])
def test_nothing_of_an_earlier_hand_over_is_left(
    first: str, second: str, chosen: Settings, tmp_path: Path
) -> None:
    for backend in (first, second):
        again = replace(chosen, train=TrainSettings(out=tmp_path / backend))
        trained(again, backend)
        handover.copy_net(again)
    assert ("net.pt" in files(chosen.infer.net.parent)) == (second == "docker")
    assert ("encrypted/net.pt" in files(chosen.infer.net.parent)) == (second == "direct")


@pytest.mark.parametrize("data", [SEALED + b"x", SEALED[:-1], b"", ENCRYPTED_MAGIC])
def test_a_sealed_network_that_was_changed_is_refused_at_both_ends(
    data: bytes, chosen: Settings
) -> None:
    trained(chosen, "direct")
    handover.copy_net(chosen)
    source, copy = (
        handover.encrypted_net(folder) for folder in (chosen.train.out, chosen.infer.net.parent)
    )
    copy.write_bytes(data)
    with pytest.raises(WorkflowError) as caught:
        handover.accepted_digest(chosen.infer)
    assert caught.value.message == (
        f"{copy} is not the file that was handed over; run: inv copy-net"
    )
    source.write_bytes(data)
    with pytest.raises(WorkflowError) as caught:
        handover.copy_net(chosen)
    assert caught.value.message == f"{source} is not the file that the run left; run: inv train"
    source.unlink()
    with pytest.raises(WorkflowError, match=r"encrypted/net\.pt is missing; run: inv train"):
        handover.copy_net(chosen)


def test_an_older_copy_is_noticed_by_its_digest(chosen: Settings) -> None:
    """Gramine itself takes a file that was rolled back."""
    trained(chosen, "direct")
    handover.copy_net(chosen)
    copy = handover.encrypted_net(chosen.infer.net.parent)
    older = copy.read_bytes()
    newer = SEALED + b" a later one"
    handover.encrypted_net(chosen.train.out).write_bytes(newer)
    handover.write_run(chosen.train.out, {"backend": "direct", "encrypted": sha256(newer)})
    handover.copy_net(chosen)
    copy.write_bytes(older)
    with pytest.raises(WorkflowError, match="is not the file that was handed over"):
        handover.accepted_digest(chosen.infer)


def test_beside_one_network_of_ours_anothers_is_not_written_over(chosen: Settings) -> None:
    trained(chosen, "docker")
    handover.copy_net(chosen)
    mine = chosen.infer.net.with_name("mine.pt")
    mine.write_bytes(b"a person's own")
    beside = replace(chosen, infer=InferSettings(net=mine))
    with pytest.raises(WorkflowError, match=f"{mine}: no task made it"):
        handover.copy_net(beside)
    cleaning.clean(beside)
    assert mine.read_bytes() == b"a person's own"


def test_a_network_may_be_handed_over_to_where_it_was_trained(chosen: Settings) -> None:
    trained(chosen, "docker")
    net = chosen.train.out / "net.pt"
    before = {path: path.read_bytes() for path in chosen.train.out.iterdir()}
    assert handover.copy_net(replace(chosen, infer=InferSettings(net=net))) == net
    assert {path: path.read_bytes() for path in chosen.train.out.iterdir()} == before


@pytest.mark.parametrize("name", ["record.json", "run.json", "pytorchexample.py", "__init__.py"])
def test_a_network_is_not_called_like_another_of_our_files(name: str, chosen: Settings) -> None:
    trained(chosen, "docker")
    path = chosen.train.out / name
    path.touch()  # an empty file is nobody's, but for this
    chosen = replace(chosen, infer=InferSettings(net=path))
    with pytest.raises(WorkflowError, match=r"^infer.net: expected .pt or .pth at its end, got"):
        handover.copy_net(chosen)
    cleaning.clean(chosen)
    assert path.exists() or path.suffix == ".json"


def test_a_sealed_network_is_classified_where_it_was_trained(chosen: Settings) -> None:
    trained(chosen, "direct")
    handover.copy_net(chosen)
    with pytest.raises(WorkflowError) as caught:
        classification.check_opens(chosen, "native")
    assert caught.value.message == (
        "the network that was handed over is sealed by a direct run, which the backend native "
        "cannot open; classify with --backend direct, or run: inv train --backend native, then: "
        "inv copy-net"
    )
    classification.check_opens(chosen, "direct")
    with pytest.raises(WorkflowError, match="classify in the backend that it was trained in"):
        handover.accepted_net(chosen.infer.net)


def test_a_network_that_was_not_handed_over_is_named(chosen: Settings) -> None:
    assert handover.not_handed_over(chosen) == ""
    trained(chosen, "native")
    assert handover.not_handed_over(chosen) == ""
    handover.copy_net(chosen)
    assert handover.not_handed_over(chosen) == ""
    write_record(chosen.train.out, b"a newer network")
    out, net = chosen.train.out, chosen.infer.net
    assert handover.not_handed_over(chosen) == (
        f"{net} answers, which is not the network in {out}; to hand that over: "
        f"inv copy-net --out {out} --net {net}"
    )
    usual = replace(Settings(), infer=chosen.infer)
    assert "--out" not in handover.not_handed_over(usual)


def test_old_graphenes_plain_network_opens_everywhere(chosen: Settings) -> None:
    trained(chosen, "docker")
    handover.copy_net(chosen)
    everywhere, how = handover.readable_in(chosen.infer, graphene=True)
    assert everywhere == ("sgx", "direct", "docker", "native")
    assert how == "plain, as old Graphene hands it over"


@pytest.mark.parametrize(("data", "sealed"), [(SEALED, True), (NET, False), (b"", False)])
def test_a_file_of_an_encrypted_mount_is_known_by_its_beginning(
    data: bytes, sealed: bool, tmp_path: Path
) -> None:
    (tmp_path / "net.pt").write_bytes(data)
    assert handover.is_encrypted(tmp_path / "net.pt") is sealed


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"schema": "other/1"}', '{"schema": "enclave-finetune/run/1"}', "\0"),
        "[" * 200_000,
    ],
)
def test_a_damaged_description_of_a_run_is_one_line(text: str, chosen: Settings) -> None:
    trained(chosen, "direct")
    (chosen.train.out / "run.json").write_text(text)
    with pytest.raises(WorkflowError, match=r"run\.json .*run: inv train") as caught:
        handover.copy_net(chosen)
    assert "\n" not in caught.value.message


def test_without_a_description_the_run_was_plain(chosen: Settings) -> None:
    write_record(chosen.train.out)
    assert handover.read_run(chosen.train.out)["encrypted"] is None


def test_by_hand_the_same_files_are_copied(chosen: Settings, tmp_path: Path) -> None:
    out, infer = tmp_path / "train", tmp_path / "infer"
    for backend, name in (("docker", ""), ("direct", "encrypted/"), ("sgx", "encrypted/")):
        named = replace(chosen, machine=replace(chosen.machine, backend=backend))
        mkdir, *copies = handover.copy_lines(named)
        assert mkdir == f"mkdir -p {infer}/{name}".rstrip("/")
        assert copies == [
            f"cp {out}/{name}net.pt {infer}/{name}net.pt",
            f"cp {out}/record.json {infer}/record.json",
        ]
    old = replace(chosen, gsc=GscSettings(dialect=GRAPHENE), machine=named.machine)
    assert handover.copy_lines(old)[0] == f"mkdir -p {infer}"


def test_what_is_there_decides_what_is_copied_by_hand_as_in_the_run(chosen: Settings) -> None:
    def by_hand() -> list[str]:
        return [line for line in handover.copy_lines(native) if not line.startswith("mkdir ")]

    native = replace(chosen, machine=replace(chosen.machine, backend="native"))
    out, infer = chosen.train.out, chosen.infer.net.parent
    trained(chosen, "direct", exported=True)
    facts = [f"cp {out}/{name} {infer}/{name}" for name in ("record.json", "run.json")]
    sealed = f"cp {out}/encrypted/net.pt {infer}/encrypted/net.pt"
    assert by_hand() == [sealed, f"cp {out}/net.pt {infer}/net.pt", *facts]
    handover.copy_net(native)
    write_record(out, exported=False)
    assert by_hand() == [sealed, *facts, f"rm {infer}/net.pt"]
    handover.write_run(out, {"backend": "native", "encrypted": None})
    assert by_hand() == [
        *(f"cp {out}/net.pt {infer}/net.pt", *facts, f"rm {infer}/encrypted/net.pt")
    ]
    # After a training that is yet to come, what is there says nothing.
    assert sealed in handover.copy_lines(native, after="sgx")
