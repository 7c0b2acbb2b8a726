"""The evidence of the real scripts, whole: of a training and a classification, in SGX or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytorch_common.files import sha256_file
from tests.conftest import PROJECT, paint
from tests.enclave import made_up_gramine
from tests.enclave.reading import claims, root_of
from tests.enclave.train_script import OPTIONS

IN_AN_ENCLAVE = (
    "import sys; from pathlib import Path; from pytorch_common import attestation, script; "
    "attestation.FOLDER = Path(sys.argv.pop(1)); from {module} import main; "
    "script.leave(script.run_script(main))"
)
"""Nothing but the code can say where the pseudo-files are."""


def run(module: str, device: Path | None, *args: object) -> subprocess.CompletedProcess[bytes]:
    start = ["-m", module]
    if device:
        start = ["-c", IN_AN_ENCLAVE.format(module=module), str(device)]
    command = [sys.executable, *start, *map(str, args)]
    return subprocess.run(
        command, cwd=PROJECT, env={**os.environ}, capture_output=True, timeout=120
    )


@pytest.fixture(scope="module", params=["native", "sgx"])
def chain(
    request: pytest.FixtureRequest,
    tiny_data: Path,
    random_weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """Train and classify; return the backend and the folder of both results."""
    root = tmp_path_factory.mktemp(request.param)
    devices = {"train": None, "infer": None}
    if request.param == "sgx":
        devices = {name: made_up_gramine.device(root / f"dev-{name}") for name in devices}
    args = [f"--data={tiny_data}", f"--weights={random_weights}", f"--out={root / 'train'}"]
    more = [f"--checkpoints={root / 'checkpoints'}", f"--net={root / 'handover' / 'net.pt'}"]
    done = run("pytorch_train.train", devices["train"], *args, *more, *OPTIONS)
    assert done.returncode == 0, done.stderr
    paint(root / "in" / "a.png", (200, 9, 9), 1)
    paint(root / "in" / "b.png", (9, 200, 9), 2)
    (root / "in" / "c.png").write_bytes(b"no image")
    (root / "in" / "d.png").symlink_to("nowhere")
    args = [f"--net={root / 'handover' / 'net.pt'}", f"--out={root / 'infer'}", "--top-k=1"]
    module = "pytorch_infer.pytorchexample"
    done = run(module, devices["infer"], *args, f"--image={root / 'in'}")
    assert done.returncode == 1, done.stderr  # two are no images
    return request.param, root


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def test_a_training_is_bound_to_all_that_it_left(chain: tuple[str, Path]) -> None:
    backend, root = chain
    _, what, where = claims(root / "train")
    record = read(root / "train" / "record.json")
    net = sha256_file(root / "handover" / "net.pt")
    assert what["subject"] == [{"name": "net.pt", "digest": {"sha256": net}}]
    build = what["predicate"]["buildDefinition"]
    assert build["externalParameters"] == record["settings"]
    assert build["internalParameters"]["versions"] == record["versions"]
    digests = {each["name"]: each["digest"] for each in build["resolvedDependencies"]}
    assert digests == {
        "base-weights": {"sha256": record["digests"]["base_weights"]},
        "data": {"dirHash": record["digests"]["data"]},
        "code": {"dirHash": record["digests"]["code"]},
    }
    for each in what["predicate"]["runDetails"]["byproducts"]:
        assert each["digest"]["sha256"] == sha256_file(root / "train" / each["name"])
    assert what["predicate"]["runDetails"]["builder"]["id"].endswith(f":{backend}")
    (attribute,) = where["predicate"]["attributes"]
    assert attribute["conditions"]["quote"] == {"native": "none", "sgx": "dcap"}[backend]
    assert (root / "train" / "quote.bin").exists() == (backend == "sgx")
    assert list((root / "checkpoints").iterdir()) == []


def test_the_evidence_changes_no_bit_of_the_network(
    chain: tuple[str, Path], tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    _, root = chain
    args = [f"--data={tiny_data}", f"--weights={random_weights}", f"--out={tmp_path}"]
    assert run("pytorch_train.train", None, *args, *OPTIONS).returncode == 0
    assert sha256_file(tmp_path / "net.pt") == sha256_file(root / "handover" / "net.pt")


def test_a_classification_leads_on_to_the_network(chain: tuple[str, Path]) -> None:
    backend, root = chain
    _, what, _ = claims(root / "infer")
    _, network, _ = claims(root / "train")
    assert [what["predicate"]["network"]] == network["subject"]
    assert what["subject"][0]["digest"]["sha256"] == sha256_file(root / "infer" / "result.json")
    assert (root / "infer" / "quote.bin").exists() == (backend == "sgx")
    assert what["predicate"]["options"]["top_k"] == 1
    results = read(root / "infer" / "result.json")["results"]
    for result in results:
        path = Path(result["image"])
        assert result.get("sha256") == (sha256_file(path) if path.exists() else None)
    assert ["error" in result for result in results] == [False, False, True, True]
    lines = (root / "infer" / "proofs.jsonl").read_bytes().splitlines()
    tree = what["predicate"]["results"]
    assert tree["treeSize"] == len(lines) == len(results)
    for index, (line, result) in enumerate(zip(map(json.loads, lines), results, strict=True)):
        assert json.loads(line["leaf"]) == {**result, "network": what_network(what)}
        path_up = [bytes.fromhex(node) for node in line["path"]]
        assert root_of(line["leaf"].encode(), index, 4, path_up).hex() == tree["rootHash"]


def what_network(what: Any) -> Any:
    return what["predicate"]["network"]["digest"]["sha256"]


def test_a_training_without_its_quote_fails_in_one_line_and_can_go_on(
    tiny_data: Path, random_weights: Path, tmp_path: Path
) -> None:
    device = made_up_gramine.device(tmp_path / "dev", answer=None)
    args = [f"--data={tiny_data}", f"--weights={random_weights}", f"--out={tmp_path / 'out'}"]
    done = run("pytorch_train.train", device, *args, *OPTIONS)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().splitlines()[-1] == (
        f"error: no quote: {device}/quote: No such file or directory; is AESM there? "
        "see: inv doctor"
    )
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["net.pt", "net.pt.epoch-1", "net.pt.epoch-2"]
    again = made_up_gramine.device(tmp_path / "again")
    done = run("pytorch_train.train", again, *args, *OPTIONS, "--resume")
    assert done.returncode == 0, done.stderr
    assert b"resuming after epoch 2" in done.stderr
    assert (tmp_path / "out" / "quote.bin").is_file()
    claims(tmp_path / "out")
