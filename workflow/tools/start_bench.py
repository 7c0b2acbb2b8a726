"""What a person waits for in an enclave, under Gramine in direct mode: `inv bench --what start`.

The same job of the same image with four manifests, in turn: no list at all, which protects nothing
and is the floor; ours, with the pack; the list that ``--full-list`` leaves; GSC's whole list.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from pytorch_common.contract import (
    CHECKPOINTS_DIR,
    HANDOVER_DIR,
    IN_DIR,
    OUT_DIR,
    PROGRESS_PREFIX,
)
from pytorch_common.files import list_files
from workflow.assets.trained import encrypted_net
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.gsc import manifest
from workflow.gsc.checkout import seccomp_profile
from workflow.gsc.graminize import SETTLED
from workflow.gsc.modes import DIRECT, signed_name, tools_name
from workflow.gsc.shielded_images import current_unsigned
from workflow.images.build_spec import INFER, TRAIN, image_name
from workflow.images.container_spec import ContainerSpec, Mount
from workflow.tools.comparisons import Row

FLOOR, OURS = "none (insecure floor)", "ours, packed"
FULL, WHOLE = "--full-list", "GSC's whole list"
IN_MEMORY = {TRAIN: (OUT_DIR, HANDOVER_DIR, CHECKPOINTS_DIR), INFER: (OUT_DIR,)}


@dataclass
class Times:
    """Hold the seconds after which the runs of one manifest said something."""

    first_line: list[float] = field(default_factory=list)
    first_step: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)


def compare_starts(settings: Settings, rounds: int) -> list[Row]:
    """Run the jobs of both images with each manifest, and return a row for each.

    Raises: WorkflowError where an image is missing or a job fails.
    """
    rows: list[Row] = []
    for role in (TRAIN, INFER):
        current_unsigned(settings, role, DIRECT)
        made = manifests(settings, role)
        times = {name: Times() for name in made}
        for _ in range(rounds):
            for name, each in made.items():
                run(settings, role, name, each, times[name])
        floor_s = median(times[FLOOR].end)
        rows += [_row(role, name, made[name], times[name], floor_s) for name in made]
    return rows


def manifests(settings: Settings, role: str) -> dict[str, manifest.Manifest]:
    """Return the manifests of an image that are compared, each with its outputs kept in memory."""
    folder = SETTLED / DIRECT.app_name(image_name(settings, role)).replace(":", "-")
    ours, raw = (_read(folder / f"{name}.manifest") for name in ("entrypoint", "made"))
    threads = int(ours["loader"]["env"]["OMP_NUM_THREADS"])
    none: frozenset[str] = frozenset()
    full = manifest.settle(raw, mode=DIRECT, threads=threads, insecure=none)
    floor = manifest.settle(
        raw, mode=DIRECT, threads=threads, insecure=frozenset({"allow-all-but-log"})
    )
    whole = {**full, "sgx": {**full["sgx"], "trusted_files": raw["sgx"]["trusted_files"]}}
    made = {FLOOR: floor, OURS: ours, FULL: full, WHOLE: whole}
    return {name: benched(each, role) for name, each in made.items()}


def benched(settled: Mapping[str, Any], role: str) -> manifest.Manifest:
    """Return the manifest with its outputs in memory, and training cut to one epoch."""
    mounts = [each for each in settled["fs"]["mounts"] if each["path"] not in IN_MEMORY[role]]
    mounts += [{"type": "tmpfs", "path": path} for path in IN_MEMORY[role]]
    env = {**settled["loader"]["env"], "TRAIN_EPOCHS": "1"}
    return {
        **settled,
        "fs": {**settled["fs"], "mounts": mounts},
        "loader": {**settled["loader"], "env": env},
    }


def run(settings: Settings, role: str, name: str, made: manifest.Manifest, times: Times) -> None:
    """Run the job once, and note when it says what.

    Raises: WorkflowError where it fails.
    """
    from workflow.images import container_run

    app = DIRECT.app_name(image_name(settings, role))
    with tempfile.TemporaryDirectory(prefix="enclave-finetune-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        path = folder / "entrypoint.manifest"
        path.write_bytes(manifest.dumps(made))
        spec = ContainerSpec(
            signed_name(app) if name == OURS else tools_name(app),
            user="",
            environment={"GRAMINE_MODE": "direct", "LC_ALL": "C"},
            mounts=(
                Mount(path, manifest.IN_IMAGE, read_only=True),
                *(inputs(settings, folder) if role == INFER else ()),
            ),
            seccomp=seccomp_profile(settings),
        )
        watch = Watch()
        ended = container_run.run(spec, watch, watch)
        watch.ended(times)
    if ended.status:
        said = "; ".join(watch.lines[-3:])
        raise WorkflowError(f"{spec.image}, {name}: status {ended.status}: {said}")


def inputs(settings: Settings, folder: Path) -> tuple[Mount, ...]:
    """Copy what is classified, and the sealed network, to where a container may read them."""
    image = next(path for path in list_files(settings.data.dir / "val") if path.suffix == ".jpg")
    for name, source in ((IN_DIR, image), (HANDOVER_DIR, encrypted_net(settings.infer.net.parent))):
        target = folder / name[1:] / source.name
        target.parent.mkdir()
        target.parent.chmod(0o777)  # the image's user is another, and Gramine opens to write
        target.write_bytes(source.read_bytes())
        target.chmod(0o666)
    return tuple(Mount(folder / name[1:], name) for name in (IN_DIR, HANDOVER_DIR))


class Watch:
    """Take the lines of a run, and say after how many seconds they came."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._at: list[float] = []
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        """Take one line; those of Gramine itself do not count."""
        if "] warning: " not in line and not line.startswith("Emulating "):
            self.lines.append(line)
            self._at.append(time.monotonic() - self._started)

    def ended(self, times: Times) -> None:
        """Add this run, which has ended, to the times."""
        times.end.append(time.monotonic() - self._started)
        steps = [
            at
            for line, at in zip(self.lines, self._at, strict=True)
            if line.startswith(PROGRESS_PREFIX)
        ]
        times.first_line += self._at[:1]
        times.first_step += steps[:1]


def _read(path: Path) -> manifest.Manifest:
    if not path.is_file():
        raise WorkflowError(f"{path} is missing; run: inv gsc-build --backend direct")
    return manifest.parse(path.read_bytes(), str(path))


def _row(role: str, name: str, made: manifest.Manifest, times: Times, floor_s: float) -> Row:
    """Return the medians of one manifest; the ratio is of the whole time, to the floor's."""
    figures = {
        f"{what}_s": round(median(seconds), 1) for what, seconds in vars(times).items() if seconds
    }
    files = len(made["sgx"]["trusted_files"])
    ratio = round(median(times.end) / floor_s, 2)
    return {"job": role, "files": name, "trusted": files, **figures, "of_floor": ratio}
