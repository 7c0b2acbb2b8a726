"""What `inv --dry` prints, pasted: each program gets the very words that it should."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, paint
from tests.gsc.test_manifest import FIXTURE
from tests.steps.dry_runs import dry
from workflow.core.settings import GscSettings
from workflow.gsc import graminize, runtime_pack, sign_image
from workflow.gsc.modes import MODES
from workflow.gsc.tracing import Opened

NASTY = (
    "$(touch pwned).png",
    "it's a $(touch pwned).png",
    'two  spaces "and" `touch pwned`.png',
    "cost$5.png",
)

PACKED = "/usr/lib/python3/dist-packages/torch/__init__.py"
OPENED = json.dumps({"before": ["/usr/lib/python3.11/os.py"], "after": [PACKED], "looked_at": []})
"""Of the fixture's files, what a trace saw."""
SHA256 = "c3efe5f21c9299fc92c9a305c4d5d5684e209bad01ac1a682c048356f2fead31"
INDEX = f"{SHA256} 5 1024 {PACKED[1:]}\n"

STUB = f"""#!{sys.executable}
import base64, gzip, json, os, sys
with open({{log!r}}, "a") as log:
    log.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
    if sys.argv[-1] == "-":
        log.write(json.dumps(sys.stdin.read().split("\\0")) + "\\n")
if sys.argv[1:3] == ["image", "inspect"]:
    print("sha256:12")
if "--entrypoint=cat" in sys.argv:
    print(open({{manifest!r}}).read() if sys.argv[-1].endswith("manifest") else {{index!r}}, end="")
if "workflow.gsc.by_hand" in sys.argv and sys.argv[3] in ("trace", "small", "try"):
    if not sys.stdin.isatty() and sys.argv[3] != "small":
        sys.stdin.read()
    print({{opened!r}})
    sys.exit()
if "--entrypoint=/bin/sh" in sys.argv:
    print(base64.b64encode(gzip.compress(bytes(10240))).decode())
if sys.argv[0].endswith("python") and sys.argv[1:2] == ["-m"]:
    os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])
"""


def pasted(lines: list[str], folder: Path, tmp_path: Path) -> list[list[str]]:
    """Run the lines in a shell, with programs that only write down what they were given."""
    log, programs = tmp_path / "log", tmp_path / "programs"
    programs.mkdir()
    (folder / "gsc").mkdir(exist_ok=True)
    for path in (
        *(programs / name for name in ("docker", "openssl", "python")),
        folder / "gsc/gsc",
    ):
        stub = STUB.format(log=str(log), manifest=str(FIXTURE), index=INDEX, opened=OPENED)
        path.write_text(stub)
        path.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-e"],
        input="\n".join(lines),
        cwd=folder,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def mine(project: Path, tmp_path: Path) -> Path:
    """Return a project of one's own, with pictures whose names are traps, and a record."""
    folder = tmp_path / "my project"
    shutil.copytree(project, folder)
    for name in NASTY:
        paint(folder / name, (1, 2, 3), 1)
    record = json.dumps({"digests": {"net": "ab" * 32}}, indent=2)
    (folder / "pytorch_infer" / "record.json").write_text(record)
    return folder


def test_pictures_with_any_name_get_into_the_container_under_it(mine: Path, tmp_path: Path) -> None:
    images = [f"--image={name}" for name in NASTY]
    lines = dry(mine, "classify", "--backend=docker", *images)
    (call,) = pasted(lines, mine, tmp_path)
    assert call[:3] == ["docker", "run", "--rm"]
    assert f"--user={os.getuid()}:{os.getgid()}" in call
    assert f"--volume={mine}/out/in:/in:ro" in call
    assert sorted(path.name for path in (mine / "out" / "in").iterdir()) == sorted(
        [*NASTY, "images.list"]
    )
    listed = (mine / "out" / "in" / "images.list").read_bytes().split(b"\0")
    assert [os.fsdecode(name) for name in listed] == [*NASTY, ""]
    assert not (mine / "pwned").exists()


def test_pictures_with_any_name_get_to_the_script(mine: Path, tmp_path: Path) -> None:
    lines = dry(mine, "classify", "--backend=native", *(f"--image={name}" for name in NASTY))
    call, names = pasted(lines, mine, tmp_path)
    assert call[:2] == ["python", "pytorch_infer/pytorchexample.py"]
    assert names == [*NASTY, ""]
    assert f"--net-sha256={'ab' * 32}" in call
    assert not (mine / "pwned").exists()


def test_building_the_classifying_image_reads_the_digest(mine: Path, tmp_path: Path) -> None:
    lines = dry(mine, "build", "--image=infer")
    *_, call = pasted(lines, mine, tmp_path)
    assert call[:4] == ["docker", "build", "-t", "pytorch"]
    assert f"--build-arg=INFER_NET_SHA256={'ab' * 32}" in call


def test_a_key_with_a_space_in_its_name_is_one_word(mine: Path, tmp_path: Path) -> None:
    flags = ["--backend=sgx", "--image=train", "--key=my keys/key.pem"]
    phrase = {"INVOKE_GSC_PASSPHRASE_FILE": "/my phrases/one"}
    build, run, opened = sorted(pasted(dry(mine, "sign", *flags, **phrase), mine, tmp_path))
    assert opened == [*("openssl", "rsa", "-in", "my keys/key.pem", "-passin=file:/my phrases/one")]
    assert run[-3:] == ["gsc-pytorch_train-tools", "-c", sign_image.SIGN]
    assert build == ["docker", "build", "-t", "gsc-pytorch_train", "out/gsc/pytorch_train/signed"]


@pytest.mark.parametrize("mode", ["sgx", "direct"])
def test_shielding_by_hand_does_what_the_task_does(mode: str, mine: Path, tmp_path: Path) -> None:
    from workflow.gsc import manifest

    lines = dry(mine, "gsc-build", f"--backend={mode}", "--image=train")
    calls = pasted(lines, mine, tmp_path)
    name = "pytorch_train" if mode == "sgx" else "pytorch_train:direct"
    tags = [] if mode == "sgx" else [["docker", "tag", "pytorch_train", name]]
    unsigned = f"gsc-{name}-unsigned"
    tools, context = f"gsc-{name}-tools", f"out/gsc/{name.replace(':', '-')}"
    *before, settle, trace, names, pack, index, packed = calls[: len(tags) + 9]
    inspect, build, small, again, label, shrink, try_ = calls[len(tags) + 9 :]
    assert before == [
        *tags,
        ["docker", "rmi", "--force", f"gsc-{name}", unsigned, tools],
        ["gsc", "build", "--rm", name, f"{mine}/manifests/pytorch_train.manifest"],
        ["docker", "run", "--rm", "--entrypoint=cat", unsigned, manifest.IN_IMAGE],
    ]
    assert settle == ["python", "-m", "workflow.gsc.manifest", "train", mode]
    by_hand = ["python", "-m", "workflow.gsc.by_hand"]
    profile = f"{mine}/dockerfiles/seccomp-direct.json"
    assert [*trace[:-1], str(mine / trace[-1])] == [*by_hand, "trace", "train", unsigned, profile]
    assert names == [*by_hand, "names", f"{context}/opened.json"]
    assert pack == ["docker", "build", "-t", tools, f"{context}/pack"]
    assert index[-2:] == [tools, "/gramine/app_files/runtime.index"]
    found = [f"{context}/opened.json", f"{context}/runtime.index"]
    assert packed == [*by_hand, "settle", mode, *found]
    assert inspect == again == ["docker", "image", "inspect", "-f", "{{.Id}}", "pytorch_train"]
    marks = [] if mode == "sgx" else ["insecure-keys"]
    facts = graminize.settled_labels(GscSettings(), "train", MODES[mode], marks, "sha256:12")
    labels = [f"--label={label}={value}" for label, value in facts.items()]
    assert build == ["docker", "build", *labels, "-t", tools, context]
    assert small == [*by_hand, "small", tools]
    assert label == ["docker", "image", "inspect", "-f", "{{.Id}}", tools]
    labels.append("--label=enclave-finetune.tools=sha256:12")
    assert shrink == ["docker", "build", *labels, "-t", unsigned, f"{context}/small"]
    assert try_[:-1] == [*by_hand, "try", "train", unsigned]
    assert_packed(mine / context, mode, unsigned, tools)


def assert_packed(folder: Path, mode: str, unsigned: str, tools: str) -> None:
    """Hold what the lines have written to what the task writes, to the byte."""
    from workflow.gsc import manifest

    assert (folder / "Dockerfile").read_text() == graminize.settled_dockerfile(tools, "app")
    written = (folder / "pack" / "Dockerfile").read_text()
    assert written == runtime_pack.pack_dockerfile(unsigned, "app")
    assert (folder / "pack" / "packed").read_text() == f"{PACKED[1:]}\t{PACKED[1:]}\n"
    made = manifest.parse(FIXTURE.read_bytes(), "made")
    settled = manifest.settle(made, mode=MODES[mode], threads=2, insecure=frozenset())
    what = runtime_pack.needed(by_hand_opened(), settled)
    expected = runtime_pack.with_runtime(settled, what, manifest.always_trusted())
    assert (folder / "entrypoint.manifest").read_bytes() == manifest.dumps(expected)


def by_hand_opened() -> Opened:
    return Opened(**{name: frozenset(paths) for name, paths in json.loads(OPENED).items()})


def test_shielding_by_hand_with_the_full_list_has_no_pack(mine: Path, tmp_path: Path) -> None:
    from workflow.gsc import manifest

    lines = dry(mine, "gsc-build", "--backend=sgx", "--image=train", "--full-list")
    *_, settle, _, build = pasted(lines, mine, tmp_path)
    assert settle == ["python", "-m", "workflow.gsc.manifest", "train", "sgx"]
    assert build[-3:] == ["-t", "gsc-pytorch_train-unsigned", "out/gsc/pytorch_train"]
    folder = mine / "out" / "gsc" / "pytorch_train"
    unsigned = "gsc-pytorch_train-unsigned"
    assert (folder / "Dockerfile").read_text() == graminize.settled_dockerfile(unsigned, "app")
    made = manifest.parse(FIXTURE.read_bytes(), "made")
    settled = manifest.settle(made, mode=MODES["sgx"], threads=2, insecure=frozenset())
    assert (folder / "entrypoint.manifest").read_bytes() == manifest.dumps(settled)


def test_the_project_is_the_copy(mine: Path) -> None:
    assert str(PROJECT) not in "\n".join(dry(mine, "gsc-build", "--backend=sgx"))
