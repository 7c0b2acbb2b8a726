"""`inv --dry TASK` shows every path where it is set to."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.core.test_settings import PATHS
from tests.steps.dry_runs import dry

USES: dict[str, list[str]] = {
    "model.dir": ["download-model", "train --backend=native", "build"],
    "model.source": ["download-model"],
    "model.weights": ["train --backend=native", "build", "bench"],
    "data.dir": ["fetch-hymenoptera", "train --backend=native", "build", "report", "bench"],
    "data.source": ["fetch-hymenoptera"],
    "train.out": [
        *(f"train --backend={backend}" for backend in ("native", "docker", "direct", "sgx")),
        *("train --compare-scratch", "copy-net", "report"),
    ],
    "infer.net": [
        *(f"classify --image=x --backend={backend}" for backend in ("native", "docker", "sgx")),
        *("copy-net", "build --image=infer", "report"),
    ],
    "infer.out": [
        *(f"classify --image=x --backend={backend}" for backend in ("native", "docker", "sgx")),
        "clean-result",
    ],
    "machine.sgx_device": ["train --backend=sgx", "classify --image=x --backend=sgx", "train"],
    "machine.provision_device": ["train --backend=sgx", "classify --image=x --backend=sgx"],
    "machine.aesm_socket": ["train --backend=sgx", "classify --image=x --backend=sgx"],
    "machine.seccomp": ["train --backend=direct", "classify --image=x --backend=direct"],
    "image.wheels": ["build", "reproduce"],
    "gsc.dir": ["gsc-setup", "gsc-build --backend=sgx", "info --backend=sgx"],
    "gsc.key": ["sign --backend=sgx"],
    "gsc.passphrase_file": [],  # a secret's place; see the next test
    "evidence.lock": [],  # what is accepted is looked at by inv verify alone
    "evidence.ppids": [],
}
"""Of every setting that is a path, the tasks whose run uses it."""


def test_every_setting_that_is_a_path_is_among_these() -> None:
    assert set(USES) == set(PATHS)


@pytest.mark.parametrize(("name", "call"), [(name, call) for name in USES for call in USES[name]])
def test_what_a_path_is_set_to_is_what_is_shown(name: str, call: str, project: Path) -> None:
    suffix = ".pt" if name == "infer.net" else ""
    path = project.parent / "set elsewhere" / f"mine{suffix}"
    shown = dry(project, *call.split(), **{variable(name): str(path)})
    written = path.parent if name == "infer.net" else path
    assert str(written) in "\n".join(shown)


def variable(name: str) -> str:
    return f"INVOKE_{name.replace('.', '_')}".upper()


def test_the_shown_commands_bring_the_data_set_to_where_it_is_set(
    project: Path, tmp_path: Path
) -> None:
    if not shutil.which("unzip"):
        pytest.skip("no unzip on this machine")
    zipped = tmp_path / "their own.zip"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("hymenoptera_data/train/bees/1.jpg", b"a bee")
    for target in (tmp_path / "mine", tmp_path / "other" / "hymenoptera_data"):
        flags = {"INVOKE_DATA_DIR": str(target), "INVOKE_DATA_SOURCE": str(zipped)}
        *bring, check = dry(project, "fetch-hymenoptera", **flags)
        assert check.startswith(f"(cd {target} && sha256sum --check --quiet ")
        subprocess.run(["sh", "-e"], input="\n".join(bring), text=True, check=True, cwd=project)
        assert (target / "train" / "bees" / "1.jpg").read_bytes() == b"a bee"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "other", zipped.name]
