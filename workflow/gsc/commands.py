"""GSC, today's of Gramine and old Graphene's: its versions and command lines. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from workflow.core.settings import GscSettings
from workflow.core.values import GRAMINE, GRAPHENE
from workflow.gsc.modes import Mode, signed_name

COMMIT = "0b2ba9312c6120b5ebe2e55fb2bd7315b334361e"
"""Of GSC, three commits after v1.9: what this project was run with."""
GRAMINE_REPOSITORY = "https://github.com/gramineproject/gramine.git"
GRAMINE_COMMIT = "ff71d7afea730dffd56a97af39bb6a73ee6c7662"
"""Of Gramine, two commits after v1.9: what this project was run with."""
GRAPHENE_REPOSITORY = "https://github.com/oscarlab/graphene.git"
GRAPHENE_COMMIT = "da8c020c9ce4da1b96ad723f7014762663893088"
"""Of Graphene, v1.2-rc1; its GSC lies in Tools/gsc. Never run here."""

CONFIG_HEAD = "# Of enclave-finetune: inv gsc-setup writes over it as long as this line is here.\n"


@dataclass(frozen=True)
class Dialect:
    """Say in what one kind of GSC differs from the other."""

    repository: str
    commit: str
    """What this project pins."""
    root: Callable[[Path], Path]
    """From GSC's folder to that of the checkout which it lies in."""
    config: Callable[[GscSettings], str]
    """What config.yaml has in it below its first line."""
    manifests: str
    """Folder of the manifests that GSC is given, below MANIFESTS."""
    is_settled: bool
    """What GSC made is merged with ours, pruned and linted before it is signed; old Graphene takes
    allowed files, hence there is nothing to be settled."""
    unprotected_flags: tuple[str, ...] = ()
    """What its build needs to make an image that runs without SGX."""


def dialect(gsc: GscSettings) -> Dialect:
    """Return the kind of GSC that is set."""
    return DIALECTS[gsc.dialect]


def config_yaml(gsc: GscSettings) -> str:
    """Return config.yaml: the system of the images, and a Gramine that is pinned or made before."""
    return CONFIG_HEAD + dialect(gsc).config(gsc)


def _gramine_config(gsc: GscSettings) -> str:
    if gsc.gramine_image:
        gramine = f'    Image: "{gsc.gramine_image}"\n'
    else:
        gramine = f'    Repository: "{GRAMINE_REPOSITORY}"\n    Branch: "{GRAMINE_COMMIT}"\n'
    return f'Distro: "{gsc.distro}"\nRegistry: ""\nGramine:\n{gramine}'


def _graphene_config(gsc: GscSettings) -> str:
    """Return what Graphene v1.2-rc1's Tools/gsc reads."""
    return (
        'Distro: "ubuntu18.04"\n'
        "Graphene:\n"
        f'    Repository: "{GRAPHENE_REPOSITORY}"\n'
        f'    Branch: "{GRAPHENE_COMMIT}"\n'
        "SGXDriver:\n"
        '    Repository: "https://github.com/intel/linux-sgx-driver.git"\n'
        '    Branch: "sgx_driver_1.9"\n'
    )


DIALECTS = {
    GRAMINE: Dialect(
        repository="https://github.com/gramineproject/gsc.git",
        commit=COMMIT,
        root=lambda folder: folder,
        config=_gramine_config,
        manifests="",
        is_settled=True,
    ),
    GRAPHENE: Dialect(
        repository=GRAPHENE_REPOSITORY,
        commit=GRAPHENE_COMMIT,
        root=lambda folder: folder.parent.parent,
        config=_graphene_config,
        manifests=GRAPHENE,
        is_settled=False,
        unprotected_flags=("-L",),
    ),
}


SECCOMP_FILE = "docker_seccomp.json"
"""Gramine's profile of system calls for Docker, in the GSC checkout where gsc-setup puts it."""
SECCOMP_URL = (
    f"https://raw.githubusercontent.com/gramineproject/gramine/{GRAMINE_COMMIT}/scripts/"
    f"{SECCOMP_FILE}"
)
SECCOMP_SHA256 = "099ac043ffcd4368a63c0f440c8f880bd0da7e944a3a007b41d76522ff4910cc"


def build_command(
    gsc: GscSettings, app: str, manifest: Path, mode: Mode, *, no_cache: bool = False
) -> list[str]:
    """Return the command that graminizes the image; it runs in the checkout.

    With ``--rm``, without which the daemon keeps a stopped container of every step.
    """
    insecure = ["--insecure-args"] if "insecure-args" in gsc.admitted else []
    flags = () if mode.is_protected else dialect(gsc).unprotected_flags
    anew = ["--no-cache"] if no_cache else []
    return ["./gsc", "build", *insecure, "--rm", *anew, *flags, app, str(manifest)]


def sign_command(app: str, key: Path) -> list[str]:
    """Return the command that signs the graminized image; it runs in the checkout.

    Never with GSC's ``--passphrase``: that stands in every process list and in a build argument.
    """
    return ["./gsc", "sign-image", app, str(key)]


def info_command(app: str) -> list[str]:
    """Return the command that prints the signed image's measurement."""
    return ["./gsc", "info-image", signed_name(app)]


def source(gsc: GscSettings) -> tuple[str, str, Path]:
    """Return repository, commit and folder of the checkout that GSC lies in."""
    kind = dialect(gsc)
    return kind.repository, gsc.commit or kind.commit, kind.root(gsc.dir)


def untried(gsc: GscSettings) -> str:
    """Say so where a GSC is asked for that this project was never run with."""
    if not gsc.commit or dialect(gsc).commit.startswith(gsc.commit):
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


def missing_message(gsc: GscSettings) -> str:
    """Return the line for a checkout that is not there: what brings it, to the letter."""
    repository, commit, root = source(gsc)
    return (
        f"no GSC in {gsc.dir}; run: inv gsc-setup, or by hand: git clone {repository} {root} && "
        f"git -C {root} checkout {commit}, then: inv gsc-setup"
    )
