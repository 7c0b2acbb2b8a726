"""A network or weights that are not what they say: one line, whatever was done to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pytorch_common.checkpoint import load_base_weights, load_net
from pytorch_common.contract import old_torch_problem
from pytorch_common.errors import RunError
from pytorch_common.files import sha256_file
from pytorch_common.images import read_image
from pytorch_common.network import build_network
from pytorch_common.preprocess import preprocessing
from pytorch_common.trainable import CLASSES_MAX, classes_problem
from tests.conftest import paint
from tests.enclave.hostile_nets import ARCH, INF, NAN, WEIGHT, refusal, saved, spoilt


def with_description(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**content, "description": json.dumps({**json.loads(content["description"]), **changes})}


def test_what_train_writes_is_taken(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(saved(content))
    net = load_net(tmp_path / "net.pt")
    assert (net.arch, net.classes, net.preprocess["size"]) == (ARCH, ["ants", "bees"], 224)


GOOD = preprocessing(224)
OTHER = "vgg11_bn"
"""An architecture, but not the one of the settings."""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("arch", value) for value in (None, 3, True, [], ["alexnet"], {}, "", "lenet", OTHER)],
        *[("classes", value) for value in (None, "ab", {"a": 1, "b": 2}, ["a"], [], ["a", 2])],
        *[
            ("classes", ["a", value])
            for value in ("a", "", " ", "b\n", "b\x1b[31m", "\u202eb", "\0")
        ],
        *[("classes", ["a", value]) for value in ("\ud800", "b" * 256, None, True, ["b"])],
        ("classes", [str(number) for number in range(CLASSES_MAX + 1)]),
        *[("preprocess", value) for value in (None, [], {}, {**GOOD, "crop": 1}, "224")],
        *[
            ("preprocess", {**GOOD, "size": value})
            for value in (True, 224.0, "224", 0, -1, 225, 10**9, 10**400, NAN, None, [224])
        ],
        *[
            ("preprocess", {**GOOD, name: value})
            for name in ("mean", "std")
            for value in ([0.5] * 2, [0.5] * 4, 0.5, [[0.5]] * 3, ["0.5"] * 3, [1] * 3, [True] * 3)
        ],
        *[
            ("preprocess", {**GOOD, "std": [0.2, 0.2, value]})
            for value in (0.0, 1e-30, -0.2, NAN, INF, 1e9)
        ],
        *[("preprocess", {**GOOD, "mean": [0.5, 0.5, value]}) for value in (NAN, -INF, 1e30, -0.1)],
        *[("settings", value) for value in (None, [], {}, {"method": "full"}, "full")],
        *[("settings", {"arch": ARCH, "method": value}) for value in ("magic", ["full"], None)],
        ("settings", {"arch": "alexnet", "method": "full"}),
        ("settings", {"arch": ARCH, "method": "full", "epochs": True}),
        ("settings", {"arch": ARCH, "method": "full", "epochs": 10.0}),
        ("settings", {"arch": ARCH, "method": "full", "learning_rate": NAN}),
        ("settings", {"arch": ARCH, "method": "full", "shell": "sh"}),
        ("description", "of more"),
    ],
)
def test_a_description_is_held_to_the_schema(
    content: dict[str, Any], tmp_path: Path, key: str, value: Any
) -> None:
    line = refusal(tmp_path / "net.pt", saved(with_description(content, **{key: value})))
    usable = "settings" if value == OTHER else key
    assert f"it has no usable {usable}" in line


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 200_000, "1" * 10_000, "NaN", "", "null", '"' * 3, "{}", "\0"]
)
def test_a_description_that_is_no_object_of_json_is_refused(
    content: dict[str, Any], tmp_path: Path, text: str
) -> None:
    line = refusal(tmp_path / "net.pt", saved({**content, "description": text}))
    assert "it has no usable arch and classes and preprocess and settings" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "enclave-finetune/net/1"},
        {"format": "enclave-finetune/net/2\n"},
        {"format": "x" * 10_000 + "\x1b"},
        {"format": 7},
        {"format": torch.ones(3)},
        {"format": None},
        {"extra": 1},
        {3: 1},
        {"state_dict": None},
        {"state_dict": {}},
        {"state_dict": []},
        {"state_dict": {"a": 1}},
        {"state_dict": {3: torch.ones(1)}},
        {"state_dict": {"a\n": torch.ones(1)}},
        {"state_dict": {"a" * 300: torch.ones(1)}},
    ],
)
def test_the_content_is_held_to_the_schema(
    content: dict[str, Any], tmp_path: Path, changes: dict[Any, Any]
) -> None:
    assert "is not a network that train.py wrote" in refusal(
        tmp_path / "net.pt", saved({**content, **changes})
    )


@pytest.mark.parametrize("other", [None, 3, [], "text", torch.ones(3), {}])
def test_a_file_of_anything_else_is_refused(tmp_path: Path, other: Any) -> None:
    assert "expected format enclave-finetune/net/2" in refusal(tmp_path / "net.pt", saved(other))


def with_attribute(weight: torch.Tensor) -> torch.Tensor:
    other = weight.clone()
    other.detach = "not to be called"  # type: ignore[method-assign,assignment]
    return other


WEIGHTS: dict[str, Any] = {
    "nan": lambda weight: spoilt(weight, NAN),
    "inf": lambda weight: spoilt(weight, INF),
    "minus inf": lambda weight: spoilt(weight, -INF),
    "complex": lambda weight: weight.to(torch.complex64),
    "double": lambda weight: weight.double(),
    "half": lambda weight: weight.half(),
    "bfloat16": lambda weight: weight.bfloat16(),
    "integer": lambda weight: weight.to(torch.int64),
    "bool": lambda weight: weight.bool(),
    "bytes": lambda weight: weight.to(torch.uint8),
    "sparse": lambda weight: weight.to_sparse(),
    "quantized": lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
    "meta": lambda weight: weight.to("meta"),
    "huge on meta": lambda _: torch.empty(2**40, device="meta"),
    "huge of one number": lambda _: torch.zeros(1).expand(2**40),
    "nested": lambda weight: torch.nested.nested_tensor([weight[:1, :, 0, 0], weight[:2, :, 0, 0]]),
    "another shape": lambda weight: weight[:1].clone(),
    "flat": lambda weight: weight.reshape(-1).clone(),
    "empty": lambda weight: weight[:0].clone(),
    "one number": lambda _: torch.tensor(1.0),
    "attributes of its own": with_attribute,
}


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.filterwarnings("ignore")
def test_a_weight_of_another_kind_is_refused_in_a_network_and_in_weights_to_start_from(
    content: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    state = content["state_dict"]
    data = saved({**content, "state_dict": {**state, WEIGHT: WEIGHTS[kind](state[WEIGHT])}})
    line = refusal(tmp_path / "net.pt", data)
    assert WEIGHT in line or "is damaged" in line

    base = build_network(ARCH, 1000, "full").state_dict()
    path = tmp_path / "base.pth"
    path.write_bytes(saved({**base, WEIGHT: WEIGHTS[kind](base[WEIGHT])}))
    with pytest.raises(RunError) as caught:
        build_network(ARCH, 2, "full", load_base_weights(path)[0])
    assert str(caught.value).isprintable()
    assert WEIGHT in str(caught.value) or "is damaged" in str(caught.value)


def test_a_variance_below_zero_is_refused(tmp_path: Path) -> None:
    state = build_network("resnet18", 2, "full").state_dict()
    state["bn1.running_var"][3] = -1
    with pytest.raises(RunError, match=r"bn1\.running_var has a negative variance"):
        build_network("resnet18", 2, "full", {**state, **head_of_imagenet("resnet18")})


def head_of_imagenet(arch: str) -> dict[str, torch.Tensor]:
    state = build_network(arch, 1000, "full").state_dict()
    return {name: state[name] for name in ("fc.weight", "fc.bias")}


def test_finite_weights_whose_answer_is_no_number_give_an_error_and_not_nan(
    content: dict[str, Any], tmp_path: Path
) -> None:
    from pytorch_infer import pytorchexample

    state = {name: torch.full_like(value, 3e38) for name, value in content["state_dict"].items()}
    (tmp_path / "net.pt").write_bytes(saved({**content, "state_dict": state}))
    paint(tmp_path / "red.png", (190, 40, 30), seed=1)
    net = load_net(tmp_path / "net.pt")
    picture = ("red.png", tmp_path / "red.png")
    results = list(pytorchexample.classify(net, [picture], 1, 1, read_image))
    digest = sha256_file(tmp_path / "red.png")
    said = {"image": "red.png", "sha256": digest, "error": "the network computes no number for it"}
    assert results == [said]


@pytest.mark.parametrize(
    "classes", [["a", "a\u0301"], ["蚁", "蜂"], ["🐝", "ant hill"], ["0", "1"]]
)
def test_names_of_every_script_are_class_names(classes: list[str]) -> None:
    assert classes_problem(classes) is None


@pytest.mark.parametrize(
    ("version", "is_old"),
    [
        *[(text, True) for text in ("1.13.0a0", "1.13.1+cpu", "2.6.0", "2.9.1+cu130", "", "none")],
        *[(text, False) for text in ("2.10.0", "2.13.0+cpu", "2.14.1+cu130", "3.0")],
    ],
)
def test_a_torch_whose_loading_is_no_wall_is_known(version: str, is_old: bool) -> None:
    assert bool(old_torch_problem(version)) == is_old
