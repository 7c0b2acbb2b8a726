"""`inv --dry TASK`: the documented commands, ready to paste, and nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tasks
from tests.conftest import PROJECT, paint
from tests.core.test_settings import PATHS

TASKS: dict[str, list[str]] = {
    "download-model": [],
    "fetch-hymenoptera": [],
    "build": [],
    "gsc-setup": [],
    "gsc-build": ["--backend=sgx"],
    "sign": ["--backend=sgx"],
    "info": ["--backend=sgx"],
    "train": ["--backend=sgx"],
    "copy-net": [],
    "classify": ["--backend=sgx", "--image=it's a bee.png"],
    "clean-result": [],
    "all": ["--backend=sgx", "--image=it's a bee.png"],
    "demo": ["--backend=docker"],
    "clean": [],
    "report": [],
    "bench": [],
}
OTHERS = {"doctor", "lint", "test"}
"""They look alone, so there is nothing to print instead."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the project as it comes from git, with one picture and one old result."""
    folder = tmp_path_factory.mktemp("dry") / "the project"
    ignored = shutil.ignore_patterns(
        *(".venv", ".git", "out", "gsc", "model", "hymenoptera_*", "__pycache__", ".*_cache"),
        *("net.pt", "record.json", "run.json", "encrypted", "context"),
    )
    shutil.copytree(PROJECT, folder, ignore=ignored)
    paint(folder / "it's a bee.png", (1, 2, 3), 1)
    (folder / "out" / "infer").mkdir(parents=True)
    (folder / "out" / "infer" / "result.json").write_text('{"schema": "enclave-finetune/result/1"}')
    return folder


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in folder.rglob("*")
        if path.suffix != ".pyc" and path.name != "__pycache__"
    }


def dry(project: Path, *args: str, **variables: str) -> list[str]:
    """Return the lines of `inv --dry`, having seen that it changed nothing."""
    home = project.parent / "home"
    before = listing(project.parent)
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "--search-root", str(project), "--dry", *args],
        cwd=project,
        env={
            **os.environ,
            "PYTHONPATH": str(project),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(home),
            "DOCKER_HOST": "unix:///nonexistent",
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert {
        path: facts
        for path, facts in listing(project.parent).items()
        if path != "the project" and before.get(path) != facts
    } == {}
    return done.stdout.splitlines()


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
    assert mkdir == "mkdir -p out/train" + (" out/train/encrypted" if sealed else "")
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
    assert any("workflow.gsc.settle train sgx --insecure=insecure-args" in line for line in lines)
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


USES: dict[str, list[str]] = {
    "model.dir": ["download-model", "train --backend=native", "build"],
    "model.source": ["download-model"],
    "model.weights": ["train --backend=native", "build", "bench"],
    "data.dir": ["fetch-hymenoptera", "train --backend=native", "build", "report", "bench"],
    "data.source": ["fetch-hymenoptera"],
    "train.out": [
        *(f"train --backend={backend}" for backend in ("native", "docker", "direct", "sgx")),
        *("train --compare-scratch", "copy-net", "report"),
    ],
    "infer.net": [
        *(f"classify --image=x --backend={backend}" for backend in ("native", "docker", "sgx")),
        *("copy-net", "build --image=infer", "report"),
    ],
    "infer.out": [
        *(f"classify --image=x --backend={backend}" for backend in ("native", "docker", "sgx")),
        "clean-result",
    ],
    "machine.sgx_device": ["train --backend=sgx", "classify --image=x --backend=sgx", "train"],
    "machine.provision_device": ["train --backend=sgx", "classify --image=x --backend=sgx"],
    "machine.aesm_socket": ["train --backend=sgx", "classify --image=x --backend=sgx"],
    "machine.seccomp": ["train --backend=direct", "classify --image=x --backend=direct"],
    "image.wheels": ["build"],
    "gsc.dir": ["gsc-setup", "gsc-build --backend=sgx", "info --backend=sgx"],
    "gsc.key": ["sign --backend=sgx"],
    "gsc.passphrase_file": [],  # a secret's place; see the next test
}
"""Of every setting that is a path, the tasks whose run uses it."""


def test_every_setting_that_is_a_path_is_among_these() -> None:
    assert set(USES) == set(PATHS)


@pytest.mark.parametrize(("name", "call"), [(name, call) for name in USES for call in USES[name]])
def test_what_a_path_is_set_to_is_what_is_shown(name: str, call: str, project: Path) -> None:
    suffix = ".pt" if name == "infer.net" else ""
    path = project.parent / "set elsewhere" / f"mine{suffix}"
    shown = dry(project, *call.split(), **{variable(name): str(path)})
    written = path.parent if name == "infer.net" else path
    assert str(written) in "\n".join(shown)


def variable(name: str) -> str:
    return f"INVOKE_{name.replace('.', '_')}".upper()


def test_the_shown_commands_bring_the_data_set_to_where_it_is_set(
    project: Path, tmp_path: Path
) -> None:
    if not shutil.which("unzip"):
        pytest.skip("no unzip on this machine")
    zipped = tmp_path / "their own.zip"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("hymenoptera_data/train/bees/1.jpg", b"a bee")
    for target in (tmp_path / "mine", tmp_path / "other" / "hymenoptera_data"):
        flags = {"INVOKE_DATA_DIR": str(target), "INVOKE_DATA_SOURCE": str(zipped)}
        *bring, check = dry(project, "fetch-hymenoptera", **flags)
        assert check.startswith(f"(cd {target} && sha256sum --check --quiet ")
        subprocess.run(["sh", "-e"], input="\n".join(bring), text=True, check=True, cwd=project)
        assert (target / "train" / "bees" / "1.jpg").read_bytes() == b"a bee"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "other", zipped.name]


def test_the_flags_of_a_training_are_shown(project: Path) -> None:
    first, second = dry(project, *["train", "--resume", "--compare-scratch", "--backend=native"])
    assert first.endswith(" --resume") and second.endswith(" --resume")
    assert " --out=out/train " in first and "--method=feature-extract " in first
    assert " --out=out/train/scratch " in second and "--method=scratch " in second
