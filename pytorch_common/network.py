"""The networks of the tutorial by name, each with a new head for the classes at hand."""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple

import torch
from torch import nn

from pytorch_common import architectures
from pytorch_common.contract import FEATURE_EXTRACT, SCRATCH
from pytorch_common.errors import RunError
from pytorch_common.schema import weights_problem

IMAGENET_CLASSES = 1000
AUXILIARY_WEIGHT = 0.4
"""Weight of inception's auxiliary loss. Source: the tutorial, after Szegedy et al. 2015."""

FORWARD_BATCH = 4
"""Images a pass: more do not fit the processor's cache, and are slower."""
THREAD_BATCH = 2
"""The same where several threads make passes side by side, and share cache and memory."""

StateDict = Mapping[str, torch.Tensor]

# torchvision's own file of densenet121 still says "norm.1" where the network says "norm1".
_OLD_DENSENET_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


def build_network(
    arch: str, class_count: int, method: str, base: StateDict | None = None
) -> nn.Module:
    """Build the network with a new head, ready to fine-tune by the method.

    ``base`` is the state_dict of the ImageNet network; with ``scratch`` there is none, and every
    weight is drawn anew. With ``feature-extract`` only the head's weights require a gradient.

    Raises: RunError where ``base`` does not fit the architecture.
    """
    network = _imagenet_network(arch, pretrained=method != SCRATCH)
    if base is not None:
        load_strictly(network, _current_keys(arch, base), f"the base weights of {arch}")
    for parameter in network.parameters():
        parameter.requires_grad = method != FEATURE_EXTRACT
    _replace_head(network, arch, class_count)
    return network


def restore_network(
    arch: str, class_count: int, method: str, state: StateDict, name: str
) -> nn.Module:
    """Build the fine-tuned network from its own state_dict, in evaluation mode.

    Raises: RunError, naming ``name``, where the state does not fit.
    """
    network = _imagenet_network(arch, pretrained=method != SCRATCH)
    _replace_head(network, arch, class_count)
    load_strictly(network, state, name)
    return network.eval()


_OTHER_ARCH = "give the architecture that it was made with: --arch"


def load_strictly(network: nn.Module, state: StateDict, name: str) -> None:
    """Load the state_dict: every key and every shape must agree.

    Raises: RunError with the first disagreements and their cure.
    """
    if problem := weights_problem(state, network.state_dict()):
        raise RunError(f"{name} does not fit the network: {problem}")
    try:
        network.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        own = network.state_dict()
        reason = _prefix(own, state) or _names(own, state) or _shapes(own, state)
        reason = reason or " ".join(str(error).split())
        raise RunError(f"{name} does not fit the network: {reason}") from error


def _prefix(own: StateDict, state: StateDict) -> str:
    """Say that all names are ours but for what stands before them, empty where that is not so."""
    first = next(iter(state))
    prefix = next((first[: -len(key)] for key in own if first.endswith(f".{key}")), "")
    if not prefix or not all(key.startswith(prefix) for key in state):
        return ""
    who = " (torch.nn.DataParallel puts it there)" if prefix == "module." else ""
    inner = f"model.{prefix[:-1]}.state_dict()" if prefix == "module." else "the names without it"
    return f"all of its names begin with {prefix!r}{who}; save {inner}"


def _names(own: StateDict, state: StateDict) -> str:
    """Say which names are only on one side, empty where none is."""
    missing = [key for key in own if key not in state]
    unknown = [key for key in state if key not in own]
    if not missing and not unknown:
        return ""
    parts = [
        f"{len(keys)} {what}, the first of them {keys[0]}"
        for keys, what in ((missing, "weights are missing"), (unknown, "are of another network"))
        if keys
    ]
    return "; ".join([*parts, _OTHER_ARCH])


def _shapes(own: StateDict, state: StateDict) -> str:
    """Say which shapes differ, and where that is the number of classes alone."""
    differing = [key for key in own if own[key].shape != state[key].shape]
    if not differing:
        return ""
    first = differing[0]
    wanted, got = tuple(own[first].shape), tuple(state[first].shape)
    if all(own[key].shape[1:] == state[key].shape[1:] for key in differing) and got:
        mend = "inv train" if wanted[0] != IMAGENET_CLASSES else "take one that ImageNet trained"
        return f"size mismatch: {first} is made for {got[0]} classes, expected {wanted[0]}; {mend}"
    more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    return f"size mismatch: {first}{more}: expected {wanted}, got {got}; {_OTHER_ARCH}"


class Split(NamedTuple):
    """A network in two: what comes out of the backbone is what goes into the tail."""

    backbone: nn.Module | None
    """Frozen, and the same in training and evaluation; None where the network has no such part."""
    tail: nn.Module
    """The rest, with the head; the whole network where there is no backbone."""


def split(network: nn.Module) -> Split:
    """Split off the part that nothing in training changes: neither a gradient nor a batch.

    Batch normalisation keeps running statistics while it trains, frozen or not, so that only
    SqueezeNet and AlexNet have a backbone. Both parts share their weights with the network.
    """
    parts: Any = network
    backbone = getattr(parts, "features", None)
    if backbone is None or not _is_constant(backbone):
        return Split(None, network)
    if hasattr(parts, "avgpool"):
        return Split(backbone, nn.Sequential(parts.avgpool, nn.Flatten(1), parts.classifier))
    return Split(backbone, nn.Sequential(parts.classifier, nn.Flatten(1)))


@torch.no_grad()
def features(backbone: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return what the backbone makes of the images; few at a time, for other threads do so too."""
    return torch.cat([backbone(part) for part in torch.split(images, THREAD_BATCH)])


def changing_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return those tensors of the state_dict that training changes: all but frozen weights."""
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    return {name: value for name, value in network.state_dict().items() if name not in frozen}


def logits_and_loss(
    network: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits, float32 (N, classes), and the mean cross-entropy over the batch.

    In training inception_v3 has a second head, whose loss counts with AUXILIARY_WEIGHT.
    """
    output: Any = network(images)
    if isinstance(output, torch.Tensor):
        return output, nn.functional.cross_entropy(output, labels)
    loss = nn.functional.cross_entropy(output.logits, labels)
    auxiliary = nn.functional.cross_entropy(output.aux_logits, labels)
    return output.logits, loss + AUXILIARY_WEIGHT * auxiliary


def _imagenet_network(arch: str, *, pretrained: bool) -> nn.Module:
    """Build the 1000-class network; torchvision's pretrained inception scales its own input."""
    options: dict[str, Any] = {"weights": None}
    if arch == "inception_v3":
        options.update(aux_logits=True, transform_input=pretrained, init_weights=not pretrained)
    return architectures.build(arch, num_classes=IMAGENET_CLASSES, **options)


def mixes_images(network: nn.Module) -> bool:
    """Tell whether an image's output depends, in training, on the others of its batch."""
    return any(isinstance(part, nn.BatchNorm2d) for part in network.modules())


def _is_constant(module: nn.Module) -> bool:
    trains = any(weight.requires_grad for weight in module.parameters())
    draws = any(isinstance(part, nn.Dropout) for part in module.modules())
    return not (trains or draws or mixes_images(module))


def _replace_head(network: Any, arch: str, class_count: int) -> None:
    """Put a new last layer in place, as the tutorial's initialize_model does."""
    if arch.startswith("squeezenet"):
        network.classifier[1] = nn.Conv2d(512, class_count, kernel_size=1)
    elif arch in ("alexnet", "vgg11_bn"):
        network.classifier[6] = nn.Linear(network.classifier[6].in_features, class_count)
    elif arch == "densenet121":
        network.classifier = nn.Linear(network.classifier.in_features, class_count)
    else:
        network.fc = nn.Linear(network.fc.in_features, class_count)
        if arch == "inception_v3":
            network.AuxLogits.fc = nn.Linear(network.AuxLogits.fc.in_features, class_count)


def _current_keys(arch: str, state: StateDict) -> dict[str, torch.Tensor]:
    if arch != "densenet121":
        return dict(state)
    return {_OLD_DENSENET_KEY.sub(r"\1\2", key): value for key, value in state.items()}
