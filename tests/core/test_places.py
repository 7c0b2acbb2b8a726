"""Places that are another user's, closed, full or none: one line with the mend, in every task."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks
from pytorch_common import files, places
from pytorch_common.checkpoint import save_net
from pytorch_common.contract import RECORD_SCHEMA
from pytorch_common.network import build_network
from pytorch_common.preprocess import preprocessing
from tests.conftest import PROJECT, paint
from workflow.core.errors import WorkflowError
from workflow.core.task import Task

STRANGER = 12345
"""A user without a name, whose the closed folders are where the tests run as root."""
WITHOUT_RIGHTS = [
    *("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner,-chown"),
    "--inh-caps=-all",
]
"""Root that may do no more with other users' files than anybody."""

needs_setpriv = pytest.mark.skipif(
    os.getuid() == 0 and not shutil.which("setpriv"), reason="no setpriv to give up root's rights"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project after a training and a classification, made by hand."""
    folder = tmp_path_factory.mktemp("places") / "the project"
    for name in ("workflow", "pytorch_common", "pytorch_train", "pytorch_infer"):
        shutil.copytree(
            PROJECT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "net.pt", "model", "hymenoptera_*"),
        )
    shutil.copy(PROJECT / "tasks.py", folder)
    settings = {"arch": "squeezenet1_1", "method": "scratch"}
    sha256 = save_net(
        folder / "net.pt",
        build_network("squeezenet1_1", 2, "scratch").state_dict(),
        classes=["ants", "bees"],
        preprocess=preprocessing(224),
        settings=settings,
    )
    record = {
        "schema": RECORD_SCHEMA,
        "classes": ["ants", "bees"],
        "digests": {"net": sha256},
    }
    for place in (folder / "out" / "train", folder / "pytorch_infer"):
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "net.pt", place)
        (place / "record.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "out" / "infer").mkdir()
    (folder / "out" / "infer" / "result.txt").touch()
    for split in ("train", "val"):
        for name in ("ants", "bees"):
            paint(folder / "mine" / split / name / "1.png", (1, 2, 3), 1)
    return folder


@pytest.fixture
def closed(project: Path) -> Iterator[None]:
    """Make the folders that tasks write to another user's, or close them where this is not root."""
    folders = [project / name for name in ("out", "pytorch_infer", "pytorch_train")]
    paths = [path for folder in folders for path in (folder, *folder.rglob("*"))]
    for path in paths:
        if os.getuid() == 0:
            os.chown(path, STRANGER, STRANGER)
        elif path.is_dir():
            path.chmod(0o555)
    yield
    for path in paths:
        if os.getuid() == 0:
            os.chown(path, 0, 0)
        elif path.is_dir():
            path.chmod(0o755)


def inv(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a task of the copy, as somebody who may not do everything."""
    program = [sys.executable, "-B", str(project / "workflow" / "core" / "program.py")]
    return subprocess.run(
        [
            *(WITHOUT_RIGHTS if os.getuid() == 0 else []),
            *program,
            *("--search-root", project),
            *args,
        ],
        cwd=project,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )


NATIVE = ["--backend", "native"]
WRITING = {
    "classify": ([*NATIVE, "--image", "mine/val/bees"], "out"),
    "clean-result": ([], "out"),
    "clean": ([], "out"),
    "copy-net": ([], "pytorch_infer"),
    "train": ([*NATIVE, "--data", "mine", "--weights", "mine/val/bees/1.png"], "out"),
    "fetch-hymenoptera": (["--sample"], "pytorch_train"),
    "download-model": (["--source", "mine/val/bees/1.png"], "pytorch_train"),
}


@needs_setpriv
@pytest.mark.parametrize("name", WRITING)
def test_another_users_folder_is_one_line_with_owner_and_mend(
    name: str, project: Path, closed: None
) -> None:
    args, folder = WRITING[name]
    done = inv(project, name, *args)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    if os.getuid() == 0:
        how = (
            f"{folder} belongs to user {STRANGER}; run: sudo chown -R $(id -u):$(id -g) '{folder}'"
        )
    else:
        how = f"{folder} is closed to its owner; run: chmod -R u+rwX '{folder}'"
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{folder}/")
    assert last.endswith(f": Permission denied: {how}")


@pytest.mark.parametrize("name", tasks.ns.task_names)
def test_every_task_has_it(name: str) -> None:
    assert isinstance(tasks.ns[name], Task)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.EROFS, "Read-only file system", "/x/y"),
            "/x/y: Read-only file system; name",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            "/x/y: No space left on device; ",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "a file: No space left on device; make"),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "/x"),
            "/x: File name too long; name an",
        ),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "/x"),
            "/x: Not a directory; name an",
        ),
        (
            FileExistsError(errno.EEXIST, "File exists", b"/x"),
            "/x: File exists; name another place",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file"),
            "the folder that you are in is no longer ",
        ),
    ],
)
def test_a_place_that_does_not_serve_is_one_line(error: OSError, line: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        Task(lambda ctx: _raise(error))(_context())
    assert caught.value.message.startswith(line)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"),
        PermissionError(errno.EPERM, "Operation not permitted"),
        OSError(errno.EBADF, "Bad file descriptor", "/x"),
        OSError(errno.EISDIR, "Is a directory", 5),
        OSError("something"),
    ],
)
def test_a_bug_keeps_its_traceback(error: OSError) -> None:
    with pytest.raises(OSError) as caught:
        Task(lambda ctx: _raise(error))(_context())
    assert caught.value is error


def test_outside_the_project_nothing_is_said_of_chown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places.os, "access", lambda path, mode: False)
    monkeypatch.setattr(places.os, "getuid", lambda: STRANGER)
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "none" / "x"))
    try:
        owner = tmp_path.owner()
    except KeyError:
        owner = f"user {tmp_path.stat().st_uid}"
    assert places.place_problem(error, PROJECT) == (
        f"{error.filename}: Permission denied: {tmp_path} belongs to {owner}; name another place"
    )


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError) as caught:
        files.write_atomically(tmp_path / "net.pt", b"1")
    assert caught.value.filename == str(tmp_path / "net.pt")
    assert list(tmp_path.iterdir()) == []


def _raise(error: OSError) -> None:
    raise error


def _context() -> object:
    from invoke import Context

    return Context()


@pytest.mark.parametrize(
    "args", [["train", "--out"], ["copy-net", "--out"], ["train", "--data"], ["train", "--weights"]]
)
@pytest.mark.parametrize("dry", [[], ["--dry"]])
def test_a_link_to_itself_is_one_line(
    args: list[str], dry: list[str], project: Path, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    given = {"--data": str(project / "mine"), args[1]: str(tmp_path / "loop")}
    if args[0] == "copy-net":
        del given["--data"]
    done = inv(project, *dry, args[0], *(word for pair in given.items() for word in pair))
    assert "Traceback" not in done.stderr
    assert done.returncode == 1 or dry
