"""A task: its options declared once, its settings read, its step done; what fails, in one line."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from invoke import tasks
from invoke.parser.argument import Argument

from pytorch_common.places import place_problem
from workflow.core import configuration
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings
from workflow.core.step import Step, perform

Check = Callable[[Settings], object]
PLACE = "place"
"""The parameter that may be given without its flag."""


@dataclass(frozen=True)
class Option:
    """A flag that sets a setting for this one call."""

    name: str
    """As a parameter: ``batch_size`` for ``--batch-size``."""
    setting: str
    """Section and key."""
    help: str
    also: str = ""
    """Another setting that it sets."""
    is_flag: bool = False
    """It takes no value."""

    def words(self, value: str | bool) -> tuple[str, ...]:
        """Return how it was given on the command line."""
        flag = f"--{self.name.replace('_', '-')}"
        return (flag,) if self.is_flag else (flag, str(value))


class Task(tasks.Task[Any]):
    """A task of which a closed folder, a full disk and the like are one line, no traceback."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task.

        Raises: WorkflowError for an OSError about a place of the person's, and for a name that the
            locale's encoding lacks; others are bugs.
        """
        try:
            return super().__call__(*args, **kwargs)
        except OSError as error:
            problem = place_problem(error, PROJECT)
            if problem is None:
                raise
            raise WorkflowError(problem) from error
        except UnicodeEncodeError as error:
            raise WorkflowError(
                f"the encoding of this locale ({error.encoding}) lacks letters of "
                f"{error.object!a}; run: export LC_ALL=C.UTF-8"
            ) from error


class PlaceTask(Task):
    """A task whose first flag may stand as a bare word: ``inv verify PACK``.

    invoke's positional arguments cannot be left out, so this one is positional where there is one.
    """

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the task's arguments; that of the place as the command line has it."""
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        values = {f"--{str(each.name).replace('_', '-')}" for each in arguments if each.takes_value}
        for argument in arguments:
            if argument.name == PLACE:
                argument.positional = _has_place(sys.argv, str(self.name), values)
        return arguments


def _has_place(argv: Sequence[str], name: str, with_value: set[str]) -> bool:
    """Tell whether a word that is no flag, and no flag's value, comes after the task's name."""
    words = iter(argv[argv.index(name) + 1 :] if name in argv else ())
    for word in words:
        if not word.startswith("-"):
            return True
        if word == f"--{PLACE}":
            return False
        if word in with_value:
            next(words, None)
    return False


def task(
    *options: Option,
    check: Check,
    name: str | None = None,
    help: Mapping[str, str] | None = None,
    iterable: Sequence[str] = (),
) -> Callable[[Callable[..., Step | None]], Task]:
    """Make a task of a function from settings, and flags of its own, to the step that it does.

    The flags of the options come with it. ``check`` looks at the settings once they are read;
    ``help`` has the words for the flags of its own, ``iterable`` those that may be given again.
    """

    def make(body: Callable[..., Step | None]) -> Task:
        def call(ctx: Any, **given: Any) -> None:
            flags = {each: given.pop(each.name) for each in options}
            settings = read(ctx.config, flags, check)
            step = body(settings, **given)
            if step is not None:
                perform(step, dry=bool(ctx.config.run.dry))

        call.__name__, call.__doc__ = body.__name__, body.__doc__
        call.__signature__ = _signature(body, options)  # type: ignore[attr-defined]
        words = {**{each.name: each.help for each in options}, **(help or {})}
        kind = PlaceTask if PLACE in words else Task
        positional = [PLACE] if PLACE in words else []
        return kind(
            call,
            name=name,
            help=words,
            iterable=iterable,
            positional=positional,
            auto_shortflags=False,
        )

    return make


def read(
    config: Mapping[str, Any], flags: Mapping[Option, str | bool | None], check: Check
) -> Settings:
    """Return the settings of a call with these flags; None and False are for those not given.

    Raises: WorkflowError for what cannot be, with its place.
    """
    values = {
        option: value for option, value in flags.items() if value is not None and value is not False
    }
    named = {
        setting: value
        for option, value in values.items()
        for setting in filter(None, (option.setting, option.also))
    }
    settings = configuration.read(config, named, check=check)
    words = {option.setting: option.words(value) for option, value in values.items()}
    return replace(settings, flags=words)


def given(name: str, values: Sequence[str | None]) -> tuple[str, ...]:
    """Return the values of a flag that is no setting; None stands for one that is not given.

    Raises: WorkflowError where one is empty, as an unset variable of the shell leaves it.
    """
    found = tuple(value for value in values if value is not None)
    if not all(value.strip() for value in found):
        raise WorkflowError(f"--{name} is empty; give it a value, or leave it out")
    return found


def text(name: str, value: str | None) -> str:
    """Return the value of a flag that is no setting, empty where it is not given.

    Raises: WorkflowError where it is given empty.
    """
    return "".join(given(name, [value]))


def whole_number(name: str, value: str) -> int:
    """Return the value of a flag that is no setting as a number.

    Raises: WorkflowError where it is none.
    """
    try:
        return int(value)
    except ValueError as error:
        raise WorkflowError(f"--{name}: expected a whole number, got {value!r}") from error


def _signature(body: Callable[..., object], options: Sequence[Option]) -> inspect.Signature:
    """Return what invoke reads the flags from: the context, the options, the function's own."""
    kind = inspect.Parameter.KEYWORD_ONLY
    own = list(inspect.signature(body).parameters.values())[1:]
    flags = [
        inspect.Parameter(each.name, kind, default=False if each.is_flag else None)
        for each in options
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_ONLY)
    return inspect.Signature([context, *flags, *(each.replace(kind=kind) for each in own)])
