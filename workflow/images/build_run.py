"""A Docker image built: by the daemon, or by the commands that a person would paste."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT
from workflow.core.shell_lines import shell_line, unquoted
from workflow.images.build_spec import CONTEXT_LABEL, DATA_IN_SHELL, Build
from workflow.images.context import context_digest, write_context

_NO_REGISTRY = (
    "without a registry, name an image of that system that is here (docker images): "
    "INVOKE_IMAGE_OS=NAME"
)


def build_image(build: Build, *, no_cache: bool = False) -> list[str]:
    """Build the image and say what came of it; return the images that its steps left.

    ``no_cache`` takes no layer of a build before.

    Raises: WorkflowError where the daemon reports an error, or a name is taken by a person's.
    """
    from workflow.images import daemon

    daemon.refuse_foreign(build.image)
    before = daemon.find_image(build.image)
    log = BuildLog(build.image)
    sha256 = context_digest(build)
    with tempfile.TemporaryFile() as context:
        write_context(build, context)
        context.seek(0)
        try:
            daemon.build(
                context,
                tag=build.image,
                dockerfile=build.dockerfile,
                arguments=build.arguments,
                labels={CONTEXT_LABEL: sha256},
                on_line=log,
                no_cache=no_cache,
            )
        except WorkflowError as error:
            if log.step.startswith("FROM ${OS}"):
                raise WorkflowError(f"{error.message}; {_NO_REGISTRY}") from error
            raise
        finally:
            log.close()
    after = daemon.find_image(build.image)
    if after is None:
        raise WorkflowError(f"{build.image}: the daemon reported no error, but made no image")
    state = "as before" if before and before.id == after.id else "built"
    note(f"{build.image}: {state}, {after.size_bytes / 1e6:.0f} MB, {after.id}")
    return log.made


def build_lines(build: Build, *, no_cache: bool = False) -> list[str]:
    """Return the shell commands that build the image by hand, from the project's folder."""
    arguments = [f"--build-arg={name}={value}" for name, value in build.arguments.items()]
    anew = ["--no-cache"] if no_cache else []
    command = ["docker", "build", *anew, "-t", build.image, "-f", build.dockerfile, *arguments]
    if not build.elsewhere and not build.packs:
        return [shell_line([*command, "."], cwd=PROJECT)]
    inside = sorted(name for name, path in build.files.items() if path == PROJECT / name)
    context = Path("context")
    copies = [
        line
        for name, path in build.elsewhere.items()
        for line in (
            shell_line(["mkdir", "-p", (context / name).parent]),
            shell_line(["cp", "-rL", path, context / name]),
            *([] if path.is_file() else [shell_line(_without_hidden(context / name))]),
        )
    ]
    project = shell_line(["tar", "-c", *inside], cwd=PROJECT)
    # A folder that is there already would take the copy into itself.
    empty = [context / name for name in build.folders if name not in build.elsewhere]
    return [
        shell_line(["mkdir", "-p", context, *empty]),
        shell_line(["tar", "-x", "-C", context], stdin=project),
        *copies,
        *(_pack_line(path, context / name) for name, path in build.packs.items()),
        unquoted(shell_line([*command, context])),
    ]


def _pack_line(folder: Path, target: Path) -> str:
    """Return the command that packs the data set, and keeps its digest for ``docker build``."""
    pack: list[str | Path] = ["python", "-m", "workflow.images.packing", folder, target]
    line = shell_line(pack, environment={"PYTHONPATH": str(PROJECT)})
    return f"{DATA_IN_SHELL[1:]}=$({line})"


def _without_hidden(folder: Path) -> list[str | Path]:
    """Return the command that deletes from a copy what ``list_files`` passes over."""
    return [
        "find",
        folder,
        "-mindepth",
        "1",
        "-name",
        ".*",
        "-prune",
        "-exec",
        "rm",
        "-r",
        "{}",
        "+",
    ]


_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")
_MADE = re.compile(r" ---> ([0-9a-f]{12,64})$")


class BuildLog:
    """Take a build's log: a bar on a terminal, a line a step elsewhere."""

    def __init__(self, image: str) -> None:
        self.step = ""
        """The last one that was begun."""
        self.made: list[str] = []
        """The images of the steps, but for those that a stage begins from."""
        self._image = image
        self._bar: Any = None

    def __call__(self, line: str) -> None:
        """Take one line."""
        if (image := _MADE.match(line)) and not self.step.upper().startswith("FROM "):
            self.made.append(image[1])
        if not (found := _STEP.match(line)):
            return
        from tqdm import tqdm

        step, steps, what = int(found[1]), int(found[2]), found[3]
        self.step = what
        if self._bar is None or self._bar.total != steps:
            self.close()
            self._bar = tqdm(total=steps, desc=self._image, disable=None, leave=False)
        if self._bar.disable:
            note(f"{self._image}: step {step}/{steps} {what[:80]}")
        self._bar.set_postfix_str(what[:40])
        self._bar.update(step - 1 - self._bar.n)

    def close(self) -> None:
        """Take the bar from the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
