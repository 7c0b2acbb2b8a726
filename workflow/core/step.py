"""A step: what it reads and writes, whether it is done, how it is done, and how a person would.

Here, and nowhere else, it is decided whether a step is done, skipped or only shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pytorch_common.places import place_problem
from workflow.core.console import answer, note
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings

Look = Callable[[], object]
"""Looks at one thing; a WorkflowError says what is wrong with it."""


@dataclass(frozen=True)
class Step:
    """One thing that a task does, as a value. What a kind of step has nothing of stays as here."""

    settings: Settings
    again: bool = field(default=False, kw_only=True)
    """Do it even where its output is there, verified."""

    @property
    def title(self) -> str:
        """Return the task's name and what tells this call of it from others."""
        raise NotImplementedError

    @property
    def task(self) -> str:
        """Return the task's name."""
        return self.title.split(maxsplit=1)[0]

    def reads(self) -> Iterable[Look]:
        """Return the looks at what must be here."""
        return ()

    def writes(self) -> Iterable[Look]:
        """Return the looks at where it writes: what no task made is not written over."""
        return ()

    def place(self) -> Iterable[Look]:
        """Return the looks at what this machine must offer."""
        return ()

    def way_out(self) -> str:
        """Return what can be done, in the end, about a place that offers too little."""
        return ""

    def is_done(self) -> bool:
        """Tell whether its output is there, verified."""
        return False

    def done(self) -> str:
        """Return what is said where it is skipped."""
        return f"{self.title}: done before, verified"

    def run(self) -> None:
        """Do it.

        Raises: WorkflowError where it fails.
        """
        raise NotImplementedError

    def shell(self) -> Sequence[str]:
        """Return the commands that a person would paste; nothing needs to be there yet."""
        raise NotImplementedError


def perform(step: Step, *, dry: bool = False) -> None:
    """Do the step; skip it where its output is there; dry, print its commands and change nothing.

    Raises: WorkflowError with all that is in its way, before anything is begun.
    """
    if dry:
        for line in step.shell():
            answer(line)
        return
    require([*step.reads(), *step.writes()], step.place(), way_out=step.way_out())
    if not step.again and step.is_done():
        note(step.done())
    else:
        step.run()


def require(inputs: Iterable[Look], place: Iterable[Look] = (), *, way_out: str = "") -> None:
    """Look at everything, and go on where nothing is wrong.

    Raises: WorkflowError with what is wrong; of several things each is a line before it.
    """
    of_inputs, of_place = (list(filter(None, map(problem, looks))) for looks in (inputs, place))
    if problems := list(dict.fromkeys([*of_inputs, *of_place])):
        is_of_place = len(problems) > len(of_inputs)
        *lines, last = refusal(problems, way_out=way_out if is_of_place else "")
        for line in lines:
            note(line)
        raise WorkflowError(last)


def problem(look: Look) -> str:
    """Return what is wrong with the thing, empty where nothing is."""
    try:
        look()
    except WorkflowError as error:
        return str(error.message)
    except OSError as error:
        if line := place_problem(error, PROJECT):
            return line
        raise
    return ""


def refusal(problems: Sequence[str], *, way_out: str) -> list[str]:
    """Return the lines for the person, the error's last: what is wrong and what can be done."""
    if len(problems) == 1:
        return [problems[0] + way_out]
    count = f"{len(problems)} things are in the way, a line each above, and nothing was begun"
    return [*(f"- {line}" for line in problems), count + way_out]
