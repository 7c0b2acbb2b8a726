"""The training script's command line."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path
from typing import Sequence

from pytorch_common import contract
from pytorch_common.script import add_image_limits


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; a TRAIN_… variable replaces the default of its option."""
    parser = argparse.ArgumentParser(prog="train.py", description="Fine-tune a pretrained network.")
    _add_sources(parser)
    _add_places(parser)
    _add_options(parser)
    args = parser.parse_args(argv)
    args.net = args.net or args.out / contract.NET_FILE
    args.checkpoints = args.checkpoints or args.net.parent
    args.options = contract.TrainOptions(
        **{name: getattr(args, name) for name in contract.option_names()}
    )
    if problems := args.options.problems():
        parser.error("; ".join(problems))
    if args.cache_mb < 0:
        parser.error(f"--cache-mb: expected 0 or more, got {args.cache_mb}")
    if args.options.method != contract.SCRATCH and args.weights is None:
        parser.error("--weights: expected the pretrained network's file, or --method scratch")
    return args


def _add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is read."""
    environ, here = os.environ, Path(__file__).resolve().parent
    data = environ.get("TRAIN_DATA", here / "hymenoptera_data")
    parser.add_argument("--data", type=Path, default=data, help="a folder, or the pack of one")
    parser.add_argument(
        "--data-sha256",
        default=environ.get(contract.DATA_SHA256_VARIABLE, ""),
        help="accept the data set with this canonical digest alone",
    )
    parser.add_argument("--weights", type=Path, default=environ.get("TRAIN_WEIGHTS"))
    parser.add_argument(
        "--weights-sha256",
        default=environ.get(contract.WEIGHTS_SHA256_VARIABLE, ""),
        help="accept these weights alone; may be how the digest begins",
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options of where things are written."""
    environ = os.environ
    out = Path(environ.get("TRAIN_OUT", contract.OUT_DIR))
    parser.add_argument("--out", type=Path, default=out, help="folder of history and record")
    parser.add_argument(
        "--net",
        type=Path,
        default=environ.get("TRAIN_NET"),
        help=f"the network (OUT/{contract.NET_FILE})",
    )
    parser.add_argument(
        "--export-net",
        action="store_true",
        default=environ.get(contract.EXPORT_VARIABLE) == "1",
        help=f"write the network to OUT/{contract.NET_FILE} too, in plain",
    )
    parser.add_argument(
        "--checkpoints",
        type=Path,
        default=environ.get(contract.CHECKPOINTS_VARIABLE),
        help="folder of the checkpoints (that of the network)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        default=environ.get("TRAIN_RESUME") == "1",
        help="go on from the newest checkpoint, if there is one",
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of how to train."""
    environ = os.environ
    for field in dataclasses.fields(contract.TrainOptions):
        default = environ.get(contract.option_variable(field.name), field.default)
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, type=type(field.default), default=default)
    parser.add_argument(
        "--cache-mb",
        type=int,
        default=environ.get("TRAIN_CACHE_MB", contract.CACHE_MB),
        help="megabytes of images and features kept in memory; what does not fit is read again",
    )
    add_image_limits(parser, "TRAIN")
