"""Bring GSC at the pinned commit and write its config.yaml."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytorch_common.files import write_atomically
from workflow.assets.download import Asset, fetch
from workflow.core import shell
from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.ownership import refuse_foreign, refuse_unfit
from workflow.core.settings import GscSettings
from workflow.core.shell import exit_on_signals
from workflow.core.shell_lines import shell_line
from workflow.core.step import Look, Step
from workflow.gsc import commands
from workflow.gsc.checkout import check_version
from workflow.gsc.commands import GRAMINE_COMMIT, config_yaml, dialect


@dataclass(frozen=True)
class GscSetup(Step):
    """Bring GSC; a checkout that is there already is taken where it is at the commit."""

    title = "gsc-setup"

    def writes(self) -> Iterable[Look]:
        return (lambda: refuse_unfit(self.settings.gsc.dir, "gsc.dir"),)

    def run(self) -> None:
        gsc = self.settings.gsc
        config = gsc.dir / "config.yaml"
        check_gramine_image(gsc.gramine_image)
        if not (gsc.dir / "gsc").is_file():
            clone(gsc)
        check_version(gsc)
        refuse_foreign([config], instead="name another checkout in gsc.dir")
        write_atomically(config, config_yaml(gsc).encode())
        note(f"{config}: written, {gsc.gramine_image or 'Gramine at ' + GRAMINE_COMMIT[:12]}")
        fetch_seccomp(gsc)

    def shell(self) -> Sequence[str]:
        gsc = self.settings.gsc
        into = commands.source(gsc)[2]
        clones = [] if gsc.dir.is_dir() else commands.clone_commands(gsc, into)
        write = ["printf", "%s", config_yaml(gsc)]
        return [*map(shell_line, clones), shell_line(write, stdout=gsc.dir / "config.yaml")]


def clone(gsc: GscSettings) -> None:
    """Clone beside the folder and move the whole into place, so that a half is never there."""
    root = commands.source(gsc)[2]
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise WorkflowError(
            f"{root} is there, but no whole GSC; move it away and set up anew: "
            f"mv {root} {root}.old && inv gsc-setup; or name another folder in gsc.dir"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with exit_on_signals(), tempfile.TemporaryDirectory(prefix=".gsc-", dir=root.parent) as folder:
        made = Path(folder) / root.name
        for command in commands.clone_commands(gsc, made):
            if status := shell.passthrough(command):
                raise WorkflowError(
                    f"{shell.quote(command[:-1])} failed (exit status {status}), its lines stand "
                    f"above; a copy of GSC serves too: git clone COPY {root} && inv gsc-setup"
                )
        made.replace(root)


def check_gramine_image(name: str) -> None:
    """Refuse a Gramine image that is not here, as far as can be looked.

    Raises: WorkflowError.
    """
    from workflow.images import daemon

    if not name:
        return
    if problem := daemon.problem():
        note(f"whether image {name} is here was not looked at: {problem}")
    elif daemon.find_image(name) is None:
        raise WorkflowError(
            f"no image {name} here to take Gramine from; docker images lists those that are, and "
            "without --gramine-image inv gsc-build makes one"
        )


def fetch_seccomp(gsc: GscSettings) -> None:
    """Bring Gramine's profile of system calls; without it direct mode takes the project's own."""
    if not dialect(gsc).is_settled:
        return
    asset = Asset(
        name=commands.SECCOMP_FILE,
        url=commands.SECCOMP_URL,
        sha256=commands.SECCOMP_SHA256,
        max_bytes=1 << 20,
        hint="direct mode takes the project's own, dockerfiles/seccomp-direct.json",
    )
    try:
        fetch(asset, gsc.dir / commands.SECCOMP_FILE, source="")
    except WorkflowError as error:
        note(f"Gramine's seccomp profile: {error.message}")
