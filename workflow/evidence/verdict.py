"""A verdict: what was checked and what that means, and, as visibly, what was not checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from workflow.core.console import is_colourful, red
from workflow.core.errors import WorkflowError
from workflow.evidence.request import moment

SCHEMA = "enclave-finetune/verdict/1"
OK, FAILED, NOT_CHECKED = "ok", "FAILED", "not checked"
NOTHING_PROVES = (
    "nothing proves where it ran: there is no quote, so whoever ran it could have written all of "
    "this, with any data and any code"
)

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """Hold one thing that was looked at, or was not."""

    name: str
    state: str
    """OK, FAILED or NOT_CHECKED."""
    found: str
    """What is there, or what is wrong."""
    means: str
    """What follows, in plain words."""


@dataclass
class Verdict:
    """Collect the rows about one piece of evidence."""

    what: str
    """The folder or pack."""
    time_s: int
    """At what time everything had to be valid."""
    subject: str = ""
    """Name of what it is about: net.pt or result.json."""
    digest: str = ""
    """Its SHA-256."""
    is_attested: bool = False
    """Whether a genuine quote binds it to an enclave that is accepted."""
    network_is_unproven: bool = False
    """Whether the answers are attested, but not the training of the network that gave them."""
    root_is_own: bool = False
    """Whether the chain ends at another root than Intel's."""
    inputs: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files that were read as evidence, by name."""
    rows: list[Row] = field(default_factory=list)

    @property
    def failed(self) -> list[Row]:
        """Return what does not hold."""
        return [row for row in self.rows if row.state == FAILED]

    def check(self, name: str, means: str, look: Callable[[], T]) -> T | None:
        """Look, put down the row, and return what was found, None where it does not hold.

        What ``look`` returns is shown where it is text.
        """
        try:
            found = look()
        except WorkflowError as error:
            self.rows.append(Row(name, FAILED, str(error.message), ""))
            return None
        self.rows.append(Row(name, OK, found if isinstance(found, str) else "", means))
        return found

    def leave_out(self, name: str, why: str) -> None:
        """Put down what was not checked."""
        self.rows.append(Row(name, NOT_CHECKED, why, ""))

    @property
    def headline(self) -> str:
        """Return the verdict in one sentence."""
        if self.failed:
            return f"NOT VERIFIED: {self.failed[0].name}: {self.failed[0].found}"
        if self.network_is_unproven:
            return (
                "the answers are an accepted enclave's, but nothing proves where the network that "
                "gave them was trained, or on what"
            )
        if self.is_attested and self.root_is_own:
            return (
                "consistent, up to a root of your own: a made-up chain proves nothing of hardware"
            )
        if self.is_attested:
            return (
                f"verified: an enclave that you accept wrote this about {self.subject}, and its "
                "quote was genuine at the time given"
            )
        return f"consistent in itself, but {NOTHING_PROVES}"

    @property
    def is_sure(self) -> bool:
        """Tell whether an accepted enclave on Intel's hardware is proven to have made it."""
        is_whole = not self.failed and not self.network_is_unproven
        return self.is_attested and is_whole and not self.root_is_own

    @property
    def in_order(self) -> list[Row]:
        """Return the rows, those that were not checked at the end."""
        return sorted(self.rows, key=lambda row: row.state == NOT_CHECKED)

    def for_programs(self) -> dict[str, Any]:
        """Return the verdict as JSON has it."""
        return {
            "what": self.what,
            "subject": {"name": self.subject, "digest": {"sha256": self.digest}},
            "verified": not self.failed,
            "attested": self.is_sure,
            "at": moment(self.time_s),
            "verdict": self.headline,
            "rows": [vars(row) for row in self.rows],
        }


def table(verdict: Verdict) -> list[str]:
    """Return the verdict for people: what was checked, then what was not, then the sentence."""
    width = max((len(row.name) for row in verdict.rows), default=0)
    colour = is_colourful()
    lines = [f"{verdict.what}, at {moment(verdict.time_s)}"]
    for row in verdict.in_order:
        words = "; ".join(filter(None, (row.found, row.means)))
        line = f"{row.state:<13}{row.name:<{width + 2}}{words}"
        lines.append(red(line) if row.state == FAILED and colour else line)
    is_plain = verdict.is_sure or not colour
    return [*lines, verdict.headline if is_plain else red(verdict.headline), ""]
