"""Unpack what Python and torch are made of into the enclave's memory, before it is imported.

Gramine looks at each file that it is to trust three times, with a SHA-256 in plain C: for 600 MB
of libraries that is twenty seconds. In a shielded image they lie in one pack, which Gramine takes
as it is (``sgx.allowed_files``). While its files are copied into memory, each is held to the digest
in the measured manifest, with OpenSSL, which has the processor's own instruction for that. Nothing
of the pack is used before all of it was found to be right.

Which files are in the pack, and which must come before it, was traced when the image was made:
workflow/gsc/tracing.py. Standard library only, and little of it: what this imports is measured.
"""

from __future__ import annotations

import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Mapping

from pytorch_common.contract import ERROR_PREFIX, RUNTIME_DIR, RUNTIME_PACK, RUNTIME_VARIABLE
from pytorch_common.errors import RunError
from pytorch_common.files import printable
from pytorch_common.pack import PYTHON_FOLDERS, Pack

THREADS = 2
LIBRARY_FOLDERS = ("/lib/", "/usr/lib/", "/usr/local/lib/")
_NOT_THERE = {errno.ENOENT, errno.EACCES, errno.EPERM}


def unpack(environ: Mapping[str, str]) -> None:
    """Unpack the image's pack, if it has one, and have Python import from there.

    Leaves with one line and status 1 where the pack is not the one that was measured.
    """
    digest = environ.get(RUNTIME_VARIABLE)
    if not digest:
        return
    try:
        pack = Pack(Path(RUNTIME_PACK), digest)
        _unpack_all(pack, Path(RUNTIME_DIR))
    except (RunError, OSError, MemoryError) as error:
        sys.exit(f"{ERROR_PREFIX}{printable(_unpack_problem(error))}")
    if pack.entries:
        _import_from(RUNTIME_DIR)
        sys.excepthook = _say_what_is_missing  # torch is imported before any function is called


def _unpack_problem(error: Exception) -> str:
    """Say in one line why the pack could not be unpacked, and what to do."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return (
            f"{RUNTIME_PACK} does not fit into the enclave's memory; raise sgx.enclave_size in "
            "manifests/, or do without: inv gsc-build --full-list"
        )
    return f"{error}; make the image anew: inv gsc-build, inv sign"


def missing_problem(error: BaseException | None, environ: Mapping[str, str]) -> str | None:
    """Say in one line which module or library is not in the image's pack, None where it is no such.

    Gramine gives no file that is neither trusted nor in the pack.
    """
    if not environ.get(RUNTIME_VARIABLE):
        return None
    while isinstance(error, ImportError) and isinstance(error.__cause__, ImportError):
        error = error.__cause__
    if isinstance(error, ImportError) or (isinstance(error, OSError) and _is_library(error)):
        what = " ".join(str(error).split())
        return f"{what}: not in the image's pack; run: inv gsc-build (or inv gsc-build --full-list)"
    return None


def _is_library(error: OSError) -> bool:
    """Tell whether the error is of a file of Python or its libraries."""
    if isinstance(error.filename, str):
        folders = (f"{RUNTIME_DIR}/", *PYTHON_FOLDERS, *LIBRARY_FOLDERS)
        return error.errno in _NOT_THERE and error.filename.startswith(folders)
    return "cannot open shared object file" in str(error)  # the loader's words, as ctypes has them


def _say_what_is_missing(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print one line in place of the traceback where something is not in the pack."""
    problem = missing_problem(error, os.environ)
    if problem is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(f"{ERROR_PREFIX}{printable(problem)}", file=sys.stderr, flush=True)  # noqa: T201


def _unpack_all(pack: Pack, root: Path) -> None:
    """Write every file of the pack below the folder, the largest first."""
    for folder in sorted({os.path.dirname(name) for name in pack.entries}):  # noqa: PTH120
        (root / folder).mkdir(parents=True, exist_ok=True)
    largest_first = sorted(pack.entries, key=lambda name: -pack.entries[name].size)

    def unpack_one(name: str) -> None:
        with open(root / name, "wb", buffering=0) as file:  # noqa: PTH123
            file.truncate(pack.entries[name].size)  # or Gramine would copy it as often as it grows
            for part in pack.parts(name):
                file.write(part)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(unpack_one, largest_first))


def _import_from(root: str) -> None:
    """Have Python look for modules in the unpacked folders, in place of those of the image.

    Also for those of packages that are imported already, such as the standard library's.
    """
    sys.path[:] = [_below(root, path) for path in sys.path]
    for module in list(sys.modules.values()):
        if paths := getattr(module, "__path__", None):
            module.__path__ = [_below(root, path) for path in paths]


def _below(root: str, path: str) -> str:
    return root + path if path.startswith(PYTHON_FOLDERS) else path
