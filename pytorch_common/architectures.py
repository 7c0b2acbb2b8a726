"""torchvision's networks without the rest of torchvision.

``import torchvision`` brings data sets, detection, video and operators along: a thousand modules,
as long to import as torch itself, each file of them hashed in an enclave. One architecture is one
module of plain torch.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Mapping

import PIL
import torch
from torch import nn

MODULES: Mapping[str, str] = {
    "resnet18": "resnet",
    "alexnet": "alexnet",
    "vgg11_bn": "vgg",
    "squeezenet1_0": "squeezenet",
    "squeezenet1_1": "squeezenet",
    "densenet121": "densenet",
    "inception_v3": "inception",
}
"""The module of torchvision.models that builds each architecture."""


def build(arch: str, **options: Any) -> nn.Module:
    """Build the network with torchvision's own function of that name."""
    module = _import_alone("torchvision.models", MODULES[arch])
    network: nn.Module = getattr(module, arch)(**options)
    return network


def check() -> None:
    """Import every architecture's module; a base calls this once it is made.

    Raises: RuntimeError where torch is not the one that the base says it has (TORCH_VERSION).
    """
    for name in MODULES.values():
        _import_alone("torchvision.models", name)
    if torch.__version__ != os.environ["TORCH_VERSION"]:
        raise RuntimeError(f"torch {torch.__version__}, not {os.environ['TORCH_VERSION']}")


def versions() -> dict[str, str]:
    """Return the versions of torch, torchvision and Pillow, importing none of them anew."""
    return {
        "torch": torch.__version__,
        "torchvision": _installed_version("torchvision"),
        "pillow": PIL.__version__,
    }


def _installed_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # installed without its description
        return str(import_module(package).__version__)


def _import_alone(package: str, name: str) -> ModuleType:
    """Import one module of a package whose own ``__init__`` is left out.

    For the time of the import the packages above it are empty stand-ins that know their folder.
    They are taken out again, so that a later ``import torchvision`` is the real one. Where the
    package is imported already, or its module needs more than that, the usual import serves.
    """
    top = package.partition(".")[0]
    spec = find_spec(top) if top not in sys.modules else None
    if spec is None or not spec.submodule_search_locations:
        return import_module(f"{package}.{name}")
    root = Path(spec.submodule_search_locations[0])
    for stand_in, folder in ((top, root), (package, root.joinpath(*package.split(".")[1:]))):
        sys.modules[stand_in] = ModuleType(stand_in)
        sys.modules[stand_in].__path__ = [str(folder)]
    try:
        return import_module(f"{package}.{name}")
    except (ImportError, AttributeError):
        _forget(top)
        return import_module(f"{package}.{name}")
    finally:
        if getattr(sys.modules.get(top), "__file__", None) is None:
            _forget(top)


def _forget(top: str) -> None:
    for name in [name for name in sys.modules if name == top or name.startswith(top + ".")]:
        del sys.modules[name]
