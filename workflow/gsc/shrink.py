"""A shielded image made small: without what lies in its pack, without the tools that made it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT
from workflow.gsc.shielded_images import TOOLS_LABEL

if TYPE_CHECKING:
    from workflow.images.daemon import Image

SHRINK = PROJECT / "dockerfiles" / "shrink.sh"


def shrink(tools: str, unsigned: str, labels: Mapping[str, str]) -> None:
    """Make the unsigned image of the one with the tools: what is measured is the same in both.

    Raises: WorkflowError where it cannot be made.
    """
    from workflow.images import daemon

    whole = daemon.find_image(tools)
    if whole is None:
        raise WorkflowError(f"no image {tools} here; run: inv gsc-build")
    labels = {**labels, TOOLS_LABEL: whole.id}
    files = {"shrink.sh": SHRINK.read_bytes(), "Dockerfile": shrunk_dockerfile(whole).encode()}
    daemon.build_files(files, tag=unsigned, labels=labels, on_line=lambda line: None)


def shrunk_dockerfile(whole: Image) -> str:
    """Return how the small image is made; in one layer, so that what was deleted is gone."""
    return (
        f"FROM {whole.name} AS whole\n"
        "USER root\n"
        "COPY shrink.sh /tmp/\n"
        "RUN sh /tmp/shrink.sh\n"
        "FROM scratch\n"
        "COPY --from=whole / /\n"
        f"{configuration(whole)}"
    )


def configuration(image: Image) -> str:
    """Return the lines of a Dockerfile that have another image start as this one does."""
    lines = [f"ENV {name}={_quoted(value)}" for name, value in image.environment.items()]
    lines += [f"USER {image.user}"] if image.user else []
    lines += [f"WORKDIR {folder}"] if (folder := image.starts.get("WorkingDir")) else []
    for word in ("Entrypoint", "Cmd"):
        if image.starts.get(word):
            lines.append(f"{word.upper()} {json.dumps(image.starts[word])}")
    return "".join(f"{line}\n" for line in lines)


def _quoted(value: str) -> str:
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'
