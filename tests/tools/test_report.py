"""The page about a training: what stands on it, and that it needs nothing else."""

from __future__ import annotations

import io
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pytorch_common.contract import RECORD_SCHEMA
from pytorch_common.files import sha256_file
from tests import doing
from tests.conftest import paint
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.evidence import verdict as evidence
from workflow.steps.classify import Classify
from workflow.tools import report
from workflow.tools.pictures import draw_curves
from workflow.tools.report import Verdict

RECORD: dict[str, Any] = {
    "schema": RECORD_SCHEMA,
    "backend": "sgx",
    "protected_from_host": True,
    "versions": {"torch": "2.0"},
    "settings": {"arch": "resnet18", "method": "full", "epochs": 2},
    "classes": ["<ants>", "bees"],
    "images": {"train": 9, "val": 3},
    "digests": {"net": "ab" * 32},
    "metrics": {"best_epoch": 2, "best_val_accuracy": 2 / 3, "best_val_correct": 2},
    "enclave": {"mr_enclave": "cafe" * 16, "debug": False},
}


def epochs(count: int) -> list[dict[str, Any]]:
    keys = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "elapsed_s")
    return [
        {"epoch": n, "val_correct": n, **dict.fromkeys(keys, n / 10)} for n in range(1, count + 1)
    ]


@pytest.fixture
def verdicts(tmp_path: Path) -> list[Verdict]:
    for name in ("1.png", "2 & 3.png"):
        paint(tmp_path / name, (200, 30, 30), 1)
    one, other = (tmp_path / name for name in ("1.png", "2 & 3.png"))
    return [
        Verdict(one, "<ants>", "<ants>", 0.9),
        Verdict(other, "bees", "<ants>", 0.75),
        Verdict(one, "bees", "bees", 0.6),
    ]


def page(
    verdicts: list[Verdict], scratch: list[dict[str, Any]] | None = None, **more: object
) -> str:
    return report.render({**RECORD, **more}, epochs(2), scratch, verdicts, b"\x89PNG")


@pytest.mark.parametrize(("count", "scratch"), [(1, None), (15, None), (2, 3)])
def test_the_curves_are_a_picture(count: int, scratch: int | None) -> None:
    data = draw_curves(epochs(count), epochs(scratch) if scratch else None, "full")
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**20) or []}
    assert (0, 0x72, 0xB2) in colours
    assert ((0xD5, 0x5E, 0) in colours) == bool(scratch)


def test_protection_is_claimed_for_an_enclave_without_weaknesses_alone(
    verdicts: list[Verdict],
) -> None:
    claim = "trained inside an enclave: kept from"
    assert claim in page(verdicts)
    weak = page(verdicts, insecure=["debug-enclave"])
    assert claim not in weak
    assert "in an enclave with insecure options built in: do not count on it" in weak
    direct = page(verdicts, backend="direct", protected_from_host=False)
    assert claim not in direct
    assert "not protected: this machine" in direct


def test_the_verdict_stands_on_the_page(verdicts: list[Verdict]) -> None:
    assert "This run left no claims: nothing proves where it ran" in page(verdicts)
    judged = evidence.Verdict("out/train", 0, subject="net.pt", digest="ab" * 32)
    judged.rows += [
        evidence.Row("signatures", evidence.OK, "<two>", "unchanged"),
        evidence.Row("where it ran", evidence.NOT_CHECKED, evidence.NOTHING_PROVES, ""),
        evidence.Row("net.pt", evidence.FAILED, "another", ""),
    ]
    text = report.render(RECORD, epochs(2), None, verdicts, b"\x89PNG", judged)
    assert "NOT VERIFIED: net.pt: another" in text
    assert "&lt;two&gt;" in text
    assert text.index('class="failed"') < text.index('class="not-checked"')
    assert '<p class="bad"><b>NOT VERIFIED' in text


def test_the_page_needs_no_other_file(verdicts: list[Verdict]) -> None:
    text = page(verdicts)
    assert not re.search(r"https?:|<script|@import|<link", text)
    addresses = re.findall(r'(?:src|href)="([^"]{9})', text)
    assert len(addresses) == 2
    assert all(address.startswith("data:imag") for address in addresses)


def test_names_are_text_not_markup(verdicts: list[Verdict]) -> None:
    text = page(verdicts)
    assert "<ants>" not in text
    assert "&lt;ants&gt;" in text
    assert "2 &amp; 3.png" in text


def test_what_was_found_stands_on_the_page(verdicts: list[Verdict]) -> None:
    assert report.confusion(RECORD["classes"], verdicts) == [[1, 0], [1, 1]]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page(verdicts, epochs(3))))
    for fact in (
        *("0.6667", "resnet18, full", "trained inside an enclave", "from scratch"),
        *("bees, taken for &lt;ants&gt; (75.0&nbsp;%)", "abab", "enclave: mr enclave cafe"),
        "enclave: debug no",
    ):
        assert fact in text, fact
    assert "None: every validation image" in page(verdicts[:1])
    assert "from scratch" not in page(verdicts)


def test_the_surest_mistakes_come_first_and_are_not_endless(
    verdicts: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "THUMBNAILS_AT_MOST", 2)
    wrong = [Verdict(verdicts[0].path, "bees", "<ants>", chance / 10) for chance in (5, 9, 7)]
    text = page(wrong)
    assert text.index("(90.0&nbsp;%)") < text.index("(70.0&nbsp;%)")
    assert "(50.0&nbsp;%)" not in text
    assert "The 2 that the network was surest of, out of 3." in text


def test_from_training_to_the_page(
    tiny_settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = tiny_settings
    doing.train(settings)
    doing.copy_net(settings)
    capfd.readouterr()
    made = doing.report(settings)
    assert capfd.readouterr().out.splitlines() == [str(made), str(made.with_name("curves.png"))]
    right = json.loads((tmp_path / "train" / "record.json").read_text())["metrics"]
    cells = [int(cell) for cell in re.findall(r'<td class="[a-z]*">(\d+)</td>', made.read_text())]
    assert sum(cells) == 6
    assert cells[0] + cells[3] == right["best_val_correct"]
    assert not settings.infer.out.joinpath("result.json").exists()

    settings.infer.net.write_bytes(b"another")
    record = json.loads((settings.train.out / "record.json").read_text())
    record["digests"]["net"] = sha256_file(settings.infer.net)
    (settings.infer.net.parent / "record.json").write_text(json.dumps(record))
    with pytest.raises(WorkflowError, match=r"is not the network of .*; run: inv copy-net"):
        doing.report(settings)
    (settings.train.out / "history.json").unlink()
    with pytest.raises(WorkflowError, match=r"history\.json is missing; run: inv train"):
        doing.report(settings)


def test_images_of_other_classes_than_the_networks_are_one_line(tiny_settings: Settings) -> None:
    with pytest.raises(WorkflowError) as caught:
        report.classify_validation(tiny_settings, ["ants", "bees"], partial(Classify, quiet=True))
    assert caught.value.message == (
        f"{tiny_settings.data.dir}: expected the classes of the network, ants, bees, got green, "
        "red; give the images that it was trained on: --data"
    )


WHOLE: dict[str, Any] = {
    "schema": RECORD_SCHEMA,
    "classes": ["a", "b"],
    "digests": {"net": "0" * 64},
    "backend": "native",
    "protected_from_host": False,
    "versions": {},
    "settings": {"arch": "alexnet", "method": "full", "epochs": 1},
    "images": {"train": 2, "val": 2},
    "metrics": {"best_epoch": 1, "best_val_correct": 1, "best_val_accuracy": 0.5},
}


@pytest.mark.parametrize("name", report.SHOWN)
@pytest.mark.parametrize("value", [None, [], "absent"])
def test_a_record_that_lacks_something_is_one_line(name: str, value: Any, tmp_path: Path) -> None:
    record = json.loads(json.dumps(WHOLE))
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    assert report.read_record(tmp_path) == record
    outer, _, inner = name.rpartition(".")
    holder = record[outer] if outer else record
    if value == "absent":
        del holder[inner]
    else:
        holder[inner] = value
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(WorkflowError, match=f"has no usable {name}; run: inv train"):
        report.read_record(tmp_path)


@pytest.mark.parametrize("epochs", [5, [5], [], [{"epoch": None}], [{"val_loss": "x"}], [{}]])
def test_a_damaged_history_is_one_line(epochs: Any, tmp_path: Path) -> None:
    (tmp_path / "history.json").write_text(json.dumps({"epochs": epochs}), encoding="utf-8")
    with pytest.raises(WorkflowError, match=r"history.json cannot be read .*; run: inv train"):
        report.read_history(tmp_path)
