"""The shell lines of the hand-over copy what the run would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.assets.handed_over import trained, write_record
from workflow.assets import handover
from workflow.core.settings import GRAPHENE, GscSettings, Settings

pytestmark = pytest.mark.usefixtures("any_network")


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
