"""The runtime pack of a shielded image: which files are in it, how it is made and tried.

`pytorch_common/runtime.py` unpacks it in the enclave, and says why there is one.
"""

from __future__ import annotations

import difflib
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytorch_common.contract import RUNTIME_DIR, RUNTIME_PACK, RUNTIME_VARIABLE
from pytorch_common.files import listing_digest, listing_line, write_atomically
from pytorch_common.pack import INDEX, PYTHON_FOLDERS
from workflow.core.console import note, shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, GscSettings, Settings
from workflow.gsc import manifest, tracing
from workflow.gsc.commands import dialect
from workflow.gsc.measurement import MEASUREMENTS
from workflow.gsc.tracing import Opened

PACKING = PROJECT / "workflow" / "images" / "packing.py"
INDEX_IN_IMAGE = "/gramine/app_files/runtime.index"
LIBRARY_FOLDERS = {"/lib", "/usr/lib", "/usr/local/lib"}
"""And the folder of the architecture below each: those that the loader itself goes through."""
_LIBRARY = re.compile(r"\.so(\.\d+)*$")
_ROW = re.compile(r"(\\?[0-9a-f]{64}) (\d+) \d+ ([^\n]+)")
"""Of a pack's index: digest, size, place, name."""


@dataclass(frozen=True)
class Runtime:
    """Say what a job needs of its image."""

    packed: Mapping[str, str]
    """Of each file of the pack its name there, and its path in the image."""
    trusted: frozenset[str]
    """What Gramine itself has to trust, by path: what comes before the pack, and what else there is
    beside Python's packages and libraries."""
    digest: str
    """By which the pack is known, if its files are those that GSC listed."""


def is_wanted(gsc: GscSettings, settled: Mapping[str, Any] | None = None) -> bool:
    """Tell whether there is to be a pack: not where every file is let through as it is."""
    is_any = manifest.lets_any_file(settled) if settled else "allow-all-but-log" in gsc.admitted
    return dialect(gsc).is_settled and not gsc.full_list and not is_any


def packed_manifest(
    settings: Settings, unsigned: str, tools: str, settled: Mapping[str, Any], role: str
) -> dict[str, Any]:
    """Make of a graminized image one with the pack of what its job needs; return its manifest.

    Raises: WorkflowError where the job fails.
    """
    from workflow.images import daemon

    note(f"{unsigned}: running its job under Gramine, to see what it opens")
    what = needed(tracing.trace(settings, unsigned, settled, role), settled)
    image = daemon.find_image(unsigned)
    files = {
        "packing.py": PACKING.read_bytes(),
        "packed": packed_lines(what.packed),
        "Dockerfile": pack_dockerfile(unsigned, (image and image.user) or "root").encode(),
    }
    daemon.build_files(files, tag=tools, labels={}, on_line=lambda line: None)
    index = daemon.read_file(tools, INDEX_IN_IMAGE).decode("utf-8", "surrogateescape")
    check_index(index, what)
    save_index(unsigned, index)
    return with_runtime(settled, what, manifest.always_trusted())


def try_out(settings: Settings, unsigned: str, settled: Mapping[str, Any], role: str) -> None:
    """Run the job in the finished image; where it fails, the image is taken away.

    Raises: WorkflowError.
    """
    from workflow.images import daemon

    try:
        trial = tracing.exercise_manifest(settled, is_trace=False)
        tracing.exercise(settings, unsigned, trial, role)
    except BaseException:
        daemon.remove_image(unsigned)
        raise


def needed(opened: Opened, settled: Mapping[str, Any]) -> Runtime:
    """Return what a job needs, of the files that the full manifest trusts.

    Raises: WorkflowError as ``runtime`` does.
    """
    trusted = settled["sgx"]["trusted_files"]
    return runtime(opened, {_path(entry): entry["sha256"] for entry in trusted})


def runtime(opened: Opened, listed: Mapping[str, str]) -> Runtime:
    """Return what is packed and what is trusted, of the files that GSC listed.

    ``listed`` has the SHA-256 of each file by its path.

    Raises: WorkflowError where two libraries of one name differ.
    """
    packed: dict[str, str] = {}
    for path in sorted(((opened.after | opened.looked_at) - opened.before) & listed.keys()):
        if (name := packed_name(path)) and listed[packed.setdefault(name, path)] != listed[path]:
            raise WorkflowError(f"{packed[name]} and {path} have one name in a pack, and differ")
    others = (path for path in opened.after & listed.keys() if not packed_name(path))
    names = sorted(packed, key=os.fsencode)
    digest = listing_digest("".join(listing_line(name, listed[packed[name]]) for name in names))
    return Runtime(packed, opened.before & listed.keys() | frozenset(others), digest)


def packed_name(path: str) -> str:
    """Return the name of a file in the pack, nothing where it does not belong there.

    What Python imports keeps its path. A library of the loader's own folders is found by its name
    alone. One elsewhere is opened by its path, such as a module of OpenSSL, and has to stay there.
    """
    if path.startswith(PYTHON_FOLDERS):
        return path[1:]
    folder, name = posixpath.split(path)
    is_searched = folder.removesuffix("/x86_64-linux-gnu") in LIBRARY_FOLDERS
    return name if is_searched and _LIBRARY.search(name) else ""


def pack_dockerfile(unsigned: str, user: str) -> str:
    """Return the layer that packs the files named in ``packed``, and keeps the pack's index."""
    return (
        f"FROM {unsigned}\n"
        "USER root\n"
        "COPY packing.py packed /tmp/\n"
        f"RUN PYTHONPATH=/app python3 -B /tmp/packing.py / {RUNTIME_PACK} --names < /tmp/packed "
        f"&& tar -xOf {RUNTIME_PACK} {INDEX} > {INDEX_IN_IMAGE} && rm -r /tmp/*\n"
        f"USER {user}\n"
    )


def packed_lines(packed: Mapping[str, str]) -> bytes:
    """Return what the packing program reads: a line a file, its name and its path."""
    return "".join(f"{name}\t{path[1:]}\n" for name, path in packed.items()).encode()


def check_index(index: str, needed: Runtime) -> None:
    """Hold the pack that was made, by its index, to the files that GSC listed.

    Raises: WorkflowError where it is another.
    """
    if (found := index_digest(index)) != needed.digest:
        raise WorkflowError(
            f"the pack that was made is {found}, expected {needed.digest}, of the files that GSC "
            "listed; run: inv gsc-build"
        )


def index_digest(index: str) -> str:
    """Return the digest by which a pack is known, from its index."""
    return listing_digest("".join(f"{sha256}  {name}\n" for sha256, _, name in _rows(index)))


def with_runtime(
    manifest: Mapping[str, Any], runtime: Runtime, always: Sequence[str]
) -> dict[str, Any]:
    """Return the manifest with the pack in it: few trusted files, and where libraries are found.

    ``always`` is how paths begin that are trusted whether or not they were opened.
    """
    sgx, loader, fs = (dict(manifest[section]) for section in ("sgx", "loader", "fs"))
    sgx["trusted_files"] = [
        entry
        for entry in sgx["trusted_files"]
        if (path := _path(entry)) in runtime.trusted or path.startswith(tuple(always))
    ]
    sgx["allowed_files"] = [*sgx.get("allowed_files", []), f"file:{RUNTIME_PACK}"]
    first, _, rest = loader["env"]["LD_LIBRARY_PATH"].partition(":")
    # Gramine's own libraries come first. A folder that is not there at the start is never looked at
    # again, hence the mount itself.
    paths = f"{first}:{RUNTIME_DIR}:{rest}"
    loader["env"] = {**loader["env"], "LD_LIBRARY_PATH": paths, RUNTIME_VARIABLE: runtime.digest}
    fs["mounts"] = [*fs.get("mounts", []), {"type": "tmpfs", "path": RUNTIME_DIR}]
    return {**manifest, "sgx": sgx, "loader": loader, "fs": fs}


def index_file(unsigned: str) -> Path:
    """Return where it is written down what is in the pack of an image."""
    name = unsigned.replace("/", "_").replace(":", "-")
    return MEASUREMENTS / f"{name}.files"


def save_index(unsigned: str, index: str) -> None:
    """Write down what is in the pack, beside the measurement, and in what it differs from the last.

    A line a file: its SHA-256, its size in bytes, and its name.
    """
    path = index_file(unsigned)
    new = [f"{sha256} {size:>9} {name}" for sha256, size, name in _rows(index)]
    old = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    changes = [
        line
        for line in difflib.unified_diff(old.split("\n")[:-1], new, "before", "now", "", "", 0, "")
        if not line.startswith("@@")
    ]
    write_atomically(path, "".join(f"{line}\n" for line in new).encode("utf-8", "surrogateescape"))
    total_mb = sum(int(line.split()[1]) for line in new) / 1e6
    note(f"{shown(path)}: {len(new)} files, {total_mb:.0f} MB, in the pack")
    if old and changes:
        diff = path.with_suffix(".diff")
        text = "".join(f"{line}\n" for line in changes)
        write_atomically(diff, text.encode("utf-8", "surrogateescape"))
        note(f"{shown(diff)}: what is not as in the build before, {len(changes) - 2} lines")


def _rows(index: str) -> Iterator[tuple[str, str, str]]:
    """Yield digest, size and name of each line; names may have what else ends a line.

    Raises: WorkflowError where a line is none of a pack's index.
    """
    *lines, rest = index.split("\n")
    for number, line in enumerate([*lines, *([rest] if rest else [])], 1):
        if not (row := _ROW.fullmatch(line)) or line is rest:
            raise WorkflowError(f"line {number} of the pack's index is none of a file")
        yield row[1], row[2], row[3]


def _path(entry: Mapping[str, str]) -> str:
    return entry["uri"].removeprefix("file:")
