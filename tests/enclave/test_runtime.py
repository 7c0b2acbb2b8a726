"""The runtime pack: unpacked into memory and imported from, or refused before it is used."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest

from pytorch_common import runtime
from pytorch_common.pack import INDEX
from tests.conftest import PROJECT
from workflow.images.packing import write_pack

DRIVER = """
import os
import sys
from pathlib import Path
from pytorch_common import runtime
pack, root, packages, digest, *limit = sys.argv[1:]
runtime.RUNTIME_PACK, runtime.RUNTIME_DIR = pack, root
runtime.PYTHON_FOLDERS = (packages,)
sys.path.insert(0, packages)
import before
if limit:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit[0]),) * 2)
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
if digest:
    os.environ["RUNTIME_SHA256"] = digest
runtime.unpack(os.environ)
import packed, before.later
print(packed.SAYS, packed.__file__, before.later.SAYS)
print(*sys.path, *before.__path__, sep="\\n")
"""
"""Stands for the start of a script in an image; without a pack it imports what lies in there."""
CONTENT = {
    "packed.py": b"SAYS = 'of the pack'\n",
    "before/later.py": b"SAYS = 'of the pack too'\n",
    "before/__init__.py": b"",
}
LIBRARIES = {"libbig.so.1": b"x" * 9_000_000, "liblittle.so": b"y", "libempty.so": b""}


class Image:
    """A folder that stands for an image: its packages, its pack, and its memory."""

    def __init__(self, folder: Path) -> None:
        self.pack, self.root = folder / "runtime.tar", folder / "memory"
        self.packages = folder / "packages"
        for name, content in CONTENT.items():
            path = self.packages / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.replace(b"pack", b"image"))
        self.root.mkdir()

    def packs(self, files: dict[str, bytes]) -> str:
        """Make the pack; return its digest."""
        folder = self.pack.with_name("source")
        named = []
        for number, (name, content) in enumerate(files.items()):
            path = folder / str(number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            named.append((name, path))
        target = io.BytesIO()
        digest = write_pack(named, target)
        self.pack.write_bytes(target.getvalue())
        return digest

    def packs_all(self) -> str:
        below = {f"{self.packages}/{name}"[1:]: content for name, content in CONTENT.items()}
        return self.packs({**below, **LIBRARIES})

    def starts(self, digest: str, *limit: str) -> subprocess.CompletedProcess[str]:
        """Run the driver, outside of the packages."""
        words = [self.pack, self.root, self.packages, digest, *limit]
        return subprocess.run(
            [sys.executable, "-B", "-c", DRIVER, *map(str, words)],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(PROJECT)},
        )


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return how it ended, having seen that nothing was imported."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith("; make the image anew: inv gsc-build, inv sign\n")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_everything_is_unpacked_and_imported_from_memory(image: Image) -> None:
    done = image.starts(image.packs_all())
    assert (done.returncode, done.stderr) == (0, "")
    first, *paths = done.stdout.splitlines()
    memory = f"{image.root}{image.packages}"
    assert first == f"of the pack {memory}/packed.py of the pack too"
    assert paths[0] == memory
    assert paths[-1] == f"{memory}/before"
    assert str(image.packages) not in paths
    assert str(PROJECT) in paths
    for name, content in LIBRARIES.items():
        assert (image.root / name).read_bytes() == content


def test_without_the_variable_nothing_happens(image: Image) -> None:
    image.packs_all()
    done = image.starts("")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"of the image {image.packages}/packed.py of the image too\n")
    assert list(image.root.iterdir()) == []


def test_an_empty_pack_changes_nothing(image: Image) -> None:
    done = image.starts(image.packs({}))
    assert done.stdout.startswith(f"of the image {image.packages}/packed.py of the image too\n")
    assert list(image.root.iterdir()) == []


@pytest.mark.parametrize("part", ["index", "first file", "big library", "last file"])
def test_a_changed_byte_is_one_line_before_anything_is_imported(image: Image, part: str) -> None:
    digest = image.packs_all()
    archive = bytearray(image.pack.read_bytes())
    position = {
        "index": 600,
        "first file": archive.index(b"SAYS"),
        "big library": archive.index(b"x" * 4096) + 5_000_000,
        "last file": archive.rindex(b"SAYS"),
    }[part]
    archive[position] ^= 1
    image.pack.write_bytes(archive)
    said = one_line(image.starts(digest))
    assert str(image.pack) in said


@pytest.mark.parametrize("length", [0, 100, 600, 5_000_000])
def test_a_truncated_pack_is_one_line(image: Image, length: int) -> None:
    digest = image.packs_all()
    image.pack.write_bytes(image.pack.read_bytes()[:length])
    one_line(image.starts(digest))


def test_a_missing_pack_is_one_line(image: Image) -> None:
    assert "No such file or directory" in one_line(image.starts("1" * 64))


def test_another_pack_is_one_line(image: Image) -> None:
    digest = image.packs({"libx.so": b"x"})
    said = one_line(image.starts("1" * 64))
    assert f"expected the pack of {'1' * 64}, got that of {digest}" in said
    assert list(image.root.iterdir()) == []


def test_what_goes_wrong_in_a_thread_is_one_line(image: Image) -> None:
    assert "File too large" in one_line(image.starts(image.packs_all(), "1000"))


def test_a_module_that_is_not_in_the_pack_is_one_line(image: Image) -> None:
    name = f"{image.packages}/packed.py"[1:]
    done = image.starts(image.packs({name: b"import torch_that_nobody_traced\n"}))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: No module named 'torch_that_nobody_traced': not in the image's pack; "
        "run: inv gsc-build (or inv gsc-build --full-list)\n"
    )


def test_a_bug_keeps_its_traceback(image: Image) -> None:
    name = f"{image.packages}/packed.py"[1:]
    done = image.starts(image.packs({name: b"1 / 0\n"}))
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback ") and "ZeroDivisionError" in done.stderr


def test_a_pack_that_leads_out_of_its_folder_is_refused(image: Image) -> None:
    digest = image.packs({"aa/x.py": b""})
    archive = image.pack.read_bytes()
    assert archive.startswith(INDEX.encode())
    image.pack.write_bytes(archive.replace(b"aa/x.py", b"../x.py"))
    one_line(image.starts(digest))
    assert not (image.root.parent / "x.py").exists()


def test_a_pack_that_does_not_fit_says_which_setting_helps() -> None:
    for error in (MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")):
        said = runtime._unpack_problem(error)
        assert "raise sgx.enclave_size" in said
        assert "--full-list" in said
    assert "inv sign" in runtime._unpack_problem(OSError(errno.ENOENT, "No such file"))
