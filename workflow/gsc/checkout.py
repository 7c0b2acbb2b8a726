"""GSC's checkout: looked at, its command run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pytorch_common.files import sha256_file
from workflow.core import shell
from workflow.core.console import note, plain
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, GscSettings, Settings
from workflow.gsc import commands, failures
from workflow.images.build_run import BuildLog


def seccomp_profile(settings: Settings, *, is_here: bool = True) -> Path:
    """Return the profile of system calls for direct mode: Gramine's where it is at hand, else ours.

    Raises: WorkflowError where the named one is missing and should be here.
    """
    if settings.machine.seccomp:
        named = Path(settings.machine.seccomp)
        if is_here and not named.is_file():
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


def check_gramine(checkout: GscSettings) -> None:
    """Refuse a Gramine image that is named and not here: GSC looks for it after the first builds.

    Raises: WorkflowError.
    """
    from workflow.images import daemon

    path = checkout.dir / "config.yaml"
    if not path.is_file():
        return
    named = gramine_image(path)
    if checkout.gramine_image and checkout.gramine_image != named:
        raise WorkflowError(
            f"{path} names {named or 'no Gramine image'}, but gsc.gramine_image is "
            f"{checkout.gramine_image}; run: inv gsc-setup"
        )
    if named and daemon.find_image(named) is None:
        raise WorkflowError(
            f"no image {named} here, from which {path} takes Gramine; run: inv gsc-setup, which "
            "has GSC compile it, or name one that is here: --gramine-image NAME"
        )


def gramine_image(config: Path) -> str:
    """Return the image from which GSC's config.yaml takes Gramine, empty where it compiles one.

    Raises: WorkflowError where that is no YAML.
    """
    import yaml

    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise WorkflowError(f"{config} cannot be read; run: inv gsc-setup") from error
    gramine = content.get("Gramine") if isinstance(content, dict) else None
    return str(gramine.get("Image") or "") if isinstance(gramine, dict) else ""


def gsc_problem(gsc: GscSettings) -> str:
    """Say what keeps GSC from being used, with the command that mends it."""
    if (gsc.dir / "gsc").is_file():
        return (
            "" if (gsc.dir / "config.yaml").is_file() else "GSC has no config.yaml (inv gsc-setup)"
        )
    return f"no GSC in {gsc.dir} (inv gsc-setup)"


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
    if status or failures.is_already_there(lines):
        for line in [line for line in lines if line.strip()][-12:]:
            note(f"  | {line}")
        if status > shell.BY_SIGNAL:
            number = status - shell.BY_SIGNAL
            raise WorkflowError(f"{what} was killed by signal {number}", code=status)
        raise WorkflowError(f"{what}: {failures.failure(lines)}", code=status or 1)
    return lines


def environment() -> dict[str, str]:
    """Return GSC's environment: its Python is this one, which has what it imports."""
    path = os.environ.get("PATH", os.defpath)
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
        "PYTHONUNBUFFERED": "1",
    }
