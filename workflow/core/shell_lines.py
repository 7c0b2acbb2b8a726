"""Shell commands as a person would paste them: what `inv --dry TASK` prints."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from workflow.core.console import shown


def shell_line(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | Path | None = None,
    stdout: Path | None = None,
) -> str:
    """Return the command as one line for a POSIX shell, run from the caller's folder.

    ``stdin`` is a file, or the command line whose output is piped in.
    """
    words = [str(word) if cwd or isinstance(word, str) else shown(word) for word in argv]
    variables = [f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items()]
    line = " ".join([*variables, shlex.join(words)])
    if isinstance(stdin, Path):
        line += f" < {shlex.quote(shown(stdin))}"
    elif stdin:
        line = f"{stdin} | {line}"
    if stdout:
        line += f" > {shlex.quote(shown(stdout))}"
    is_elsewhere = cwd is not None and cwd.resolve() != Path.cwd()
    return f"(cd {shlex.quote(str(cwd))} && {line})" if is_elsewhere else line


FILLED_IN = ("$(id -u):$(id -g)", "$NET_SHA256", "$DATA_SHA256")
"""What the shell is to fill in; any other dollar is a name's own."""


def unquoted(line: str) -> str:
    """Return the line with the words that the shell is to fill in, in double quotes."""
    ours = "|".join(map(re.escape, FILLED_IN))
    return re.sub(rf"'([\w=-]*(?:{ours}))'", r'"\1"', line)


def fetch_lines(source: str, target: Path) -> list[str]:
    """Return the commands that bring a file from an address, or from elsewhere on this machine."""
    bring: list[str | Path] = ["curl", "--fail", "--location", "--output", target, source]
    if "://" not in source:
        bring = ["cp", source, target]
    return [shell_line(["mkdir", "-p", target.parent]), shell_line(bring)]
