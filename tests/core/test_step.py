"""A step is done, skipped or shown: decided in one place, for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.core.step import Look, Step, perform


@dataclass(frozen=True)
class Bake(Step):
    """Write down what is asked of it."""

    title = "bake --cake"
    asked: list[str] = field(default_factory=list)
    is_there: bool = False
    wrong: tuple[str, ...] = ()
    wrong_here: tuple[str, ...] = ()

    def reads(self) -> list[Look]:
        return [self._look(each) for each in self.wrong]

    def place(self) -> list[Look]:
        return [self._look(each) for each in self.wrong_here]

    def way_out(self) -> str:
        return "; or go elsewhere"

    def is_done(self) -> bool:
        self.asked.append("is_done")
        return self.is_there

    def run(self) -> None:
        self.asked.append("run")

    def shell(self) -> Sequence[str]:
        self.asked.append("shell")
        return ["bake 'a cake'"]

    def _look(self, what: str) -> Look:
        def look() -> None:
            raise WorkflowError(what)

        return look


def test_it_is_done_unless_its_output_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    fresh, there = Bake(Settings()), Bake(Settings(), is_there=True)
    perform(fresh)
    assert fresh.asked == ["is_done", "run"]
    perform(there)
    assert there.asked == ["is_done"]
    assert capsys.readouterr().err == "bake --cake: done before, verified\n"


def test_again_means_again() -> None:
    there = Bake(Settings(), is_there=True, again=True)
    perform(there)
    assert there.asked == ["run"]


def test_dry_it_is_shown_and_nothing_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    step = Bake(Settings(), wrong=("no flour",), is_there=True)
    perform(step, dry=True)
    assert step.asked == ["shell"]
    assert capsys.readouterr() == ("bake 'a cake'\n", "")


def test_all_that_is_in_the_way_is_said_before_anything_is_begun(
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = Bake(Settings(), wrong=("no flour", "no eggs"), wrong_here=("no oven", "no eggs"))
    with pytest.raises(WorkflowError) as caught:
        perform(step)
    assert capsys.readouterr().err.splitlines() == ["- no flour", "- no eggs", "- no oven"]
    assert caught.value.message == (
        "3 things are in the way, a line each above, and nothing was begun; or go elsewhere"
    )
    assert step.asked == []


def test_elsewhere_is_named_where_only_the_place_is_to_blame() -> None:
    with pytest.raises(WorkflowError, match=r"^no flour$"):
        perform(Bake(Settings(), wrong=("no flour",)))
    with pytest.raises(WorkflowError, match=r"^no oven; or go elsewhere$"):
        perform(Bake(Settings(), wrong_here=("no oven",)))


def test_a_step_knows_its_task() -> None:
    assert Bake(Settings()).task == "bake"
