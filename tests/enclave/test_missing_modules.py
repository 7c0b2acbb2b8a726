"""What is not in a shielded image's pack is one line when it is missed; elsewhere a traceback."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from pytorch_common.contract import RUNTIME_VARIABLE
from pytorch_common.runtime import missing_problem
from pytorch_common.script import run_script

PACKED = {RUNTIME_VARIABLE: "1" * 64}
NEXT = ": not in the image's pack; run: inv gsc-build (or inv gsc-build --full-list)"


def because(error: ImportError, cause: BaseException) -> ImportError:
    error.__cause__ = cause
    return error


LIBRARY = "libx.so.1: cannot open shared object file: No such file or directory"
NUMPYS = "\n\nIMPORTANT: PLEASE READ THIS\n\nfor advice"
SAID: list[tuple[BaseException, str]] = [
    (ModuleNotFoundError("No module named 'torch.x'"), "No module named 'torch.x'"),
    (ImportError(LIBRARY), LIBRARY),
    (OSError(LIBRARY), LIBRARY),
    (because(ImportError(NUMPYS), ImportError(LIBRARY)), LIBRARY),
    (because(ImportError(NUMPYS), ValueError()), "IMPORTANT: PLEASE READ THIS for advice"),
    *(
        (OSError(number, said, path), f"[Errno {number}] {said}: '{path}'")
        for number, said, path in (
            (errno.EACCES, "Permission denied", "/usr/lib/python3.11/os.py"),
            (errno.EPERM, "Operation not permitted", "/usr/local/lib/python3.11/x.txt"),
            (errno.ENOENT, "No such file or directory", "/runtime/libx.so"),
            (errno.EACCES, "Permission denied", "/usr/lib/x86_64-linux-gnu/libz.so.1"),
        )
    ),
]
OTHERS: list[BaseException] = [
    PermissionError(errno.EACCES, "Permission denied", "/out/net.pt"),
    FileNotFoundError(errno.ENOENT, "No such file or directory", "/app/x"),
    OSError(errno.ENOSPC, "No space left on device", "/runtime/x"),
    OSError("something else"),
    ValueError("no module"),
]


@pytest.mark.parametrize(("error", "said"), SAID)
def test_it_names_what_is_missing_and_the_command(error: BaseException, said: str) -> None:
    assert missing_problem(error, PACKED) == said + NEXT


@pytest.mark.parametrize(("error", "said"), SAID)
def test_an_image_without_a_pack_misses_nothing(error: BaseException, said: str) -> None:
    assert missing_problem(error, {}) is None
    assert missing_problem(error, {RUNTIME_VARIABLE: ""}) is None


@pytest.mark.parametrize("error", OTHERS)
def test_other_errors_are_none_of_the_packs(error: BaseException) -> None:
    assert missing_problem(error, PACKED) is None


def ends(error: BaseException) -> int:
    def main(argv: Sequence[str]) -> int:
        raise error

    return run_script(main)


def test_a_script_in_a_shielded_image_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(RUNTIME_VARIABLE, "1" * 64)
    assert ends(ModuleNotFoundError("No module named 'torch.x'")) == 1
    assert capsys.readouterr().err == f"error: No module named 'torch.x'{NEXT}\n"
    assert ends(PermissionError(errno.EACCES, "Permission denied", "/usr/lib/python3/x")) == 1
    assert capsys.readouterr().err.endswith(f"'/usr/lib/python3/x'{NEXT}\n")
    assert ends(OSError(errno.ENOSPC, "No space left on device", "/out/x")) == 1
    assert "make room" in capsys.readouterr().err


def test_elsewhere_the_traceback_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUNTIME_VARIABLE, raising=False)
    with pytest.raises(ModuleNotFoundError):
        ends(ModuleNotFoundError("No module named 'torch.x'"))
