"""What an exercise is given: the same, and readable in the container, whoever runs it."""

from __future__ import annotations

import os
from pathlib import Path

from pytorch_common.files import tree_digest
from workflow.gsc.tracing import write_inputs

SETTLED = {"loader": {"env": {}}, "fs": {}, "sgx": {}}


def test_a_closed_umask_keeps_the_image_s_user_from_nothing(tmp_path: Path) -> None:
    digests = []
    for umask in (0o077, 0o022):
        folder = tmp_path / f"{umask:o}"
        before = os.umask(umask)
        try:
            folder.mkdir()
            write_inputs(folder, SETTLED, "train")
        finally:
            os.umask(before)
        for path in (folder, *folder.rglob("*")):
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path
        digests.append(tree_digest(folder))
    assert digests[0] == digests[1]
