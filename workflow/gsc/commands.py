"""GSC's command lines, its configuration, and what it prints. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli

from workflow.core.errors import WorkflowError
from workflow.core.settings import GRAPHENE, GscSettings

REPOSITORY = "https://github.com/gramineproject/gsc.git"
COMMIT = "0b2ba9312c6120b5ebe2e55fb2bd7315b334361e"
"""Of GSC, three commits after v1.9: what this project was run with."""

GRAMINE_REPOSITORY = "https://github.com/gramineproject/gramine.git"
GRAMINE_COMMIT = "ff71d7afea730dffd56a97af39bb6a73ee6c7662"
"""Of Gramine, two commits after v1.9: what this project was run with."""

SECCOMP_FILE = "docker_seccomp.json"
"""Gramine's profile of system calls for Docker, in the GSC checkout where gsc-setup puts it."""
SECCOMP_URL = (
    f"https://raw.githubusercontent.com/gramineproject/gramine/{GRAMINE_COMMIT}/scripts/"
    f"{SECCOMP_FILE}"
)
SECCOMP_SHA256 = "099ac043ffcd4368a63c0f440c8f880bd0da7e944a3a007b41d76522ff4910cc"

GRAPHENE_REPOSITORY = "https://github.com/oscarlab/graphene.git"
GRAPHENE_COMMIT = "da8c020c9ce4da1b96ad723f7014762663893088"
"""Of Graphene, v1.2-rc1; its GSC lies in Tools/gsc. Past its end of life, and never run here."""


@dataclass(frozen=True)
class Measurement:
    """What an enclave is, as `gsc info-image` prints it."""

    image: str
    mr_enclave: str
    """SHA-256 of everything that is loaded before it starts, 64 hex digits."""
    mr_signer: str
    """SHA-256 of the signing key's modulus, 64 hex digits."""
    isv_prod_id: int
    isv_svn: int
    date: str
    flags: str
    xfrms: str
    misc_select: str
    debug: bool

    def sealing(self) -> dict[str, Any]:
        """Return what must be the same in two enclaves for one to open what the other sealed."""
        names = ("mr_signer", "isv_prod_id", "isv_svn", "debug", "flags", "xfrms", "misc_select")
        return {name: asdict(self)[name] for name in names}


def unsigned_name(image: str) -> str:
    """Return GSC's name for the image before it is signed."""
    return f"gsc-{image}-unsigned"


def signed_name(image: str) -> str:
    """Return GSC's name for the signed image."""
    return f"gsc-{image}"


def app_name(image: str, mode: str) -> str:
    """Return the name that GSC is given: direct mode has a tag of its own."""
    return image if mode == "sgx" else f"{image}:{mode}"


def build_command(gsc: GscSettings, image: str, manifest: Path, mode: str = "sgx") -> list[str]:
    """Return the command that graminizes the image; it runs in the checkout.

    With ``--rm``, without which the daemon keeps a stopped container of every step.
    """
    insecure = ["--insecure-args"] if "insecure-args" in gsc.admitted else []
    return ["./gsc", "build", *insecure, "--rm", *build_flags(gsc, mode), image, str(manifest)]


def build_flags(gsc: GscSettings, mode: str) -> list[str]:
    """Return what old Graphene needs to run without SGX: it is chosen when the image is built."""
    return ["-L"] if gsc.dialect == GRAPHENE and mode == "direct" else []


def sign_command(image: str, key: Path) -> list[str]:
    """Return the command that signs the graminized image; it runs in the checkout.

    Never with GSC's ``--passphrase``: that stands in every process list and in a build argument.
    """
    return ["./gsc", "sign-image", image, str(key)]


def info_command(image: str) -> list[str]:
    """Return the command that prints the signed image's measurement."""
    return ["./gsc", "info-image", signed_name(image)]


def source(gsc: GscSettings) -> tuple[str, str, Path]:
    """Return repository, commit and folder of the checkout that GSC lies in."""
    if gsc.dialect != GRAPHENE:
        return REPOSITORY, gsc.commit or COMMIT, gsc.dir
    return GRAPHENE_REPOSITORY, gsc.commit or GRAPHENE_COMMIT, gsc.dir.parent.parent


def untried(gsc: GscSettings) -> str:
    """Say so where a GSC is asked for that this project was never run with."""
    if not gsc.commit or COMMIT.startswith(gsc.commit):
        return ""
    return f"{gsc.dir}: GSC at {gsc.commit}, as asked for; this project was never run with it"


def clone_commands(gsc: GscSettings, into: Path) -> list[list[str]]:
    """Return the commands that bring GSC at its commit into a folder."""
    repository, commit, _ = source(gsc)
    return [
        ["git", "clone", "--quiet", repository, str(into)],
        ["git", "-C", str(into), "-c", "advice.detachedHead=false", "checkout", commit],
    ]


def version_command(gsc: GscSettings) -> list[str]:
    """Return the command that prints the checkout's commit, with ``-dirty`` where it is changed.

    The folder is named outright, so that a copy without history does not pass for what is above it.
    """
    root = source(gsc)[2]
    where = [f"--git-dir={root / '.git'}", f"--work-tree={root}"]
    return ["git", *where, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]


def version_problem(gsc: GscSettings, found: str) -> str:
    """Say in one line that the checkout's version is not the one to be, empty where it is."""
    _, wanted, root = source(gsc)
    (commit, _, changed), (sought, _, admitted) = found.partition("-"), wanted.partition("-")
    if commit.startswith(sought) and changed == admitted:
        return ""
    changes = f", with changes (git -C {root} status)" if changed else ""
    keep = f"git -C {root} stash && " if changed else ""
    return (
        f"{gsc.dir} is GSC at {commit}{changes}, not at {wanted}; run: {keep}git -C {root} "
        f"checkout {wanted}, or ask for it by name: INVOKE_GSC_COMMIT={found}"
    )


CONFIG_HEAD = "# Of enclave-finetune: inv gsc-setup writes over it as long as this line is here.\n"


def config_yaml(gsc: GscSettings) -> str:
    """Return config.yaml: the system of the images, and a Gramine that is pinned or made before."""
    if gsc.dialect == GRAPHENE:
        return CONFIG_HEAD + _graphene_config()
    if gsc.gramine_image:
        gramine = f'    Image: "{gsc.gramine_image}"\n'
    else:
        gramine = f'    Repository: "{GRAMINE_REPOSITORY}"\n    Branch: "{GRAMINE_COMMIT}"\n'
    return f'{CONFIG_HEAD}Distro: "{gsc.distro}"\nRegistry: ""\nGramine:\n{gramine}'


def missing_message(gsc: GscSettings) -> str:
    """Return the line for a checkout that is not there: what brings it, to the letter."""
    repository, commit, root = source(gsc)
    return (
        f"no GSC in {gsc.dir}; run: inv gsc-setup, or by hand: git clone {repository} {root} && "
        f"git -C {root} checkout {commit}, then: inv gsc-setup"
    )


def parse_info(image: str, text: str) -> Measurement:
    """Return the measurement that `gsc info-image` printed.

    Raises: WorkflowError where it printed anything else.
    """
    try:
        values = tomli.loads(text)
        return Measurement(image=image, **values)
    except (tomli.TOMLDecodeError, TypeError) as error:
        first = " ".join(text.split())[:120] or "nothing"
        raise WorkflowError(f"gsc info-image {image}: expected TOML, got: {first}") from error


def failure(lines: Sequence[str]) -> str:
    """Return in one line why GSC failed: what, expected and got, next command.

    ``lines`` are of both its outputs, since it reports errors on either. Source of the patterns:
    gsc.py and finalize_manifest.py at COMMIT, and runs of it.
    """
    for pattern, advice in _FAILURES:
        for line in reversed(lines):
            if found := re.search(pattern, line):
                return f"{_unwrapped(found.group(0))}; {advice}"
    last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
    return f"{_unwrapped(last)}; the lines above say more"


def is_already_there(lines: Sequence[str]) -> bool:
    """Tell whether GSC kept an old image: it then says so and leaves with status 0."""
    return any(
        re.search(r"Final gra(?:min|phen)ized image .* already exists", line) for line in lines
    )


def _unwrapped(line: str) -> str:
    return " ".join(line.replace("`", "").split())[:300].rstrip(".;:")


_KEY = "give --key an RSA key of 3072 bits with exponent 3: openssl genrsa -3 -out KEY 3072"

# The most telling first: GSC's own last line says no more than that it failed.
_FAILURES = (
    (r"Invalid RSA key: expected .*", _KEY),
    (r"Invalid key: expected RSA private key.*", _KEY),
    (r"Cannot find original application Docker image .*", "run: inv build"),
    (r"Cannot find unsigned gra\w+ized Docker image .*", "run: inv gsc-build"),
    (r"Could not find gra\w+ized Docker image .*", "run: inv gsc-build, then: inv sign"),
    (r"FileNotFoundError: .*entrypoint\.sig.*", "the image is not signed: inv sign"),
    (r"Cannot find base-Gramine Docker image .*", "inv gsc-setup --gramine-image NAME, or without"),
    (r"Manifest file .* does not exist", "it belongs to the project: git checkout manifests"),
    (r"Failed to parse the .* file\. Error: .*", "mend the TOML of that manifest"),
    (r"error in manifest: .*", "mend the manifests; Gramine's documentation names its keys"),
    (r"name 'ManifestError' is not defined.*", "GSC takes allowed files for trusted ones: put them "
        "into manifests/finish.toml, not into a manifest that GSC is given"),
    (r"IsADirectoryError.*", "GSC takes allowed folders for trusted files: put them into "
        "manifests/finish.toml, not into a manifest that GSC is given"),
    (r"\S* ?distro is not supported by GSC.*", "inv gsc-setup writes one that is"),
    (r"Missing `Gramine` section.*|`Gramine\.\w+` is .*", "run: inv gsc-setup"),
    (r"DockerException: .*|PermissionError: .*docker.*", "start the Docker daemon: inv doctor"),
    (r"ModuleNotFoundError: No module named .*", "GSC needs it: ./inv installs it"),
    (r"[Nn]o space left on device.*", "free some disk; docker system df shows what Docker has"),
    (r"Temporary failure resolving .*|Could not resolve host.*", "the build found no network"),
    (r"returned a non-zero code: .*", "the step's own lines stand above"),
    (r"Failed to build (?:a )?(?:un)?signed gra\w+ized .ocker image .*", "the lines above say why"),
    (r"Final gra\w+ized image .* already exists", "GSC keeps an old image: run it again"),
)  # fmt: skip


def _graphene_config() -> str:
    """Return the config.yaml of Graphene v1.2-rc1's Tools/gsc."""
    return (
        'Distro: "ubuntu18.04"\n'
        "Graphene:\n"
        f'    Repository: "{GRAPHENE_REPOSITORY}"\n'
        f'    Branch: "{GRAPHENE_COMMIT}"\n'
        "SGXDriver:\n"
        '    Repository: "https://github.com/intel/linux-sgx-driver.git"\n'
        '    Branch: "sgx_driver_1.9"\n'
    )
