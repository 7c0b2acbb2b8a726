"""Running programs and scripts: lines, statuses, signals, progress."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from workflow.backends import native
from workflow.core import shell
from workflow.core.errors import WorkflowError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_capture_keeps_status_and_both_outputs() -> None:
    done = shell.capture(python("import sys; print(1); print(2, file=sys.stderr); sys.exit(7)"))
    assert (done.returncode, done.stdout, done.stderr) == (7, "1\n", "2\n")
    assert shell.capture(["no-such-program-here"]).returncode == 127


def test_lines_come_as_they_are_written_and_the_status_is_kept() -> None:
    times: list[float] = []
    code = "import sys,time\nfor _ in 'ab': print('x', file=sys.stderr, flush=True); time.sleep(.3)"
    status = shell.stream(python(code + "\nsys.exit(9)"), lambda line: times.append(time.time()))
    assert status == 9
    assert times[1] - times[0] > 0.2


def test_a_program_that_does_not_read_its_input_is_no_error() -> None:
    assert shell.stream(python("pass"), print, stdin=b"x" * 1_000_000) == 0


def test_an_error_while_reading_leaves_no_process_behind(tmp_path: Path) -> None:
    code = "import os,sys,time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)"
    seen: list[int] = []

    def stop(line: str) -> None:
        seen.append(int(line))
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        shell.stream(python(code), stop)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_to_the_runner_ends_the_script_too(number: int, status: int) -> None:
    child = "import os,sys,time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)"
    code = f"""
import sys
from workflow.core import shell
try:
    shell.stream([sys.executable, "-c", {child!r}], lambda line: print(line, flush=True))
except KeyboardInterrupt:
    sys.exit(130)
"""
    runner = subprocess.Popen(python(code), cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    with runner.stdout as lines:
        pid = int(lines.readline())
        runner.send_signal(number)
        assert runner.wait(20) == status
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    code = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from workflow.core.shell import exit_on_signals\n"
        "with exit_on_signals(): os.kill(os.getpid(), signal.SIGHUP)\n"
        "assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    )
    assert shell.capture(python(code), cwd=PROJECT).returncode == 0


def script(tmp_path: Path, code: str) -> str:
    path = tmp_path / "script.py"
    path.write_text("import os, sys\n" + code)
    return str(path)


def test_a_scripts_own_error_and_status_are_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "print('working', file=sys.stderr); print('error: no such net', file=sys.stderr)"
    with pytest.raises(WorkflowError) as caught:
        native.run_native(Path(script(tmp_path, code + "; sys.exit(5)")), [])
    assert (caught.value.message, caught.value.code) == ("no such net", 5)
    assert capfd.readouterr().err == "working\n"


def test_a_traceback_is_shown_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert native.run_native(Path(script(tmp_path, "raise ValueError('a bug')")), []) == 1
    err = capfd.readouterr().err
    assert "Traceback (most recent call last):" in err
    assert "ValueError: a bug" in err


def test_a_run_that_is_killed_says_so_with_137(tmp_path: Path) -> None:
    path = script(tmp_path, "import signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(WorkflowError) as caught:
        native.run_native(Path(path), [])
    assert caught.value.message == "script.py was killed from outside (status 137)"
    assert caught.value.code == 137


def test_a_reader_who_has_gone_ends_a_program_without_a_word(tmp_path: Path) -> None:
    by_script = script(
        tmp_path,
        "from pytorch_common.script import answer, leave, run_script\n"
        "leave(run_script(lambda argv: answer('x')))",
    )
    codes = [
        "from workflow.core.console import answer; answer('x')",
        f"from pathlib import Path; from workflow.backends.native import run_native; "
        f"run_native(Path({by_script!r}), [])",
    ]
    for code in codes:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(python(code), cwd=PROJECT, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b"")


def test_a_run_that_is_interrupted_says_so_with_130(tmp_path: Path) -> None:
    path = script(tmp_path, "import signal; os.kill(os.getppid(), signal.SIGINT); signal.pause()")
    with pytest.raises(WorkflowError) as caught:
        native.run_native(Path(path), [])
    assert (caught.value.message, caught.value.code) == ("interrupted", 130)


def test_a_native_run_sees_no_option_of_an_image_and_no_other_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("TRAIN_EPOCHS", "INFER_TOP_K", "RUN_BACKEND", "PYTHONSTARTUP", "KEPT"):
        monkeypatch.setenv(name, "99")
    code = "print(sorted(n for n in os.environ if n.startswith(('TRAIN', 'INFER', 'RUN_', 'K'))))"
    code += "; print(os.environ['RUN_BACKEND'], os.environ['PYTHONPATH'])"
    assert native.run_native(Path(script(tmp_path, code)), []) == 0
    first, second = capfd.readouterr().out.splitlines()
    assert first == "['KEPT', 'RUN_BACKEND', 'RUN_PROGRESS']"
    assert second == f"native {PROJECT}"


def test_progress_is_drawn_and_never_printed_as_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = """
sys.path.insert(0, os.environ["PYTHONPATH"])
from pytorch_common.script import Progress
for _ in Progress().follow(range(3), "epoch 1/2 train"):
    pass
print("epoch 1/2 done", file=sys.stderr)
"""
    assert native.run_native(Path(script(tmp_path, code)), []) == 0
    assert capfd.readouterr().err == "epoch 1/2 done\n"
