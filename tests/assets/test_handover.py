"""The network from one side to the other: plain, sealed, exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from tests.assets.handed_over import NET, SEALED, hand_made, sha256, write_record
from workflow.assets import trained
from workflow.core.settings import GscSettings, InferSettings, Settings, TrainSettings
from workflow.core.values import GRAPHENE
from workflow.steps import classify

pytestmark = pytest.mark.usefixtures("any_network")


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_plain_network_is_copied_with_its_record_and_its_run(chosen: Settings) -> None:
    hand_made(chosen, "docker")
    doing.copy_net(chosen)
    assert chosen.infer.net.is_file()
    assert files(chosen.infer.net.parent) == ["net.pt", "record.json", "run.json"]
    assert trained.accepted_digest(chosen.infer) == sha256(NET)
    assert classify.readable_in(chosen) == (("docker", "native"), "plain")


def test_a_sealed_network_is_copied_as_it_is(
    chosen: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_made(chosen, "direct")
    doing.copy_net(chosen)
    target = chosen.infer.net.parent / "encrypted" / "net.pt"
    assert target.read_bytes() == SEALED
    assert files(chosen.infer.net.parent) == ["encrypted/net.pt", "record.json", "run.json"]
    assert trained.accepted_digest(chosen.infer) == sha256(NET)
    assert classify.readable_in(chosen) == (("direct",), "sealed by a direct run")
    assert capsys.readouterr().err == f"{target}: copied and verified\n"
    doing.copy_net(chosen)
    assert capsys.readouterr().err == f"{target}: already there, verified\n"


def test_an_exported_network_opens_in_every_way(chosen: Settings) -> None:
    hand_made(chosen, "sgx", exported=True)
    doing.copy_net(chosen)
    assert files(chosen.infer.net.parent) == [
        *("encrypted/net.pt", "net.pt", "record.json", "run.json")
    ]
    how = "sealed by a sgx run"
    assert classify.readable_in(chosen) == (("sgx", "docker", "native"), how)


@pytest.mark.parametrize(("first", "second"), [("docker", "direct"), ("direct", "docker")])
def test_nothing_of_an_earlier_hand_over_is_left(
    first: str, second: str, chosen: Settings, tmp_path: Path
) -> None:
    for backend in (first, second):
        again = replace(chosen, train=TrainSettings(out=tmp_path / backend))
        hand_made(again, backend)
        doing.copy_net(again)
    assert ("net.pt" in files(chosen.infer.net.parent)) == (second == "docker")
    assert ("encrypted/net.pt" in files(chosen.infer.net.parent)) == (second == "direct")


def test_a_network_may_be_handed_over_to_where_it_was_trained(chosen: Settings) -> None:
    hand_made(chosen, "docker")
    net = chosen.train.out / "net.pt"
    before = {path: path.read_bytes() for path in chosen.train.out.iterdir()}
    doing.copy_net(replace(chosen, infer=InferSettings(net=net)))
    assert {path: path.read_bytes() for path in chosen.train.out.iterdir()} == before


def test_old_graphenes_plain_network_opens_everywhere(chosen: Settings) -> None:
    hand_made(chosen, "docker")
    doing.copy_net(chosen)
    everywhere, how = classify.readable_in(replace(chosen, gsc=GscSettings(dialect=GRAPHENE)))
    assert everywhere == ("sgx", "direct", "docker", "native")
    assert how == "plain"


@pytest.mark.parametrize(("data", "sealed"), [(SEALED, True), (NET, False), (b"", False)])
def test_a_file_of_an_encrypted_mount_is_known_by_its_beginning(
    data: bytes, sealed: bool, tmp_path: Path
) -> None:
    (tmp_path / "net.pt").write_bytes(data)
    assert trained.is_encrypted(tmp_path / "net.pt") is sealed


def test_without_a_description_the_run_was_plain(chosen: Settings) -> None:
    write_record(chosen.train.out)
    assert trained.read_run(chosen.train.out)["encrypted"] is None
