"""Names that the terminal's encoding lacks are shown with escapes; files are UTF-8, said so."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROGRAM, PROJECT
from workflow.core import console, shell
from workflow.core.errors import WorkflowError
from workflow.core.task import Task

NAME = "Bienen-Gr\xf6\xdfe \u8702 \U0001f41d.jpg"
ROOMS = ("workflow", "converters", "benchmarks", "pytorch_common", "pytorch_train", "pytorch_infer")
ASCII = {
    "PYTHONIOENCODING=ascii": {"PYTHONIOENCODING": "ascii"},
    "LC_ALL=C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def text_calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that read or write text."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        modes = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        opens = name == "open" and any(str(mode) in ("r", "w", "a", "x") for mode in modes)
        if name in ("read_text", "write_text", "TextIOWrapper") or opens or "text" in keywords:
            yield node


@pytest.mark.parametrize("room", ROOMS)
def test_every_text_is_read_and_written_in_a_named_encoding(room: str) -> None:
    for path in sorted((PROJECT / room).rglob("*.py")):
        for call in text_calls(ast.parse(path.read_text(encoding="utf-8"))):
            named = "encoding" in {keyword.arg for keyword in call.keywords}
            assert named, f"{path}:{call.lineno}: {ast.unparse(call)}"


def test_the_rule_sees_what_it_must() -> None:
    source = "p.read_text(); p.write_text('x'); open(p, 'w'); run(a, text=True); open(p, 'rb')"
    assert len(list(text_calls(ast.parse(source)))) == 4


def printed(encoding: str, monkeypatch: pytest.MonkeyPatch, line: str, *, as_json: bool) -> bytes:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    (console.answer_json if as_json else console.answer)(line)
    return stream.buffer.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_an_answer_is_shown_in_every_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"{NAME}: bees 100.0%"
    shown = printed(encoding, monkeypatch, line, as_json=False)
    assert shown.endswith(b": bees 100.0%\n")
    assert (shown.decode(encoding) == line + "\n") == (encoding == "utf-8")
    raw = os.fsdecode(b"\xff.jpg")
    assert printed(encoding, monkeypatch, raw, as_json=False) == b"\\udcff.jpg\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_json_is_json_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"image": NAME}, indent=2, ensure_ascii=False)
    shown = printed(encoding, monkeypatch, text, as_json=True).decode(encoding)
    assert json.loads(shown) == {"image": NAME}
    assert (shown == text + "\n") == (encoding == "utf-8")


@pytest.mark.parametrize("how", ASCII)
def test_the_scripts_print_with_escapes(how: str) -> None:
    code = f"""
from pytorch_common.script import answer, note, run_script
def main(args):
    note({NAME!a})
    answer({NAME!a})
    return 0
raise SystemExit(run_script(main))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**os.environ, **ASCII[how]},
        capture_output=True,
    )
    escaped = NAME.encode("ascii", "backslashreplace") + b"\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, escaped, escaped)


@pytest.mark.parametrize("how", ASCII)
@pytest.mark.parametrize(
    "args",
    [
        ["--list"],
        ["--help", "train"],
        ["--dry", "classify", "--backend", "docker", "--image", NAME],
        ["classify", "--net", NAME, "--image", NAME],
        ["train", "--data", NAME, "--method", "scratch"],
    ],
)
def test_no_task_ends_in_a_traceback(how: str, args: list[str], tmp_path: Path) -> None:
    program = [sys.executable, str(PROGRAM)]
    done = subprocess.run(
        [*program, "--search-root", str(PROJECT), *args],
        cwd=tmp_path,
        env={**os.environ, **ASCII[how]},
        capture_output=True,
    )
    assert b"Traceback" not in done.stderr
    assert done.stdout or done.stderr.count(b"\n") == 1
    (done.stdout + done.stderr).decode("ascii")


def test_a_setting_that_the_locale_cannot_name_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f"infer: {{out: '{NAME}'}}", encoding="utf-8")
    program = [
        sys.executable,
        str(PROGRAM),
        "--config",
        "own.yaml",
    ]
    done = subprocess.run(
        [*program, "--search-root", str(PROJECT), "clean-result"],
        cwd=tmp_path,
        env={**os.environ, **ASCII["LC_ALL=C"]},
        capture_output=True,
    )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(b"the encoding of this locale (ascii) lacks letters of '")
    assert done.stderr.endswith(b"; run: export LC_ALL=C.UTF-8\n")


def test_a_decoding_error_is_a_bug_and_keeps_its_traceback() -> None:
    from invoke import Context

    def broken(ctx: Context) -> None:
        b"\xff".decode("ascii")

    with pytest.raises(UnicodeDecodeError):
        Task(broken)(Context())
    with pytest.raises(WorkflowError, match="lacks letters"):
        Task(lambda ctx: NAME.encode("ascii"))(Context())


def test_what_a_program_prints_is_taken_in_any_encoding() -> None:
    done = shell.capture([sys.executable, "-c", r"import os; os.write(1, b'\xff\xc3\xb6')"])
    assert done.stdout == "\ufffd\xf6"


def test_a_class_whose_name_is_no_utf_8_is_refused_before_training(
    tiny_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    for split in ("train", "val"):
        (data / split / "red").rename(os.fsdecode(os.fsencode(data / split) + b"/r\xff"))
    command = [sys.executable, "-m", "pytorch_train.train", f"--data={data}", "--method=scratch"]
    done = subprocess.run(
        [*command, f"--out={tmp_path / 'out'}"], cwd=PROJECT, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        f"error: {data}: expected printable class names, got 'r\\udcff'\n"
    )
