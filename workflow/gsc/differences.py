"""In what two enclaves differ, named part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from workflow.gsc.inventory import Inventory


def differences(locked: Inventory, made: Inventory) -> list[str]:
    """Return in what the enclave that was made now is not as the locked one, a line each.

    The first names the MRENCLAVE, the last of several what cannot be told apart any further.
    """
    if locked.mrenclave == made.mrenclave:
        return []
    found = [
        *_differing("manifest", locked.manifest, made.manifest, is_told=True),
        *_differing("package", locked.packages, made.packages, is_told=True),
        *_differing("file", locked.files, made.files, is_told=False),
    ]
    if not found:
        found = ["nothing that the lock names: is the lock's MRENCLAVE as it was written?"]
    return [f"MRENCLAVE: locked {locked.mrenclave}, here {made.mrenclave}", *found]


def _differing(
    kind: str, locked: Mapping[str, str], made: Mapping[str, str], *, is_told: bool
) -> Iterator[str]:
    """Yield a line for each name; with both values where they tell a person anything."""
    for name in sorted(locked.keys() | made.keys()):
        before, now = locked.get(name), made.get(name)
        if before is None or now is None:
            value = f": {before if now is None else now}" if is_told else ""
            yield f"{kind} {name}{value}: {'in the lock alone' if now is None else 'here alone'}"
        elif before != now:
            yield f"{kind} {name}: " + (f"locked {before}, here {now}" if is_told else "changed")
