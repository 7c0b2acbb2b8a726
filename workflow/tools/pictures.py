"""The pictures of the report: the course of training, and small copies of images."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TUNED, SCRATCH = "#0072b2", "#d55e00"
"""Blue and vermilion, which colour-blind people tell apart too. Source: Okabe and Ito, 2008."""
DPI = 130
THUMBNAIL_PIXELS = 180

History = Sequence[Mapping[str, Any]]


def draw_curves(history: History, scratch: History | None, method: str) -> bytes:
    """Draw accuracies and losses by epoch, and those from scratch beside them: a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for axes, name in ((accuracy, "accuracy"), (loss, "loss")):
        _lines(axes, history, name, TUNED, method)
        if scratch:
            _lines(axes, scratch, name, SCRATCH, "scratch")
        _dress(axes, name, max(len(history), len(scratch or ())))
    lowest, _ = accuracy.set_ylim(top=1.06)  # room for the words at a curve's top
    accuracy.set_yticks([tick for tick in accuracy.get_yticks() if lowest <= tick <= 1])
    loss.set_ylim(bottom=0)
    best = max(history, key=lambda epoch: (epoch["val_accuracy"], -epoch["epoch"]))
    place = best["epoch"], best["val_accuracy"]
    is_late = best["epoch"] > len(history) / 2
    accuracy.plot(*place, "o", color=TUNED, markersize=8, markerfacecolor="white", zorder=5)
    accuracy.annotate(
        f"best: {best['val_accuracy']:.4f}",
        place,
        xytext=(0, 9),
        textcoords="offset points",
        ha="right" if is_late else "left",
        color=TUNED,
    )
    figure.legend(
        *loss.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
    )
    picture = io.BytesIO()
    # The name by which a later task knows that it may write over the picture.
    figure.savefig(picture, format="png", dpi=DPI, metadata={"Software": "enclave-finetune"})
    return picture.getvalue()


def thumbnail(path: Path) -> str:
    """Return a small copy of the image as text that a page can hold."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        small = ImageOps.exif_transpose(image).convert("RGB")
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    picture = io.BytesIO()
    small.save(picture, format="JPEG", quality=85)
    return data_uri(picture.getvalue(), "image/jpeg")


def data_uri(data: bytes, kind: str) -> str:
    """Return the bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _lines(axes: Any, history: History, name: str, colour: str, label: str) -> None:
    epochs = [epoch["epoch"] for epoch in history]
    dot = "o" if len(epochs) == 1 else None
    for split, style, words in (("val", "-", "validation"), ("train", "--", "training")):
        values = [epoch[f"{split}_{name}"] for epoch in history]
        faint = {"alpha": 0.65, "linewidth": 1.3} if split == "train" else {"linewidth": 2}
        axes.plot(
            epochs, values, style, marker=dot, color=colour, label=f"{label}, {words}", **faint
        )


def _dress(axes: Any, name: str, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(name.capitalize())
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
