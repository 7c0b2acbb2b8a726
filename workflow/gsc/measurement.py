"""What a signed image measures to: asked of GSC, shown, kept, compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli

from pytorch_common.files import write_atomically
from workflow.core import shell
from workflow.core.console import is_colourful, red
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, GscSettings
from workflow.gsc.checkout import environment
from workflow.gsc.commands import info_command
from workflow.gsc.failures import failure
from workflow.gsc.modes import Mode, signed_name

MEASUREMENTS = PROJECT / "out" / "measurements"


@dataclass(frozen=True)
class Measurement:
    """What an enclave is, as `gsc info-image` prints it."""

    image: str
    mr_enclave: str
    """SHA-256 of everything that is loaded before it starts, 64 hex digits."""
    mr_signer: str
    """SHA-256 of the signing key's modulus, 64 hex digits."""
    isv_prod_id: int
    isv_svn: int
    date: str
    flags: str
    xfrms: str
    misc_select: str
    debug: bool

    def sealing(self) -> dict[str, Any]:
        """Return what must be the same in two enclaves for one to open what the other sealed."""
        names = ("mr_signer", "isv_prod_id", "isv_svn", "debug", "flags", "xfrms", "misc_select")
        return {name: asdict(self)[name] for name in names}


def measure(gsc: GscSettings, app: str) -> Measurement:
    """Return what the signed image measures to.

    Raises: WorkflowError where it is missing or not signed.
    """
    done = shell.capture(info_command(app), cwd=gsc.dir, env=environment())
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        raise WorkflowError(f"gsc info-image {signed_name(app)}: {failure(lines)}")
    return parse_info(signed_name(app), done.stdout)


def parse_info(image: str, text: str) -> Measurement:
    """Return the measurement that `gsc info-image` printed.

    Raises: WorkflowError where it printed anything else.
    """
    try:
        values = tomli.loads(text)
        return Measurement(image=image, **values)
    except (tomli.TOMLDecodeError, TypeError) as error:
        first = " ".join(text.split())[:120] or "nothing"
        raise WorkflowError(f"gsc info-image {image}: expected TOML, got: {first}") from error


def info_table(measurement: Measurement, mode: Mode, insecure: Sequence[str]) -> list[str]:
    """Return the measurement for people, a line a fact; red where it is weakened."""
    debug = "yes: a debugger reads its memory" if measurement.debug else "no"
    weak = ", ".join(insecure) or "none"
    backend = mode.name if mode.is_protected else f"{mode.name}: not protected"
    rows = (
        ("image", measurement.image, False),
        ("backend", backend, not mode.is_protected),
        ("MRENCLAVE", measurement.mr_enclave, False),
        ("MRSIGNER", measurement.mr_signer, False),
        ("product, SVN", f"{measurement.isv_prod_id}, {measurement.isv_svn}", False),
        ("debug enclave", debug, measurement.debug),
        ("insecure options", weak, bool(insecure)),
        ("signed on", measurement.date, False),
    )
    colour = is_colourful()
    return [f"{name:<18}{red(value) if bad and colour else value}" for name, value, bad in rows] + [
        ""
    ]


def save_measurement(measurement: Measurement, insecure: Sequence[str]) -> Path:
    """Write the measurement down for later runs and for whoever verifies them."""
    path = MEASUREMENTS / f"{measurement.image.replace('/', '_').replace(':', '-')}.json"
    facts = {**asdict(measurement), "insecure": list(insecure)}
    write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())
    return path


def sealing_differences(one: Measurement, other: Measurement) -> list[str]:
    """Return in what two enclaves differ, of that on which opening each other's files depends."""
    mine, theirs = one.sealing(), other.sealing()
    return [
        f"{name} {mine[name]} and {theirs[name]}" for name in mine if mine[name] != theirs[name]
    ]
