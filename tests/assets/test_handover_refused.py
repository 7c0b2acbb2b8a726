"""A network that is not the one of the run, or not ours to write over, is not handed over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import doing
from tests.assets.handed_over import SEALED, hand_made, sha256, write_record
from workflow.assets import trained
from workflow.assets.trained import ENCRYPTED_MAGIC
from workflow.backends.gramine import Direct
from workflow.backends.native import Native
from workflow.core.errors import WorkflowError
from workflow.core.settings import InferSettings, Settings
from workflow.steps import classify

pytestmark = pytest.mark.usefixtures("any_network")


@pytest.mark.parametrize("data", [SEALED + b"x", SEALED[:-1], b"", ENCRYPTED_MAGIC])
def test_a_sealed_network_that_was_changed_is_refused_at_both_ends(
    data: bytes, chosen: Settings
) -> None:
    hand_made(chosen, "direct")
    doing.copy_net(chosen)
    source, copy = (
        trained.encrypted_net(folder) for folder in (chosen.train.out, chosen.infer.net.parent)
    )
    copy.write_bytes(data)
    with pytest.raises(WorkflowError) as caught:
        trained.accepted_digest(chosen.infer)
    assert caught.value.message == (
        f"{copy} is not the file that was handed over; run: inv copy-net"
    )
    source.write_bytes(data)
    with pytest.raises(WorkflowError) as caught:
        doing.copy_net(chosen)
    assert caught.value.message == f"{source} is not the file that the run left; run: inv train"
    source.unlink()
    with pytest.raises(WorkflowError, match=r"encrypted/net\.pt is missing; run: inv train"):
        doing.copy_net(chosen)


def test_an_older_copy_is_noticed_by_its_digest(chosen: Settings) -> None:
    """Gramine itself takes a file that was rolled back."""
    hand_made(chosen, "direct")
    doing.copy_net(chosen)
    copy = trained.encrypted_net(chosen.infer.net.parent)
    older = copy.read_bytes()
    newer = SEALED + b" a later one"
    trained.encrypted_net(chosen.train.out).write_bytes(newer)
    trained.write_run(chosen.train.out, {"backend": "direct", "encrypted": sha256(newer)})
    doing.copy_net(chosen)
    copy.write_bytes(older)
    with pytest.raises(WorkflowError, match="is not the file that was handed over"):
        trained.accepted_digest(chosen.infer)


def test_beside_one_network_of_ours_anothers_is_not_written_over(chosen: Settings) -> None:
    hand_made(chosen, "docker")
    doing.copy_net(chosen)
    mine = chosen.infer.net.with_name("mine.pt")
    mine.write_bytes(b"a person's own")
    beside = replace(chosen, infer=InferSettings(net=mine))
    with pytest.raises(WorkflowError, match=f"{mine}: no task made it"):
        doing.copy_net(beside)
    doing.clean(beside)
    assert mine.read_bytes() == b"a person's own"


@pytest.mark.parametrize("name", ["record.json", "run.json", "pytorchexample.py", "__init__.py"])
def test_a_network_is_not_called_like_another_of_our_files(name: str, chosen: Settings) -> None:
    hand_made(chosen, "docker")
    path = chosen.train.out / name
    path.touch()  # an empty file is nobody's, but for this
    chosen = replace(chosen, infer=InferSettings(net=path))
    with pytest.raises(WorkflowError, match=r"^infer.net: expected .pt or .pth at its end, got"):
        doing.copy_net(chosen)
    doing.clean(chosen)
    assert path.exists() or path.suffix == ".json"


def test_a_sealed_network_is_classified_where_it_was_trained(chosen: Settings) -> None:
    hand_made(chosen, "direct")
    doing.copy_net(chosen)
    with pytest.raises(WorkflowError) as caught:
        classify.check_opens(chosen, Native())
    assert caught.value.message == (
        "the network that was handed over is sealed by a direct run, which the backend native "
        "cannot open; classify with --backend direct, or run: inv train --backend native, then: "
        "inv copy-net"
    )
    classify.check_opens(chosen, Direct())
    with pytest.raises(WorkflowError, match="classify in the backend that it was trained in"):
        trained.accepted_net(chosen.infer.net)


def test_a_network_that_was_not_handed_over_is_named(chosen: Settings) -> None:
    assert trained.not_handed_over(chosen) == ""
    hand_made(chosen, "native")
    assert trained.not_handed_over(chosen) == ""
    doing.copy_net(chosen)
    assert trained.not_handed_over(chosen) == ""
    write_record(chosen.train.out, b"a newer network")
    out, net = chosen.train.out, chosen.infer.net
    assert trained.not_handed_over(chosen) == (
        f"{net} answers, which is not the network in {out}; to hand that over: "
        f"inv copy-net --out {out} --net {net}"
    )
    usual = replace(Settings(), infer=chosen.infer)
    assert "--out" not in trained.not_handed_over(usual)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"schema": "other/1"}', '{"schema": "enclave-finetune/run/1"}', "\0"),
        "[" * 200_000,
    ],
)
def test_a_damaged_description_of_a_run_is_one_line(text: str, chosen: Settings) -> None:
    hand_made(chosen, "direct")
    (chosen.train.out / "run.json").write_text(text)
    with pytest.raises(WorkflowError, match=r"run\.json .*run: inv train") as caught:
        doing.copy_net(chosen)
    assert "\n" not in caught.value.message
