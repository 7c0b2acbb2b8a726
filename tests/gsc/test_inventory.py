"""What an enclave is made of, part by part, and in what two of them differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workflow.core.errors import WorkflowError
from workflow.gsc import inventory
from workflow.gsc.differences import differences
from workflow.gsc.inventory import Inventory

MADE = Inventory(
    "train",
    "ab" * 32,
    1,
    2,
    manifest={"loader.env.TRAIN_EPOCHS": "15", "sgx.debug": "false"},
    files={"/app/pytorch_train/train.py": "0" * 16, "/lib64/ld.so": "1" * 16},
    packages={"libc6:amd64": "2.36-9"},
)


def test_a_manifest_is_flattened_but_for_its_trusted_files() -> None:
    settled = {
        "sgx": {"trusted_files": [{"uri": "file:/a", "sha256": "12" * 32}], "debug": False},
        "loader": {"env": {"B": "2", "A": "1"}},
        "fs": {"mounts": [{"uri": "file:/out", "path": "/out"}]},
    }
    assert list(inventory.flattened(settled).items()) == [
        ("fs.mounts", '[{"path": "/out", "uri": "file:/out"}]'),
        ("loader.env.A", "1"),
        ("loader.env.B", "2"),
        ("sgx.debug", "false"),
    ]
    assert inventory.trusted(settled) == {"/a": "12" * 8}


def test_a_pack_is_named_by_where_it_is_unpacked() -> None:
    index = f"{'ab' * 32} 3 512 usr/lib/x.py\n\\{'cd' * 32} 3 1536 a\\nb\n".encode()
    assert inventory.packed(index) == {
        "/runtime/usr/lib/x.py": "ab" * 8,
        "/runtime/a\\nb": "cd" * 8,
    }


def test_packages_have_the_digest_that_the_base_wrote_down() -> None:
    lines = ["ii libc6 2.36-9 amd64", "ii python3 3.11 all", "rc gone 1 amd64"]
    listed = f"libc6 2.36-9 amd64 {'ab' * 32}\npython3 3.11 all -\n"
    assert inventory.packages(lines, listed) == {
        "libc6:amd64": f"2.36-9 sha256 {'ab' * 8}",
        "python3:all": "3.11",
    }
    assert inventory.packages(lines)["libc6:amd64"] == "2.36-9"


def test_a_signature_says_what_was_measured() -> None:
    sigstruct = bytearray(1808)
    sigstruct[960:992] = b"\xab" * 32
    sigstruct[1024:1028] = b"\1\0\2\0"
    made = {"entrypoint.sig": bytes(sigstruct)}
    assert inventory.measured("x", made) == ("ab" * 32, 1, 2)
    with pytest.raises(WorkflowError, match="expected a signature of 1808 bytes, got 3"):
        inventory.measured("x", {"entrypoint.sig": b"abc"})


def test_the_same_enclave_has_no_differences() -> None:
    assert differences(MADE, replace(MADE, packages={})) == []


def test_differences_name_each_key_package_and_file() -> None:
    other = replace(
        MADE,
        mrenclave="cd" * 32,
        manifest={"loader.env.TRAIN_EPOCHS": "3", "sgx.new": "true"},
        files={"/app/pytorch_train/train.py": "2" * 16, "/lib64/ld.so": "1" * 16, "/x": "3" * 16},
        packages={"libc6:amd64": "2.37-1"},
    )
    assert differences(MADE, other) == [
        f"MRENCLAVE: locked {'ab' * 32}, here {'cd' * 32}",
        "manifest loader.env.TRAIN_EPOCHS: locked 15, here 3",
        "manifest sgx.debug: false: in the lock alone",
        "manifest sgx.new: true: here alone",
        "package libc6:amd64: locked 2.36-9, here 2.37-1",
        "file /app/pytorch_train/train.py: changed",
        "file /x: here alone",
    ]


def test_an_enclave_that_differs_in_nothing_named_is_said_so() -> None:
    (_, line) = differences(MADE, replace(MADE, mrenclave="cd" * 32))
    assert "nothing that the lock names" in line
