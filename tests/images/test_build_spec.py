"""What goes into the Docker images, and what must never."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from dataclasses import fields, replace
from pathlib import Path

import pytest
import tomli

from pytorch_common import contract
from pytorch_common.contract import ImageLimits, TrainOptions, option_variable
from pytorch_common.files import tree_digest
from tests import doing
from tests.conftest import PROJECT
from workflow.core.errors import WorkflowError
from workflow.core.settings import DataSettings, ImageSettings, Settings, TrainSettings
from workflow.core.values import BASES
from workflow.images import build_spec
from workflow.images.build_spec import Build

DOCKERFILES = PROJECT / "dockerfiles"
ROLE_FILES = {"train": "pytorch_train", "infer": "pytorch"}
DIGEST = "ab" * 32


def dockerfile(name: str) -> str:
    return (DOCKERFILES / f"{name}.dockerfile").read_text()


def entries(context: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        return tar.getmembers()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def chosen(tiny_data: Path) -> Settings:
    return Settings(data=DataSettings(dir=tiny_data), train=TrainSettings(threads=3))


def all_builds(chosen: Settings, weights: Path) -> list[Build]:
    bases = [
        build_spec.base_build(replace(chosen, image=replace(chosen.image, base=base)))
        for base in BASES
    ]
    return [
        *bases,
        build_spec.train_build(chosen, weights),
        build_spec.train_build(chosen, None),
        build_spec.infer_build(chosen, DIGEST),
    ]


def test_names_are_the_documented_ones_or_those_of_the_settings() -> None:
    mine = Settings(image=ImageSettings(train="my/train", infer="mine", base="debian12-apt"))
    for chosen, names in (
        (Settings(), ["pytorch_train", "pytorch", "enclave-finetune-base:debian12"]),
        (mine, ["my/train", "mine", "enclave-finetune-base:debian12-apt"]),
    ):
        found = [build_spec.image_name(chosen, role) for role in build_spec.ROLES]
        assert [*found, build_spec.base_name(chosen)] == names


def test_roles() -> None:
    assert build_spec.roles("all") == ("train", "infer")
    assert build_spec.roles("infer") == ("infer",)
    with pytest.raises(WorkflowError, match="--image: expected train, infer or all, got both"):
        build_spec.roles("both")


def test_every_train_option_is_an_argument_and_a_variable_of_the_image() -> None:
    text = dockerfile("pytorch_train")
    for option in fields(TrainOptions):
        name = option_variable(option.name)
        assert re.search(rf"^ARG {name}={re.escape(str(option.default))}$", text, re.M), name
        assert re.search(rf"^(ENV|   ) {name}=\$\{{{name}\}}( \\)?$", text, re.M), name


def test_the_image_has_the_options_that_were_asked_for(chosen: Settings, weights: Path) -> None:
    asked = replace(chosen, train=replace(chosen.train, epochs=4, seed=9, export_net=True))
    arguments = build_spec.train_build(asked, weights).arguments
    assert {name: value for name, value in arguments.items() if name.startswith("TRAIN_")} == {
        "TRAIN_ARCH": "squeezenet1_0",
        "TRAIN_METHOD": "feature-extract",
        "TRAIN_EPOCHS": "4",
        "TRAIN_BATCH_SIZE": "8",
        "TRAIN_LEARNING_RATE": "0.001",
        "TRAIN_MOMENTUM": "0.9",
        "TRAIN_SEED": "9",
        "TRAIN_THREADS": "3",
        "TRAIN_PORTABLE": "0",
        "TRAIN_CACHE_MB": "256",
        "TRAIN_FILE_MB": "200",
        "TRAIN_MEGAPIXELS": "64",
        "TRAIN_SIDE": "100000",
        "TRAIN_EXPORT_NET": "1",
        "TRAIN_DATA_SHA256": tree_digest(chosen.data.dir),
    }


def test_all_processors_become_a_number_when_the_image_is_built(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (build_spec, contract):
        monkeypatch.setattr(module, "available_threads", lambda: 7)
    everything = replace(chosen, train=TrainSettings())
    assert build_spec.train_build(everything, None).arguments["TRAIN_THREADS"] == "7"
    arguments = build_spec.infer_build(everything, DIGEST).arguments
    assert arguments == {
        "BASE": "enclave-finetune-base:debian12",
        "INFER_NET_SHA256": DIGEST,
        "INFER_TOP_K": "5",
        "INFER_THREADS": "7",
        "INFER_FILE_MB": "200",
        "INFER_MEGAPIXELS": "64",
        "INFER_SIDE": "100000",
        "INFER_IGNORE_PROFILES": "0",
    }


def test_the_limits_of_an_image_are_built_in(chosen: Settings, weights: Path) -> None:
    limits = ImageLimits(file_mb=5, megapixels=6, side=7)
    asked = replace(chosen, limits=limits, infer=replace(chosen.infer, ignore_profiles=True))
    train = build_spec.train_build(asked, weights).arguments
    infer = build_spec.infer_build(asked, DIGEST).arguments
    assert infer["INFER_IGNORE_PROFILES"] == "1"
    for script, arguments in (("train", train), ("infer", infer)):
        text = dockerfile("pytorch_train" if script == "train" else "pytorch")
        for field in fields(ImageLimits):
            name = f"{script}_{field.name}".upper()
            assert arguments[name] == str(getattr(limits, field.name))
            assert re.search(rf"^ARG {name}={field.default}$", text, re.M), name
            assert re.search(rf"^    {name}=\$\{{{name}\}}( \\)?$", text, re.M), name


def test_every_build_argument_is_one_of_the_dockerfile(chosen: Settings, weights: Path) -> None:
    named = ImageSettings(os="debian:12", wheels=str(weights.parent))
    for build in all_builds(replace(chosen, image=named), weights):
        text = (PROJECT / build.dockerfile).read_text()
        known = set(re.findall(r"^ARG (\w+)", text, re.M))
        assert set(build.arguments) <= known, build.dockerfile


@pytest.mark.parametrize("role", ["train", "infer"])
def test_the_app_dockerfiles_do_not_know_where_torch_comes_from(role: str) -> None:
    steps = [line for line in dockerfile(ROLE_FILES[role]).splitlines() if line[:1] != "#"]
    text = "\n".join(steps)
    assert not re.search(r"pip|apt|torch==|wheel|debian(?!12$)|ubuntu", text, re.M)
    assert re.findall(r"^USER (\w+)", text, re.M)[-1] == "app"


@pytest.mark.parametrize("base", ["debian12", "debian12-apt"])
def test_a_base_stands_on_an_image_named_by_its_digest(base: str) -> None:
    text = dockerfile(f"base-{base}")
    assert re.search(r"^ARG OS=debian:12-slim@sha256:[0-9a-f]{64}$", text, re.M)
    assert re.findall(r"^FROM (\S+)", text, re.M)[-1] == "scratch"


@pytest.mark.parametrize("base", BASES)
def test_a_base_brings_what_a_run_makes_its_key_with(base: str) -> None:
    text = dockerfile(f"base-{base}")
    assert "ec.generate_private_key(ec.SECP256R1())" in text
    assert (
        "requirements.lock" in text
        or "cryptography" in text.partition("COPY dockerfiles/slim.sh")[0]
    )


@pytest.mark.parametrize("base", BASES)
def test_a_base_ends_as_a_plain_user(base: str) -> None:
    assert re.findall(r"^USER (\w+)", dockerfile(f"base-{base}"), re.M)[-1] == "app"


def test_every_wheel_is_held_to_its_digest() -> None:
    lines = (DOCKERFILES / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    for line in pins:
        assert re.fullmatch(r"[a-z0-9-]+==\S+( --hash=sha256:[0-9a-f]{64})+", line), line
    wanted = {"torch", "torchvision", "pillow", "cryptography"}
    assert wanted <= {line.split("==")[0] for line in pins}
    assert "--require-hashes" in dockerfile("base-debian12")


def test_the_default_base_brings_the_torch_that_it_says_and_this_environments_pillow() -> None:
    lines = (DOCKERFILES / "requirements.lock").read_text().splitlines()
    pins = dict(line.split(" --hash=sha256:") for line in lines if line[:1] != "#")
    torch = f"torch=={build_spec.base_torch(Settings())}"
    assert pins[torch] == "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
    # === leaves out 0.28.0+cpu, which the CPU index has.
    vision = pins["torchvision===0.28.0"]
    assert vision == "7e80f543b22503d9415e126db5f0ff3917036925e38560ee6b9ae38c571a4002"
    native = tomli.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    for name in ("numpy", "pillow", "cryptography"):
        assert any(pin in line for pin in pins if pin.startswith(name) for line in native), name


def test_torch_comes_from_a_folder_where_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "torch-1-cp311.whl").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    build = build_spec.base_build(Settings(image=ImageSettings(wheels=str(tmp_path))))
    assert build.files["wheels/torch-1-cp311.whl"] == tmp_path / "torch-1-cp311.whl"
    assert not any(name.endswith(".txt") for name in build.files)
    assert build.arguments == {"PIP_OPTIONS": "--no-index --find-links=wheels"}
    # pip runs in the image's own root, where COPY put the folder.
    assert "wheels* /wheels/" in dockerfile("base-debian12")


def test_a_folder_without_the_locked_wheels_is_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"a wheel"
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"# wheels\ntorch==1 --hash=sha256:{hashlib.sha256(content).hexdigest()}\n")
    monkeypatch.setattr(build_spec, "LOCK", lock)
    chosen = Settings(image=ImageSettings(wheels=str(tmp_path)))
    for data in (None, b"another"):
        if data:
            (tmp_path / "torch-1-cp311.whl").write_bytes(data)
        with pytest.raises(WorkflowError, match=r"no wheel of torch==1 with the sha256 of "):
            doing.build(chosen)
    (tmp_path / "torch-1-cp311.whl").write_bytes(content)
    build_spec.check_wheels(chosen)
    build_spec.check_wheels(Settings())
    build_spec.check_wheels(replace(chosen, image=replace(chosen.image, base="debian12-apt")))
