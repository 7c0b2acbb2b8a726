"""An image built again with the real daemon and a stand-in for GSC; nothing of it stays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import SOCKETS
from tests.gsc.shield_world import World, world
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.gsc import graminize, inventory, reproduction
from workflow.gsc.inventory import Inventory
from workflow.images import daemon
from workflow.images.build_run import build_image
from workflow.images.build_spec import Build, image_name

__all__ = ["world"]

pytestmark = [pytest.mark.docker, *SOCKETS]

BASE = (
    "ARG OS\nFROM ${OS} AS other\nUSER root\nRUN echo x > /x\nFROM ${OS}\nCOPY --from=other /x /x\n"
)
APP = "ARG BASE\nFROM ${BASE}\nENV TRAIN_THREADS=2\nCOPY train.py /app/\n"


@pytest.fixture
def again(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Have a base of a few bytes, and the stand-in's kind of signature."""
    dockerfile = tmp_path / "base.dockerfile"
    dockerfile.write_text(BASE)
    name = f"{image_name(world.settings, 'train')}-base"
    base = Build(name, "base.dockerfile", {"OS": world.base}, {dockerfile.name: dockerfile})
    monkeypatch.setattr(reproduction, "base_build", lambda settings: base)
    monkeypatch.setattr(inventory, "measured", measured)
    monkeypatch.setattr(inventory, "GRAMINE_LOADERS", ())
    return reproduction.renamed(world.changed(full_list=True))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the images that the steps of the builds left; the daemon may have others'."""
    left: list[str] = []

    def build(build: Build, *, no_cache: bool) -> list[str]:
        assert no_cache
        made = build_image(build, no_cache=no_cache)
        left.extend(made)
        return made

    monkeypatch.setattr(reproduction, "build_image", build)
    return left


def here(images: list[str]) -> list[str]:
    return [image for image in images if daemon.find_image(image)]


def measured(unsigned: str, made: Mapping[str, bytes]) -> tuple[str, int, int]:
    facts = json.loads(made["entrypoint.sig"])
    return facts["mr_enclave"], facts["isv_prod_id"], facts["isv_svn"]


def built(settings: Settings, folder: Path, **arguments: str) -> Inventory:
    files = {"app.dockerfile": folder / "app.dockerfile", "train.py": folder / "train.py"}
    files["app.dockerfile"].write_text(APP)
    files["train.py"].write_text("1\n")
    app = Build(image_name(settings, "train"), "app.dockerfile", arguments, files)
    (made,) = reproduction.measured_anew(settings, {"train": reproduction.anew(settings, app)})
    return made


def test_an_image_is_built_again_and_nothing_of_it_stays(
    world: World, again: Settings, steps: list[str], tmp_path: Path
) -> None:
    world.calls()
    made = built(again, tmp_path)
    name = image_name(again, "train")
    assert world.calls() == [
        f"build --rm --no-cache {name} {world.manifests}/pytorch_train.manifest"
    ]
    assert len(made.mrenclave) == 64
    assert made.manifest["loader.env.OMP_NUM_THREADS"] == "2"
    assert made.files["/app/pytorch_train/train.py"]
    assert not {"/etc/hosts", "/etc/hostname"} & made.files.keys()
    assert "libc6:amd64" in made.packages
    assert len(steps) > 4
    assert here([*steps, f"gsc-{image_name(again, 'train')}-unsigned"]) == []
    assert not (graminize.SETTLED / name).exists()


def test_nothing_stays_of_what_cannot_be_built_either(
    world: World, again: Settings, steps: list[str], tmp_path: Path
) -> None:
    world.behave("dies")
    try:
        with pytest.raises(WorkflowError, match="No space left"):
            built(again, tmp_path)
    finally:
        world.behave_well()
    assert len(steps) > 4
    assert here([*steps, f"gsc-{image_name(again, 'train')}-unsigned"]) == []
