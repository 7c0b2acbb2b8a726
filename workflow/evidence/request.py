"""How a verifier asks: what is accepted, at which time, with which files."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from workflow.assets.trained import COLLATERAL_FILE
from workflow.core.errors import WorkflowError
from workflow.core.values import EvidenceSettings
from workflow.evidence.reading import shown_value


def moment(time_s: int) -> str:
    """Return the time as people and RFC 3339 write it, in UTC."""
    at = datetime.datetime.fromtimestamp(time_s, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_moment(text: str) -> int:
    """Return the seconds since 1970 of a date or a time.

    Raises: WorkflowError where it is neither, or in no time zone.
    """
    try:
        at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
        if len(text) <= len("2025-07-01"):
            at = at.replace(tzinfo=datetime.timezone.utc)
        if at.tzinfo is None or at.year < 2015:
            raise ValueError(text)
        return int(at.timestamp())
    except (ValueError, OverflowError) as error:
        raise WorkflowError(
            "--at: expected a time like 2025-07-01 or 2025-07-01T12:00:00Z, got "
            f"{shown_value(text)}"
        ) from error


@dataclass(frozen=True)
class Request:
    """Say how to verify."""

    chosen: EvidenceSettings
    time_s: int
    """Everything has to be valid at this time, in seconds since 1970."""
    collateral: Path | None = None
    """None takes collateral.json beside the quote."""
    root: bytes | None = None
    """A root certificate in DER in place of Intel's: for chains that tests make up."""
    network: Path | None = None
    """Folder with the claims of the training that made the classifying network."""

    def collateral_of(self, folder: Path) -> Path:
        """Return where the collateral of a quote in the folder lies."""
        return self.collateral or folder / COLLATERAL_FILE
