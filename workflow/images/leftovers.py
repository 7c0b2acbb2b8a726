"""Images deleted with all that a build left on the way: its stages have no name, and would stay."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from workflow.core.errors import WorkflowError
from workflow.images.daemon import client, find_image, remove_image
from workflow.images.daemon_config import errors_in_one_line


def remove_images(names: Sequence[str], steps: Sequence[str] = ()) -> None:
    """Delete the images, what without a name stands on one of them, and the images of the steps.

    What anything else stands on, or a container is of, stays.
    """
    for name in names:
        ends = list(_nameless_ends(name))
        remove_image(name)
        _remove_unused(ends)
    _remove_unused(list(reversed(steps)))


def _remove_unused(images: Sequence[str]) -> None:
    for image in images:
        with contextlib.suppress(WorkflowError), errors_in_one_line():
            client().images.remove(image)


def _nameless_ends(name: str) -> Iterator[str]:
    """Yield the images without a name that stand on this one, and that nothing stands on."""
    base = find_image(name)
    if base is None:
        return
    with errors_in_one_line():
        images = client().api.images(all=True)
    below = {image["Id"]: image["ParentId"] for image in images}
    carrying = set(below.values())
    for image in images:
        names = [tag for tag in image["RepoTags"] or [] if tag != "<none>:<none>"]
        if not names and image["Id"] not in carrying and base.id in _ancestors(image["Id"], below):
            yield image["Id"]


def _ancestors(image: str, below: Mapping[str, str]) -> Iterator[str]:
    while image := below.get(image, ""):
        yield image
