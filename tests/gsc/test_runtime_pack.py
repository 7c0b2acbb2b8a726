"""What of an image is packed and what stays trusted, and the manifest with the pack."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytorch_common.contract import RUNTIME_VARIABLE
from pytorch_common.files import listing_digest
from pytorch_common.pack import Pack
from tests.conftest import PROJECT
from tests.gsc.test_manifest import made, settled
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings
from workflow.gsc import by_hand, lint, manifest, runtime_pack, tracing
from workflow.gsc.modes import MODES
from workflow.gsc.tracing import Opened
from workflow.images.packing import write_pack

TORCH = "/usr/lib/python3/dist-packages/torch/__init__.py"
OS = "/usr/lib/python3.11/os.py"
PACK = "file:/app/runtime.tar"


def opened(*after: str, before: tuple[str, ...] = (), looked_at: tuple[str, ...] = ()) -> Opened:
    return Opened(frozenset(before), frozenset(after), frozenset(looked_at))


def with_pack(mode: str = "sgx") -> dict[str, Any]:
    full = settled(made(), mode)
    needed = runtime_pack.needed(opened(TORCH, "/etc/passwd", before=(OS,)), full)
    return runtime_pack.with_runtime(full, needed, manifest.always_trusted())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (TORCH, TORCH[1:]),
        ("/usr/local/lib/python3.11/dist-packages/PIL/_avif.so", None),
        ("/usr/lib/x86_64-linux-gnu/libz.so.1", "libz.so.1"),
        ("/lib/x86_64-linux-gnu/libgomp.so.1.0.0", "libgomp.so.1.0.0"),
        ("/usr/local/lib/libx.so", "libx.so"),
        ("/usr/lib/ssl/openssl.cnf", ""),
        ("/usr/lib/x86_64-linux-gnu/libx.so.conf", ""),
        ("/etc/passwd", ""),
        ("/opt/libx.so", ""),
        ("/app/pytorch_train/train.py", ""),
    ],
)
def test_packages_keep_their_path_and_libraries_their_name(path: str, name: str | None) -> None:
    assert runtime_pack.packed_name(path) == (path[1:] if name is None else name)


def test_what_comes_before_the_pack_is_trusted_and_the_rest_is_in_it() -> None:
    other = "/usr/lib/python3.11/shutil.py"
    listed = dict.fromkeys((TORCH, OS, other, "/etc/passwd", "/etc/group", "/lib/libz.so.1"), "1")
    needed = runtime_pack.runtime(
        opened(
            *(TORCH, OS, "/etc/passwd", "/proc/self/environ", "/usr/lib/python3.11"),
            before=(OS, "/gramine/x"),
            looked_at=(other, "/etc/group", "/lib/libz.so.1"),
        ),
        listed,
    )
    assert needed.packed == {
        TORCH[1:]: TORCH,
        other[1:]: other,
        "libz.so.1": "/lib/libz.so.1",
    }
    assert needed.trusted == {OS, "/etc/passwd"}


def test_doubles_of_a_library_are_one_and_two_of_one_name_are_refused() -> None:
    paths = ("/lib/x86_64-linux-gnu/libz.so.1", "/usr/lib/x86_64-linux-gnu/libz.so.1")
    needed = runtime_pack.runtime(opened(*paths), dict.fromkeys(paths, "1"))
    assert needed.packed == {"libz.so.1": paths[0]}
    with pytest.raises(WorkflowError) as caught:
        runtime_pack.runtime(opened(*paths), {paths[0]: "1", paths[1]: "2"})
    expected = f"{paths[0]} and {paths[1]} have one name in a pack, and differ"
    assert caught.value.message == expected


def test_few_files_stay_trusted_in_their_order() -> None:
    trusted = [entry["uri"] for entry in with_pack()["sgx"]["trusted_files"]]
    assert trusted == sorted(trusted)
    assert f"file:{OS}" in trusted and "file:/etc/passwd" in trusted
    assert f"file:{TORCH}" not in trusted
    assert "file:/usr/lib/x86_64-linux-gnu/libz.so.1" not in trusted
    others = {uri for uri in trusted if uri not in (f"file:{OS}", "file:/etc/passwd")}
    always = tuple(f"file:{path}" for path in manifest.always_trusted())
    assert others and all(uri.startswith(always) for uri in others)
    assert "file:/app/pytorch_train/train.py" in others


def test_libraries_are_looked_for_in_gramines_folder_and_then_in_the_unpacked_one() -> None:
    full = settled(made())
    packed = with_pack()
    listed = {entry["uri"][5:]: entry["sha256"] for entry in full["sgx"]["trusted_files"]}
    first, *rest = full["loader"]["env"]["LD_LIBRARY_PATH"].split(":")
    paths = packed["loader"]["env"]["LD_LIBRARY_PATH"].split(":")
    assert paths == [first, "/runtime", *rest]
    assert "gramine" in first
    assert packed["fs"]["mounts"] == [
        *full["fs"]["mounts"],
        {"type": "tmpfs", "path": "/runtime"},
    ]
    assert packed["loader"]["env"][RUNTIME_VARIABLE] == listing_digest(
        f"{listed[TORCH]}  {TORCH[1:]}\n"
    )
    assert packed["sgx"]["allowed_files"] == [*full["sgx"]["allowed_files"], PACK]
    assert manifest.dumps(full) == manifest.dumps(settled(made()))


@pytest.mark.parametrize("mode", ["sgx", "direct"])
def test_the_linter_takes_the_pack_with_its_digest_alone(mode: str) -> None:
    full = settled(made(), mode)
    expected = lint.lint(full, MODES[mode])
    assert lint.lint(with_pack(mode), MODES[mode]) == expected
    for digest in ("", "abc", None, {"passthrough": True}):
        packed = with_pack(mode)
        packed["loader"]["env"][RUNTIME_VARIABLE] = digest
        found = [each for each in lint.lint(packed, MODES[mode]) if each not in expected]
        assert ("allowed-files", f'sgx.allowed_files "{PACK}"') in [
            (each.option, each.where) for each in found
        ]
    del packed["loader"]["env"][RUNTIME_VARIABLE]
    with pytest.raises(WorkflowError, match="allowed-files"):
        lint.refuse_insecure(lint.lint(packed, MODES[mode]), MODES[mode], frozenset({"old-torch"}))


def test_a_pack_is_wanted_but_where_it_would_change_nothing() -> None:
    assert runtime_pack.is_wanted(GscSettings())
    assert runtime_pack.is_wanted(GscSettings(insecure="debug-enclave"))
    assert not runtime_pack.is_wanted(GscSettings(full_list=True))
    assert not runtime_pack.is_wanted(GscSettings(insecure="allow-all-but-log"))


def index_of(folder: Path, names: dict[str, bytes]) -> tuple[str, str]:
    """Return the index of a pack of such files, and the digest by which it is known."""
    folder.mkdir()
    files = []
    for number, (name, content) in enumerate(names.items()):
        path = folder / str(number)
        path.write_bytes(content)
        files.append((name, path))
    target = io.BytesIO()
    digest = write_pack(files, target)
    archive = folder / "a.tar"
    archive.write_bytes(target.getvalue())
    assert Pack(archive, digest).entries.keys() == names.keys()
    shown = subprocess.run(["tar", "-xOf", archive, ".index"], capture_output=True, check=True)
    return shown.stdout.decode("utf-8", "surrogateescape"), digest


NAMES = {
    "libz.so.1": b"z",
    "usr/lib/python3.11/odd \x0b\x85\u2028 name.py": b"odd",
    "usr/lib/python3.11/line\nfeed \\.py": b"feed",
    "usr/lib/python3.11/\udcff.py": b"not utf-8",
}


def test_the_index_gives_the_digest_of_the_pack_whatever_its_names(tmp_path: Path) -> None:
    index, digest = index_of(tmp_path / "pack", NAMES)
    assert runtime_pack.index_digest(index) == digest
    empty, digest = index_of(tmp_path / "empty", {})
    assert runtime_pack.index_digest(empty) == digest == tracing.EMPTY_PACK_DIGEST


def test_a_pack_is_held_to_the_files_that_gsc_listed(tmp_path: Path) -> None:
    index, digest = index_of(tmp_path / "pack", NAMES)
    paths = {name: f"/usr/lib/{name}".replace("/usr/lib/usr", "/usr") for name in NAMES}
    listed = {path: hashlib.sha256(NAMES[name]).hexdigest() for name, path in paths.items()}
    needed = runtime_pack.runtime(opened(*listed), listed)
    assert (needed.packed, needed.digest) == (dict(sorted(paths.items())), digest)
    runtime_pack.check_index(index, needed)
    other, _ = index_of(tmp_path / "other", {**NAMES, "libz.so.1": b"other"})
    with pytest.raises(WorkflowError, match="of the files that GSC listed; run: inv gsc-build"):
        runtime_pack.check_index(other, needed)


def test_what_is_in_the_pack_is_written_down_and_how_it_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime_pack, "MEASUREMENTS", tmp_path / "measurements")
    (tmp_path / "measurements").mkdir()
    image, stem = "gsc-x:direct-unsigned", "gsc-x-direct-unsigned"
    files = tmp_path / "measurements" / f"{stem}.files"
    diff = files.with_suffix(".diff")
    index, _ = index_of(tmp_path / "one", NAMES)
    runtime_pack.save_index(image, index)
    lines = files.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    assert lines[0] == f"{hashlib.sha256(b'z').hexdigest()}         1 libz.so.1"
    assert len(lines) == len(NAMES) + 1
    runtime_pack.save_index(image, index)
    assert not diff.exists()
    assert "4 files, 0 MB, in the pack" in capsys.readouterr().err
    changed, _ = index_of(tmp_path / "two", {**NAMES, "libz.so.1": b"other", "new.so": b"n"})
    runtime_pack.save_index(image, changed)
    shown = diff.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    assert [line[0] + line.split()[-1] for line in shown[2:-1]] == [
        *("-libz.so.1", "+libz.so.1", "+new.so"),
    ]
    assert "what is not as in the build before, 3 lines" in capsys.readouterr().err


def by_hand_run(*words: str | Path, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "workflow.gsc.by_hand", *words]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=PROJECT)


def test_by_hand_the_manifest_is_the_same_to_the_byte(tmp_path: Path) -> None:
    listed = {
        entry["uri"][5:]: entry["sha256"] for entry in settled(made())["sgx"]["trusted_files"]
    }
    (tmp_path / "index").write_text(f"{listed[TORCH]} 5 1024 {TORCH[1:]}\n")
    what = opened(TORCH, "/etc/passwd", before=(OS,))
    (tmp_path / "opened.json").write_text(by_hand.written(what), encoding="utf-8")
    full = manifest.dumps(settled(made()))
    done = by_hand_run("settle", "sgx", tmp_path / "opened.json", tmp_path / "index", stdin=full)
    assert done.stderr == b""
    assert done.stdout == manifest.dumps(with_pack())
    names = by_hand_run("names", tmp_path / "opened.json", stdin=full)
    (tmp_path / "index").write_text(f"{'1' * 64} 5 1024 {TORCH[1:]}\n")
    other = by_hand_run("settle", "sgx", tmp_path / "opened.json", tmp_path / "index", stdin=full)
    assert (other.returncode, other.stdout) == (1, b"")
    assert b"of the files that GSC listed" in other.stderr
    assert names.stdout == runtime_pack.packed_lines({TORCH[1:]: TORCH})


@pytest.mark.parametrize("index", ["one word\n", f"{'1' * 64} 5 0 no line feed", "1 2 3 4\n\n"])
def test_an_index_that_somebody_edited_is_one_line(index: str) -> None:
    with pytest.raises(WorkflowError, match="of the pack's index is none of a file"):
        runtime_pack.index_digest(index)


def test_by_hand_a_bad_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "opened.json").write_bytes(b"no JSON")
    full = manifest.dumps(settled(made()))
    for stdin in (full, b"no = = toml"):
        done = by_hand_run("names", tmp_path / "opened.json", stdin=stdin)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
