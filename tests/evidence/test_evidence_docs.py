"""The page about evidence says what is so: options, statuses, what a simulator does not show."""

from __future__ import annotations

import copy
import re

import tasks
from tests.conftest import PROJECT
from workflow.evidence.quotes import FEATURES, STATUSES
from workflow.evidence.summary import ATTESTED, NOT_ATTESTED

PAGE = (PROJECT / "docs" / "evidence.md").read_text(encoding="utf-8")
FLAGS = {
    name: {each.replace("_", "-") for each in copy.deepcopy(tasks.ns[name]).help}
    for name in ("verify", "collateral", "evidence-pack")
}


def test_every_option_of_the_page_exists() -> None:
    commands = re.findall(r"inv (verify|collateral|evidence-pack)([^`\n]*)", PAGE)
    assert commands
    for name, rest in commands:
        assert set(re.findall(r"--([a-z-]+)", rest)) <= FLAGS[name]


def test_every_option_of_verify_is_on_the_page() -> None:
    assert {name for name in FLAGS["verify"] if name != "place"} <= set(
        re.findall(r"--([a-z-]+)", PAGE)
    )


def test_every_status_is_on_the_page() -> None:
    assert all(f"`{word}`" in PAGE for word in (*STATUSES, *FEATURES, ATTESTED, NOT_ATTESTED))


def test_the_simulators_first_line_is_what_it_does_not_prove() -> None:
    first = PAGE.split("## The simulator\n\n")[1].splitlines()[0]
    assert first.startswith("A made-up chain proves nothing of hardware")
