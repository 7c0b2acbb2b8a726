"""Run the jobs, and propose from what they took how large their enclaves are to be: `inv size`."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_common.contract import available_threads
from workflow.assets import trained
from workflow.backends.base import Backend, pick, serving
from workflow.core.console import answer, note, shown
from workflow.core.errors import WorkflowError
from workflow.core.settings import Settings
from workflow.core.step import Look, Step, perform, problem
from workflow.core.usage import Usage
from workflow.core.values import AUTO
from workflow.gsc import epc, manifest
from workflow.images.build_spec import INFER, TRAIN
from workflow.tools.bench import table
from workflow.tools.sizing import Proposal, manifest_size, propose

INTERVAL_S = 0.2


@dataclass(frozen=True)
class Size(Step):
    """Run the jobs where the host sees what they take, and propose how large enclaves are to be."""

    jobs: Mapping[str, Callable[..., Step]]
    """The step that runs a role's job, made of settings and, for classifying, of images."""
    as_json: bool = False

    title = "size"

    def reads(self) -> Iterable[Look]:
        return (partial(candidates, self.settings),)

    def run(self) -> None:
        rows, out = [], self.settings.train.out.parent
        for role in self._roles():
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".size-", dir=out) as folder:
                backend, step = self._runnable(role, Path(folder))
                with watched(backend, Path(folder)) as peak:
                    perform(step)
            rows += described(self.settings, role, backend, peak[0])
        if self.as_json:
            answer(json.dumps(rows, indent=2))
        else:
            for line in table(rows):
                answer(line)
            note("measured beside an enclave, not in one: nothing of this has run under SGX")

    def shell(self) -> Sequence[str]:
        out = self.settings.train.out.parent / "size"
        steps = (self._step(role, candidates(self.settings)[0], out) for role in self.jobs)
        seen = "grep -E 'VmPeak|VmHWM|Threads' /proc/PID/status"
        return [line for step in steps for line in (*step.shell(), f"# meanwhile: {seen}")]

    def _roles(self) -> list[str]:
        """Return the roles whose job can run; without a network there is none to classify with."""
        look = partial(trained.accepted_digest, self.settings.infer)
        if INFER in self.jobs and len(self.jobs) > 1 and (line := problem(look)):
            note(f"classifying is not measured: {line}")
            return [TRAIN]
        return list(self.jobs)

    def _step(self, role: str, backend: Backend, out: Path) -> Step:
        """Return the job there, with a folder of its own: no result of the person's is touched."""
        settings = self.settings
        chosen = replace(
            settings,
            machine=replace(settings.machine, backend=backend.name),
            train=replace(settings.train, out=out),
            infer=replace(settings.infer, out=out),
        )
        images = ((shown(settings.data.dir / "val"),),) if role == INFER else ()
        return self.jobs[role](chosen, *images)

    def _runnable(self, role: str, out: Path) -> tuple[Backend, Step]:
        """Return the strongest backend that can run the job now, else the last, and the job."""
        *better, last = [(each, self._step(role, each, out)) for each in candidates(self.settings)]
        for backend, step in better:
            if not (line := next(filter(None, map(problem, [*step.place(), *step.reads()])), "")):
                return backend, step
            note(f"not measured in {backend.name}: {line}")
        return last


def candidates(settings: Settings) -> list[Backend]:
    """Return the backends to measure in, the most like an enclave first: the named one alone.

    Raises: WorkflowError where that is the enclave itself.
    """
    named = [] if settings.machine.backend == AUTO else [pick(settings)]
    if found := [each for each in named or serving(settings) if not is_hidden(each)]:
        return found
    raise WorkflowError(
        f"backend {settings.machine.backend}: the host does not see what a program takes in an "
        "enclave; measure beside one: inv size --backend direct"
    )


def is_hidden(backend: Backend) -> bool:
    """Tell whether the host is kept from seeing what a job takes there."""
    return backend.mode is not None and backend.mode.is_protected


@contextlib.contextmanager
def watched(backend: Backend, out: Path) -> Iterator[list[Usage]]:
    """Watch, for the time of the block, what the job takes that writes there; yield the peak."""
    peak, ended = [Usage()], threading.Event()

    def watch() -> None:
        while not ended.wait(INTERVAL_S):
            with contextlib.suppress(WorkflowError):  # the job itself says what is wrong
                for usage in backend.usage(out):
                    peak[0] = peak[0].most(usage)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def described(settings: Settings, role: str, backend: Backend, peak: Usage) -> list[dict[str, Any]]:
    """Return the rows of a role's enclave: what was measured, the proposal, what is there today.

    Raises: WorkflowError where nothing of the job was seen.
    """
    if not peak.threads:
        raise WorkflowError(f"nothing of the job was seen in {backend.name}; look: inv doctor")
    path = manifest.user_manifest(settings.gsc, role)
    made = manifest.parse(path.read_bytes(), str(path))
    threads = settings.train_options.thread_count() if role == TRAIN else settings.infer.threads
    least = manifest.least_threads(threads or available_threads())
    today = max(made["sgx"].get("max_threads", 0), least)
    found: Proposal = propose(peak, today, is_gramine=backend.mode is not None)
    head = {"image": role, "measured in": backend.name}
    return [
        {
            **head,
            "set": "sgx.enclave_size",
            "because of": f"{found.memory}; the next power of two",
            "proposed": manifest_size(found.enclave_bytes),
            "today": manifest_size(epc.size_bytes(made, str(path))),
            "in": line_of(path, "sgx.enclave_size"),
        },
        {
            **head,
            "set": "sgx.max_threads",
            "because of": f"{found.helpers}; inv gsc-build sets at least {least}",
            "proposed": found.threads,
            "today": today,
            "in": line_of(path, "sgx.max_threads"),
        },
    ]


def line_of(path: Path, key: str) -> str:
    """Return the file and line in which the key is set, the file alone where it is not."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith(key):
            return f"{shown(path)}:{number}"
    return shown(path)
