"""The files of settings: what is wrong in one is a line with its place, in every task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROGRAM, PROJECT
from workflow.core import config_files
from workflow.core.configuration import from_files, read
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings

YAML = {
    "train:\n\tepochs: 3\n": "2: not YAML: found character '\\t' that cannot start any token",
    "train: {epochs: 3\n": "2: not YAML: expected ',' or '}', but got '<stream end>'",
    "a: b: c\n": "1: not YAML: mapping values are not allowed here",
    "train: {epochs: !x 3}\n": "1: not YAML: could not determine a constructor for the tag '!x'",
    "train: &a {epochs: *a}\n": "1: not YAML: found unconstructable recursive node",
    "train: {seed: 2025-13-45}\n": " not YAML: month must be in 1..12",
    "--- 1\n--- 2\n": "2: not YAML: but found another document",
    "a: \x01\n": " not YAML: unacceptable character #x0001: special characters",
    "- train\n": " expected sections with keys, got ['train']",
    "text\n": " expected sections with keys, got 'text'",
    "\ntrain: 5\n": "2: train: expected a section with keys, got 5",
    "train: [1]\n": "1: train: expected a section with keys, got [1]",
    "train: []\n": "1: train: expected a section with keys, got []",
    "train: {}\ndata: {}\ntrain: {}\n": "3: train stands there twice; keep one",
    "train:\n  seed: 1\n  seed: 2\n": "3: seed stands there twice; keep one",
    "trian: {}\n": "1: unknown setting trian; did you mean train?",
    "train:\n  epoch: 3\n": "2: unknown setting train.epoch; did you mean train.epochs?",
    "train:\n  epochs: many\n": "2: train.epochs: expected a whole number, got 'many'",
    "train:\n  epochs:\n": "2: train.epochs: expected a whole number, got nothing",
    "train:\n  epochs: {a: 1}\n": "2: train.epochs: expected a whole number, got {'a': 1}",
    'model: {arch: "a\\nb"}\n': "1: model.arch: expected one line of text, got 'a\\nb'",
    'infer: {out: "a\\0b"}\n': "1: infer.out: expected one line of text, got 'a\\x00b'",
    "train:\n  epochs: 0\n": "2: epochs: expected 1 or more, got 0",
    "model:\n  arch: lenet\n": "2: model.arch: expected one of resnet18, ",
    "train:\n  out: ~nobody-of-that-name/x\n": "2: train.out: no home folder for ~nobody",
}


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which all three files are looked for, alone."""
    monkeypatch.chdir(tmp_path)
    for name in ("SYSTEM", "USER", "OWN"):
        monkeypatch.setattr(config_files, name, str(tmp_path / name.lower()))
    return tmp_path


def refusal() -> str:
    with pytest.raises(WorkflowError) as caught:
        read({})
    assert "\n" not in caught.value.message
    return str(caught.value.message)


@pytest.mark.parametrize("text", YAML)
def test_what_cannot_be_is_named_with_file_and_line(text: str, own: Path) -> None:
    (own / "own.yaml").write_text(text, encoding="utf-8")
    assert refusal().startswith(f"own.yaml:{YAML[text]}")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("own.yml", b"train: 5", "own.yml:1: train: expected a section with keys, got 5"),
        (
            "own.yaml",
            "train: {}\n# Gr\xfc\xdfe".encode("latin-1"),
            "own.yaml:2: expected text in UTF",
        ),
        ("own.json", b'{"train": {"epochs": 3,}}', "own.json:1: not JSON: "),
        ("own.json", b'{"train": 5}', "own.json: train: expected a section with keys, got 5"),
        ("own.json", b"[]", "own.json: expected sections with keys, got []"),
        ("own.json", b'{"train": {"seed": 1, "seed": 2}}', "own.json: seed stands there twice"),
        ("own.py", b"train = {\n", "own.py:1: SyntaxError: '{' was never closed"),
        ("own.py", b"import os\nos.no_such\n", "own.py:2: AttributeError: "),
        ("own.py", b"train = 5\n", "own.py: train: expected a section with keys, got 5"),
    ],
)
def test_the_other_formats_too(name: str, data: bytes, message: str, own: Path) -> None:
    (own / name).write_bytes(data)
    assert refusal().startswith(message)


def test_a_file_that_cannot_be_opened_is_named(own: Path) -> None:
    (own / "own.yaml").mkdir()
    assert refusal() == "own.yaml cannot be read: Is a directory"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "train:\n",
        "train: ~\nrun:\n",
        "train: {}\n",
        "run: {echo: true}\nsudo: 5\n",
    ],
)
def test_what_is_empty_means_the_defaults(text: str, own: Path) -> None:
    (own / "own.yaml").write_text(text, encoding="utf-8")
    assert read({}) == Settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.yaml", "train: {epochs: 7}"),
        ("own.yml", "\ufefftrain: {epochs: 7}"),
        ("own.json", '{"train": {\t"epochs": 7}}'),
        ("own.py", "import os\n_half = 3\ntrain = {'epochs': 2 * _half + 1}"),
    ],
)
def test_each_format_sets_what_it_says(name: str, text: str, own: Path) -> None:
    (own / name).write_text(text, encoding="utf-8")
    assert read({}).train.epochs == 7


def test_the_first_suffix_counts(own: Path) -> None:
    (own / "own.yaml").write_text("train: {epochs: 7}", encoding="utf-8")
    (own / "own.json").write_text("damaged", encoding="utf-8")
    assert read({}).train.epochs == 7


@pytest.mark.parametrize("name", ["user", "system"])
def test_what_is_of_another_project_is_passed_over(
    name: str, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / f"{name}.yaml").write_text(
        "myproject: {deploy: [1, 2]}\ntrain: {epochs: 7, engine: steam}\ndata: /mine\n",
        encoding="utf-8",
    )
    assert read({}).train.epochs == 7
    assert capsys.readouterr().err == (
        f"{name}.yaml:3: data: no section with keys, hence passed over\n"
    )


@pytest.mark.parametrize("name", ["user", "system"])
def test_a_value_of_ours_that_cannot_be_is_named_there(name: str, own: Path) -> None:
    (own / f"{name}.yaml").write_text("infer:\n  top_k: 0\n", encoding="utf-8")
    assert refusal() == f"{name}.yaml:2: infer.top_k: expected 1 or more, got 0"


def test_each_stands_over_the_one_before(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("system", "user", "own", "named"), start=1):
        (own / f"{name}.yaml").write_text(json.dumps({"train": {"epochs": number}}), "utf-8")
        given = from_files("named.yaml" if name == "named" else None)
        assert [entry.value for entry in given] == list(range(1, number + 1))
    monkeypatch.setenv("INVOKE_TRAIN_EPOCHS", "5")
    assert read({}).train.epochs == 5
    assert read({}, {"train.epochs": "6"}).train.epochs == 6


def test_a_variable_that_cannot_be_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "own.yaml").write_text("train: {epochs: 3}\nmodel: {arch: alexnet}\n", "utf-8")
    monkeypatch.setenv("INVOKE_TRAIN_EPOCHS", "few")
    assert refusal() == "INVOKE_TRAIN_EPOCHS: train.epochs: expected a whole number, got 'few'"
    monkeypatch.setenv("INVOKE_TRAIN_EPOCHS", "0")
    assert refusal() == "INVOKE_TRAIN_EPOCHS: epochs: expected 1 or more, got 0"


def inv(home: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a task as ./inv does."""
    program = [sys.executable, str(PROGRAM)]
    return subprocess.run(
        [*program, "--search-root", str(PROJECT), *args],
        cwd=home,
        env={**os.environ, "HOME": str(home), **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.mark.parametrize(
    "text", ["run: 5\n", "train: 5\n", "train:\n", "x: [1]\n", "tasks: {x: 1}\n"]
)
def test_a_users_file_of_another_project_stops_no_task(text: str, tmp_path: Path) -> None:
    (tmp_path / ".invoke.yaml").write_text(text, encoding="utf-8")
    done = inv(tmp_path, "--dry", "clean-result", INVOKE_TRAIN_EPOCHS="3")
    assert (done.returncode, done.stdout[:6]) == (0, "rm -f ")
    assert "Traceback" not in done.stderr
    assert inv(tmp_path, "--list").stdout.startswith("Available tasks:")


def test_a_damaged_users_file_is_one_line_in_every_call(tmp_path: Path) -> None:
    (tmp_path / ".invoke.yaml").write_text("train:\n\tepochs: 3\n", encoding="utf-8")
    for args in (["--list"], ["clean-result"], ["--help", "train"]):
        done = inv(tmp_path, *args)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            ".invoke.yaml:2: not YAML: found character '\\t' that cannot start any token\n"
        )


def test_the_named_file_is_read_and_refused_like_our_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("infer:\n  ouut: x\n", encoding="utf-8")
    for args, variables in (
        (["--config", "mine.yaml"], {}),
        ([], {"INVOKE_RUNTIME_CONFIG": "mine.yaml"}),
    ):
        done = inv(tmp_path, *args, "clean-result", **variables)
        assert (done.returncode, done.stderr) == (
            1,
            "mine.yaml:2: unknown setting infer.ouut; did you mean infer.out?\n",
        )
    done = inv(tmp_path, "--config", "none.yaml", "clean-result")
    assert done.stderr == "none.yaml cannot be read: No such file or directory\n"


def test_a_file_called_invoke_py_stands_in_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "invoke.py").write_text("raise SystemExit(9)\n", encoding="utf-8")
    assert inv(tmp_path, "--list").returncode == 0


def test_a_closed_pipe_is_no_traceback(tmp_path: Path) -> None:
    program = f"{sys.executable} {PROGRAM} --search-root {PROJECT}"
    done = subprocess.run(
        ["bash", "-c", f"{program} --list | true; exit ${{PIPESTATUS[0]}}"],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.stderr == ""
    assert done.returncode in (0, 141)
