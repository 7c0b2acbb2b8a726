"""In what an image differs from what a run asks for."""

from __future__ import annotations

from workflow.images.currency import differing_options, sealed_message


def test_a_difference_between_image_and_run_is_named() -> None:
    built = {"TRAIN_EPOCHS": "15", "PATH": "/bin"}
    wanted = {"TRAIN_EPOCHS": "3", "TRAIN_SEED": "0"}
    assert differing_options(wanted, built) == [
        ("TRAIN_EPOCHS", "3", "15"),
        ("TRAIN_SEED", "0", "nothing"),
    ]
    assert differing_options({"TRAIN_EPOCHS": "15"}, built) == []


def test_a_limit_that_differs_has_no_flag_of_the_build() -> None:
    different = [("TRAIN_SIDE", "7", "9"), ("TRAIN_EPOCHS", "5", "15")]
    line = sealed_message("x", different, "inv build --image train")
    assert "has built in side 9 (asked for: 7), epochs 15 (asked for: 5)" in line
    assert "run: inv build --image train --epochs 5, then" in line
