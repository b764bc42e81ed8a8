"""The making of a set: resumed, refused, added to; with boxes from a file, so that no network decides the outcome."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import MakeVideo
from vidbench.errors import InputError, RunConflictError, UnknownNameError, UsageError
from vidbench.formats.labelset import Row
from vidbench.label.detect_track import DetectTrackRequest, detect_track
from vidbench.label.store import LabelSet
from vidbench.video.encode import encode

HEADER = "video,second,x1,y1,x2,y2,score,person"


def table(tmp_path: Path, *videos: str, persons: bool = True) -> Path:
    """Two persons in each video, who walk apart; every second."""
    path = tmp_path / "boxes.csv"
    lines = [HEADER if persons else HEADER.removesuffix(",person")]
    for name in videos:
        for second in range(20):
            for person in range(2):
                x = 0.1 + 0.4 * person + 0.01 * second
                lines.append(f"{name},{second},{x:.3f},0.2,{x + 0.2:.3f},0.9,0.9" + (f",{person}" if persons else ""))
    path.write_text("\n".join(lines) + "\n")
    return path


def ask(tmp_path: Path, *sources: Path, **more: object) -> DetectTrackRequest:
    given = {"sources": sources, "out": tmp_path / "set", "detector": "boxes", "boxes": tmp_path / "boxes.csv",
             "device": "cpu", "jobs": 1}  # fmt: skip
    return DetectTrackRequest.model_validate(given | more)


def test_a_set_of_two_videos(make_video: MakeVideo, tmp_path: Path) -> None:
    one, two = make_video("v/one.mp4", frames=300), make_video("v/two b.mkv", frames=260, fps="25")
    table(tmp_path, "one", "two b")
    result = detect_track(ask(tmp_path, tmp_path / "v"))
    assert result.made == 2
    assert result.counts == {"ok": 2}
    assert [(video.id, video.keyframes, video.persons, video.rows) for video in result.videos] == [
        ("one", 7, 2, 14), ("two_b", 7, 2, 14),
    ]  # fmt: skip
    store = LabelSet.open(tmp_path / "set")
    content = store.load()
    assert len(content.actions) == 80
    assert content.settings["detector"] == "boxes"
    assert [store.file(video).resolve() for video in content.videos] == [one, two]
    # beside the set, so both can be moved together
    assert content.videos[0].file == "../v/one.mp4"
    rows = store.rows("one")
    assert rows[0] == Row(2, 0, (0.12, 0.2, 0.32, 0.9), 0.9, None, 0, False, ())
    assert [row.key for row in rows] == [(second, person) for second in range(2, 9) for person in range(2)]
    # the picture of second 5 is what the video shows at 5 s: frame 150 of 300, whose grey tells its number
    with Image.open(store.keyframe("one", 5)) as image:
        assert abs(np.asarray(image).mean() - (40 + 150 * 160 // 299)) < 3
    assert sorted(path.name for path in store.keyframe("one", 5).parent.iterdir()) == [
        f"{second:06d}.jpg" for second in range(2, 9)
    ]
    assert not list((tmp_path / "set").rglob("*.vbpart"))


def test_running_it_again_does_nothing_and_a_new_video_is_added(make_video: MakeVideo, tmp_path: Path) -> None:
    one = make_video("one.mp4", frames=150)
    table(tmp_path, "one", "two")
    detect_track(ask(tmp_path, one))
    store = LabelSet(tmp_path / "set")
    labelled = [Row(row.second, row.person, row.box, row.score, (1,), row.track) for row in store.rows("one")]
    store.save_rows("one", labelled)
    before = store.keyframe("one", 2).stat().st_mtime_ns
    two = make_video("two.mp4", frames=150)
    # with other boxes it would be another set: the file has not changed
    result = detect_track(ask(tmp_path, one, two))
    assert result.made == 1
    assert [video.id for video in store.load().videos] == ["one", "two"]
    assert store.rows("one") == tuple(labelled)
    assert store.keyframe("one", 2).stat().st_mtime_ns == before
    assert detect_track(ask(tmp_path, one, two)).made == 0
    # only the second one is asked for: the first one stays in the set
    assert [video.id for video in detect_track(ask(tmp_path, two)).videos] == ["one", "two"]


def test_two_files_of_one_name_are_two_videos(make_video: MakeVideo, tmp_path: Path) -> None:
    first, second = make_video("a/clip.mp4", frames=150), make_video("b/clip.mp4", frames=150)
    table(tmp_path, "clip", "clip_2")
    result = detect_track(ask(tmp_path, first, second))
    assert [(video.id, video.rows) for video in result.videos] == [("clip", 4), ("clip_2", 4)]
    # the other way round they keep their names
    assert detect_track(ask(tmp_path, second, first)).made == 0


def test_other_settings_are_refused_and_labels_never_overwritten(make_video: MakeVideo, tmp_path: Path) -> None:
    one = make_video("one.mp4", frames=150)
    table(tmp_path, "one")
    detect_track(ask(tmp_path, one))
    with pytest.raises(RunConflictError, match="margin"):
        detect_track(ask(tmp_path, one, margin=1))
    assert [video.rows for video in detect_track(ask(tmp_path, one, margin=1, overwrite=True)).videos] == [8]
    store = LabelSet(tmp_path / "set")
    assert store.load().videos[0].first == 1
    store.save_rows("one", [Row(2, 0, (0.1, 0.1, 0.2, 0.2), actions=())])
    with pytest.raises(RunConflictError, match="1 boxes of one are labelled already"):
        detect_track(ask(tmp_path, one, margin=2, overwrite=True))
    assert store.rows("one")[0].actions == ()


def test_a_bad_video_is_a_record_and_the_others_are_there(make_video: MakeVideo, tmp_path: Path) -> None:
    good = make_video("v/good.mp4", frames=150)
    (tmp_path / "v" / "empty.mp4").touch()
    (tmp_path / "v" / "noise.mp4").write_bytes(os.urandom(5000))
    whole = make_video("whole.mkv", frames=200).read_bytes()
    (tmp_path / "v" / "short.mkv").write_bytes(whole[: len(whole) // 2])
    other = make_video("v/other.mp4", frames=150)
    table(tmp_path, "good", "short")
    result = detect_track(ask(tmp_path, tmp_path / "v"))
    assert [video.id for video in result.videos] == ["good"]
    assert {one.id: one.reason for one in result.failed} == {
        "empty": "empty", "noise": "no_video", "short": "truncated", "other": "no_boxes",
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "set" / "videos").iterdir()) == ["good"]
    assert (good.exists(), other.exists()) == (True, True)


def test_very_short_videos_have_no_keyframes(tmp_path: Path) -> None:
    for name, frames in (("blink", 1), ("second", 30)):
        encode(tmp_path / f"{name}.mp4", (np.zeros((32, 32, 3), np.uint8) for _ in range(frames)), Fraction(30))
    table(tmp_path, "blink", "second")
    result = detect_track(ask(tmp_path, tmp_path / "blink.mp4", tmp_path / "second.mp4"))
    assert [(video.keyframes, video.rows) for video in result.videos] == [(0, 0), (0, 0)]
    assert LabelSet(tmp_path / "set").rows("blink") == ()
    # without a margin even one picture is a keyframe
    detect_track(ask(tmp_path, tmp_path / "blink.mp4", margin=0, min_size=1, out=tmp_path / "other"))
    assert [row.key for row in LabelSet(tmp_path / "other").rows("blink")] == [(0, 0), (0, 1)]


def test_given_numbers_hold_over_gaps(make_video: MakeVideo, tmp_path: Path) -> None:
    one = make_video("one.mp4", frames=360)
    lines = [HEADER, *(f"one,{second},0.1,0.1,0.3,0.9,0.8,{7 if second < 9 else 4}" for second in (2, 3, 8, 9))]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    detect_track(ask(tmp_path, one))
    rows = LabelSet(tmp_path / "set").rows("one")
    assert [row.key for row in rows] == [(2, 0), (3, 0), (8, 0), (9, 1)]


@pytest.mark.parametrize("tracker", ["iou", "bytetrack"])
def test_boxes_without_numbers_are_tracked_at_their_own_rate(
    make_video: MakeVideo, tmp_path: Path, tracker: str
) -> None:
    one = make_video("one.mp4", frames=450)
    table(tmp_path, "one", persons=False)
    result = detect_track(ask(tmp_path, one, tracker=tracker))
    # two persons who hardly move, though the file speaks of one picture in ten alone
    assert result.persons == 2
    assert {row.person for row in LabelSet(tmp_path / "set").rows("one") if row.box[0] < 0.4} == {0}


def test_what_does_not_go_together(make_video: MakeVideo, tmp_path: Path) -> None:
    one = make_video("one.mp4", frames=60)
    table(tmp_path, "one", persons=False)
    with pytest.raises(UsageError, match="belong together"):
        detect_track(ask(tmp_path, one, detector="yolo"))
    with pytest.raises(UsageError, match="belong together"):
        detect_track(ask(tmp_path, one, boxes=None))
    with pytest.raises(UsageError, match="without a person's number"):
        detect_track(ask(tmp_path, one, tracker="given"))
    with pytest.raises(UnknownNameError, match="tracker 'deep'"):
        detect_track(ask(tmp_path, one, tracker="deep"))
    with pytest.raises(UnknownNameError, match="person detector 'yollo'"):
        detect_track(ask(tmp_path, one, detector="yollo", boxes=None))
    with pytest.raises(InputError, match="no such file or folder"):
        detect_track(ask(tmp_path, tmp_path / "none.mp4"))
    with pytest.raises(ValueError, match="hits the first picture of each second"):
        ask(tmp_path, one, rate=7)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.docx").touch()
    with pytest.raises(RunConflictError, match="something else"):
        detect_track(ask(tmp_path, one, out=tmp_path / "home"))


def test_other_actions_than_those_of_the_set_are_refused(make_video: MakeVideo, tmp_path: Path) -> None:
    one = make_video("one.mp4", frames=150)
    table(tmp_path, "one")
    (tmp_path / "actions.txt").write_text("pose: sit\nobject: eat\n")
    detect_track(ask(tmp_path, one, actions=str(tmp_path / "actions.txt")))
    assert [action.name for action in LabelSet(tmp_path / "set").load().actions] == ["sit", "eat"]
    # without a word about actions the set's stay
    detect_track(ask(tmp_path, one))
    (tmp_path / "actions.txt").write_text("pose: sit\nobject: drink\n")
    with pytest.raises(InputError, match="has other actions"):
        detect_track(ask(tmp_path, one, actions=str(tmp_path / "actions.txt")))


def test_a_dry_run_writes_nothing(make_video: MakeVideo, tmp_path: Path) -> None:
    one = make_video("one.mp4", frames=150)
    table(tmp_path, "one")
    result = detect_track(ask(tmp_path, one, dry_run=True))
    assert (result.made, result.dry_run) == (1, True)
    assert not (tmp_path / "set").exists()


def test_a_killed_run_is_taken_up_again(make_video: MakeVideo, tmp_path: Path) -> None:
    first = make_video("v/a.mp4", frames=150)
    long = make_video("v/b.mp4", frames=1500, size=(320, 240))
    assert first.stat().st_size < long.stat().st_size
    table(tmp_path, "a", "b")
    command = [
        sys.executable, "-m", "vidbench", "label", "detect-track", str(tmp_path / "v"), "--detector", "boxes",
        "--boxes", str(tmp_path / "boxes.csv"), "--out", str(tmp_path / "set"), "--jobs", "1",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    part = tmp_path / "set" / "videos"
    while process.poll() is None and not list(part.glob("b.*.vbpart/keyframes/*.jpg")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "set" / "set.json").exists()
    assert not (part / "b").exists()
    result = detect_track(ask(tmp_path, tmp_path / "v"))
    assert [video.id for video in result.videos] == ["a", "b"]
    assert not list((tmp_path / "set").rglob("*.vbpart"))
    records = (tmp_path / "set" / ".vidbench" / "detect-track.jsonl").read_text().splitlines()
    assert len({json.loads(line)["key"] for line in records}) == 2
