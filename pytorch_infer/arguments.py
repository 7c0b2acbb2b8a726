"""The classifying script's command line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Sequence

from pytorch_common import contract
from pytorch_common.script import add_image_limits


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; an INFER_… variable replaces the default of its option."""
    parser = argparse.ArgumentParser(prog="pytorchexample.py", description="Classify images.")
    _add_places(parser)
    _add_options(parser)
    args = parser.parse_args(argv)
    if args.top_k < 1:
        parser.error(f"--top-k: expected 1 or more, got {args.top_k}")
    if args.net_sha256 is not None and not contract.is_sha256(args.net_sha256):
        parser.error(f"--net-sha256: expected 64 lower-case hex digits, got {args.net_sha256!r}")
    if args.threads < 0:
        parser.error(f"--threads: expected 0 (all processors) or more, got {args.threads}")
    return args


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is read and written."""
    environ, here = os.environ, Path(__file__).resolve().parent
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
    parser.add_argument("--out", type=Path, default=environ.get("INFER_OUT", contract.OUT_DIR))


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of how to classify."""
    environ = os.environ
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
