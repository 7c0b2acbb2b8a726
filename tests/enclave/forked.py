"""The scripts, each in a process forked from one that has their imports: a second less for each.

What a script does on its import, and on a signal, is tested in processes of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from workflow.core.settings import PROJECT

SCRIPTS = ("pytorch_train.train", "pytorch_infer.pytorchexample")
TIMEOUT_S = 120
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(SCRIPTS))


def run_script(
    script: str, args: list[str], *, stdin: bytes = b"", cwd: Path = PROJECT
) -> subprocess.CompletedProcess[bytes]:
    """Run the script to its end, as ``python -m SCRIPT ARGS`` in the folder does."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("in", "out", "err")]
        streams[0].write_bytes(stdin)
        process = _context.Process(
            target=_run, args=(script, args, str(cwd), dict(os.environ), streams)
        )
        process.start()
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([script, *args], TIMEOUT_S)
        _, out, err = (path.read_bytes() for path in streams)
        return subprocess.CompletedProcess([script, *args], process.exitcode, out, err)


def _run(
    script: str, args: list[str], cwd: str, environment: dict[str, str], streams: list[Path]
) -> None:
    """Be the script: with these streams, in this folder, as the main module."""
    for number, path in enumerate(streams):
        flags = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        os.dup2(os.open(path, flags, 0o600), number)
    sys.stdin = open(0, encoding=sys.stdin.encoding, errors=sys.stdin.errors)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.modules.pop(script)  # imported ahead with all that it needs; run anew
    sys.argv[1:] = args
    runpy.run_module(script, run_name="__main__", alter_sys=True)
