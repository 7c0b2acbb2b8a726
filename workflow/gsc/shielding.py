"""Turning a Docker image into a shielded one with GSC: graminized, and settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytorch_common.contract import EXPORT_VARIABLE, TORCH_VARIABLE
from pytorch_common.files import write_atomically
from workflow.backends import base
from workflow.gsc import commands, manifest
from workflow.core.shell_lines import shell_line, show
from workflow.gsc.enclaves import APP_LABEL, INSECURE_LABEL, MANIFEST_LABEL, MODE_LABEL
from workflow.core.errors import WorkflowError
from workflow.gsc.checkout import check_checkout, run_gsc
from workflow.images.build_spec import ROLES, base_torch, image_name
from workflow.core.console import note
from workflow.core.settings import AUTO, GRAMINE, GRAPHENE, PROJECT, GscSettings, Settings

if TYPE_CHECKING:
    from workflow.images.daemon import Image

SETTLED = PROJECT / "out" / "gsc"

FIND_PYTHON = "find /gramine/meson_build_output/lib -type d -name site-packages"


def mode(settings: Settings) -> str:
    """Return the backend that images are shielded for: the named one, else sgx where it is.

    Raises: WorkflowError for a backend without GSC.
    """
    named = settings.machine.backend
    if named == AUTO:
        return "sgx" if base.is_for_sgx(settings.machine) else "direct"
    if named not in base.SHIELDED:
        raise WorkflowError(f"--backend: a shielded image is for sgx or direct, not for {named}")
    return named


def build(settings: Settings, mode: str, roles: Sequence[str] = ROLES) -> None:
    """Graminize the images and settle their manifests; what was there before is removed first.

    Raises: WorkflowError where GSC fails, or the manifest has an insecure option not asked for.
    """
    for role in roles:
        image = image_name(settings, role)
        if settings.dry:
            show(*build_lines(settings, mode, role))
        else:
            check_checkout(settings.gsc)
            _build(settings, mode, role, image)


def check_torch(settings: Settings, mode: str, torch: str | None) -> None:
    """Refuse an image's torch before the long part; the finished manifest is linted too.

    Raises: WorkflowError where it is too old for an enclave, and not admitted by name.
    """
    manifest.refuse_insecure(manifest.torch_findings(torch), mode, settings.gsc.admitted)


def build_lines(settings: Settings, mode: str, role: str) -> list[str]:
    """Return the shell commands that graminize an image and settle its manifest by hand."""
    image = image_name(settings, role)
    name = commands.app_name(image, mode)
    unsigned = commands.unsigned_name(name)
    folder = SETTLED / name.replace(":", "-")
    read = ["docker", "run", "--rm", "--entrypoint=cat", unsigned, manifest.IN_IMAGE]
    options = [f"--insecure={option}" for option in sorted(settings.gsc.admitted)]
    settle = ["python", "-m", "workflow.gsc.settle", role, mode, *options]
    made, settled = folder / "made.manifest", folder / "entrypoint.manifest"
    dockerfile = settled_dockerfile(unsigned, "app")
    app_id = f"$(docker image inspect -f {{{{.Id}}}} {image})"
    marks = _marks(settings.gsc, mode, base_torch(settings))
    facts = settled_labels(role, mode, marks, app_id, settings.gsc.dialect)
    labels = " ".join(f"--label={label}={value}" for label, value in facts.items())
    user_manifest = manifest.user_manifest(role, settings.gsc.dialect)
    command = commands.build_command(settings.gsc, name, user_manifest, mode)
    made_by_gsc = [
        *([] if name == image else [shell_line(["docker", "tag", image, name])]),
        shell_line(["docker", "rmi", "--force", commands.signed_name(name), unsigned]),
        shell_line(command, cwd=settings.gsc.dir),
    ]
    if settings.gsc.dialect == GRAPHENE:
        return [*made_by_gsc, f"echo FROM {unsigned} | docker build {labels} -t {unsigned} -"]
    return [
        *made_by_gsc,
        shell_line(["mkdir", "-p", folder]),
        shell_line(read, stdout=made),
        shell_line(settle, environment={"PYTHONPATH": str(PROJECT)}, stdin=made, stdout=settled),
        shell_line(["printf", "%s", dockerfile], stdout=folder / "Dockerfile"),
        f"docker build {labels} {shell_line(['-t', unsigned, folder])}",
    ]


def settled_labels(
    role: str, mode: str, insecure: Sequence[str], app_id: str, dialect: str = GRAMINE
) -> dict[str, str]:
    """Return what a settled image says of itself."""
    return {
        MODE_LABEL: mode,
        INSECURE_LABEL: ",".join(insecure),
        MANIFEST_LABEL: manifest.sources_digest(role, mode, insecure, dialect),
        APP_LABEL: app_id,
    }


def settled_dockerfile(unsigned: str, user: str) -> str:
    """Return the one layer that puts the settled manifest in place; Gramine checks its keys."""
    return (
        f"FROM {unsigned}\n"
        f"COPY --chown={user} entrypoint.manifest {manifest.IN_IMAGE}\n"
        f'RUN PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$({FIND_PYTHON})" '
        f"gramine-manifest-check {manifest.IN_IMAGE}\n"
    )


def _build(settings: Settings, mode: str, role: str, image: str) -> None:
    from workflow.images import daemon

    app = daemon.find_image(image)
    if app is None:
        raise WorkflowError(f"no image {image} here; run: inv build --image {role}")
    check_torch(settings, mode, app.environment.get(TORCH_VARIABLE))
    name = commands.app_name(image, mode)
    unsigned = commands.unsigned_name(name)
    for taken in (name, commands.signed_name(name), unsigned):
        if taken != image:
            daemon.refuse_foreign(taken)
    if name != image:
        daemon.tag(image, name)
    # GSC keeps an old signed image with status 0, and takes an old unsigned one for a new one.
    for old in (commands.signed_name(name), unsigned):
        daemon.remove_image(old)
    user_manifest = manifest.user_manifest(role, settings.gsc.dialect)
    command = commands.build_command(settings.gsc, name, user_manifest, mode)
    lines = run_gsc(command, settings.gsc, f"gsc build {name}")
    made = daemon.find_image(unsigned)
    if made is None or not made.is_built_on(app):
        raise WorkflowError(_made_nothing(f"gsc build {name}", lines))
    if settings.gsc.dialect == GRAPHENE:
        _mark_graphene(settings, mode, role, app)
    else:
        _settle(settings, mode, role, app.id)
    note(f"{unsigned}: built and settled")


def _mark_graphene(settings: Settings, mode: str, role: str, app: Image) -> None:
    """Label what old Graphene's GSC made; it takes allowed files, so nothing is to be settled."""
    from workflow.images import daemon

    unsigned = commands.unsigned_name(commands.app_name(image_name(settings, role), mode))
    insecure = _marks(settings.gsc, mode, app.environment.get(TORCH_VARIABLE))
    note(f"{unsigned}: insecure option allowed-files: old Graphene hands the network over in plain")
    daemon.build_files(
        {"Dockerfile": f"FROM {unsigned}\n".encode()},
        tag=unsigned,
        labels=settled_labels(role, mode, insecure, app.id, GRAPHENE),
        on_line=lambda line: None,
    )


def _settle(settings: Settings, mode: str, role: str, app_id: str) -> None:
    """Put the settled manifest into the unsigned image, in one layer of its own."""
    from workflow.images import daemon

    name = commands.app_name(image_name(settings, role), mode)
    unsigned = commands.unsigned_name(name)
    made = daemon.find_image(unsigned)
    assert made is not None  # noqa: S101 - _build has looked
    raw = manifest.parse(daemon.read_file(unsigned, manifest.IN_IMAGE), unsigned)
    threads = int(made.environment.get(f"{role.upper()}_THREADS", "1"))
    settled = manifest.settle(raw, mode=mode, threads=threads, insecure=settings.gsc.admitted)
    insecure = manifest.refuse_insecure(manifest.lint(settled, mode), mode, settings.gsc.admitted)
    if made.environment.get(EXPORT_VARIABLE) == "1":
        insecure = sorted([*insecure, "export-net"])
    for option in insecure:
        is_given = mode == "direct" and option not in settings.gsc.admitted
        reason = manifest.ADMITTED_IN_DIRECT.get(option) if is_given else None
        note(f"{unsigned}: insecure option {option}, {reason or 'as asked for'}")
    before, after = len(raw["sgx"].get("trusted_files", [])), len(settled["sgx"]["trusted_files"])
    note(f"{unsigned}: {after} trusted files of the {before} that GSC listed")
    folder = SETTLED / name.replace(":", "-")
    write_atomically(folder / "entrypoint.manifest", manifest.dumps(settled))
    dockerfile = settled_dockerfile(unsigned, made.user or "root")
    daemon.build_files(
        {"entrypoint.manifest": manifest.dumps(settled), "Dockerfile": dockerfile.encode()},
        tag=unsigned,
        labels=settled_labels(role, mode, insecure, app_id),
        on_line=lambda line: None,
    )


def _made_nothing(what: str, lines: Sequence[str]) -> str:
    return f"{what}: it ended with status 0, but made no image: {commands.failure(lines)}"


def _marks(checkout: GscSettings, mode: str, torch: str | None) -> list[str]:
    """Return the insecure options of an image that are known before its manifest is looked at."""
    if checkout.dialect == GRAPHENE:
        old = {each.option for each in manifest.torch_findings(torch)}
        return ["allowed-files", *sorted((checkout.admitted | old) - {"allowed-files"})]
    return manifest.marked(checkout.admitted, mode, torch)
