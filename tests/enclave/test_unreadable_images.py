"""What cannot be read as an image says why, in one line."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pytorch_common.images import ImageError, read_image
from tests.enclave import hostile


def test_what_is_no_plain_file_is_refused_unopened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)
        server.bind("socket.jpg")
        opened: list[Any] = []
        monkeypatch.setattr(os, "open", lambda *args: opened.append(args))
        for name, what in {
            "pipe.jpg": "a named pipe",
            "link.jpg": "a named pipe",
            "socket.jpg": "a socket",
            "/dev/zero": "a device",
            ".": "a folder",
        }.items():
            with pytest.raises(ImageError, match=f"^{what}, not an image$"):
                read_image(Path(name))
    assert opened == []


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    plain = os.stat_result((stat.S_IFREG | 0o644, *[0] * 9))
    monkeypatch.setattr(Path, "stat", lambda path: plain)
    with pytest.raises(ImageError, match=r"^a named pipe, not an image$"):
        read_image(tmp_path / "pipe.jpg")


def test_names_that_cannot_be_are_a_line(tmp_path: Path) -> None:
    for name, line in {"x" * 300: "File name too long", "nul\0.jpg": "null byte"}.items():
        with pytest.raises(ImageError, match=f"damaged or unreadable: .*{line}"):
            read_image(tmp_path / name)


@pytest.mark.parametrize(
    "error",
    [
        *(RuntimeError("x"), IndexError("x"), AssertionError(), NotImplementedError("two\nlines")),
        *(ZeroDivisionError("x"), RecursionError("x"), KeyError(3), OverflowError("x")),
        PermissionError(13, "Permission denied"),
    ],
)
def test_whatever_a_reader_raises_is_one_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise error

    (tmp_path / "x.jpg").write_bytes(hostile.seeds()["base.jpg"])
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError, match=r"damaged or unreadable: .") as caught:
        read_image(tmp_path / "x.jpg")
    assert str(caught.value).isprintable()


def test_too_little_memory_is_a_line_and_ctrl_c_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.jpg").write_bytes(hostile.seeds()["base.jpg"])

    def fail(error: type[BaseException]) -> None:
        def raising(*_args: Any, **_options: Any) -> None:
            raise error

        monkeypatch.setattr(Image, "open", raising)

    fail(MemoryError)
    with pytest.raises(ImageError, match="too little memory"):
        read_image(tmp_path / "x.jpg")
    fail(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        read_image(tmp_path / "x.jpg")


def test_what_is_no_image_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.effect_noise((200, 200), 90).save(tmp_path / "whole.jpg")
    cut = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(cut[: len(cut) // 2])
    expected = {
        "text.jpg": "not an image that Pillow can read",
        "empty.jpg": "not an image that Pillow can read",
        "cut.jpg": "damaged or unreadable: image file is truncated",
        "absent.jpg": "no such file",
        ".": "a folder, not an image",
    }
    for name, reason in expected.items():
        with pytest.raises(ImageError, match=reason):
            read_image(tmp_path / name)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (100, 100)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="too many pixels"):
        read_image(tmp_path / "x.png")
