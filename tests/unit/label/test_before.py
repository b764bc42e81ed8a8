"""Files as they were before a change: kept in the set's own layout, put back where the change fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vidbench.formats.labelset import Row
from vidbench.label.before import changing, keep_before
from vidbench.label.store import LabelSet

MakeSet = Callable[..., LabelSet]

ROWS = (Row(2, 0, (0.1, 0.2, 0.35, 1.0), 0.9, (12,)),)


def test_files_lie_under_the_names_that_they_have_in_the_set(make_set: MakeSet) -> None:
    labels = make_set({"a": ROWS, "b": ROWS}, pictures=False)
    folder = keep_before(labels, ["b"], "import")
    assert folder == labels.folder / ".vidbench" / "before" / "0001-import"
    kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert kept == ["set.json", "videos/b/tracks.jsonl"]
    for name in kept:
        assert (folder / name).read_bytes() == (labels.folder / name).read_bytes()
    assert keep_before(labels, [], "relabel").name == "0002-relabel"


def test_a_change_that_fails_half_way_is_taken_back(make_set: MakeSet) -> None:
    labels = make_set({"a": ROWS, "b": ROWS}, pictures=False)

    def fail() -> None:
        with changing(labels, ["a", "b"], "relabel"):
            labels.save_rows("a", ())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert labels.rows("a") == ROWS
    with changing(labels, ["a", "b"], "relabel"):
        labels.save_rows("a", ())
    assert labels.rows("a") == ()
