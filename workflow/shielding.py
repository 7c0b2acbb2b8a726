"""Turning a Docker image into a shielded one: GSC set up, built, signed, looked at."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_common.contract import EXPORT_VARIABLE
from pytorch_common.files import sha256_file, write_atomically
from workflow import backends, gsc, manifest, shell
from workflow.building import BuildLog, check_is_current
from workflow.commands import shell_line, show
from workflow.download import Asset, fetch
from workflow.errors import WorkflowError
from workflow.gsc import Measurement
from workflow.images import LABEL, ROLES, image_name
from workflow.notes import answer, is_colourful, note, red
from workflow.settings import AUTO, GRAMINE, GRAPHENE, PROJECT, GscSettings, Settings
from workflow.signing import ensure_key, usable_key

if TYPE_CHECKING:
    from workflow.docker_api import Image

MODE_LABEL = LABEL + "mode"
INSECURE_LABEL = LABEL + "insecure"
MANIFEST_LABEL = LABEL + "manifest"
APP_LABEL = LABEL + "app"
"""What a settled image says of itself: its backend, the insecure options in it, the digest of its
manifest's sources, the id of the image that it was made from."""

MEASUREMENTS = PROJECT / "out" / "measurements"
SETTLED = PROJECT / "out" / "gsc"

_FIND_PYTHON = "find /gramine/meson_build_output/lib -type d -path '*/site-packages'"


def mode(settings: Settings) -> str:
    """Return the backend that images are shielded for: the named one, else sgx where it is.

    Raises: WorkflowError for a backend without GSC.
    """
    named = settings.machine.backend
    if named == AUTO:
        return "sgx" if backends.enclave_device(settings.machine) else "direct"
    if named not in backends.SHIELDED:
        raise WorkflowError(f"--backend: a shielded image is for sgx or direct, not for {named}")
    return named


def setup(settings: Settings) -> None:
    """Bring GSC at the pinned commit and write its config.yaml.

    Raises: WorkflowError where git or the network fails.
    """
    checkout = settings.gsc
    config = checkout.dir / "config.yaml"
    if settings.dry:
        clones = [] if checkout.dir.is_dir() else gsc.clone_commands(checkout)
        text = gsc.config_yaml(checkout)
        show(*map(shell_line, clones), shell_line(["printf", "%s", text], stdout=config))
        return
    if not (checkout.dir / "gsc").is_file():
        for command in gsc.clone_commands(checkout):
            if status := shell.passthrough(command):
                raise WorkflowError(f"{shell.quote(command)} failed (exit status {status})")
    write_atomically(config, gsc.config_yaml(checkout).encode())
    note(f"{config}: written, {checkout.gramine_image or 'Gramine at ' + gsc.GRAMINE_COMMIT[:12]}")
    _fetch_seccomp(checkout)


def build(settings: Settings, mode: str, roles: Sequence[str] = ROLES) -> None:
    """Graminize the images and settle their manifests; what was there before is removed first.

    Raises: WorkflowError where GSC fails, or the manifest has an insecure option not asked for.
    """
    for role in roles:
        image = image_name(settings, role)
        if settings.dry:
            show(*build_lines(settings, mode, role))
        else:
            _check_checkout(settings.gsc)
            _build(settings, mode, role, image)


def sign(settings: Settings, mode: str, roles: Sequence[str] = ROLES) -> None:
    """Sign the graminized images; make the key where there is none.

    Direct mode signs with a throwaway key: under it no enclave may open what the real one seals.

    Raises: WorkflowError where the key is none for SGX or GSC fails.
    """
    key = signing_key(settings.gsc, mode)
    for role in roles:
        name = gsc.app_name(image_name(settings, role), mode)
        if settings.dry:
            folder = shell_line(["mkdir", "-p", key.parent])
            make = shell_line(["openssl", "genrsa", "-3", "-out", key, "3072"])
            show(
                f"{shell_line(['test', '-e', key])} || (umask 077 && {folder} && {make})",
                shell_line(gsc.sign_command(name, key), cwd=settings.gsc.dir),
            )
        else:
            _check_checkout(settings.gsc)
            _sign(settings.gsc, name, ensure_key(key, for_trying=mode != "sgx"))


def info(
    settings: Settings, mode: str, roles: Sequence[str] = ROLES, *, as_json: bool = False
) -> None:
    """Print and save what each signed image measures to; red where it is weakened.

    Raises: WorkflowError where an image is missing or not signed.
    """
    names = [gsc.app_name(image_name(settings, role), mode) for role in roles]
    if settings.dry:
        commands = [gsc.info_command(name) for name in names]
        show(*(shell_line(command, cwd=settings.gsc.dir) for command in commands))
        return
    _check_checkout(settings.gsc)
    found = [(measure(settings.gsc, name), insecure_options(name)) for name in names]
    for measurement, insecure in found:
        save_measurement(measurement, insecure)
    if as_json:
        facts = [{**asdict(measurement), "insecure": insecure} for measurement, insecure in found]
        answer(json.dumps(facts, indent=2))
        return
    for measurement, insecure in found:
        for line in info_table(measurement, mode, insecure):
            answer(line)


def measure(checkout: GscSettings, image: str) -> Measurement:
    """Return what the signed image measures to.

    Raises: WorkflowError where it is missing or not signed.
    """
    done = shell.capture(gsc.info_command(image), cwd=checkout.dir, env=_environment())
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        raise WorkflowError(f"gsc info-image {gsc.signed_name(image)}: {gsc.failure(lines)}")
    return gsc.parse_info(gsc.signed_name(image), done.stdout)


def info_table(measurement: Measurement, mode: str, insecure: Sequence[str]) -> list[str]:
    """Return the measurement for people, a line a fact."""
    debug = "yes: a debugger reads its memory" if measurement.debug else "no"
    weak = ", ".join(insecure) or "none"
    rows = (
        ("image", measurement.image, False),
        ("backend", f"{mode}" + ("" if mode == "sgx" else ": not protected"), mode != "sgx"),
        ("MRENCLAVE", measurement.mr_enclave, False),
        ("MRSIGNER", measurement.mr_signer, False),
        ("product, SVN", f"{measurement.isv_prod_id}, {measurement.isv_svn}", False),
        ("debug enclave", debug, measurement.debug),
        ("insecure options", weak, bool(insecure)),
        ("signed on", measurement.date, False),
    )
    colour = is_colourful()
    return [f"{name:<18}{red(value) if bad and colour else value}" for name, value, bad in rows] + [
        ""
    ]


def save_measurement(measurement: Measurement, insecure: Sequence[str]) -> Path:
    """Write the measurement down for later runs and for whoever verifies them."""
    path = MEASUREMENTS / f"{measurement.image.replace('/', '_').replace(':', '-')}.json"
    facts = {**asdict(measurement), "insecure": list(insecure)}
    write_atomically(path, (json.dumps(facts, indent=2) + "\n").encode())
    return path


def sealing_differences(one: Measurement, other: Measurement) -> list[str]:
    """Return in what two enclaves differ, of that on which opening each other's files depends."""
    mine, theirs = one.sealing(), other.sealing()
    return [
        f"{name} {mine[name]} and {theirs[name]}" for name in mine if mine[name] != theirs[name]
    ]


def check_can_hand_over(settings: Settings) -> None:
    """Before a run under SGX, hold the two signed images to what sealing depends on.

    Raises: WorkflowError naming the differences: the second enclave could not open the network.
    """
    from workflow import docker_api

    names = [image_name(settings, role) for role in ROLES]
    signed = [name for name in names if docker_api.find_image(gsc.signed_name(name))]
    if len(signed) < len(names):
        return
    one, other = (measure(settings.gsc, name) for name in signed)
    if different := sealing_differences(one, other):
        raise WorkflowError(
            f"{one.image} and {other.image} could not open each other's files: "
            f"{'; '.join(different)}; sign both with one key: inv sign"
        )


def current_unsigned(settings: Settings, role: str, mode: str) -> Image:
    """Return the unsigned image, which must be made of today's image and manifests.

    Raises: WorkflowError with the task that makes it so.
    """
    from workflow import docker_api

    image = image_name(settings, role)
    app = docker_api.find_image(image)
    unsigned = docker_api.find_image(gsc.unsigned_name(gsc.app_name(image, mode)))
    again = f"run: inv gsc-build --image {role} --backend {mode}, then: inv sign"
    if app is None:
        raise WorkflowError(f"no image {image} here; run: inv build --image {role}")
    if unsigned is None:
        name = gsc.unsigned_name(gsc.app_name(image, mode))
        raise WorkflowError(f"no image {name} here; {again}")
    insecure = _insecure(unsigned)
    if unsigned.labels.get(APP_LABEL) != app.id:
        raise WorkflowError(f"{unsigned.name} was made from another {image} than today's; {again}")
    if unsigned.labels.get(MODE_LABEL) != mode:
        raise WorkflowError(f"{unsigned.name} was not made for the backend {mode}; {again}")
    sources = manifest.sources_digest(role, mode, insecure, settings.gsc.dialect)
    if unsigned.labels.get(MANIFEST_LABEL) != sources:
        raise WorkflowError(f"{unsigned.name} is of other manifests than today's; {again}")
    return unsigned


def current_image(settings: Settings, role: str, mode: str) -> str:
    """Return the name of the signed image to run, which must be the unsigned one of today, signed.

    Raises: WorkflowError with the task that makes it so.
    """
    from workflow import docker_api

    unsigned = current_unsigned(settings, role, mode)
    name = gsc.signed_name(gsc.app_name(image_name(settings, role), mode))
    signed = docker_api.find_image(name)
    if signed is None or not signed.is_built_on(unsigned):
        state = "is not here" if signed is None else "is an older one"
        raise WorkflowError(f"{name} {state}; run: inv sign --image {role} --backend {mode}")
    return name


def runnable(settings: Settings, role: str, backend: str) -> tuple[str, list[str]]:
    """Return the image to run in a container, and the arguments by which the run differs from it.

    Raises: WorkflowError where it is missing, not of today, or sealed with other options.
    """
    image = image_name(settings, role)
    name = gsc.app_name(image, backend)
    is_shielded = backend in backends.SHIELDED
    is_sealed = is_shielded and "insecure-args" not in insecure_options(name)
    arguments = check_is_current(settings, role, sealed=is_sealed)
    return (current_image(settings, role, backend) if is_shielded else image), arguments


def insecure_options(name: str) -> list[str]:
    """Return the insecure options that are built into a graminized image."""
    from workflow import docker_api

    image = docker_api.find_image(gsc.signed_name(name))
    return _insecure(image) if image else []


def signing_key(checkout: GscSettings, mode: str) -> Path:
    """Return the key's path: the real one for SGX, one of its own for direct mode."""
    return checkout.key if mode == "sgx" else PROJECT / "out" / "direct-test-key.pem"


def seccomp_profile(settings: Settings) -> Path:
    """Return the profile of system calls for direct mode: Gramine's where it is at hand, else ours.

    Raises: WorkflowError where the named one is missing.
    """
    if settings.machine.seccomp:
        named = Path(settings.machine.seccomp).expanduser()
        if not named.is_file():
            raise WorkflowError(f"machine.seccomp: no such file: {named}")
        return named
    gramines = settings.gsc.dir / gsc.SECCOMP_FILE
    if gramines.is_file() and sha256_file(gramines) == gsc.SECCOMP_SHA256:
        return gramines
    return PROJECT / "dockerfiles" / "seccomp-direct.json"


def build_lines(settings: Settings, mode: str, role: str) -> list[str]:
    """Return the shell commands that graminize an image and settle its manifest by hand."""
    image = image_name(settings, role)
    name = gsc.app_name(image, mode)
    unsigned = gsc.unsigned_name(name)
    folder = SETTLED / name.replace(":", "-")
    read = ["docker", "run", "--rm", "--entrypoint=cat", unsigned, manifest.IN_IMAGE]
    options = [f"--insecure={option}" for option in sorted(settings.gsc.admitted)]
    settle = ["python", "-m", "workflow.settle", role, mode, *options]
    made, settled = folder / "made.manifest", folder / "entrypoint.manifest"
    dockerfile = settled_dockerfile(unsigned, "app")
    app_id = f"$(docker image inspect -f {{{{.Id}}}} {image})"
    marks = _marks(settings.gsc, mode)
    facts = settled_labels(role, mode, marks, app_id, settings.gsc.dialect)
    labels = " ".join(f"--label={label}={value}" for label, value in facts.items())
    user_manifest = manifest.user_manifest(role, settings.gsc.dialect)
    command = gsc.build_command(settings.gsc, name, user_manifest, mode)
    made_by_gsc = [
        *([] if name == image else [shell_line(["docker", "tag", image, name])]),
        shell_line(["docker", "rmi", "--force", gsc.signed_name(name), unsigned]),
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
        f'RUN PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$({_FIND_PYTHON})" '
        f"gramine-manifest-check {manifest.IN_IMAGE}\n"
    )


def _build(settings: Settings, mode: str, role: str, image: str) -> None:
    from workflow import docker_api

    app = docker_api.find_image(image)
    if app is None:
        raise WorkflowError(f"no image {image} here; run: inv build --image {role}")
    name = gsc.app_name(image, mode)
    unsigned = gsc.unsigned_name(name)
    if name != image:
        docker_api.tag(image, name)
    # GSC keeps an old signed image with status 0, and takes an old unsigned one for a new one.
    for old in (gsc.signed_name(name), unsigned):
        docker_api.remove_image(old)
    user_manifest = manifest.user_manifest(role, settings.gsc.dialect)
    command = gsc.build_command(settings.gsc, name, user_manifest, mode)
    lines = _run(command, settings.gsc, f"gsc build {name}")
    made = docker_api.find_image(unsigned)
    if made is None or not made.is_built_on(app):
        raise WorkflowError(_made_nothing(f"gsc build {name}", lines))
    if settings.gsc.dialect == GRAPHENE:
        _mark_graphene(settings, mode, role, app.id)
    else:
        _settle(settings, mode, role, app.id)
    note(f"{unsigned}: built and settled")


def _mark_graphene(settings: Settings, mode: str, role: str, app_id: str) -> None:
    """Label what old Graphene's GSC made; it takes allowed files, so nothing is to be settled."""
    from workflow import docker_api

    unsigned = gsc.unsigned_name(gsc.app_name(image_name(settings, role), mode))
    insecure = _marks(settings.gsc, mode)
    note(f"{unsigned}: insecure option allowed-files: old Graphene hands the network over in plain")
    docker_api.build_files(
        {"Dockerfile": f"FROM {unsigned}\n".encode()},
        tag=unsigned,
        labels=settled_labels(role, mode, insecure, app_id, GRAPHENE),
        on_line=lambda line: None,
    )


def _settle(settings: Settings, mode: str, role: str, app_id: str) -> None:
    """Put the settled manifest into the unsigned image, in one layer of its own."""
    from workflow import docker_api

    name = gsc.app_name(image_name(settings, role), mode)
    unsigned = gsc.unsigned_name(name)
    made = docker_api.find_image(unsigned)
    assert made is not None  # noqa: S101 - _build has looked
    raw = manifest.parse(docker_api.read_file(unsigned, manifest.IN_IMAGE), unsigned)
    threads = int(made.environment.get(f"{role.upper()}_THREADS", "1"))
    settled = manifest.settle(raw, mode=mode, threads=threads, insecure=settings.gsc.admitted)
    insecure = manifest.refuse_insecure(manifest.lint(settled, mode), mode, settings.gsc.admitted)
    if made.environment.get(EXPORT_VARIABLE) == "1":
        insecure = sorted([*insecure, "export-net"])
    for option in insecure:
        reason = f"part of {mode} mode" if option in manifest.ADMITTED_IN_DIRECT else "as asked for"
        note(f"{unsigned}: insecure option {option}, {reason}")
    before, after = len(raw["sgx"].get("trusted_files", [])), len(settled["sgx"]["trusted_files"])
    note(f"{unsigned}: {after} trusted files of the {before} that GSC listed")
    folder = SETTLED / name.replace(":", "-")
    write_atomically(folder / "entrypoint.manifest", manifest.dumps(settled))
    dockerfile = settled_dockerfile(unsigned, made.user or "root")
    docker_api.build_files(
        {"entrypoint.manifest": manifest.dumps(settled), "Dockerfile": dockerfile.encode()},
        tag=unsigned,
        labels=settled_labels(role, mode, insecure, app_id),
        on_line=lambda line: None,
    )


def _sign(checkout: GscSettings, name: str, key: Path) -> None:
    from workflow import docker_api

    made = docker_api.find_image(gsc.unsigned_name(name))
    if made is not None and MODE_LABEL not in made.labels:
        raise WorkflowError(f"{made.name} was not settled; run: inv gsc-build")
    docker_api.remove_image(gsc.signed_name(name))
    # GSC copies the key below this folder for a moment; nobody else shall look in.
    (checkout.dir / "build").mkdir(mode=0o700, exist_ok=True)
    (checkout.dir / "build").chmod(0o700)
    with usable_key(checkout, key) as usable:
        lines = _run(gsc.sign_command(name, usable), checkout, f"gsc sign-image {name}")
    signed, unsigned = (
        docker_api.find_image(image) for image in (gsc.signed_name(name), gsc.unsigned_name(name))
    )
    if signed is None or unsigned is None or not signed.is_built_on(unsigned):
        raise WorkflowError(_made_nothing(f"gsc sign-image {name}", lines))
    note(f"{signed.name}: signed, {signed.id}")


def _run(command: list[str], checkout: GscSettings, what: str) -> list[str]:
    """Run GSC, drawing its steps, and return its lines.

    Raises: WorkflowError with its last lines and the one that says why it failed.
    """
    lines: list[str] = []
    log = BuildLog(what)

    def take(line: str) -> None:
        lines.append(line)
        log(line)

    try:
        status = shell.stream_both(command, take, cwd=checkout.dir, env=_environment())
    finally:
        log.close()
    if status or gsc.is_already_there(lines):
        for line in [line for line in lines if line.strip()][-12:]:
            note(f"  | {line}")
        if status < 0:
            raise WorkflowError(f"{what} was killed by signal {-status}", code=128 - status)
        raise WorkflowError(f"{what}: {gsc.failure(lines)}", code=status or 1)
    return lines


def _made_nothing(what: str, lines: Sequence[str]) -> str:
    return f"{what}: it ended with status 0, but made no image: {gsc.failure(lines)}"


def _environment() -> dict[str, str]:
    """Return GSC's environment: its Python is this one, which has what it imports."""
    path = os.environ.get("PATH", os.defpath)
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
        "PYTHONUNBUFFERED": "1",
    }


def _marks(checkout: GscSettings, mode: str) -> list[str]:
    """Return the insecure options of an image that are known before its manifest is looked at."""
    if checkout.dialect == GRAPHENE:
        return ["allowed-files", *sorted(checkout.admitted - {"allowed-files"})]
    return manifest.marked(checkout.admitted, mode)


def _insecure(image: Image) -> list[str]:
    return [option for option in image.labels.get(INSECURE_LABEL, "").split(",") if option]


def _check_checkout(checkout: GscSettings) -> None:
    if not (checkout.dir / "gsc").is_file():
        raise WorkflowError(gsc.missing_message(checkout))
    if not (checkout.dir / "config.yaml").is_file():
        raise WorkflowError(f"{checkout.dir} has no config.yaml; run: inv gsc-setup")


def _fetch_seccomp(checkout: GscSettings) -> None:
    """Bring Gramine's profile of system calls; without it direct mode takes the project's own."""
    if checkout.dialect == GRAPHENE:
        return
    asset = Asset(
        name=gsc.SECCOMP_FILE,
        url=gsc.SECCOMP_URL,
        sha256=gsc.SECCOMP_SHA256,
        max_bytes=1 << 20,
        hint="direct mode takes the project's own, dockerfiles/seccomp-direct.json",
    )
    try:
        fetch(asset, checkout.dir / gsc.SECCOMP_FILE, source="")
    except WorkflowError as error:
        note(f"Gramine's seccomp profile: {error.message}")
