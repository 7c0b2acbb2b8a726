"""Classify images with the network that train.py wrote.

Reads  NET and the images. Writes OUT/result.txt for people and OUT/result.json for programs, and
prints the former; beside them the evidence (docs/evidence-format.md). A file that is no image
is a line of its own; the others are still classified.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Sequence

from pytorch_common import start  # isort: split

import torch
from PIL import Image

from pytorch_common import contract, evidence
from pytorch_common.ahead import ahead, workers
from pytorch_common.architectures import versions
from pytorch_common.checkpoint import Net, load_net
from pytorch_common.content import ImageError
from pytorch_common.errors import RunError
from pytorch_common.files import code_digest, printable, some_of, write_atomically
from pytorch_common.images import read_image
from pytorch_common.network import FORWARD_BATCH
from pytorch_common.preprocess import normalise, validation_pixels
from pytorch_common.script import (
    Progress,
    answer,
    image_limits,
    json_bytes,
    leave,
    note,
    run_facts,
    run_script,
)
from pytorch_infer.arguments import parse_arguments
from pytorch_infer.pictures import ADDRESS, Picture, images_at, named_paths

start.settled()

CODE = Path(__file__).resolve().parents[1]

Reader = Callable[..., Image.Image]
"""``read_image``, with its limits: given a path, and ``look``."""
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
    limits = image_limits(args)
    reader = partial(read_image, limits=limits, to_srgb=not args.ignore_profiles)
    found = classify(net, pictures, args.top_k, threads, reader)
    results = list(Progress().follow(found, "classify", len(pictures)))
    options = {
        "top_k": args.top_k,
        "ignore_profiles": bool(args.ignore_profiles),
        "threads": threads,
        "image_limits": vars(limits),
    }
    write_results(args.out, net, results, options)
    for result in results:
        answer(result_line(result))
    return 1 if any("error" in result for result in results) else 0


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
            image = reader(path, look=partial(_add_digest, result))
            pixels.append(validation_pixels(image, net.preprocess["size"]))
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


def _add_digest(result: Result, data: bytes) -> None:
    result["sha256"] = hashlib.sha256(data).hexdigest()


def ranking(classes: Sequence[str], probabilities: torch.Tensor, top_k: int) -> list[Result]:
    """Return the most probable classes, the first of them first."""
    ranked = probabilities.argsort(descending=True, stable=True)[:top_k].tolist()
    return [
        {"label": classes[index], "probability": float(probabilities[index])} for index in ranked
    ]


def write_results(out: Path, net: Net, results: list[Result], options: Result) -> None:
    """Write the evidence, result.txt and result.json, each file whole or not at all."""
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
    data = json_bytes(content)
    evidence.write_classification(out, content, data, options)
    write_atomically(out / contract.RESULT_TEXT_FILE, text.encode())
    write_atomically(out / contract.RESULT_JSON_FILE, data)


def result_line(result: Result) -> str:
    """Return ``bee.jpg: bees 99.1 %, ants 0.9 %``, or the reason why there is no answer."""
    if "error" in result:
        return f"{result['image']}: error: {result['error']}"
    ranked = (f"{printable(entry['label'])} {entry['probability']:.1%}" for entry in result["top"])
    return f"{result['image']}: " + ", ".join(ranked)


if __name__ == "__main__":
    leave(run_script(main))
