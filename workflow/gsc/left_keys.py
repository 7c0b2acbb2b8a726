"""Copies of signing keys that a stock GSC left when it was killed: found, and deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workflow.core.console import note

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
