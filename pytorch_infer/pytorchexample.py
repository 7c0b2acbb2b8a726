"""Classify images with the network that train.py wrote.

Reads  NET and the images. Writes OUT/result.txt for people and OUT/result.json for programs, and
prints the former. A file that is no image is a line of its own; the others are still classified.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Sequence, Tuple

from pytorch_common import start  # isort: split

import torch
from PIL import Image

from pytorch_common import contract
from pytorch_common.ahead import ahead, workers
from pytorch_common.architectures import versions
from pytorch_common.checkpoint import Net, load_net
from pytorch_common.content import ImageError
from pytorch_common.errors import RunError
from pytorch_common.files import (
    code_digest,
    is_hidden,
    notes_on,
    printable,
    some_of,
    walk,
    write_atomically,
)
from pytorch_common.images import read_image
from pytorch_common.network import FORWARD_BATCH
from pytorch_common.preprocess import normalise, validation_pixels
from pytorch_common.script import (
    Progress,
    add_image_limits,
    answer,
    image_limits,
    json_bytes,
    leave,
    note,
    run_facts,
    run_script,
)

start.settled()

CODE = Path(__file__).resolve().parents[1]

ADDRESS = "://"

Picture = Tuple[str, Path]
"""The name as it is shown, and the path."""
Reader = Callable[[Path], Image.Image]
Result = Dict[str, Any]


def main(argv: Sequence[str]) -> int:
    """Classify, write both results, print the text; status 1 where a file was no image."""
    args = parse_arguments(argv)
    threads = args.threads or contract.available_threads()
    torch.set_num_threads(threads)
    net = load_net(args.net, args.net_sha256)
    if args.check_net:
        return 0
    named = list(named_paths(args.image))
    found_at = {name: list(images_at(name, path)) for name, path in named}
    pictures = [picture for name, _ in named for picture in found_at[name]]
    if not pictures:
        raise RunError(f"no images in {some_of(list(found_at)) or 'the list of names'}")
    for name in (name for name, found in found_at.items() if not found):
        note(f"{name}: no images in it")
    reader = partial(read_image, limits=image_limits(args), to_srgb=not args.ignore_profiles)
    found = classify(net, pictures, args.top_k, threads, reader)
    results = list(Progress().follow(found, "classify", len(pictures)))
    write_results(args.out, net, results)
    for result in results:
        answer(result_line(result))
    return 1 if any("error" in result for result in results) else 0


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; an INFER_… variable replaces the default of its option."""
    parser = argparse.ArgumentParser(prog="pytorchexample.py", description="Classify images.")
    here = Path(__file__).resolve().parent
    environ = os.environ
    net = environ.get("INFER_NET", here / contract.NET_FILE)
    parser.add_argument("--net", type=Path, default=net)
    parser.add_argument(
        "--net-sha256",
        default=environ.get(contract.NET_SHA256_VARIABLE),
        help="accept this network alone",
    )
    parser.add_argument("--check-net", action="store_true", help="look at the network alone")
    parser.add_argument(
        "--image",
        nargs="+",
        default=[contract.IN_DIR],
        help="files and folders (of a folder with images.list in it, the names in that); "
        "- reads names from standard input, each ended by a NUL byte",
    )
    parser.add_argument("--out", type=Path, default=environ.get("INFER_OUT", "/out"))
    parser.add_argument("--top-k", type=int, default=environ.get("INFER_TOP_K", 5))
    parser.add_argument("--threads", type=int, default=environ.get("INFER_THREADS", 0))
    parser.add_argument(
        "--ignore-profiles",
        type=int,
        choices=(0, 1),
        nargs="?",
        const=1,
        default=environ.get("INFER_IGNORE_PROFILES", 0),
        help="take colours as the file has them, as training does, whatever profile they are of",
    )
    add_image_limits(parser, "INFER")
    args = parser.parse_args(argv)
    if args.top_k < 1:
        parser.error(f"--top-k: expected 1 or more, got {args.top_k}")
    if args.net_sha256 is not None and not contract.is_sha256(args.net_sha256):
        parser.error(f"--net-sha256: expected 64 lower-case hex digits, got {args.net_sha256!r}")
    if args.threads < 0:
        parser.error(f"--threads: expected 0 (all processors) or more, got {args.threads}")
    return args


def named_paths(names: Sequence[str]) -> Iterator[Picture]:
    """Yield each name that was given, as it is to be shown, and the path of its file or folder."""
    for name in names:
        listing = os.path.join(name, contract.LIST_FILE)  # noqa: PTH118 - as below
        if name == "-":
            yield from listed_paths(sys.stdin.buffer.read(), None)
        elif os.path.isfile(listing):  # noqa: PTH113 - a Path raises for a name that is too long
            yield from listed_paths(Path(listing).read_bytes(), Path(name))
        else:
            yield shown(name), Path(name)


def listed_paths(listing: bytes, folder: Path | None) -> Iterator[Picture]:
    """Yield the names of a list, which end in NUL bytes and are looked up in the folder.

    Raises: RunError for a name that leads out of the folder.
    """
    for name in (os.fsdecode(entry) for entry in listing.split(b"\0") if entry):
        if folder and os.pardir in Path(name).parts:
            raise RunError(f"{contract.LIST_FILE}: a name leads out of the folder: {name}")
        yield shown(name), folder / name.lstrip("/") if folder else Path(name)


def images_at(name: str, path: Path) -> Iterator[Picture]:
    """Yield the image, or the images below the folder, that the path is; named as it is named."""
    if not os.path.isdir(path):  # noqa: PTH112 - a Path raises for a name that is too long
        yield name, path
        return
    images = images_below(path)
    for line in notes_on(path, images):
        note(line)
    for image in images:
        yield str(Path(name) / image.relative_to(path)), image


def images_below(folder: Path) -> list[Path]:
    """Return what ends like an image below the folder, sorted; no hidden ones.

    A folder in it that cannot be listed comes along, for a line of its own.
    """
    paths = (path for path in walk(folder) if not is_hidden(path, folder))
    return sorted(
        path for path in paths if path.suffix.lower() in contract.IMAGE_SUFFIXES or path.is_dir()
    )


def shown(name: str) -> str:
    """Return the name as results show it: a path without needless parts, an address as it is."""
    return name if ADDRESS in name else str(Path(name))


def classify(
    net: Net, pictures: Sequence[Picture], top_k: int, threads: int, reader: Reader
) -> Iterator[Result]:
    """Yield for each image its label and most probable classes, or why there are none.

    Each thread reads a few images and looks at them; no more of them are held in memory.
    """
    net.network.to(memory_format=torch.channels_last)
    starts = range(0, len(pictures), FORWARD_BATCH)
    groups = [pictures[start : start + FORWARD_BATCH] for start in starts]
    with workers(min(threads, len(groups))) as pool:
        for results in ahead(pool, partial(classify_few, net, top_k, reader), groups, threads):
            yield from results


@torch.no_grad()
def classify_few(net: Net, top_k: int, reader: Reader, pictures: Sequence[Picture]) -> list[Result]:
    """Return the results of a few images, which the network looks at together."""
    results: list[Result] = [{"image": printable(name)} for name, _ in pictures]
    readable, pixels = [], []
    for (_, path), result in zip(pictures, results):
        try:
            pixels.append(validation_pixels(reader(path), net.preprocess["size"]))
            readable.append(result)
        except ImageError as error:
            hint = "; give files: no address is fetched" if ADDRESS in result["image"] else ""
            result["error"] = f"{error}{hint}"
        except MemoryError:
            result["error"] = "too little memory to scale it"
    if pixels:
        images = normalise(torch.stack(pixels), net.preprocess["mean"], net.preprocess["std"])
        for result, row in zip(readable, net.network(images).softmax(dim=1)):
            if not row.isfinite().all():
                result["error"] = "the network computes no number for it"
                continue
            top = ranking(net.classes, row, top_k)
            result.update(top[0], top=top)
    return results


def ranking(classes: Sequence[str], probabilities: torch.Tensor, top_k: int) -> list[Result]:
    """Return the most probable classes, the first of them first."""
    ranked = probabilities.argsort(descending=True, stable=True)[:top_k].tolist()
    return [
        {"label": classes[index], "probability": float(probabilities[index])} for index in ranked
    ]


def write_results(out: Path, net: Net, results: list[Result]) -> None:
    """Write result.txt and result.json, each whole or not at all."""
    content = {
        "schema": contract.RESULT_SCHEMA,
        **run_facts(versions()),
        "arch": net.arch,
        "classes": net.classes,
        "digests": {
            "net": net.sha256,
            "code": code_digest(CODE, "pytorch_common", "pytorch_infer"),
        },
        "results": results,
    }
    text = "".join(result_line(result) + "\n" for result in results)
    write_atomically(out / contract.RESULT_TEXT_FILE, text.encode())
    write_atomically(out / contract.RESULT_JSON_FILE, json_bytes(content))


def result_line(result: Result) -> str:
    """Return ``bee.jpg: bees 99.1 %, ants 0.9 %``, or the reason why there is no answer."""
    if "error" in result:
        return f"{result['image']}: error: {result['error']}"
    ranked = (f"{printable(entry['label'])} {entry['probability']:.1%}" for entry in result["top"])
    return f"{result['image']}: " + ", ".join(ranked)


if __name__ == "__main__":
    leave(run_script(main))
