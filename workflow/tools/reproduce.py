"""Build the images again from nothing, and hold what they measure to against the lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pytorch_common.contract import NET_SHA256_VARIABLE, SCRATCH
from pytorch_common.files import write_atomically
from workflow.assets import pretrained
from workflow.assets.trained import DIGEST_IN_SHELL, accepted_digest, digest_line
from workflow.core.console import answer, note, shown
from workflow.core.errors import WorkflowError
from workflow.core.ownership import refuse_foreign
from workflow.core.settings import Settings
from workflow.core.step import Look, Step, problem
from workflow.evidence.lock import LOCK, by_hand, lock_path, lock_text, read_lock
from workflow.gsc.checkout import check_checkout, check_gramine
from workflow.gsc.commands import dialect
from workflow.gsc.differences import differences
from workflow.gsc.inventory import Inventory
from workflow.gsc.reproduction import anew, base_again, lines_anew, measured_anew, renamed
from workflow.images.build_spec import (
    DATA_IN_SHELL,
    INFER,
    ROLES,
    Build,
    check_wheels,
    infer_build,
    train_build,
)
from workflow.images.currency import app_build

VARIABLE = "loader.env."
"""How an image's variable is called in a manifest."""


@dataclass(frozen=True)
class Reproduce(Step):
    """Build the roles' images again without a cache, measure them, and compare or write the lock.

    They have names of their own, so nothing that is there is touched. To measure an enclave takes
    neither SGX nor anybody's key.
    """

    roles: tuple[str, ...] = ROLES
    write: bool = False

    @property
    def title(self) -> str:
        return f"reproduce --image {' '.join(self.roles)}"

    @property
    def lock(self) -> Path:
        """Return where the lock lies, or is going to."""
        return lock_path(self.settings.evidence) or LOCK

    def reads(self) -> Iterable[Look]:
        known = [] if self.write else [partial(self._locked, role) for role in self.roles]
        return (
            *known,
            self._check_dialect,
            lambda: check_checkout(self.settings.gsc),
            lambda: check_gramine(self.settings.gsc),
            lambda: check_wheels(self.settings),
            *(partial(self._build, role) for role in self.roles),
        )

    def writes(self) -> Iterable[Look]:
        from workflow.images import daemon

        again = [base_again(self.settings).image, *self._names()]
        return (
            *([partial(refuse_foreign, [self.lock], instead="name another: --lock")] * self.write),
            *(partial(daemon.refuse_foreign, name) for name in again),
        )

    def run(self) -> None:
        settings = renamed(self.settings)
        if INFER in self.roles and self._lacks_network():
            note("no network is here, so the classifying image is for the one that the lock names")
        made = measured_anew(settings, {role: self._build(role) for role in self.roles})
        if self.write:
            self._write(made)
        else:
            self._compare(made)

    def shell(self) -> Sequence[str]:
        self._check_dialect()
        settings, lines, apps = renamed(self.settings), [], {}
        for role in self.roles:
            if role == INFER:
                lines.append(digest_line(settings.infer))
                build = infer_build(settings, DIGEST_IN_SHELL)
            else:
                is_scratch = settings.train.method == SCRATCH
                weights = None if is_scratch else pretrained.weights_path(settings)
                build = train_build(settings, weights, DATA_IN_SHELL)
            apps[role] = anew(settings, build)
        return [*lines, *lines_anew(settings, apps)]

    def _names(self) -> list[str]:
        image = renamed(self.settings).image
        return [image.infer if role == INFER else image.train for role in self.roles]

    def _check_dialect(self) -> None:
        if not dialect(self.settings.gsc).is_settled:
            raise WorkflowError("gsc.dialect: old Graphene's images differ in every build")

    def _locked(self, role: str) -> Inventory:
        """Return the enclave of the lock.

        Raises: WorkflowError with the command that writes it, where there is none.
        """
        write = f"inv reproduce --image {role if self.lock.is_file() else 'all'} --write"
        if not self.lock.is_file():
            raise WorkflowError(f"no {shown(self.lock)} to compare with; to write it: {write}")
        found = read_lock(self.lock, role)
        if found is None:
            raise WorkflowError(
                f"{shown(self.lock)}: no {role} enclave with its parts; run: {write}"
            )
        return found

    def _build(self, role: str) -> Build:
        """Return how the role's image is built again; what is not set is as in the lock.

        Raises: WorkflowError where something of it is missing.
        """
        known = {} if self.write else self._locked(role).manifest
        settings = with_threads(renamed(self.settings), known)
        if role != INFER:
            return anew(settings, app_build(settings, role))
        # The image has no more of the network than its digest.
        digest = known.get(VARIABLE + NET_SHA256_VARIABLE, "") if self._lacks_network() else ""
        return anew(settings, infer_build(settings, digest or accepted_digest(settings.infer)))

    def _lacks_network(self) -> bool:
        return bool(problem(lambda: accepted_digest(self.settings.infer)))

    def _write(self, made: list[Inventory]) -> None:
        kept: list[Inventory] = []
        others: list[dict[str, object]] = []
        if self.lock.is_file() and self.lock.stat().st_size:
            left = [role for role in ROLES if role not in self.roles]
            kept = [each for role in left if (each := read_lock(self.lock, role))]
            others = by_hand(self.lock)
        text = lock_text([*made, *kept], others)
        write_atomically(self.lock, text.encode())
        note(f"{shown(self.lock)}: written, {len(text) / 1000:.0f} kB; commit it with the source")

    def _compare(self, made: list[Inventory]) -> None:
        """Say of each enclave whether it is the lock's.

        Raises: WorkflowError where one is not; what differs was said.
        """
        others = []
        for each in made:
            lines = differences(self._locked(each.role), each)
            answer(f"{each.role}: {'differs' if lines else 'the same'}, {each.mrenclave}")
            for line in lines:
                answer(f"  {line}")
            others += [each.role] * bool(lines)
        if others:
            raise WorkflowError(
                f"{' and '.join(others)}: not the enclave of {shown(self.lock)}, the differences "
                f"stand above; if they are meant: inv reproduce --image {others[0]} --write"
            )


def with_threads(settings: Settings, known: Mapping[str, str]) -> Settings:
    """Return the settings with the locked numbers of threads where none is set.

    Else they would be as many as this machine has processors.
    """
    train, infer = settings.train, settings.infer
    locked = {name: known.get(f"{VARIABLE}{name}_THREADS", "") for name in ("TRAIN", "INFER")}
    if not train.threads and locked["TRAIN"].isdigit():
        train = replace(train, threads=int(locked["TRAIN"]))
    if not infer.threads and locked["INFER"].isdigit():
        infer = replace(infer, threads=int(locked["INFER"]))
    return replace(settings, train=train, infer=infer)
