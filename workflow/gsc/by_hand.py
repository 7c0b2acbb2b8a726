"""The runtime pack by hand: what of it has no plain form in a shell, as a program.

`inv --dry gsc-build` prints the lines that call it. A manifest comes from standard input.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, MachineSettings, Settings
from workflow.core.shell_lines import shell_line
from workflow.core.values import INSECURE_OPTIONS, PathText
from workflow.gsc import lint, manifest, runtime_pack, shrink, tracing
from workflow.gsc.checkout import seccomp_profile
from workflow.gsc.modes import MODES, Mode, tools_name, unsigned_name
from workflow.gsc.shielded_images import TOOLS_LABEL
from workflow.gsc.tracing import Opened
from workflow.images.build_spec import ROLES

FULL = "full.manifest"
"""The manifest before there is a pack."""
SETTLED = "entrypoint.manifest"


def pack_lines(settings: Settings, mode: Mode, role: str, app: str, folder: Path) -> list[str]:
    """Return the commands that trace a job, pack what it opened, and write the manifest with it."""
    unsigned, tools, context = unsigned_name(app), tools_name(app), folder / "pack"
    full, opened, index = folder / FULL, folder / "opened.json", folder / "runtime.index"
    profile = seccomp_profile(settings, is_here=False)
    read = ["docker", "run", "--rm", "--entrypoint=cat", tools, runtime_pack.INDEX_IN_IMAGE]
    dockerfile = runtime_pack.pack_dockerfile(unsigned, "app")
    options = [f"--insecure={option}" for option in sorted(settings.gsc.admitted)]
    return [
        shell_line(["mkdir", "-p", context]),
        _call("trace", role, unsigned, profile, stdin=full, stdout=opened),
        _call("names", opened, stdin=full, stdout=context / "packed"),
        shell_line(["cp", runtime_pack.PACKING, context]),
        shell_line(["printf", "%s", dockerfile], stdout=context / "Dockerfile"),
        shell_line(["docker", "build", "-t", tools, context]),
        shell_line(read, stdout=index),
        _call("settle", mode.name, opened, index, *options, stdin=full, stdout=folder / SETTLED),
    ]


def shrink_lines(settings: Settings, role: str, app: str, folder: Path, labels: str) -> list[str]:
    """Return the commands that make the small image of the one with the tools, and try it."""
    unsigned, tools, context = unsigned_name(app), tools_name(app), folder / "small"
    label = f"--label={TOOLS_LABEL}=$(docker image inspect -f {{{{.Id}}}} {tools})"
    profile = seccomp_profile(settings, is_here=False)
    return [
        shell_line(["mkdir", "-p", context]),
        shell_line(["cp", shrink.SHRINK, context]),
        _call("small", tools, stdout=context / "Dockerfile"),
        f"docker build {labels} {label} {shell_line(['-t', unsigned, context])}",
        _call("try", role, unsigned, profile, stdin=folder / SETTLED),
    ]


def _call(*words: str | Path, stdin: Path | None = None, stdout: Path | None = None) -> str:
    command = ["python", "-m", "workflow.gsc.by_hand", *words]
    environment = {"PYTHONPATH": str(PROJECT)}
    return shell_line(command, environment=environment, stdin=stdin, stdout=stdout)


def written(opened: Opened) -> str:
    """Return what was opened as JSON."""
    return json.dumps({name: sorted(paths) for name, paths in vars(opened).items()}, indent=0)


def read(path: Path) -> Opened:
    """Return what was written.

    Raises: WorkflowError where the file is another.
    """
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        return Opened(**{name: frozenset(paths) for name, paths in lists.items()})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WorkflowError(f"{path}: expected what a trace wrote: {error}") from error


def _exercised(args: argparse.Namespace, made: manifest.Manifest) -> str:
    """Run the job of an image; return what it opens."""
    settings = Settings(machine=MachineSettings(seccomp=PathText(args.profile)))
    if args.action == "trace":
        return written(tracing.trace(settings, args.image, made, args.role))
    trial = tracing.exercise_manifest(made, is_trace=False)
    tracing.exercise(settings, args.image, trial, args.role)
    return ""


def _names(args: argparse.Namespace, made: manifest.Manifest) -> str:
    """Return the files of the pack, a line each: the name there, and the path in the image."""
    needed = runtime_pack.needed(read(args.opened), made)
    return runtime_pack.packed_lines(needed.packed).decode("utf-8", "surrogateescape")


def _settled(args: argparse.Namespace, made: manifest.Manifest) -> str:
    """Return the manifest with the pack."""
    needed = runtime_pack.needed(read(args.opened), made)
    index = args.index.read_bytes().decode("utf-8", "surrogateescape")
    runtime_pack.check_index(index, needed)
    settled = runtime_pack.with_runtime(made, needed, manifest.always_trusted())
    mode = MODES[args.mode]
    lint.refuse_insecure(lint.lint(settled, mode), mode, frozenset(args.insecure))
    return manifest.dumps(settled).decode()


def _small(args: argparse.Namespace, made: manifest.Manifest) -> str:
    """Return how the image is made small."""
    from workflow.images import daemon

    whole = daemon.find_image(args.image)
    if whole is None:
        raise WorkflowError(f"no image {args.image} here")
    return shrink.shrunk_dockerfile(whole)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="workflow.gsc.by_hand", description=__doc__)
    actions = made.add_subparsers(dest="action", required=True)
    for name, run in (
        *(("trace", _exercised), ("try", _exercised), ("names", _names)),
        *(("settle", _settled), ("small", _small)),
    ):
        action = actions.add_parser(name, help=(run.__doc__ or "").splitlines()[0])
        action.set_defaults(run=run, reads_manifest=run is not _small)
        if run is _exercised:
            action.add_argument("role", choices=ROLES)
        if run is _settled:
            action.add_argument("mode", choices=MODES)
        if run in (_exercised, _small):
            action.add_argument("image")
        if run is _exercised:
            action.add_argument("profile", type=Path, help="of system calls, for direct mode")
        if run in (_names, _settled):
            action.add_argument("opened", type=Path)
        if run is _settled:
            action.add_argument("index", type=Path)
            action.add_argument("--insecure", action="append", default=[], choices=INSECURE_OPTIONS)
    return made


def main() -> None:
    """Do one part of it; the answer goes to standard output."""
    args: Any = parser().parse_args()
    made: manifest.Manifest = {}
    if args.reads_manifest:
        made = manifest.parse(sys.stdin.buffer.read(), "standard input")
    sys.stdout.buffer.write(args.run(args, made).encode("utf-8", "surrogateescape"))


if __name__ == "__main__":
    try:
        main()
    except WorkflowError as error:
        sys.exit(str(error.message))
