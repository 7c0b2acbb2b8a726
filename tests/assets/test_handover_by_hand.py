"""The shell lines of the hand-over copy what the run would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from tests.assets.handed_over import hand_made, write_record
from workflow.assets import trained
from workflow.backends.gramine import Sgx
from workflow.core.settings import GscSettings, Settings
from workflow.core.values import GRAPHENE
from workflow.steps.copy_net import CopyNet

pytestmark = pytest.mark.usefixtures("any_network")


def test_by_hand_the_same_files_are_copied(chosen: Settings, tmp_path: Path) -> None:
    out, infer = tmp_path / "train", tmp_path / "infer"
    for backend, name in (("docker", ""), ("direct", "encrypted/"), ("sgx", "encrypted/")):
        named = replace(chosen, machine=replace(chosen.machine, backend=backend))
        mkdir, *copies = CopyNet(named).shell()
        assert mkdir == f"mkdir -p {infer}/{name}".rstrip("/")
        assert copies == [
            f"cp {out}/{name}net.pt {infer}/{name}net.pt",
            f"cp {out}/record.json {infer}/record.json",
        ]
    old = replace(chosen, gsc=GscSettings(dialect=GRAPHENE), machine=named.machine)
    assert CopyNet(old).shell()[0] == f"mkdir -p {infer}"


def test_what_is_there_decides_what_is_copied_by_hand_as_in_the_run(chosen: Settings) -> None:
    def by_hand() -> list[str]:
        return [line for line in CopyNet(native).shell() if not line.startswith("mkdir ")]

    native = replace(chosen, machine=replace(chosen.machine, backend="native"))
    out, infer = chosen.train.out, chosen.infer.net.parent
    hand_made(chosen, "direct", exported=True)
    facts = [f"cp {out}/{name} {infer}/{name}" for name in ("record.json", "run.json")]
    sealed = f"cp {out}/encrypted/net.pt {infer}/encrypted/net.pt"
    assert by_hand() == [sealed, f"cp {out}/net.pt {infer}/net.pt", *facts]
    doing.copy_net(native)
    write_record(out, exported=False)
    assert by_hand() == [sealed, *facts, f"rm {infer}/net.pt"]
    trained.write_run(out, {"backend": "native", "encrypted": None})
    assert by_hand() == [
        *(f"cp {out}/net.pt {infer}/net.pt", *facts, f"rm {infer}/encrypted/net.pt")
    ]
    # After a training that is yet to come, what is there says nothing.
    assert sealed in CopyNet(native, Sgx()).shell()
