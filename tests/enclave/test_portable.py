"""A portable run: the same network whatever the caller's machine would have taken."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

from pytorch_common.contract import PORTABLE_KERNELS, PORTABLE_THREADS, TrainOptions
from pytorch_common.files import sha256_file
from pytorch_common.start import is_portable
from tests.conftest import PROJECT
from tests.enclave.train_script import command

ELSEWHERE = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "AVX2",
}
"""What makes torch take the kernels of a smaller processor."""


def train(
    data: Path, weights: Path, out: Path, *more: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the script in a process of its own: what it sets is read once, on import."""
    words = [word for word in command(data, weights, out) if not word.startswith("--threads")]
    return subprocess.run(
        [*words, "--epochs=1", *more],
        cwd=PROJECT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["feature-extract", "full"])
def test_the_machine_does_not_decide(
    method: str, tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    digests = {}
    for name, variables in (("here", {}), ("elsewhere", ELSEWHERE)):
        for flag in ("--portable=1", "--portable=0"):
            out = tmp_path / f"{name}{flag}"
            args = (tiny_data, random_weights, out, flag, f"--method={method}")
            done = train(*args, "--threads=2", **variables)
            assert done.returncode == 0, done.stderr
            digests[name, flag] = sha256_file(out / "net.pt")
    assert digests["here", "--portable=1"] == digests["elsewhere", "--portable=1"]
    assert digests["here", "--portable=0"] != digests["elsewhere", "--portable=0"]


@pytest.mark.slow
@pytest.mark.skipif("EMULATOR" not in os.environ, reason="no emulator (name it in EMULATOR)")
@pytest.mark.parametrize("processor", ["Haswell", "EPYC"])
@pytest.mark.parametrize("method", ["feature-extract", "full"])
def test_an_emulated_processor_makes_the_same_network(
    method: str, processor: str, tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    """Run by: EMULATOR=qemu-x86_64 inv test --only emulated."""
    words = command(tiny_data, random_weights, tmp_path / "here", "--portable=1", "--epochs=1")
    words += [f"--method={method}"]
    subprocess.run(words, cwd=PROJECT, check=True, capture_output=True)
    emulated = [os.environ["EMULATOR"], "-cpu", processor, os.path.realpath(words[0]), *words[1:]]
    path = os.pathsep.join([str(PROJECT), *site.getsitepackages()])
    subprocess.run(
        [*emulated, f"--out={tmp_path / 'there'}"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
    )
    here, there = (sha256_file(tmp_path / name / "net.pt") for name in ("here", "there"))
    assert here == there


@pytest.mark.slow
def test_it_is_recorded_with_its_threads(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    done = train(tiny_data, random_weights, tmp_path / "out", TRAIN_PORTABLE="1")
    assert done.returncode == 0, done.stderr
    settings = json.loads((tmp_path / "out" / "record.json").read_text())["settings"]
    assert (settings["portable"], settings["threads"]) == (1, PORTABLE_THREADS)
    assert TrainOptions(portable=1, threads=3).thread_count() == 3


def test_where_torch_took_other_kernels_it_is_one_line(tiny_data: Path, tmp_path: Path) -> None:
    code = (
        "import torch, sys; torch.rand(64).exp(); from pytorch_train import train; "
        "from pytorch_common.script import run_script; sys.exit(run_script(train.main))"
    )
    words = [f"--data={tiny_data}", f"--out={tmp_path / 'out'}", "--method=scratch"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--portable=1"],
        cwd=PROJECT,
        env={**os.environ, "ATEN_CPU_CAPABILITY": "default"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: --portable: expected the kernels of AVX2" in done.stderr


@pytest.mark.parametrize(
    ("words", "variable", "expected"),
    [
        ([], None, False),
        (["--portable=1"], None, True),
        (["--portable", "1"], None, True),
        (["--portable=0"], "1", False),
        ([], "1", True),
        (["--data=--portable=1x"], None, False),
    ],
)
def test_it_is_seen_before_the_command_line_is_parsed(
    words: list[str], variable: str | None, expected: bool
) -> None:
    environ = {"TRAIN_PORTABLE": variable} if variable else {}
    assert is_portable(["train.py", *words], environ) is expected
    assert "ATEN_CPU_CAPABILITY" in PORTABLE_KERNELS
