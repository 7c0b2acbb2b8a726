"""The build context: the same bytes from the same sources, and nothing but what is listed."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import docker.utils
import pytest

from pytorch_common.files import tree_digest
from tests.conftest import PROJECT, copy_project
from workflow.assets import dataset
from workflow.core.settings import DataSettings, Settings, TrainSettings
from workflow.core.values import BASES
from workflow.images import build_run, build_spec
from workflow.images.build_spec import Build
from workflow.images.context import context_digest, write_context

DIGEST = "ab" * 32
SECRET = (
    "enclave-key.pem",
    "pytorch_train/model/key.pem",
    "pytorch_common/key.pem",
    "wheels/key.pem",
    "out/train/net.pt",
    "out/direct-test-key.pem",
    ".git/config",
    ".venv/bin/python",
    "gsc/build/gsc-x/gsc-signer-key.pem",
    "invoke.yaml",
    "pytorch_infer/net.pt",
    "pytorch_infer/record.json",
    "pytorch_infer/encrypted/net.pt",
    "pytorch_common/__pycache__/x.pyc",
)
"""Each of these must stay where it is."""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"weights")
    return path


HIDDEN = ("train/.ipynb_checkpoints/1.png", "val/red/._0.png", ".DS_Store")


@pytest.fixture
def chosen(tiny_data: Path, tmp_path: Path) -> Settings:
    """Return settings with data that hidden names lie among."""
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    for name in HIDDEN:
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(b"hidden")
    return Settings(data=DataSettings(dir=data), train=TrainSettings(threads=3))


def context_tar(build: build_spec.Build) -> bytes:
    """Return the context, and hold its digest to what is in it."""
    buffer = io.BytesIO()
    write_context(build, buffer)
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as tar:
        members = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        digests = {
            name: hashlib.sha256(file.read()).hexdigest() for name, file in members.items() if file
        }
    digests.update((name, tree_digest(folder)) for name, folder in build.packs.items())
    lines = [f"{digests[name]}  {name}\n" for name in sorted(digests)]
    listing = "".join([*(f"{name}/\n" for name in build.folders), *lines])
    assert context_digest(build) == hashlib.sha256(listing.encode()).hexdigest()
    return buffer.getvalue()


def member_of(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file
    return file.read()


def builds(chosen: Settings, weights: Path | None) -> list[Build]:
    bases = [replace(chosen, image=replace(chosen.image, base=base)) for base in BASES]
    return [
        *(build_spec.base_build(base) for base in bases),
        build_spec.train_build(chosen, weights),
        build_spec.infer_build(chosen, DIGEST),
    ]


def test_the_context_is_what_is_listed_and_says_nothing_of_this_machine(
    chosen: Settings, weights: Path
) -> None:
    for build in builds(chosen, weights):
        with tarfile.open(fileobj=io.BytesIO(context_tar(build))) as tar:
            members = tar.getmembers()
        names = [member.name for member in members]
        assert sorted(names) == sorted([*build.files, *build.folders, *build.packs])
        assert not any(name.startswith(("out", "/")) or ".pem" in name for name in names)
        assert not any(part.startswith(".") for name in names for part in Path(name).parts)
        facts = {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members}
        assert facts == {(0, 0, 0, "", "")}
        assert {(m.type, m.mode) for m in members} <= {(b"0", 0o644), (b"5", 0o755)}


def test_time_owner_and_mode_of_a_file_change_nothing(chosen: Settings, weights: Path) -> None:
    build = build_spec.train_build(chosen, weights)
    before = context_tar(build)
    os.utime(weights, (1, 1))
    weights.chmod(0o600)
    assert context_tar(build) == before
    weights.write_bytes(b"others")
    assert context_tar(build) != before


def test_from_scratch_no_weights_are_in_the_context(chosen: Settings) -> None:
    build = build_spec.train_build(chosen, None)
    assert build.folders == ("pytorch_train/model",)
    assert not any(name.startswith("pytorch_train/model") for name in build.files)


def test_inputs_from_elsewhere_get_a_place_of_their_own(chosen: Settings, weights: Path) -> None:
    build = build_spec.train_build(chosen, weights)
    assert build.arguments["WEIGHTS"] == "pytorch_train/model/mine.pth"
    assert build.elsewhere == {"pytorch_train/model/mine.pth": weights}
    assert build.packs == {"pytorch_train/data.tar": chosen.data.dir}


def project_with_secrets(folder: Path) -> Path:
    """Copy what git has of the project, and put everything beside it that must stay there."""
    copy_project(folder)
    inputs = (
        "pytorch_train/model/squeezenet1_0-b66bff10.pth",
        "pytorch_train/hymenoptera_data/train/ants/a.jpg",
        "pytorch_train/hymenoptera_data/val/bees/b.jpg",
        "wheels/torch-1.whl",
    )
    hidden = (f"pytorch_train/hymenoptera_data/{name}" for name in HIDDEN)
    for name in (*inputs, *SECRET, *hidden):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def test_docker_build_by_hand_sees_no_more_and_no_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read .dockerignore as Docker does, and hold our own contexts to it."""
    project = project_with_secrets(tmp_path / "project")
    patterns = (project / ".dockerignore").read_text().splitlines()
    patterns = [line for line in patterns if line and not line.startswith("#")]
    passed = docker.utils.exclude_paths(str(project), patterns, dockerfile="Dockerfile")
    sent = {name for name in passed if (project / name).is_file()}
    assert not sent & set(SECRET)
    assert not any(name.endswith(".pem") for name in sent)
    assert not any(name.endswith(HIDDEN) for name in sent)

    monkeypatch.setattr(build_spec, "PROJECT", project)
    data = DataSettings(dir=project / dataset.HYMENOPTERA.relative_to(PROJECT))
    weights = project / "pytorch_train" / "model" / "squeezenet1_0-b66bff10.pth"
    image = replace(Settings().image, wheels=str(project / "wheels"))
    for build in builds(Settings(data=data, image=image), weights):
        # The command line sends its own dockerfile in any case.
        wanted = set(build.files) - {build.dockerfile}
        assert wanted <= sent, build.dockerfile
        assert not wanted & set(SECRET)


@pytest.mark.parametrize("which", ["train", "base"])
def test_the_printed_commands_bring_the_same_files_together(
    which: str, chosen: Settings, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run what --dry prints, but for docker itself, and compare with our own context."""
    monkeypatch.chdir(tmp_path)
    wheels = tmp_path / "my wheels"
    wheels.mkdir()
    (wheels / "torch-1.whl").write_bytes(b"torch")
    (wheels / "._torch-1.whl").write_bytes(b"what a Mac knows of it")
    image = replace(chosen.image, wheels=str(wheels))
    base = build_spec.base_build(replace(chosen, image=image))
    build = base if which == "base" else build_spec.train_build(chosen, weights)
    *prepare, command = build_run.build_lines(build)
    for line in prepare:
        subprocess.run(["/bin/sh", "-ec", line], check=True)
    made = {
        path.relative_to("context").as_posix(): path.read_bytes()
        for path in Path("context").rglob("*")
        if path.is_file()
    }
    packs = {name: made.pop(name) for name in build.packs}
    assert made == {name: path.read_bytes() for name, path in build.files.items()}
    with tarfile.open(fileobj=io.BytesIO(context_tar(build))) as tar:
        assert packs == {name: member_of(tar, name) for name in packs}
    if packs:
        value = subprocess.run(
            ["/bin/sh", "-ec", f'{prepare[-1]}; printf %s "$DATA_SHA256"'],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert value == build.arguments["TRAIN_DATA_SHA256"]
    assert command.startswith(f"docker build -t {build.image} -f {build.dockerfile} ")
    assert command.endswith(" context")


def test_what_lies_in_the_project_needs_no_context_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_with_secrets(tmp_path / "project")
    monkeypatch.setattr(build_spec, "PROJECT", project)
    image = replace(Settings().image, wheels=str(project / "wheels"))
    assert build_spec.base_build(Settings(image=image)).elsewhere == {}
