"""Two parts of a manifest joined, and its trusted files cut down by rules."""

from __future__ import annotations

from workflow.gsc import manifest


def test_merging_joins_lists_and_tables_and_takes_the_later_value() -> None:
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": [1]}
    more = {"a": {"y": [2, 3], "z": 4}, "b": {"t": 2}, "c": 5}
    assert manifest.merge(base, more) == {
        "a": {"x": 1, "y": [1, 2, 3], "z": 4},
        "b": {"t": 2},
        "c": 5,
    }
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": [1]}


def test_pruning_goes_by_how_a_path_begins() -> None:
    trusted = [{"uri": f"file:{path}", "sha256": "1"} for path in ("/b/x", "/a/y", "/a/z", "/c")]
    kept = manifest.prune(trusted, keep=["/a/", "/b"], drop=["/a/z"])
    assert [entry["uri"] for entry in kept] == ["file:/a/y", "file:/b/x"]
    assert manifest.prune([], keep=["/a"], drop=[]) == []
