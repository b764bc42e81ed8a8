"""label check over a set and the export that is really made of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo
from vidbench.label.check import CheckRequest, CheckResult, check
from vidbench.label.export_ava import ExportAvaRequest, export_ava
from vidbench.label.store import LabelSet
from vidbench.video.encode import encode


@pytest.fixture
def labels(tmp_path: Path) -> LabelSet:
    labels = LabelSet(tmp_path / "set")
    labels.folder.mkdir()
    pictures = np.random.default_rng(7).integers(0, 255, (210, 32, 32, 3), dtype=np.uint8)
    videos = []
    for name, split in (("a", "train"), ("b", "val")):
        file = labels.folder / f"{name}.mp4"
        encode(file, pictures, Fraction(30))
        size = file.stat().st_size
        videos.append(SetVideo(name, file.name, size, 32, 32, "30", 210, 2, 5, split))  # type: ignore[arg-type]
        rows = []
        for second in range(2, 6):
            rows.append(Row(second, 0, (0.1, 0.1, 0.3, 0.9), 0.7, (1,)))
            rows.append(Row(second, 1, (0.5, 0.1, 0.7, 0.9), 0.7, (1, 2)))
            picture = labels.keyframe(name, second)
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(b"x")
        labels.save_rows(name, rows)
    labels.save(SetFile((SetAction(1, "sit", "pose"), SetAction(2, "carry", "object")), tuple(videos)))
    return labels


def look(labels: LabelSet) -> CheckResult:
    return check(CheckRequest(folder=labels.folder))


def test_an_export_of_a_reviewed_set_has_no_finding_until_the_set_changes(labels: LabelSet) -> None:
    export_ava(ExportAvaRequest(folder=labels.folder, rawframes=True, jobs=1))
    assert look(labels).findings == ()
    rows = labels.rows("a")
    labels.save_rows("a", [replace(rows[0], actions=(1, 2)), *rows[1:]])
    result = look(labels)
    assert [(one.rule, one.file, one.count) for one in result.findings] == [
        ("export-stale", "ava/annotations/ava_train_v2.2.csv", 1)
    ]
    assert "a,0902,0.100,0.100,0.300,0.900,2,0" in result.findings[0].message
    export_ava(ExportAvaRequest(folder=labels.folder, rawframes=True, jobs=1))
    assert look(labels).findings == ()


def test_an_export_without_raw_frames_is_not_what_mmaction2_finds(labels: LabelSet) -> None:
    export_ava(ExportAvaRequest(folder=labels.folder, rawframes=False, jobs=1))
    result = look(labels)
    assert {(one.rule, one.loaders) for one in result.findings} == {("frames-naming", ("mmaction2",))}


def test_an_export_that_nobody_reviewed_lacks_no_labels(labels: LabelSet) -> None:
    for name in ("a", "b"):
        labels.save_rows(name, [replace(row, actions=None) for row in labels.rows(name)])
    export_ava(ExportAvaRequest(folder=labels.folder, rawframes=True, jobs=1))
    rules = {one.rule for one in look(labels).findings}
    assert rules == {
        "set-not-reviewed",
        "tracks-untouched",
        "predicted-video-low",
        "predicted-box-low",
        "proposals-low",
    }
