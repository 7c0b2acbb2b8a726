"""The README and the pages of docs/: their links hold, and what they name is there."""

from __future__ import annotations

import copy
import itertools
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invoke import Program
from invoke.parser import Parser, ParserContext

import tasks
from tests.conftest import PROJECT
from workflow.core import configuration
from workflow.core.settings import HOME_KEY

README = PROJECT / "README.md"
PAGES = sorted((PROJECT / "docs").glob("*.md"))
TEXTS = [README, *PAGES]
README_LINES = 200
LINE_CHARACTERS = 160
SETTINGS = configuration.defaults()
FILE_ENDINGS = {"md", "py", "toml", "yaml"}
"""Of what is written as a setting is, but names a file: `train.py`."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")

each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def prose(path: Path) -> str:
    """Return the text without its code blocks."""
    return FENCE.sub("", path.read_text())


def spans(path: Path) -> list[str]:
    """Return the pieces of code inside sentences and tables, each on one line."""
    return [" ".join(span.split()) for span in SPAN.findall(prose(path))]


def anchors(path: Path) -> set[str]:
    """Return what a link may name after its #: the headings, as GitHub makes them."""
    made: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        made.append(f"{slug}-{made.count(slug)}" if slug in made else slug)
    return set(made)


def commands(path: Path) -> Iterator[list[str]]:
    """Return every call of inv: those after a prompt, and those inside sentences and tables."""
    shown = [body for kind, body in FENCE.findall(path.read_text()) if kind in ("console", "sh")]
    typed = re.findall(r"^\$ (.*)$", "".join(shown).replace("\\\n", " "), re.MULTILINE)
    for line in [*typed, *spans(path)]:
        for part in re.split(r"&&|[;|]", line):
            match = re.search(r"(?:^|\s)(?:\./)?inv (.*)$", part)
            if match:
                yield shlex.split(match[1], comments=True)


def tasks_of(words: list[str]) -> set[str]:
    """Return the tasks that the words after inv call, as invoke itself reads them.

    Raises: ParseError where a task or a flag does not exist, or lacks its value.
    """
    if words[0] == "TASK":
        return set()
    core = ParserContext(args=Program().core_args())
    first = Parser(initial=core, ignore_unknown=True).parse_argv(words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["inv", *first.unparsed])
        known = copy.deepcopy(tasks.ns).to_contexts()  # invoke takes the help out of its tasks
    called = Parser(known).parse_argv(first.unparsed) if first.unparsed else []
    helped = {first[0].args.help.value} - {None, "TASK"}
    assert helped <= set(tasks.ns.task_names), words
    return {context.name for context in called} | helped


def test_the_readme_is_a_front_door() -> None:
    assert len(README.read_text().splitlines()) <= README_LINES


def test_the_readme_links_every_page() -> None:
    assert PAGES
    linked = set(LINK.findall(README.read_text()))
    assert {f"docs/{page.name}" for page in PAGES} <= linked


@each_page
def test_a_page_begins_with_its_question_and_the_way_back(page: Path) -> None:
    title, beginning = page.read_text().split("\n\n")[:2]
    assert re.fullmatch(r"# .+", title)
    question, _, back = beginning.partition("?")
    assert question and "." not in question
    assert LINK.findall(back) == ["../README.md"]


@each_text
def test_every_link_leads_somewhere(text: Path) -> None:
    for link in LINK.findall(prose(text)):
        name, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (text.parent / name).resolve() if name else text
        assert target.exists(), link
        assert target.is_relative_to(PROJECT), link
        assert not anchor or anchor in anchors(target), link


@each_text
def test_no_line_is_too_long_to_be_read(text: Path) -> None:
    for line in prose(text).splitlines():
        assert line.startswith("|") or len(line) <= LINE_CHARACTERS, line


@each_text
def test_every_command_exists_with_its_flags(text: Path) -> None:
    for words in commands(text):
        tasks_of(words)


def test_the_pages_and_the_list_name_the_same_tasks() -> None:
    everything = "".join(text.read_text() for text in TEXTS)
    named = set(re.findall(r"\binv ([a-z]+(?:-[a-z]+)*)", everything))
    assert named == set(tasks.ns.task_names)
    called = [tasks_of(words) for text in TEXTS for words in commands(text)]
    assert set(itertools.chain.from_iterable(called)) == named


def test_the_readme_has_every_task_and_the_steps_in_their_order() -> None:
    rows = re.findall(r"^\| (\d+|all) \| `inv ([a-z-]+)", README.read_text(), re.MULTILINE)
    numbered = {
        int(match[1]): name
        for name in tasks.ns.task_names
        if (match := re.match(r"(\d+)\. ", (tasks.ns[name].__doc__ or "").strip()))
    }
    steps = [(str(number), name) for number, name in sorted(numbered.items())]
    assert rows == [*steps, ("all", "all")]
    assert len(steps) == 10
    called = [tasks_of(words) for words in commands(README)]
    assert set(itertools.chain.from_iterable(called)) == set(tasks.ns.task_names)


@each_text
def test_every_setting_that_is_named_exists(text: Path) -> None:
    for span in spans(text):
        match = re.fullmatch(r"([a-z]+)\.([a-z_]+)", span)
        if match and match[1] in SETTINGS and match[2] not in {*FILE_ENDINGS, "sig"}:
            assert match[2] in SETTINGS[match[1]], span
    variables = {
        f"INVOKE_{section}_{key}".upper() for section in SETTINGS for key in SETTINGS[section]
    }
    assert set(re.findall(r"\bINVOKE_[A-Z_]*[A-Z]\b", text.read_text())) <= variables


def default_shown(value: Any) -> str:
    """Return how the table begins to say a default; empty where it says it in words."""
    if isinstance(value, Path):
        home = str(HOME_KEY.parents[2])
        inside = value.is_relative_to(PROJECT)
        return f"`{value.relative_to(PROJECT) if inside else str(value).replace(home, '~')}`"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_table_of_settings_is_that_of_the_code() -> None:
    page = (PROJECT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `([a-z]+)\.([a-z_]+)` \| `(\w+)` \| (.+) \|$", page, re.MULTILINE)
    named = [(section, key) for section, key, _, _ in rows]
    there = [(section, key) for section, keys in SETTINGS.items() for key in keys]
    assert sorted(named) == sorted(there)
    for section, key, variable, default in rows:
        assert variable == f"INVOKE_{section}_{key}".upper()
        shown = default_shown(SETTINGS[section][key])
        assert default == shown or default.startswith(f"{shown}: ") or not shown, (section, key)


def test_the_tree_of_the_layout_is_that_of_the_folders() -> None:
    page = (PROJECT / "docs" / "layout.md").read_text()
    (tree,) = (body for kind, body in FENCE.findall(page) if not kind)
    names = re.findall(r"^( *)(\S+) {2,}\S", tree, re.MULTILINE)
    assert all((PROJECT / name).exists() for indent, name in names if not indent)
    rooms = {name for indent, name in names if indent}
    folders = {f"{path.parent.name}/" for path in (PROJECT / "workflow").glob("*/*.py")}
    assert rooms == folders


def test_a_page_that_the_code_names_is_there() -> None:
    code = [*PROJECT.glob("*/*.py"), *PROJECT.glob("*/*/*.py"), PROJECT / "tasks.py"]
    named = {
        name for path in code for name in re.findall(r"\bdocs/[a-z-]+\.md\b", path.read_text())
    }
    assert named <= {f"docs/{page.name}" for page in PAGES}
    assert "docs/steps.md" in named
