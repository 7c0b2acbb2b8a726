"""The network from one side to the other: plain, sealed, exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.assets.handed_over import NET, SEALED, sha256, trained, write_record
from workflow.assets import handover
from workflow.core.settings import InferSettings, Settings, TrainSettings

pytestmark = pytest.mark.usefixtures("any_network")


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


def test_a_network_may_be_handed_over_to_where_it_was_trained(chosen: Settings) -> None:
    trained(chosen, "docker")
    net = chosen.train.out / "net.pt"
    before = {path: path.read_bytes() for path in chosen.train.out.iterdir()}
    assert handover.copy_net(replace(chosen, infer=InferSettings(net=net))) == net
    assert {path: path.read_bytes() for path in chosen.train.out.iterdir()} == before


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


def test_without_a_description_the_run_was_plain(chosen: Settings) -> None:
    write_record(chosen.train.out)
    assert handover.read_run(chosen.train.out)["encrypted"] is None
