"""The structure of a checkout, measured: modules, arrows, floors, and what is compared where.

python tests/architecture.py [FOLDER]
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BACKENDS = {"native", "docker", "direct", "sgx"}
CODE = ("workflow", "pytorch_common", "pytorch_train", "pytorch_infer", "converters", "benchmarks")


def modules(project: Path) -> dict[str, Path]:
    """Return every module that is not empty, by its dotted name."""
    paths = (path for folder in CODE for path in sorted((project / folder).rglob("*.py")))
    named = {".".join(path.relative_to(project).with_suffix("").parts): path for path in paths}
    named["tasks"] = project / "tasks.py"
    return {name: path for name, path in named.items() if path.read_text(encoding="utf-8").strip()}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Return every name that the file imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def arrows(project: Path) -> dict[str, set[str]]:
    """Return which modules each module imports."""
    known = modules(project)
    return {name: (imported(path) & known.keys()) - {name} for name, path in known.items()}


def floors(imports: dict[str, set[str]]) -> dict[str, int]:
    """Return how high each module stands: 1 where it imports none, else above all that it imports.

    Raises: ValueError naming the modules of a circle.
    """
    found: dict[str, int] = {}
    left = dict(imports)
    while left:
        ready = [name for name, below in left.items() if below <= found.keys()]
        if not ready:
            raise ValueError(f"a circle among {sorted(left)}")
        for name in ready:
            found[name] = 1 + max((found[each] for each in left.pop(name)), default=0)
    return found


def comparisons(path: Path) -> Iterator[str]:
    """Yield each comparison with a backend's name, or with the names of the shielded ones."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare):
            parts = [each for side in (node.left, *node.comparators) for each in ast.walk(side)]
            constants = {each.value for each in parts if isinstance(each, ast.Constant)}
            text = ast.unparse(node)
            is_cpu_flag = "_flags(" in text  # the processor's word for SGX
            if not is_cpu_flag and (constants & BACKENDS or "SHIELDED" in text):
                yield text


def dialect_comparisons(path: Path) -> Iterator[str]:
    """Yield each comparison with a dialect of GSC."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare) and re.search(r"GRAMINE|GRAPHENE", ast.unparse(node)):
            yield ast.unparse(node)


def dry_reads(path: Path) -> int:
    """Return how often ``dry`` is read of something."""
    reads = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute))
    return sum(node.attr == "dry" for node in reads)


def figures(project: Path) -> dict[str, int]:
    """Return the figures of a checkout."""
    imports = arrows(project)
    host = [path for name, path in modules(project).items() if name.startswith("workflow")]
    outside = [path for path in host if path.parent.name != "backends"]
    return {
        "modules of workflow/": len(host),
        "arrows": sum(map(len, imports.values())),
        "floors": max(floors(imports).values()),
        "comparisons with a backend's name outside of backends/": sum(
            len(list(comparisons(path))) for path in outside
        ),
        "comparisons with a dialect of GSC": sum(
            len(list(dialect_comparisons(path))) for path in host
        ),
        "places that read dry": sum(map(dry_reads, host)),
    }


if __name__ == "__main__":
    for what, count in figures(Path(sys.argv[1]) if sys.argv[1:] else PROJECT).items():
        print(f"{count:>5}  {what}")  # noqa: T201
