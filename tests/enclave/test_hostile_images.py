"""Files that nobody should be hurt by: no program is run, and memory and time are bounded."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from pytorch_common.content import Content
from pytorch_common.images import ImageError, read_image
from tests.conftest import PROJECT
from tests.enclave import hostile

FUZZ_INPUTS = int(os.environ.get("FUZZ_INPUTS", "2000"))
"""`inv test --fuzz` makes it 20,000."""
FUZZ_SEED = int(os.environ.get("FUZZ_SEED", "1"))
READ_ALL = """
import json, resource, sys, time
from pathlib import Path
from pytorch_common import content
from pytorch_common.images import ImageError, read_image
from pytorch_common.preprocess import validation_pixels
content.READ_SECONDS = 1.0
base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (base + 2**30, base + 2**30))
for path in sorted(Path(sys.argv[1]).iterdir()):
    started = time.process_time()
    try:
        said = str(tuple(validation_pixels(read_image(path, to_srgb=True), 224).shape))
    except ImageError as error:
        said = str(error)
    print(json.dumps([path.name, said, time.process_time() - started]), flush=True)
"""


def read_apart(folder: Path, environ: dict[str, str] | None = None) -> dict[str, tuple[str, float]]:
    """Read every file of the folder in a process that may take 1 GiB more than it starts with."""
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(folder)],
        cwd=PROJECT,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: (said, seconds) for name, said, seconds in lines}


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def test_no_program_is_run_and_other_formats_are_named(tmp_path: Path) -> None:
    write_all(tmp_path / "in", hostile.other_formats())
    for name in ("gs", "djpeg", "gswin64c"):
        fake = tmp_path / "bin" / name
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        fake.chmod(0o755)
    environ = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    said = {name: line for name, (line, _) in read_apart(tmp_path / "in", environ).items()}
    assert not (tmp_path / "ran").exists()
    for name, start in {
        "eps.jpg": "PostScript, a program that is not run here",
        "heic.jpg": "HEIC, ",
        "pdf.png": "PDF, ",
        "svg.png": "SVG, ",
        "jxl.jpg": "JPEG XL, ",
        "page.jpg": "a web page",
        "empty.jpg": "not an image that Pillow can read: an empty file",
    }.items():
        assert said.pop(name).startswith(start)
    assert set(said.values()) == {"not an image that Pillow can read"}
    assert len(said) == 6


def test_bombs_take_neither_a_gigabyte_nor_ten_seconds(tmp_path: Path) -> None:
    write_all(tmp_path / "in", hostile.bombs())
    said = read_apart(tmp_path / "in")
    assert said.keys() == hostile.bombs().keys()
    for name, (line, seconds) in said.items():
        assert seconds < 10, name
        assert line.startswith(("too ", "takes too long", "damaged or unreadable: ", "(224")), name
    for name in ("pixels.png", "animated.png", "canvas.webp", "screen.gif", "rle.bmp", "tile.tif"):
        assert said[name][0].startswith("too large: "), name
    for name in ("tags.tif", "scans.jpg", "comment.gif"):
        assert said[name][0].startswith("takes too long"), name


def test_long_thin_and_very_large_images_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for width, height in ((1, 20_000), (1, 65_000), (65_000, 1)):
        Image.new("L", (width, height)).save(folder / f"{width}x{height}.png")
    Image.new("RGB", (16_384, 12_288), hostile.RED).save(folder / "200-megapixels.jpg")
    Image.new("LA", (6_000, 5_000), (9, 99)).save(folder / "alpha.png", compress_level=1)
    said = read_apart(folder)
    assert {line for line, _ in said.values()} == {"(224, 224, 3)"}
    assert max(seconds for _, seconds in said.values()) < 10


def test_cut_short_anywhere_is_one_line_or_an_image(tmp_path: Path) -> None:
    for name, data in hostile.seeds().items():
        for length in (1, 9, len(data) // 3, len(data) // 2, len(data) - 3):
            assert read_or_line(tmp_path / name, data[:length]) is not None


@pytest.mark.filterwarnings("ignore")
def test_mutants_are_an_image_or_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = list(hostile.seeds().items())
    drawn = random.Random(FUZZ_SEED)  # noqa: S311 - mutants, no secrets
    with capsys.disabled():
        print(f" FUZZ_SEED={FUZZ_SEED} FUZZ_INPUTS={FUZZ_INPUTS}", end=" ")  # noqa: T201
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes: dict[str, int] = {}
    for number in range(FUZZ_INPUTS):
        name, data = seeds[number % len(seeds)]
        mutant = mutated(data, drawn, drawn.choice(seeds)[1])
        (tmp_path / name).write_bytes(mutant)  # left there for whoever looks into a failure
        started = time.process_time()
        line = read_or_line(tmp_path / name, mutant)
        took = time.process_time() - started
        assert took < 10, (number, name)
        outcomes[line.split(":")[0]] = outcomes.get(line.split(":")[0], 0) + 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB
    assert outcomes["read"] > FUZZ_INPUTS / 10
    assert sum(outcomes.values()) == FUZZ_INPUTS


def mutated(data: bytes, drawn: random.Random, other: bytes) -> bytes:
    """Return the file with a few things changed that decoders stumble over."""
    mutant = bytearray(data)
    for _ in range(drawn.choice((1, 1, 2, 4, 16))):
        place = drawn.randrange(len(mutant))
        kind = drawn.randrange(6)
        if kind == 0:
            mutant[place] ^= 1 << drawn.randrange(8)
        elif kind == 1:
            mutant[place] = drawn.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
        elif kind == 2:
            mutant[place : place + 4] = drawn.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
        elif kind == 3 and len(mutant) > 20:
            del mutant[place : place + drawn.randrange(1, 16)]
        elif kind == 4:
            mutant[place:place] = mutant[place : place + drawn.randrange(1, 64)]
        else:
            start = drawn.randrange(len(other))
            mutant[place : place + 8] = other[start : start + 8]
    return bytes(mutant) or b"\0"


def read_or_line(path: Path, data: bytes) -> str:
    """Return "read", or the one line that says why not."""
    path.write_bytes(data)
    try:
        image = read_image(path, to_srgb=True)
    except ImageError as error:
        assert str(error).isprintable() and str(error)
        return str(error)
    assert image.mode == "RGB" and image.width * image.height > 0
    assert len(image.tobytes()) == 3 * image.width * image.height
    return "read"


def test_a_tiff_of_many_small_strips_is_not_given_up() -> None:
    content = Content(bytes(312_000))  # as Pillow 9.4 reads one of 280 x 370 in three planes
    for strip in range(1_122):
        content.seek(strip * 278)
        assert len(content.read(1 << 16))
