"""How an image is marked with what weakens it, by hand too, and the torch of each base."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import tomli
import tomli_w

from tests.gsc.test_manifest import FIXTURE
from workflow.backends import base
from workflow.core.settings import GscSettings, ImageSettings, MachineSettings, Settings
from workflow.core.step import problem
from workflow.core.values import BASES
from workflow.gsc import lint, manifest
from workflow.gsc.manifest import merge
from workflow.gsc.modes import DIRECT, SGX
from workflow.images.build_spec import base_torch


def test_marks_by_hand_are_those_that_were_admitted() -> None:
    assert lint.marked(frozenset(), SGX) == []
    assert lint.marked(frozenset({"log-level", "host-env"}), SGX) == ["host-env", "log-level"]
    assert lint.marked(frozenset({"log-level"}), DIRECT) == ["insecure-keys", "log-level"]
    assert lint.marked(frozenset(), DIRECT, "1.13.0a0") == ["insecure-keys", "old-torch"]
    assert lint.marked(frozenset(), DIRECT, "2.13.0+cpu") == ["insecure-keys"]


def test_the_torch_of_each_base_is_known_and_old_is_marked_in_direct_mode() -> None:
    versions = {base: base_torch(Settings(image=ImageSettings(base=base))) for base in BASES}
    assert {base for base in BASES if lint.torch_findings(versions[base])} == {
        *("debian12-apt", "ubuntu18.04")
    }
    settings = Settings(
        image=ImageSettings(base="debian12-apt"), machine=MachineSettings(backend="sgx")
    )

    def lacking(settings: Settings) -> list[str]:
        return [line for line in map(problem, base.pick(settings).making(settings)) if line]

    said = "admit it by name: inv gsc-build --insecure old-torch"
    assert any(said in line for line in lacking(settings))
    admitted = replace(settings, gsc=GscSettings(insecure="old-torch"))
    assert not any("old-torch" in line for line in lacking(admitted))
    findings = lint.torch_findings(versions["debian12-apt"])
    assert lint.refuse_insecure(findings, DIRECT, frozenset()) == ["old-torch"]
    env = {"TORCH_VERSION": versions["debian12-apt"]}
    raw = merge(tomli.loads(FIXTURE.read_text()), {"loader": {"env": env}})
    made = manifest.settle(raw, mode=DIRECT, threads=1, insecure=frozenset())
    assert made["loader"]["env"]["RUN_INSECURE"] == "insecure-keys,old-torch"


def test_by_hand_it_is_refused_too() -> None:
    raw = merge(tomli.loads(FIXTURE.read_text()), {"loader": {"insecure__use_host_env": True}})
    command = [sys.executable, "-m", "workflow.gsc.manifest", "train", "sgx"]
    refused, admitted = (
        subprocess.run([*command, *flags], input=tomli_w.dumps(raw).encode(), capture_output=True)
        for flags in ([], ["--insecure=host-env"])
    )
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.decode().splitlines()[-1] == (
        "the manifest has loader.insecure__use_host_env: the host chooses every variable; "
        "take it out, or admit it by name: inv gsc-build --insecure host-env"
    )
    assert (admitted.returncode, admitted.stderr) == (0, b"")
