"""What a job opens, read from Gramine's log; and the manifest of an exercise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli

from pytorch_common.contract import RUNTIME_VARIABLE
from pytorch_common.files import tree_digest
from pytorch_common.pack import Pack
from tests.gsc.test_manifest import made, settled
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.gsc import by_hand, manifest, tracing
from workflow.images import container_run
from workflow.images.build_spec import ROLES
from workflow.images.container_spec import ContainerSpec

LOG = Path(__file__).with_name("gramine-trace.log")
"""Recorded, but for the pack, the odd name and the call of a library that may block."""
GLIBC = "/gramine/meson_build_output/lib/x86_64-linux-gnu/gramine/runtime/glibc"
PACKAGES = "/usr/local/lib/python3.11/dist-packages"


def recorded() -> list[str]:
    return LOG.read_text(encoding="utf-8").splitlines()


def test_a_log_says_what_was_opened_before_the_pack_and_after_it() -> None:
    opened = tracing.parse(recorded())
    assert opened.before == {
        f"{GLIBC}/libm.so.6",
        "/usr/lib/x86_64-linux-gnu/libz.so.1",
        "/usr/lib/x86_64-linux-gnu/libexpat.so.1",
    }
    assert opened.after == {
        "/app/runtime.tar",
        f"{PACKAGES}/__pycache__/typing_extensions.cpython-311.pyc",
        "/proc/self/environ",
        "/usr/lib/python3.11/lib-dynload/_hashlib.cpython-311-x86_64-linux-gnu.so",
        f"{PACKAGES}/torch/ao/nn/intrinsic",
        f"{PACKAGES}/PIL/_imagingmath.cpython-311-x86_64-linux-gnu.so",
        "/app/pytorch_common/odd name ü.py",
        "/usr/lib/x86_64-linux-gnu/libgomp.so.1",
    }


def test_a_look_counts_after_the_pack_alone_and_a_failure_never() -> None:
    opened = tracing.parse(recorded())
    assert opened.looked_at == {f"{PACKAGES}/numpy/lib", "/app/pytorch_common"}
    everything = opened.before | opened.after | opened.looked_at
    assert "/gramine/pyvenv.cfg" not in everything
    assert not any("hwcaps" in path or path.endswith("libtorch.so") for path in everything)
    assert not any("checkpoints" in path for path in everything)


def test_relative_paths_start_where_the_job_does() -> None:
    line = 'trace: ---- newfstatat(AT_FDCWD, "x/../y//z", 0x1, 0) = 0x0'
    pack = 'trace: ---- openat(AT_FDCWD, "runtime.tar", O_RDONLY, 0000) = 0x3'
    assert tracing.parse([pack, line]).looked_at == {"/app/y/z"}


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Gramine is starting"],
        [line for line in recorded() if "runtime.tar" not in line],
        ['trace: ---- openat(AT_FDCWD, "/app/runtime.tar", O_RDONLY, 0000) = -2'],
    ],
)
def test_a_log_without_the_job_is_one_line(lines: list[str]) -> None:
    with pytest.raises(WorkflowError) as caught:
        tracing.parse(lines)
    assert "\n" not in str(caught.value.message)
    assert "shows no job that opens its pack" in caught.value.message
    assert "inv gsc-build --full-list" in caught.value.message


def test_a_trace_lets_every_file_through_and_logs_it() -> None:
    before = manifest.dumps(settled(made()))
    image = settled(made())
    trace = tracing.exercise_manifest(image, is_trace=True)
    assert manifest.dumps(image) == before
    assert trace["loader"]["log_level"] == "trace"
    assert trace["loader"]["argv_src_file"] == "file:/in/argv"
    assert trace["sgx"]["file_check_policy"] == "allow_all_but_log"
    assert trace["sgx"]["trusted_files"] == []
    empty = trace["loader"]["env"][RUNTIME_VARIABLE]
    assert empty == tracing.EMPTY_PACK_DIGEST
    ours = {**trace["loader"]["env"]}
    del ours[RUNTIME_VARIABLE]
    assert ours == image["loader"]["env"]
    assert tomli.loads(manifest.dumps(trace).decode()) == trace


def test_a_trial_has_the_images_own_policy_and_files() -> None:
    image = settled(made())
    trial = tracing.exercise_manifest(image, is_trace=False)
    assert trial["sgx"] == image["sgx"]
    assert trial["loader"]["log_level"] == "warning"
    assert trial["loader"]["env"] == image["loader"]["env"]


@pytest.mark.parametrize("mode", ["sgx", "direct"])
@pytest.mark.parametrize("is_trace", [True, False])
def test_an_exercise_writes_into_memory_and_holds_no_key(mode: str, is_trace: bool) -> None:
    fs = tracing.exercise_manifest(settled(made(), mode), is_trace=is_trace)["fs"]
    assert {mount["type"] for mount in fs["mounts"]} == {"tmpfs"}
    assert [mount["path"] for mount in fs["mounts"]] == list(tracing.SCRATCH_FOLDERS)
    assert "insecure__keys" not in fs
    assert fs["root"] == made()["fs"]["root"]


@pytest.mark.parametrize("role", ROLES)
def test_the_container_is_given_all_that_the_exercise_reads(role: str, tmp_path: Path) -> None:
    trace = tracing.exercise_manifest(settled(made()), is_trace=True)
    tracing.write_inputs(tmp_path, trace, role)
    assert (tmp_path / "entrypoint.manifest").read_bytes() == manifest.dumps(trace)
    assert (tmp_path / "in" / "argv").read_bytes() == b"python3\0/in/exercise.py\0"
    assert (tmp_path / "in" / "exercise.py").read_bytes() == manifest.exercise(role).read_bytes()
    for name in ("data", "new", "bad"):
        pack = Pack(tmp_path / "in" / f"{name}.tar")
        assert pack.digest == tree_digest(tmp_path / "in" / name)
        assert len(pack.entries) >= 4
    assert Pack(tmp_path / "empty.tar", tracing.EMPTY_PACK_DIGEST).entries == {}


@dataclass
class Ended:
    status: int


def test_a_failed_exercise_says_its_last_lines_without_gramines_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[ContainerSpec] = []

    def run(spec: ContainerSpec, on_line: object, on_error: object) -> Ended:
        ran.append(spec)
        quiet = "[P1:T1:python3] warning: Unsupported system call rseq"  # without its source line
        for line in [*recorded(), "exercise failed: --epochs=1: status 1, expected 0", quiet]:
            on_line(line)  # type: ignore[operator]
        return Ended(1)

    monkeypatch.setattr(container_run, "run", run)
    with pytest.raises(WorkflowError) as caught:
        tracing.trace(Settings(), "gsc-x-unsigned", settled(made()), "train")
    said = capsys.readouterr().err
    assert "exercise failed: --epochs=1: status 1, expected 0" in said
    assert "openat" not in said
    assert "warning: " not in said
    assert caught.value.message.startswith("gsc-x-unsigned: its exercise ended with status 1 ")
    assert "manifests/exercises/train.py" in caught.value.message
    (spec,) = ran
    assert all(mount.read_only for mount in spec.mounts)
    assert {mount.target for mount in spec.mounts} == {
        *("/gramine/app_files/entrypoint.manifest", "/in", "/app/runtime.tar"),
    }


def test_what_was_opened_is_written_and_read(tmp_path: Path) -> None:
    opened = tracing.parse(recorded())
    (tmp_path / "opened.json").write_text(by_hand.written(opened), encoding="utf-8")
    assert by_hand.read(tmp_path / "opened.json") == opened
    for text in ("", "[]", '{"x": []}', '{"before": 1}'):
        (tmp_path / "other.json").write_text(text, encoding="utf-8")
        with pytest.raises(WorkflowError, match="expected what a trace wrote"):
            by_hand.read(tmp_path / "other.json")
