"""`inv --dry TASK`: the documented commands, ready to paste, and nothing changed."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

import tasks
from tests.steps.dry_runs import OTHERS, TASKS, dry


def test_every_task_is_tried_here() -> None:
    assert set(tasks.ns.task_names) == set(TASKS) | OTHERS


@pytest.mark.parametrize("name", TASKS)
def test_every_task_prints_commands_for_a_shell_and_changes_nothing(
    name: str, project: Path
) -> None:
    lines = dry(project, name, *TASKS[name])
    commands = [line for line in lines if not line.startswith("#")]
    assert commands
    # As a whole, since the text of a Dockerfile may span lines.
    for shell in ("bash", "sh"):
        checked = subprocess.run(
            [shell, "-n"], input="\n".join(lines), capture_output=True, text=True
        )
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("docker", ["--env=RUN_BACKEND=docker", " pytorch_train"]),
        ("direct", ["--env=GRAMINE_MODE=direct", "seccomp=", " gsc-pytorch_train:direct"]),
        (
            "sgx",
            ["--device=/dev/sgx_enclave:/dev/sgx_enclave", "aesm.socket:", " gsc-pytorch_train"],
        ),
    ],
)
def test_training_in_a_container_is_one_docker_run(
    backend: str, words: list[str], project: Path
) -> None:
    sealed = backend != "docker"
    mkdir, command = dry(project, "train", f"--backend={backend}")
    inner = ["out/train/encrypted"] * sealed + ["out/train/checkpoints"]
    assert mkdir == shlex.join(["mkdir", "-p", "out/train", *inner])
    assert command.startswith('docker run --rm "--user=$(id -u):$(id -g)" --network=none ')
    for word in words:
        assert word in command
    handover = "out/train/encrypted" if sealed else "out/train"
    assert "/the project/out/train:/out" in command
    assert f"/the project/{handover}:/handover" in command
    assert command.endswith(words[-1])


def test_training_natively_is_the_script_with_every_option(project: Path) -> None:
    (command,) = dry(project, "train", "--backend=native", "--epochs=3")
    assert " python pytorch_train/train.py --data=pytorch_train/hymenoptera_data " in command
    assert " --weights=pytorch_train/model/squeezenet1_0-b66bff10.pth " in command
    assert " --epochs=3 " in command


def test_the_shielded_chain_is_that_of_the_documentation(project: Path) -> None:
    lines = dry(project, *("gsc-build", "--backend=sgx", "--image=train", "--insecure-args"))
    manifest = f"'{project}/manifests/pytorch_train.manifest'"
    asked = f"./gsc build --insecure-args --rm pytorch_train {manifest})"
    assert any(line.endswith(asked) for line in lines)
    assert any("workflow.gsc.manifest train sgx --insecure=insecure-args" in line for line in lines)
    make, folder, sign, *_ = dry(project, *("sign", "--backend=sgx", "--image=train"))
    assert "openssl genrsa -3 -out" in make
    assert folder == "mkdir -p out/gsc/pytorch_train/signed"
    assert "--entrypoint=/bin/sh --network=none --read-only --tmpfs=/tmp --cap-drop=ALL" in sign
    assert " | gramine-sgx-sign --key - --manifest /gramine/app_files/entrypoint.manifest" in sign
    named = dry(project, *("sign", "--backend=sgx", "--image=train", "--key=my key.pem"))
    assert not any("genrsa" in line for line in named)
    assert named[1].startswith("openssl rsa -in 'my key.pem' | docker run --rm --interactive ")
    (old,) = dry(
        project,
        *("sign", "--backend=sgx", "--image=train", "--key=my key.pem"),
        INVOKE_GSC_DIALECT="graphene",
    )
    assert old.endswith(f"./gsc sign-image pytorch_train '{project}/my key.pem')")
    (info,) = dry(project, "info", "--backend=sgx", "--image=train")
    assert info.endswith("./gsc info-image gsc-pytorch_train)")


def test_all_is_every_step_under_its_name(project: Path) -> None:
    steps = [line for line in dry(project, "all", *TASKS["all"]) if line.startswith("# [")]
    assert [step.split("] ")[1] for step in steps] == [
        "download-model",
        "fetch-hymenoptera",
        "build --image train",
        "gsc-build --image train",
        "sign --image train",
        "info --image train",
        "train",
        "copy-net",
        "build --image infer",
        "gsc-build --image infer",
        "sign --image infer",
        "info --image infer",
        "classify",
    ]


def test_no_secret_is_printed(project: Path) -> None:
    phrase = project.parent / "phrase"
    phrase.write_text("open sesame\n")
    stamp = phrase.stat().st_mtime_ns
    lines = dry(project, "sign", "--backend=sgx", INVOKE_GSC_PASSPHRASE_FILE=str(phrase))
    assert "open sesame" not in "\n".join(lines)
    assert "passphrase" not in "\n".join(lines)
    assert phrase.stat().st_mtime_ns == stamp


def test_the_flags_of_a_training_are_shown(project: Path) -> None:
    first, second = dry(project, *["train", "--resume", "--compare-scratch", "--backend=native"])
    assert first.endswith(" --resume") and second.endswith(" --resume")
    assert " --out=out/train " in first and "--method=feature-extract " in first
    assert " --out=out/train/scratch " in second and "--method=scratch " in second
