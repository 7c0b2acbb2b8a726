"""The enclave page cache, and whether the enclaves fit into it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings
from workflow.core.values import GRAPHENE
from workflow.gsc import epc, graminize, manifest

GIB = 2**30


def system(folder: Path, *sizes: str) -> Path:
    """Return a folder that shows the cache as the kernel does, a file for each memory node."""
    for number, size in enumerate(sizes):
        path = folder / epc.EPC_FILES.replace("*", str(number))
        path.parent.mkdir(parents=True)
        path.write_text(f"{size}\n")
    return folder


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((), None), ((str(GIB),), GIB), ((str(GIB), str(2 * GIB)), 3 * GIB), (("much",), None)],
)
def test_the_cache_is_that_of_all_nodes_or_unknown(
    sizes: tuple[str, ...], expected: int | None, tmp_path: Path
) -> None:
    assert epc.epc_bytes(system(tmp_path, *sizes)) == expected


def test_the_size_of_an_enclave_is_in_its_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert epc.enclave_bytes(GscSettings(), "train") == 8 * GIB
    monkeypatch.setattr(manifest, "MANIFESTS", tmp_path)
    path = tmp_path / "pytorch_train.manifest"
    path.write_text('sgx.enclave_size = "much"\n')
    expected = f"{path}: expected sgx.enclave_size like 4G, got much"
    with pytest.raises(WorkflowError, match=re.escape(expected)):
        epc.enclave_bytes(GscSettings(), "train")


def test_an_enclave_larger_than_the_cache_is_said_unless_it_grows_as_needed() -> None:
    assert epc.misfit(None, "train", 8 * GIB, edmm=False) == ""
    assert epc.misfit(8 * GIB, "train", 8 * GIB, edmm=False) == ""
    assert epc.misfit(GIB, "train", 8 * GIB, edmm=True) == ""
    assert epc.misfit(96 * 2**20, "train", 8 * GIB, edmm=False) == (
        "96 MiB, less than the 8 GiB of the train enclave: all of it is committed at its start, so "
        "it is swapped, which is slow"
    )


def test_a_build_says_what_does_not_fit_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(epc, "epc_bytes", lambda: GIB)
    graminize.warn_of_epc(GscSettings(edmm=True), "infer")
    assert capsys.readouterr().err == ""
    graminize.warn_of_epc(GscSettings(), "infer")
    said = capsys.readouterr().err
    assert said.startswith("this machine's EPC is 1 GiB, less than the 4 GiB of the infer enclave")
    assert said.endswith("; inv size proposes a size\n")


def test_old_graphene_has_no_edmm() -> None:
    gsc = GscSettings(dialect=GRAPHENE)
    graminize.check_edmm(gsc)
    with pytest.raises(WorkflowError, match=r"gsc\.edmm: graphene has no EDMM"):
        graminize.check_edmm(replace(gsc, edmm=True))
