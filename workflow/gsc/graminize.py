"""A Docker image made a shielded one by GSC, and its manifest settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytorch_common.contract import EXPORT_VARIABLE, TORCH_VARIABLE
from pytorch_common.files import write_atomically
from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import PROJECT, GscSettings, Settings
from workflow.core.shell_lines import shell_line
from workflow.gsc import by_hand, commands, epc, lint, manifest, runtime_pack
from workflow.gsc.checkout import check_checkout, run_gsc
from workflow.gsc.commands import dialect
from workflow.gsc.failures import failure
from workflow.gsc.modes import Mode, signed_name, tools_name, unsigned_name
from workflow.gsc.shielded_images import (
    APP_LABEL,
    INSECURE_LABEL,
    MANIFEST_LABEL,
    MODE_LABEL,
)
from workflow.gsc.shrink import shrink
from workflow.images.build_spec import base_torch, image_name

if TYPE_CHECKING:
    from workflow.images.daemon import Image

SETTLED = PROJECT / "out" / "gsc"

FIND_PYTHON = "find /gramine/meson_build_output/lib -type d -name site-packages"


def graminize(settings: Settings, mode: Mode, role: str, *, no_cache: bool = False) -> None:
    """Graminize the role's image and settle its manifest; what was there before is removed first.

    ``no_cache`` takes no layer of a build before.

    Raises: WorkflowError where GSC fails, or the manifest has an insecure option not asked for.
    """
    from workflow.images import daemon

    check_checkout(settings.gsc)
    check_edmm(settings.gsc)
    image = image_name(settings, role)
    app = daemon.find_image(image)
    if app is None:
        raise WorkflowError(f"no image {image} here; run: inv build --image {role}")
    check_torch(settings, mode, app.environment.get(TORCH_VARIABLE))
    _make_unsigned(settings, mode, role, app, no_cache=no_cache)
    if dialect(settings.gsc).is_settled:
        _settle(settings, mode, role, app.id)
    else:
        _mark(settings, mode, role, app)
    if mode.is_protected:
        warn_of_epc(settings.gsc, role)
    note(f"{unsigned_name(mode.app_name(image))}: built and settled")


def check_torch(settings: Settings, mode: Mode, torch: str | None) -> None:
    """Refuse an image's torch before the long part; the finished manifest is linted too.

    Raises: WorkflowError where it is too old for an enclave, and not admitted by name.
    """
    lint.refuse_insecure(lint.torch_findings(torch), mode, settings.gsc.admitted)


def check_edmm(gsc: GscSettings) -> None:
    """Refuse EDMM for old Graphene, whose manifest is not settled and knows none.

    Raises: WorkflowError.
    """
    if gsc.edmm and not dialect(gsc).is_settled:
        raise WorkflowError(f"gsc.edmm: {gsc.dialect} has no EDMM; take it out of the settings")


def warn_of_epc(gsc: GscSettings, role: str) -> None:
    """Say, where it is so, that the role's enclave does not fit into this machine's EPC."""
    size = epc.enclave_bytes(gsc, role)
    if line := epc.misfit(epc.epc_bytes(), role, size, edmm=gsc.edmm):
        note(f"this machine's EPC is {line}; inv size proposes a size")


def graminize_lines(
    settings: Settings, mode: Mode, role: str, *, no_cache: bool = False
) -> list[str]:
    """Return the shell commands that graminize an image and settle its manifest by hand."""
    image = image_name(settings, role)
    app = mode.app_name(image)
    unsigned = unsigned_name(app)
    marks = _marks(settings.gsc, mode, base_torch(settings))
    app_id = f"$(docker image inspect -f {{{{.Id}}}} {image})"
    facts = settled_labels(settings.gsc, role, mode, marks, app_id)
    labels = " ".join(f"--label={label}={value}" for label, value in facts.items())
    user_manifest = manifest.user_manifest(settings.gsc, role)
    command = commands.build_command(settings.gsc, app, user_manifest, mode, no_cache=no_cache)
    made_by_gsc = [
        *([] if app == image else [shell_line(["docker", "tag", image, app])]),
        shell_line(["docker", "rmi", "--force", signed_name(app), unsigned, tools_name(app)]),
        shell_line(command, cwd=settings.gsc.dir),
    ]
    if not dialect(settings.gsc).is_settled:
        return [*made_by_gsc, f"echo FROM {unsigned} | docker build {labels} -t {unsigned} -"]
    return [*made_by_gsc, *_settle_lines(settings, mode, role, app, labels)]


def settled_labels(
    gsc: GscSettings, role: str, mode: Mode, insecure: Sequence[str], app_id: str
) -> dict[str, str]:
    """Return what a settled image says of itself."""
    return {
        MODE_LABEL: mode.name,
        INSECURE_LABEL: ",".join(insecure),
        MANIFEST_LABEL: manifest.sources_digest(gsc, role, mode, insecure),
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


def _settle_lines(settings: Settings, mode: Mode, role: str, app: str, labels: str) -> list[str]:
    unsigned, folder = unsigned_name(app), SETTLED / app.replace(":", "-")
    is_packed, whole, settled = runtime_pack.is_wanted(settings.gsc), unsigned, by_hand.SETTLED
    if is_packed:
        whole, settled = tools_name(app), by_hand.FULL
    read = ["docker", "run", "--rm", "--entrypoint=cat", unsigned, manifest.IN_IMAGE]
    options = [f"--insecure={option}" for option in sorted(settings.gsc.admitted)]
    options += ["--edmm"] if settings.gsc.edmm else []
    settle = ["python", "-m", "workflow.gsc.manifest", role, mode.name, *options]
    made, place = folder / "made.manifest", {"PYTHONPATH": str(PROJECT)}
    dockerfile = settled_dockerfile(whole, "app")
    return [
        shell_line(["mkdir", "-p", folder]),
        shell_line(read, stdout=made),
        shell_line(settle, environment=place, stdin=made, stdout=folder / settled),
        *(by_hand.pack_lines(settings, mode, role, app, folder) if is_packed else []),
        shell_line(["printf", "%s", dockerfile], stdout=folder / "Dockerfile"),
        f"docker build {labels} {shell_line(['-t', whole, folder])}",
        *(by_hand.shrink_lines(settings, role, app, folder, labels) if is_packed else []),
    ]


def _make_unsigned(
    settings: Settings, mode: Mode, role: str, app: Image, *, no_cache: bool
) -> None:
    """Have GSC make the unsigned image anew."""
    from workflow.images import daemon

    image = image_name(settings, role)
    name = mode.app_name(image)
    unsigned = unsigned_name(name)
    for taken in (name, signed_name(name), unsigned, tools_name(name)):
        if taken != image:
            daemon.refuse_foreign(taken)
    if name != image:
        daemon.tag(image, name)
    # GSC keeps an old signed image with status 0, and takes an old unsigned one for a new one.
    for old in (signed_name(name), unsigned, tools_name(name)):
        daemon.remove_image(old)
    user_manifest = manifest.user_manifest(settings.gsc, role)
    command = commands.build_command(settings.gsc, name, user_manifest, mode, no_cache=no_cache)
    lines = run_gsc(command, settings.gsc, f"gsc build {name}")
    made = daemon.find_image(unsigned)
    if made is None or not made.is_built_on(app):
        what = f"gsc build {name}: it ended with status 0, but made no image"
        raise WorkflowError(f"{what}: {failure(lines)}")


def _mark(settings: Settings, mode: Mode, role: str, app: Image) -> None:
    """Label what old Graphene's GSC made; it takes allowed files, so nothing is to be settled."""
    from workflow.images import daemon

    unsigned = unsigned_name(mode.app_name(image_name(settings, role)))
    insecure = _marks(settings.gsc, mode, app.environment.get(TORCH_VARIABLE))
    note(f"{unsigned}: insecure option allowed-files: old Graphene hands the network over in plain")
    daemon.build_files(
        {"Dockerfile": f"FROM {unsigned}\n".encode()},
        tag=unsigned,
        labels=settled_labels(settings.gsc, role, mode, insecure, app.id),
        on_line=lambda line: None,
    )


def _settle(settings: Settings, mode: Mode, role: str, app_id: str) -> None:
    """Put the settled manifest into the unsigned image, in one layer of its own."""
    from workflow.images import daemon

    name = mode.app_name(image_name(settings, role))
    unsigned = unsigned_name(name)
    made = daemon.find_image(unsigned)
    assert made is not None  # noqa: S101 - it was looked for
    raw = manifest.parse(daemon.read_file(unsigned, manifest.IN_IMAGE), unsigned)
    threads = int(made.environment.get(f"{role.upper()}_THREADS", "1"))
    gsc = settings.gsc
    settled = manifest.settle(raw, mode=mode, threads=threads, insecure=gsc.admitted, edmm=gsc.edmm)
    is_packed, whole = runtime_pack.is_wanted(settings.gsc, settled), unsigned
    if is_packed:
        whole = tools_name(name)
        settled = runtime_pack.packed_manifest(settings, unsigned, whole, settled, role)
    insecure = lint.refuse_insecure(lint.lint(settled, mode), mode, settings.gsc.admitted)
    if made.environment.get(EXPORT_VARIABLE) == "1":
        insecure = sorted([*insecure, "export-net"])
    for option in insecure:
        reason = None if option in settings.gsc.admitted else mode.admitted.get(option)
        note(f"{unsigned}: insecure option {option}, {reason or 'as asked for'}")
    before, after = len(raw["sgx"].get("trusted_files", [])), len(settled["sgx"]["trusted_files"])
    note(f"{unsigned}: {after} trusted files of the {before} that GSC listed")
    labels = settled_labels(settings.gsc, role, mode, insecure, app_id)
    text = manifest.dumps(settled)
    for file, content in (("made", manifest.dumps(raw)), ("entrypoint", text)):
        write_atomically(SETTLED / name.replace(":", "-") / f"{file}.manifest", content)
    dockerfile = settled_dockerfile(whole, made.user or "root").encode()
    files = {"entrypoint.manifest": text, "Dockerfile": dockerfile}
    daemon.build_files(files, tag=whole, labels=labels, on_line=lambda line: None)
    if is_packed:
        shrink(whole, unsigned, labels)
        runtime_pack.try_out(settings, unsigned, settled, role)


def _marks(gsc: GscSettings, mode: Mode, torch: str | None) -> list[str]:
    """Return the insecure options of an image that are known before its manifest is looked at."""
    if dialect(gsc).is_settled:
        return lint.marked(gsc.admitted, mode, torch)
    old = {each.option for each in lint.torch_findings(torch)}
    return ["allowed-files", *sorted((gsc.admitted | old) - {"allowed-files"})]
