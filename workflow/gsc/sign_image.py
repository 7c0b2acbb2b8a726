"""Shielded images signed: by Gramine's signer, which has the key on its standard input alone.

What a stock GSC left of a key when it was killed is found and deleted.
"""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workflow.core.console import note
from workflow.core.errors import WorkflowError
from workflow.core.settings import GscSettings, Settings
from workflow.core.shell_lines import shell_line
from workflow.gsc import manifest, runtime_pack, sign_image
from workflow.gsc.commands import dialect, sign_command
from workflow.gsc.failures import failure
from workflow.gsc.graminize import FIND_PYTHON, SETTLED
from workflow.gsc.modes import Mode, signed_name, tools_name, unsigned_name
from workflow.gsc.shielded_images import MODE_LABEL, check_signer
from workflow.gsc.signer_key import ensure_key, key_pem
from workflow.images.build_spec import ROLES, image_name
from workflow.images.container_spec import ContainerSpec, docker_run

SIGNATURE = ("entrypoint.sig", "entrypoint.manifest.sgx")
"""What signing adds to /gramine/app_files. Source: GSC, Dockerfile.common.sign.template."""

MRENCLAVE = slice(960, 992)
PRODUCT = slice(1024, 1026)
SVN = slice(1026, 1028)
SIGSTRUCT_BYTES = 1808
"""What the first of them is, and where in it. Source: Intel SDM, volume 3D, "SIGSTRUCT"."""

SIGN = (
    f'export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$({FIND_PYTHON})"; '
    f"sed /^-----END/q | gramine-sgx-sign --key - --manifest {manifest.IN_IMAGE} "
    f"--output /tmp/{SIGNATURE[1]} --sigfile /tmp/{SIGNATURE[0]} >&2 && "
    f"tar -C /tmp -cz {' '.join(SIGNATURE)} | base64"
)
"""The signer as GSC calls it, but for where the key comes from and the signature goes. ``sed``
reads to the key's last line, since not every way to the daemon can close the input."""


def sign(settings: Settings, mode: Mode, roles: Sequence[str] = ROLES) -> None:
    """Sign the graminized images; make the default key where there is none.

    Stock ``gsc sign-image`` copies the key into a layer of an image, which stays where GSC is
    killed; what was left so is deleted first.

    Raises: WorkflowError where the key is none for SGX or the signer fails.
    """
    if not dialect(settings.gsc).is_settled:
        raise WorkflowError(
            "old Graphene's GSC copies the signing key into a layer of an image, so inv sign does "
            "not call it; by hand, with a key that signs nothing else: inv --dry sign"
        )
    apps = [mode.app_name(image_name(settings, role)) for role in roles]
    for role, app in zip(roles, apps, strict=True):
        _check_is_settled(app, f"run: inv gsc-build --image {role} --backend {mode.name}")
    sign_image.sweep(settings.gsc.dir / "build")
    pem = key_pem(settings.gsc, _key(settings.gsc, mode))
    for app in apps:
        _sign(app, pem)


def signer(image: str) -> ContainerSpec:
    """Return the container that signs: no network, nothing to write to but memory."""
    return ContainerSpec(
        image, user="", arguments=("-c", SIGN), entrypoint="/bin/sh", reads_secret=True
    )


def signature(unsigned: str, tools: str, pem: bytes) -> dict[str, bytes]:
    """Sign the image in a container of the one with the tools; return what the signer made.

    Raises: WorkflowError with the signer's own line.
    """
    from workflow.images import container_run

    packed: list[str] = []
    said: list[str] = []
    container_run.remove_left_over(tools)
    container_run.run(signer(tools), packed.append, said.append, secret=pem)
    try:
        archive = io.BytesIO(base64.b64decode("".join(packed)))
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            files = {name: tar.extractfile(name) for name in SIGNATURE}
            return {name: file.read() for name, file in files.items() if file}
    except (ValueError, tarfile.TarError, KeyError, OSError, EOFError) as error:
        for line in said[-12:]:
            note(f"  | {line}")
        raise WorkflowError(f"{unsigned} could not be signed: {failure(said)}") from error


def signed_dockerfile(unsigned: str, user: str) -> str:
    """Return the one layer that makes the signed image: what ``gsc sign-image`` adds, no more."""
    files = " ".join(SIGNATURE)
    return f"FROM {unsigned}\nCOPY --chown={user} {files} /gramine/app_files/\n"


def sign_lines(gsc: GscSettings, app: str, mode: Mode) -> list[str]:
    """Return the shell commands that sign an image by hand, with the same care for the key."""
    key = mode.signing_key(gsc)
    if not dialect(gsc).is_settled:
        return [shell_line(sign_command(app, key), cwd=gsc.dir)]
    unsigned, folder = unsigned_name(app), SETTLED / app.replace(":", "-") / "signed"
    phrase = "" if mode.key else gsc.passphrase_file
    passin = [f"-passin=file:{phrase}"] if phrase else []
    opened = shell_line(["openssl", "rsa", "-in", key, *passin])
    whole = tools_name(app) if runtime_pack.is_wanted(gsc) else unsigned
    signed = shell_line(docker_run(signer(whole)), stdin=opened)
    unpack = shell_line(["tar", "-xz", "-C", folder], stdin=f"{signed} | base64 --decode")
    dockerfile = signed_dockerfile(unsigned, "app")
    return [
        shell_line(["mkdir", "-p", folder]),
        unpack,
        shell_line(["printf", "%s", dockerfile], stdout=folder / "Dockerfile"),
        shell_line(["docker", "build", "-t", signed_name(app), folder]),
    ]


def measure_line(unsigned: str) -> str:
    """Return the shell command that prints an image's MRENCLAVE, by a key that nobody keeps."""
    key = shell_line(["openssl", "genrsa", "-3", "3072"])
    signed = shell_line(docker_run(signer(unsigned)), stdin=key)
    unpack = f"{signed} | base64 --decode | tar -xzO {SIGNATURE[0]}"
    start, length = MRENCLAVE.start, MRENCLAVE.stop - MRENCLAVE.start
    return f"{unpack} | od -An -v -tx1 -j{start} -N{length} | tr -d ' \\n'"


def key_lines(gsc: GscSettings, mode: Mode) -> list[str]:
    """Return the shell command that makes the key where there is none; never a named one."""
    if gsc.key_is_named and not mode.key:
        return []
    key = mode.signing_key(gsc)
    folder = shell_line(["mkdir", "-p", key.parent])
    make = shell_line(["openssl", "genrsa", "-3", "-out", key, "3072"])
    return [f"{shell_line(['test', '-e', key])} || (umask 077 && {folder} && {make})"]


def _key(gsc: GscSettings, mode: Mode) -> Path:
    """Return the key's path, having made one where there is none and a person named none."""
    if mode.key is None:
        return ensure_key(gsc.key, is_named=gsc.key_is_named)
    if gsc.key_is_named:
        note(f"{mode.name} mode signs with a key of its own; {gsc.key} is left alone")
    return ensure_key(mode.key, for_trying=True)


def _check_is_settled(name: str, again: str) -> None:
    from workflow.images import daemon

    unsigned = unsigned_name(name)
    made = daemon.find_image(unsigned)
    if made is None:
        raise WorkflowError(f"no image {unsigned} here; {again}")
    if MODE_LABEL not in made.labels:
        raise WorkflowError(f"{unsigned} was not settled; {again}")


def _sign(name: str, pem: bytes) -> None:
    from workflow.images import daemon

    unsigned, signed = unsigned_name(name), signed_name(name)
    base = daemon.find_image(unsigned)
    assert base is not None  # noqa: S101 - it was looked for
    daemon.remove_image(signed)
    tools = check_signer(base)
    dockerfile = signed_dockerfile(unsigned, base.user or "root")
    files = {**signature(unsigned, tools, pem), "Dockerfile": dockerfile.encode()}
    daemon.build_files(files, tag=signed, labels={}, on_line=lambda line: None)
    made = daemon.find_image(signed)
    if made is None or not made.is_one_layer_on(base):
        raise WorkflowError(f"{signed} is not {unsigned} with its signature; run: inv sign")
    note(f"{signed}: signed, {made.size_bytes / 1e6:.0f} MB, {made.id}")


KEY_COPY = "gsc-signer-key.pem"
KEY_IN_IMAGE = f"/gramine/app_files/{KEY_COPY}"
LABEL = "build_id"
"""Names of the copies, and the label of the images. Source: GSC, gsc.py, gsc_sign_image, and
templates/Dockerfile.common.sign.template."""


def sweep(build_folder: Path) -> None:
    """Delete the copies below GSC's build folder, and the images of GSC's that hold one.

    Of an image that a person gave a name it is only said.

    Raises: WorkflowError where one cannot be deleted.
    """
    from workflow.images import daemon
    from workflow.images.daemon_config import errors_in_one_line

    for path in build_folder.rglob(KEY_COPY):
        path.unlink()
        note(f"{path}: the copy of a signing key that a killed GSC left is deleted")
    with errors_in_one_line():
        images = daemon.client().api.images(all=True)
    below = {image["ParentId"] for image in images}
    for image in images:
        # Those without a name that others stand on go with these.
        is_gscs = LABEL in (image["Labels"] or {}) and image["Id"] not in below
        if is_gscs and _holds_a_key(image["Id"]):
            _delete(image)


def _holds_a_key(image: str) -> bool:
    from workflow.images import daemon

    try:
        daemon.read_file(image, KEY_IN_IMAGE)
    except daemon.MissingFileError:
        return False
    return True


def _delete(image: dict[str, Any]) -> None:
    from workflow.images import daemon
    from workflow.images.daemon_config import errors_in_one_line

    names = [name for name in image["RepoTags"] or [] if name != "<none>:<none>"]
    if names:
        note(f"image {names[0]} holds a copy of a signing key; run: docker rmi {names[0]}")
        return
    api = daemon.client().api
    with errors_in_one_line():
        containers = api.containers(all=True, filters={"ancestor": image["Id"]})
        if any(container["State"] == "running" for container in containers):
            return  # a GSC that signs at this moment
        for container in containers:
            api.remove_container(container, force=True, v=True)
        api.remove_image(image["Id"])
    said = "with the copy of a signing key, which a killed GSC left: deleted"
    note(f"image {image['Id'][7:19]}, {said}")
    note("  whoever could use Docker here meanwhile could read that key; if so, make another")
