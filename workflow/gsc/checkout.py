"""GSC's checkout: set up, looked at, its command run."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from pytorch_common.files import sha256_file, write_atomically
from workflow.core import shell
from workflow.gsc import commands
from workflow.images.build_log import BuildLog
from workflow.core.shell_lines import shell_line, show
from workflow.assets.download import Asset, fetch
from workflow.core.errors import WorkflowError
from workflow.core.console import note, plain
from workflow.core.ownership import refuse_foreign, refuse_unfit
from workflow.core.settings import GRAPHENE, PROJECT, GscSettings, Settings
from workflow.core.shell import exit_on_signals


def setup(settings: Settings) -> None:
    """Bring GSC at its commit and write its config.yaml.

    Raises: WorkflowError where git or the network fails, or something else is in its folder.
    """
    checkout = settings.gsc
    config = checkout.dir / "config.yaml"
    if settings.dry:
        into = commands.source(checkout)[2]
        clones = [] if checkout.dir.is_dir() else commands.clone_commands(checkout, into)
        text = commands.config_yaml(checkout)
        show(*map(shell_line, clones), shell_line(["printf", "%s", text], stdout=config))
        return
    refuse_unfit(checkout.dir, "gsc.dir")
    _check_gramine_image(checkout.gramine_image)
    if not (checkout.dir / "gsc").is_file():
        _clone(checkout)
    check_version(checkout)
    refuse_foreign([config], instead="name another checkout in gsc.dir")
    write_atomically(config, commands.config_yaml(checkout).encode())
    note(f"{config}: written, {checkout.gramine_image or 'Gramine at ' + commands.GRAMINE_COMMIT[:12]}")
    _fetch_seccomp(checkout)


def seccomp_profile(settings: Settings) -> Path:
    """Return the profile of system calls for direct mode: Gramine's where it is at hand, else ours.

    Raises: WorkflowError where the named one is missing.
    """
    if settings.machine.seccomp:
        named = Path(settings.machine.seccomp)
        if not named.is_file() and not settings.dry:
            raise WorkflowError(f"machine.seccomp: no such file: {named}")
        return named
    gramines = settings.gsc.dir / commands.SECCOMP_FILE
    if gramines.is_file() and sha256_file(gramines) == commands.SECCOMP_SHA256:
        return gramines
    return PROJECT / "dockerfiles" / "seccomp-direct.json"


def check_checkout(checkout: GscSettings) -> None:
    if not (checkout.dir / "gsc").is_file():
        raise WorkflowError(commands.missing_message(checkout))
    if not (checkout.dir / "config.yaml").is_file():
        raise WorkflowError(f"{checkout.dir} has no config.yaml; run: inv gsc-setup")
    check_version(checkout)


def check_version(checkout: GscSettings) -> None:
    """Look whether the checkout is of the version that it should be.

    Raises: WorkflowError naming both, where it is another.
    """
    if problem := commands.version_problem(checkout, version(checkout)):
        raise WorkflowError(problem)
    if untried := commands.untried(checkout):
        note(untried)


def version(checkout: GscSettings) -> str:
    """Return the checkout's commit, with ``-dirty`` where files differ, or ``unknown``."""
    done = shell.capture(commands.version_command(checkout))
    return done.stdout.strip() or "unknown"


def run_gsc(command: list[str], checkout: GscSettings, what: str) -> list[str]:
    """Run GSC, drawing its steps, and return its lines.

    Raises: WorkflowError with its last lines and the one that says why it failed.
    """
    lines: list[str] = []
    log = BuildLog(what)

    def take(line: str) -> None:
        lines.append(plain(line))
        log(lines[-1])

    try:
        status = shell.stream_both(command, take, cwd=checkout.dir, env=environment())
    finally:
        log.close()
    if status or commands.is_already_there(lines):
        for line in [line for line in lines if line.strip()][-12:]:
            note(f"  | {line}")
        if status > shell.BY_SIGNAL:
            number = status - shell.BY_SIGNAL
            raise WorkflowError(f"{what} was killed by signal {number}", code=status)
        raise WorkflowError(f"{what}: {commands.failure(lines)}", code=status or 1)
    return lines


def environment() -> dict[str, str]:
    """Return GSC's environment: its Python is this one, which has what it imports."""
    path = os.environ.get("PATH", os.defpath)
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
        "PYTHONUNBUFFERED": "1",
    }


def _clone(checkout: GscSettings) -> None:
    """Clone beside the folder and move the whole into place, so that a half is never there."""
    root = commands.source(checkout)[2]
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise WorkflowError(
            f"{root} is there, but no whole GSC; move it away and set up anew: "
            f"mv {root} {root}.old && inv gsc-setup; or name another folder in gsc.dir"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with exit_on_signals(), tempfile.TemporaryDirectory(prefix=".gsc-", dir=root.parent) as folder:
        made = Path(folder) / root.name
        for command in commands.clone_commands(checkout, made):
            if status := shell.passthrough(command):
                raise WorkflowError(
                    f"{shell.quote(command[:-1])} failed (exit status {status}), its lines stand "
                    f"above; a copy of GSC serves too: git clone COPY {root} && inv gsc-setup"
                )
        made.replace(root)


def _check_gramine_image(name: str) -> None:
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


def _fetch_seccomp(checkout: GscSettings) -> None:
    """Bring Gramine's profile of system calls; without it direct mode takes the project's own."""
    if checkout.dialect == GRAPHENE:
        return
    asset = Asset(
        name=commands.SECCOMP_FILE,
        url=commands.SECCOMP_URL,
        sha256=commands.SECCOMP_SHA256,
        max_bytes=1 << 20,
        hint="direct mode takes the project's own, dockerfiles/seccomp-direct.json",
    )
    try:
        fetch(asset, checkout.dir / commands.SECCOMP_FILE, source="")
    except WorkflowError as error:
        note(f"Gramine's seccomp profile: {error.message}")
