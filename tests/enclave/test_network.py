from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pytorch_common.checkpoint import load_base_weights, load_net, save_net
from pytorch_common.contract import IMAGE_SIZES, TrainOptions
from pytorch_common.errors import RunError
from pytorch_common.network import IMAGENET_CLASSES, build_network, logits_and_loss
from pytorch_common.preprocess import preprocessing
from tests.conftest import PROJECT

HEADS = {
    "resnet18": {"fc"},
    "alexnet": {"classifier.6"},
    "vgg11_bn": {"classifier.6"},
    "squeezenet1_0": {"classifier.1"},
    "squeezenet1_1": {"classifier.1"},
    "densenet121": {"classifier"},
    "inception_v3": {"fc", "AuxLogits.fc"},
}


def save(path: Path, network: torch.nn.Module, arch: str, method: str = "full") -> str:
    options = TrainOptions(arch=arch, method=method)
    return save_net(
        path,
        network.state_dict(),
        classes=["ants", "bees", "wasps"],
        preprocess=preprocessing(IMAGE_SIZES[arch]),
        settings=vars(options),
    )


@pytest.mark.slow
@pytest.mark.parametrize("arch", IMAGE_SIZES)
def test_every_architecture_takes_a_step_and_comes_back_the_same(arch: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = build_network(arch, IMAGENET_CLASSES, "full").state_dict()
    network = build_network(arch, 3, "feature-extract", base)
    trained = {name.rpartition(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == HEADS[arch]

    images = torch.randn(2, 3, IMAGE_SIZES[arch], IMAGE_SIZES[arch])
    logits, loss = logits_and_loss(network.train(), images, torch.tensor([0, 2]))
    assert logits.shape == (2, 3)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD(network.parameters(), lr=0.01).step()

    save(tmp_path / "net.pt", network, arch)
    back = load_net(tmp_path / "net.pt")
    with torch.no_grad():
        assert torch.equal(back.network(images), network.eval()(images))


def test_inceptions_second_head_counts_with_0_4() -> None:
    class TwoHeads(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> object:
            from torchvision.models.inception import InceptionOutputs

            return InceptionOutputs(images, -images)

    logits, labels = torch.tensor([[2.0, -1.0]]), torch.tensor([0])
    entropy = torch.nn.functional.cross_entropy
    _, loss = logits_and_loss(TwoHeads(), logits, labels)
    assert loss == entropy(logits, labels) + 0.4 * entropy(-logits, labels)


def test_full_trains_everything() -> None:
    network = build_network("squeezenet1_1", 2, "full")
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_old_names_in_torchvisions_densenet_file_are_understood() -> None:
    new = build_network("densenet121", IMAGENET_CLASSES, "full").state_dict()
    old = {
        key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value
        for key, value in new.items()
    }
    assert old.keys() != new.keys()
    network = build_network("densenet121", 2, "feature-extract", old)
    name = "features.denseblock1.denselayer1.norm1.weight"
    assert torch.equal(network.state_dict()[name], new[name])


def test_weights_of_another_architecture_are_refused(random_weights: Path) -> None:
    state, _ = load_base_weights(random_weights)
    with pytest.raises(RunError, match=r"base weights of squeezenet1_0 does not fit the network"):
        build_network("squeezenet1_0", 2, "full", state)


def test_equal_networks_give_equal_bytes_whatever_the_file_or_memory_format(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    network = build_network("squeezenet1_1", 3, "full")
    first = save(tmp_path / "a.pt", network, "squeezenet1_1")
    moved = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert save(tmp_path / "other name.pt", moved, "squeezenet1_1") == first
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "other name.pt").read_bytes()


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return (os.system, ("touch PWNED",))


def test_what_carries_code_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(build_network("squeezenet1_1", 2, "full"), "model.pt")
    torch.save({"format": "enclave-finetune/net/2", "description": _Evil()}, "evil.pt")
    for name in ("model.pt", "evil.pt"):
        with pytest.raises(RunError, match=r"carries pickled code") as caught:
            load_net(Path(name))
        assert "\n" not in str(caught.value)
        with pytest.raises(RunError, match=r"carries pickled code"):
            load_base_weights(Path(name))
    assert not (tmp_path / "PWNED").exists()


def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path: Path) -> None:
    network = build_network("squeezenet1_1", 3, "full")
    sha256 = save(tmp_path / "net.pt", network, "squeezenet1_1")
    data = (tmp_path / "net.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_bytes(b"hello")
    torch.save(network.state_dict(), tmp_path / "state.pt")
    expected = {
        "half.pt": "is damaged",
        "empty.pt": "is damaged",
        "text.pt": "is damaged|carries pickled code",
        "state.pt": "is not a network that train.py wrote: expected format",
        "absent.pt": "cannot be read: No such file",
    }
    for name, reason in expected.items():
        with pytest.raises(RunError, match=reason) as caught:
            load_net(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert load_net(tmp_path / "net.pt", sha256).sha256 == sha256
    with pytest.raises(RunError, match="is not the network expected here"):
        load_net(tmp_path / "net.pt", "0" * 64)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("arch", "lenet"),
        ("classes", ["one"]),
        ("classes", [1, 2]),
        ("preprocess", {"size": 224}),
        ("preprocess", {"size": 10**9, "mean": [0.5] * 3, "std": [0.5] * 3}),
        ("preprocess", {"size": 224, "mean": [0.5] * 3, "std": [0.5, 0.5, 0.0]}),
        ("settings", {"method": "magic"}),
        ("state_dict", {"features": 1}),
    ],
)
def test_each_part_of_the_content_is_checked(tmp_path: Path, key: str, value: object) -> None:
    network = build_network("squeezenet1_1", 3, "full")
    save(tmp_path / "net.pt", network, "squeezenet1_1")
    content = torch.load(tmp_path / "net.pt", weights_only=True)
    description = json.loads(content["description"])
    if key in description:
        content["description"] = json.dumps({**description, key: value})
    else:
        content[key] = value
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(RunError, match=f"it has no usable {key}"):
        load_net(tmp_path / "net.pt")


@pytest.mark.parametrize("description", [None, 3, "{", "[]"])
def test_a_description_that_is_none_is_refused(tmp_path: Path, description: object) -> None:
    save(tmp_path / "net.pt", build_network("squeezenet1_1", 3, "full"), "squeezenet1_1")
    content = torch.load(tmp_path / "net.pt", weights_only=True)
    torch.save({**content, "description": description}, tmp_path / "net.pt")
    with pytest.raises(RunError, match="it has no usable arch and classes and preprocess"):
        load_net(tmp_path / "net.pt")


def test_the_file_holds_no_number_that_torch_1_13_cannot_read(tmp_path: Path) -> None:
    import pickletools
    import zipfile

    save(tmp_path / "net.pt", build_network("squeezenet1_1", 3, "full"), "squeezenet1_1")
    with zipfile.ZipFile(tmp_path / "net.pt") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        opcodes = {opcode.name for opcode, _, _ in pickletools.genops(archive.read(name))}
    assert "BINUNICODE" in opcodes
    assert "BINFLOAT" not in opcodes


def test_a_state_of_the_wrong_shape_is_refused(tmp_path: Path) -> None:
    network = build_network("squeezenet1_1", 2, "full")
    save(tmp_path / "net.pt", network, "squeezenet1_1")  # says three classes
    with pytest.raises(RunError, match=r"net\.pt does not fit the network: size mismatch"):
        load_net(tmp_path / "net.pt")


def test_torchvision_is_whole_for_whoever_imports_it_later() -> None:
    code = (
        "from pytorch_common.architectures import build\n"
        "network = build('squeezenet1_1', weights=None)\n"
        "import sys; assert 'torchvision' not in sys.modules\n"
        "import torchvision; print(len(torchvision.models.list_models()) > 10,"
        " torchvision.datasets.ImageFolder.__name__,"
        " str(torchvision.models.squeezenet1_1()) == str(network))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "ImageFolder", "True"]
