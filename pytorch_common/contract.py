"""What the host and the two scripts agree on: names, options, records. Standard library only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import Any, Dict, Mapping

NET_FILE = "net.pt"
HISTORY_FILE = "history.json"
RECORD_FILE = "record.json"
RESULT_TEXT_FILE = "result.txt"
RESULT_JSON_FILE = "result.json"
CLAIMS_FILE = "claims.jsonl"
PUBLIC_KEY_FILE = "key.pub"
QUOTE_FILE = "quote.bin"
MODEL_SIGNATURE_FILE = "model.sig"
PROOFS_FILE = "proofs.jsonl"
"""What a run writes about itself; docs/evidence-format.md has the bytes."""
LIST_FILE = "images.list"
"""In a folder given to classify: the names to take from it, each ended by a NUL byte, in order."""

OUT_DIR = "/out"
"""In a container: where history, record and results leave. Not secret."""
IN_DIR = "/in"
"""In a container: where the images to classify enter."""
HANDOVER_DIR = "/handover"
"""In a container: where the network leaves the training side and enters the classifying one. Under
Gramine it is an encrypted mount, and its path must be the same on both sides."""
CHECKPOINTS_DIR = "/checkpoints"
"""In a container: where training keeps what it needs to go on. Under SGX sealed to this very
enclave: under the signer's key another of its enclaves could put a forged checkpoint there."""

NET_FORMAT = "enclave-finetune/net/2"
RECORD_SCHEMA = "enclave-finetune/record/1"
HISTORY_SCHEMA = "enclave-finetune/history/1"
RESULT_SCHEMA = "enclave-finetune/result/1"

IMAGE_SIZES: Mapping[str, int] = {
    "resnet18": 224,
    "alexnet": 224,
    "vgg11_bn": 224,
    "squeezenet1_0": 224,
    "squeezenet1_1": 224,
    "densenet121": 224,
    "inception_v3": 299,
}
"""Side of the square input in pixels, by architecture. Source: "Finetuning Torchvision Models"."""

FEATURE_EXTRACT = "feature-extract"
FULL = "full"
SCRATCH = "scratch"
METHODS = (FEATURE_EXTRACT, FULL, SCRATCH)

DATA_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"),
    ".avif",
)
"""What counts as an image in a data set. Source: torchvision.datasets.folder.IMG_EXTENSIONS, which
leaves out GIF: the only one in hymenoptera_data is a web server's "image not found"; and AVIF."""

IMAGE_SUFFIXES = (*DATA_SUFFIXES, ".gif")
"""What a folder given to classify is searched for; a file named outright may end in anything."""


@dataclass(frozen=True)
class ImageLimits:
    """Say how large one image may be: reading it then takes half a gigabyte at most."""

    file_mb: int = 200
    """Megabytes of the file."""
    megapixels: int = 64
    """Millions of pixels; a JPEG may have eight times as many, a WebP or AVIF a quarter."""
    side: int = 100_000
    """Pixels of the longer side."""

    @property
    def pixels(self) -> int:
        """Return how many pixels an image may have."""
        return self.megapixels * 10**6

    def problems(self) -> list[str]:
        """Return a line for each value that cannot be, an empty list when all can."""
        return [
            f"{name}: expected 1 or more, got {value}"
            for name, value in vars(self).items()
            if value < 1
        ]


IMAGE_LIMITS = ImageLimits()
SAFE_TORCH = (2, 10)
"""The first torch whose weights-only loading holds against a hostile file, as far as is known.
Source: CVE-2025-32434 (mended in 2.6: code runs), CVE-2026-24747 (in 2.10: memory)."""
TORCH_VARIABLE = "TORCH_VERSION"
"""In an image: the version of its torch, held to the truth when the base is made."""

CACHE_MB = 256
"""Megabytes of images and features that training keeps in memory, unless it is told otherwise."""

RUNTIME_VARIABLES: Mapping[str, str] = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "GOMP_SPINCOUNT": "10000",
}
"""What makes the scripts faster from outside; the results are the same without.

MALLOC_…: glibc keeps the memory of freed tensors for the next ones. By default it hands each large
block back to the system, which clears it again page by page: a tenth of a training step.
GOMP_SPINCOUNT: threads of torch that wait for each other do so asleep after some microseconds.
By default they turn in circles, and where another program wants a processor they hold each other
up: there a step took ten times as long."""

PROGRESS_VARIABLE = "RUN_PROGRESS"
PROGRESS_PREFIX = "::progress "
ANSWER_VARIABLE = "RUN_MARKED_ANSWERS"
ANSWER_PREFIX = "::answer "
"""How an answer begins where asked for: Gramine sends standard error to standard output too."""
ERROR_PREFIX = "error: "
MARKS = (PROGRESS_PREFIX, ANSWER_PREFIX, ERROR_PREFIX)
"""How the lines begin that the task runner takes for more than text."""
BACKEND_VARIABLE = "RUN_BACKEND"
INSECURE_VARIABLE = "RUN_INSECURE"
"""In a settled manifest, so measured: the insecure options that were admitted into it."""
PIPE_CLOSED = 141
"""Exit status of a program whose output nobody reads any more, as in ``| head``: 128 + SIGPIPE."""
RUNTIME_PACK = "/app/runtime.tar"
RUNTIME_VARIABLE = "RUNTIME_SHA256"
RUNTIME_DIR = "/runtime"
"""In a shielded image: the pack of what Python and torch are made of, the variable with its digest,
and where in the enclave's memory it is unpacked."""
NET_SHA256_VARIABLE = "INFER_NET_SHA256"
WEIGHTS_SHA256_VARIABLE = "TRAIN_WEIGHTS_SHA256"
DATA_SHA256_VARIABLE = "TRAIN_DATA_SHA256"
EXPORT_VARIABLE = "TRAIN_EXPORT_NET"
CHECKPOINTS_VARIABLE = "TRAIN_CHECKPOINTS"

PORTABLE_THREADS = 2
PORTABLE_KERNELS: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
}
"""Variables that libraries read once, when torch is imported. Every x86-64 processor with SGX that
Gramine runs on has AVX2. Sources: torch, aten/src/ATen/native/DispatchStub.cpp; oneDNN, "CPU
Dispatcher Control" (its name up to 2.5 was DNNL); Intel oneMKL, "Specifying Code Branches"."""


@dataclass(frozen=True)
class TrainOptions:
    """Say how to fine-tune; the defaults are those of the tutorial.

    Source: "Finetuning Torchvision Models", pytorch.org/tutorials.
    """

    arch: str = "squeezenet1_0"
    """Architecture, a key of IMAGE_SIZES."""
    method: str = FEATURE_EXTRACT
    """Train the new head alone, the full network, or a network from scratch."""
    epochs: int = 15
    """Passes over the training images."""
    batch_size: int = 8
    """Images a step."""
    learning_rate: float = 0.001
    """Step size of SGD."""
    momentum: float = 0.9
    """Momentum of SGD."""
    seed: int = 0
    """Seed of everything random: new head, order, crops and flips, dropout."""
    threads: int = 0
    """Threads of torch; 0 takes every processor that this process may use."""
    portable: int = 0
    """1 fixes the kernels to what every supported machine has, so that one digest holds on all."""

    def thread_count(self) -> int:
        """Return how many threads there are; sums depend on it, so portable runs fix it too."""
        return self.threads or (PORTABLE_THREADS if self.portable else available_threads())

    def problems(self) -> list[str]:
        """Return a line for each value that cannot be, an empty list when all can."""
        checks = (
            (self.arch in IMAGE_SIZES, "arch", "one of " + ", ".join(IMAGE_SIZES)),
            (self.method in METHODS, "method", "one of " + ", ".join(METHODS)),
            (self.epochs >= 1, "epochs", "1 or more"),
            (self.batch_size >= 1, "batch_size", "1 or more"),
            (0 < self.learning_rate < float("inf"), "learning_rate", "above 0"),
            (0 <= self.momentum < 1, "momentum", "from 0 to below 1"),
            (0 <= self.seed < 2**63, "seed", "from 0 to 2**63 - 1"),
            (self.threads >= 0, "threads", "0 (all processors) or more"),
            (self.portable in (0, 1), "portable", "0 or 1"),
        )
        return [
            f"{name}: expected {expected}, got {getattr(self, name)}"
            for holds, name, expected in checks
            if not holds
        ]


def option_variable(name: str) -> str:
    """Return the environment variable that gives a train option its default: ``TRAIN_EPOCHS``."""
    return f"TRAIN_{name.upper()}"


def option_names() -> list[str]:
    """Return the names of the train options, in the order of the record."""
    return [field.name for field in fields(TrainOptions)]


def available_threads() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def record_problem(record: Any) -> str | None:
    """Say what keeps ``record`` from being a record of training, None when nothing does."""
    if not isinstance(record, dict) or record.get("schema") != RECORD_SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        return f"expected schema {RECORD_SCHEMA}, got {found}"
    digests = record.get("digests")
    if not isinstance(digests, dict) or not is_sha256(digests.get("net")):
        return "expected digests.net to be a sha256, got " + repr(_get(digests, "net"))
    if not isinstance(record.get("classes"), list):
        return "expected a list of classes"
    return None


def old_torch_problem(version: str) -> str | None:
    """Say what is wrong with a torch of this version, None where nothing is."""
    found = [int(part) for part in re.findall(r"\d+", version)[:2]]
    if tuple(found) >= SAFE_TORCH:
        return None
    wanted = ".".join(map(str, SAFE_TORCH))
    return (
        f"torch {version or 'of no known version'} is older than {wanted}: a hostile network or "
        "weights may run code in it (CVE-2025-32434, CVE-2026-24747)"
    )


def is_sha256(value: Any) -> bool:
    """Tell whether the value is a SHA-256 in lower-case hex."""
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _get(mapping: Any, key: str) -> Any:
    return mapping.get(key) if isinstance(mapping, Dict) else None
