"""The images to train on: bringing hymenoptera_data here, and checking any data set before use."""

from __future__ import annotations

import functools
from functools import partial
from pathlib import Path, PurePosixPath

from pytorch_common.contract import TrainOptions
from pytorch_common.files import (
    lacking_classes,
    list_files,
    printable,
    some_of,
)
from pytorch_common.trainable import batch_problem, classes_problem
from workflow.assets import pins
from workflow.assets.download import fetch as fetch_file
from workflow.assets.sample import make_sample
from workflow.assets.splits import image_counts
from workflow.assets.unpack import copy_tree, unpack_zip
from workflow.core import ownership
from workflow.core.console import note
from workflow.core.disk import sha256_file
from workflow.core.errors import WorkflowError
from workflow.core.locks import locked
from workflow.core.settings import PROJECT, DataSettings

HYMENOPTERA = PROJECT / "pytorch_train" / "hymenoptera_data"
ROOT = HYMENOPTERA.name
"""The folder in the zip."""
SAMPLE = PROJECT / "pytorch_train" / "hymenoptera_sample"
CHECKSUMS = Path(__file__).with_name("hymenoptera.sha256")
NAMED_AT_MOST = 5


def fetch(data: DataSettings) -> None:
    """Bring the real hymenoptera_data to its folder.

    Raises: WorkflowError where it cannot be had or differs from the checksum list, or where the
    folder holds anything else.
    """
    target = data.dir
    source = at_hand(data)
    if source is None:
        _download(data.source, target)
    elif source.is_dir():
        copy_tree(source, target, _is_expected, partial(_check_new, target))
    else:
        note(f"taking {source}, which is there")
        _unpack(source, target)
    note(f"{target}: all {len(checksums())} files verified")


def is_here(folder: Path) -> bool:
    """Tell whether the folder is hymenoptera_data, every file verified."""
    return folder.is_dir() and not differences(folder)


def at_hand(data: DataSettings) -> Path | None:
    """Return the zip or folder that needs no download: the named one, else a zip beside the folder.

    None where there is none.

    Raises: WorkflowError for a device or a pipe, which might never end.
    """
    if data.source:
        named = Path(data.source.removeprefix("file://"))
        if named.exists() and not (named.is_file() or named.is_dir()):
            raise WorkflowError(f"data.source: expected a zip or a folder, but {named} is neither")
        return named if named.exists() else None
    beside = data.dir.with_name(pins.HYMENOPTERA_ZIP.name)
    return beside if beside.is_file() else None


def check_place(data: DataSettings, *, again: bool = False) -> None:
    """Refuse to bring the data set to where anything else lies; where it is already, it stays.

    With ``again`` it is brought there all the same.

    Raises: WorkflowError naming the folder and a free place.
    """
    ownership.refuse_unfit(data.dir, "data.dir")
    if again or not is_here(data.dir):
        refuse_to_replace(data.dir)


def refuse_to_replace(folder: Path) -> None:
    """Refuse to bring the data set to where anything but its files lies.

    In the project's own place a damaged file is the data set's by its name alone.

    Raises: WorkflowError naming the folder and a free place.
    """

    def is_known(path: Path) -> bool:
        expected = checksums().get(path.relative_to(folder).as_posix())
        if path.is_symlink() or expected is None:
            return False
        return folder == HYMENOPTERA or sha256_file(path) == expected

    free = ownership.free_place(folder)
    ownership.refuse_to_replace(
        folder, is_known, instead=f"name a free place, as in INVOKE_DATA_DIR={free}"
    )


def make_stand_in(target: Path = SAMPLE) -> None:
    """Draw the stand-in data set."""
    note("drawing a stand-in data set (not the real one)")
    make_sample(target)
    note(f"{target}: drawn ants and bees, for trying the tools")


def check(data: DataSettings) -> None:
    """Refuse a folder, or the pack of one, that cannot be trained on.

    The folder of hymenoptera_data must be the real thing, any other a tree of train/CLASS/… and
    val/CLASS/… with the same classes in both.

    Raises: WorkflowError with what is wrong and the next command.
    """
    if not (data.dir.is_dir() or data.dir.is_file()):
        mend = "inv fetch-hymenoptera" if data.dir == HYMENOPTERA else "give --data a folder"
        raise WorkflowError(f"{data.dir}: no such folder; {_run_or_do(mend)}")
    if data.dir == HYMENOPTERA:
        check_hymenoptera(data.dir)
    train, val = (image_counts(data.dir, split) for split in ("train", "val"))
    if list(train) != list(val) or len(train) < 2:
        raise WorkflowError(
            f"{data.dir}: expected the same two or more class folders in train/ and val/, got "
            f"{_different(list(train), list(val))}"
        )
    if problem := classes_problem(list(train)):
        raise WorkflowError(f"{data.dir}: {problem}")
    empty = [
        data.dir / split / name
        for split, counts in (("train", train), ("val", val))
        for name, count in counts.items()
        if not count
    ]
    if empty:
        others = f", nor in {some_of(empty[1:], NAMED_AT_MOST)}" if empty[1:] else ""
        raise WorkflowError(f"{empty[0]}: no images in it{others}")


def check_folder(data: DataSettings) -> None:
    """Refuse what cannot be trained on, and a pack: other programs are to read the images too.

    Raises: WorkflowError as ``check`` does.
    """
    if data.dir.is_file():
        raise WorkflowError(
            f"{data.dir}: expected a folder, got a file; unpack a pack into a new folder DATA with "
            "tar -x -C DATA -f, and give --data DATA"
        )
    check(data)


def check_trainable(data: DataSettings, options: TrainOptions) -> None:
    """Refuse a folder, or a pack, that cannot be trained on with these options.

    Raises: WorkflowError with what is wrong and the mend, a batch size that fits among them.
    """
    check(data)
    if problem := batch_problem(options, sum(image_counts(data.dir, "train").values())):
        raise WorkflowError(problem)


def check_hymenoptera(root: Path) -> None:
    """Hold every file of the folder to the checksum list.

    Raises: WorkflowError naming the files that differ.
    """
    if different := differences(root):
        raise WorkflowError(
            f"{root} is not hymenoptera_data: {some_of(different, NAMED_AT_MOST)}; "
            "run: inv fetch-hymenoptera, or give your own images with --data"
        )


def differences(root: Path) -> list[str]:
    """Return each file of the folder that is missing, changed or not in the list, and how so."""
    expected = checksums()
    found = {path.relative_to(root).as_posix(): path for path in list_files(root)}
    return [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} does not belong there" for name in found if name not in expected),
        *(
            f"{name} is changed"
            for name, path in found.items()
            if name in expected and sha256_file(path) != expected[name]
        ),
    ]


@functools.cache
def checksums() -> dict[str, str]:
    """Return the sha256 of each of the 398 files by its path, in the order of the list."""
    lines = CHECKSUMS.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _download(source: str, target: Path) -> None:
    """Download the archive and unpack it; a download that breaks off is resumed next time.

    The archive itself is not kept: it has no published digest, so a bad one must not come back.
    """
    archive = target.with_name(f".{pins.HYMENOPTERA_ZIP.name}.enclave-finetune")
    with locked(archive.with_name(f"{archive.name}.unpacking")):
        try:
            fetch_file(pins.HYMENOPTERA_ZIP, archive, source=source)
            _unpack(archive, target)
        finally:
            archive.unlink(missing_ok=True)


def _unpack(archive: Path, target: Path) -> None:
    unpack_zip(archive, target, _is_expected, root=ROOT, check=partial(_check_new, target))


def _check_new(target: Path, new: Path) -> None:
    """Look once more before the new folder takes the old one's place."""
    check_hymenoptera(new)
    refuse_to_replace(target)


def _is_expected(path: PurePosixPath) -> bool:
    return str(path) in checksums()


def _different(train: list[str], val: list[str]) -> str:
    """Return the classes of both, or of many classes those that one of them lacks."""
    if max(len(train), len(val)) <= NAMED_AT_MOST:
        return " and ".join(", ".join(map(printable, names)) or "none" for names in (train, val))
    return f"{len(train)} and {len(val)}: {lacking_classes(train, val)}"


def _run_or_do(mend: str) -> str:
    return f"run: {mend}" if mend.startswith("inv ") else mend
