"""A script in a container: its answers, its progress, its errors, in each backend."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.conftest import PROJECT, SOCKETS
from workflow.backends.container import run_container
from workflow.core.errors import WorkflowError
from workflow.images.container_spec import ContainerSpec

pytestmark = [pytest.mark.docker, *SOCKETS]


def shell(image: str, script: str) -> ContainerSpec:
    return ContainerSpec(image, "10001:10001", ("/bin/sh", "-c", script))


def test_answers_and_notes_arrive_apart_in_every_backend(
    tiny_image: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Gramine sends both on standard output, so answers are marked there."""
    plain = shell(tiny_image, "echo bees 0.9; echo working >&2")
    assert run_container(plain, is_shielded=False) == 0
    assert capfd.readouterr() == ("bees 0.9\n", "working\n")
    marked = shell(tiny_image, "echo working; echo '::answer bees 0.9'")
    for backend in ("direct", "sgx"):
        assert run_container(marked, is_shielded=backend != "docker") == 0
        assert capfd.readouterr() == ("bees 0.9\n", "working\n")
    run_container(marked, is_shielded=True, quiet=True)
    assert capfd.readouterr() == ("", "working\n")


def test_progress_is_drawn_and_not_printed(
    tiny_image: str, capfd: pytest.CaptureFixture[str]
) -> None:
    line = '::progress {"label": "epoch 1/2 train", "done": 1, "total": 2}'
    for backend, stream in (("docker", " >&2"), ("direct", "")):
        assert (
            run_container(
                shell(tiny_image, f"echo '{line}'{stream}"), is_shielded=backend != "docker"
            )
            == 0
        )
        assert capfd.readouterr() == ("", "")


def test_a_scripts_own_error_and_status_are_kept(tiny_image: str) -> None:
    script = "echo 'error: no images in /in/x' >&2; exit 1"
    with pytest.raises(WorkflowError) as caught:
        run_container(shell(tiny_image, script), is_shielded=False)
    assert (caught.value.message, caught.value.code) == ("no images in /in/x", 1)


def test_gramines_error_is_explained_and_its_status_kept(tiny_image: str) -> None:
    script = "echo 'error: Cannot open /dev/sgx_enclave (ENOENT).'; exit 254"
    with pytest.raises(WorkflowError) as caught:
        run_container(shell(tiny_image, script), is_shielded=True)
    assert caught.value.code == 254
    assert str(caught.value.message).startswith(
        "Cannot open /dev/sgx_enclave (ENOENT); the container has no SGX device"
    )


CHANGED = "[P1:T1:python3] warning: Hash of trusted file '%s' does not match with the reference"
NOISE = "[P1:T5:python3] warning: Ignoring FUTEX_CLOCK_REALTIME flag"
AGAIN = "run: inv gsc-build, inv sign"


@pytest.mark.parametrize(
    "end",
    [
        "echo \"python3: can't open file '/app/x.py': [Errno 1] Operation not permitted\"; exit 2",
        "echo \"ImportError: cannot import name 'start'\"; exit 1",
        "echo 'error: it could not be read'; exit 1",
        "exit 127",
    ],
)
def test_a_changed_measured_file_is_named_however_the_script_bore_it(
    end: str, tiny_image: str, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [NOISE, *(CHANGED % f"/app/{name}" for name in "aabcda"), NOISE]
    script = "".join(f'echo "{line}"; ' for line in lines) + end
    with pytest.raises(WorkflowError) as caught:
        run_container(shell(tiny_image, script), is_shielded=True)
    assert caught.value.message == (
        f"{tiny_image}: changed since it was measured, and refused: /app/a, /app/b, /app/c and "
        f"1 more; {AGAIN}"
    )
    assert "warning" not in capfd.readouterr().err


def test_a_changed_measured_file_is_named_where_the_script_did_without(
    tiny_image: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """As Python does without a ``.pyc``: it reads the source."""
    script = f'echo "{CHANGED % "/x.pyc"}"'
    assert run_container(shell(tiny_image, script), is_shielded=True) == 0
    said = f"{tiny_image}: changed since it was measured, and refused: /x.pyc; {AGAIN}\n"
    assert capfd.readouterr().err == said


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("exit 1", None, ""),
        ("exit 3", 3, "ended with status 3; its lines stand above"),
        ("kill -KILL $$", 137, "was killed from outside (status 137)"),
    ],
)
def test_an_end_without_a_word_is_described(
    script: str, code: int | None, said: str, tiny_image: str
) -> None:
    # As its own parent: what is process 1 in a container takes no signal from within.
    spec = shell(tiny_image, f"sh -c '{script}'; exit $?")
    if code is None:
        assert run_container(spec, is_shielded=False) == 1
        return
    with pytest.raises(WorkflowError) as caught:
        run_container(spec, is_shielded=False)
    assert (caught.value.message, caught.value.code) == (f"{tiny_image} {said}", code)


def test_ctrl_c_is_one_line_and_130(tiny_image: str) -> None:
    code = f"""
import sys
from workflow.backends.container import run_container
from workflow.images.container_spec import ContainerSpec
from workflow.core.errors import WorkflowError
spec = ContainerSpec({tiny_image!r}, "1:1", ("/bin/sh", "-c", "echo up; exec sleep 60"))
try:
    run_container(spec, is_shielded=False)
except WorkflowError as error:
    print(error.message, flush=True)
    sys.exit(error.code)
"""
    runner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout is not None
    with runner.stdout as lines:
        assert lines.readline() == "up\n"
        runner.send_signal(signal.SIGINT)
        assert (runner.wait(20), lines.read()) == (130, "interrupted\n")
