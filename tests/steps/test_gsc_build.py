"""Whether shielded images have to be built again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.gsc.modes import SGX
from workflow.gsc.shielded_images import TOOLS_LABEL
from workflow.images import daemon
from workflow.images.daemon import Image
from workflow.steps import gsc_build
from workflow.steps.gsc_build import GscBuild

UNSIGNED = Image("gsc-x-unsigned", "sha256:1", (), {TOOLS_LABEL: "sha256:tools"}, {}, "app", 1)


@pytest.mark.parametrize(
    ("has_signer", "is_signed", "is_done"),
    [(True, True, True), (True, False, True), (False, True, True), (False, False, False)],
)
def test_an_image_that_nothing_can_sign_any_more_is_built_again(
    has_signer: bool, is_signed: bool, is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signed(*_: object) -> str:
        if not is_signed:
            raise WorkflowError("not signed")
        return "gsc-x"

    monkeypatch.setattr(gsc_build, "current_unsigned", lambda *_: UNSIGNED)
    monkeypatch.setattr(gsc_build, "current_image", signed)
    monkeypatch.setattr(daemon, "find_image", lambda name: UNSIGNED if has_signer else None)
    assert GscBuild(Settings(), SGX, ("train",)).is_done() is is_done


def test_an_image_with_the_other_list_is_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = replace(UNSIGNED, labels={})
    monkeypatch.setattr(gsc_build, "current_unsigned", lambda *_: whole)
    monkeypatch.setattr(gsc_build, "current_image", lambda *_: "gsc-x")
    assert not GscBuild(Settings(), SGX, ("train",)).is_done()
    settings = Settings(gsc=replace(Settings().gsc, full_list=True))
    assert GscBuild(settings, SGX, ("train",)).is_done()
