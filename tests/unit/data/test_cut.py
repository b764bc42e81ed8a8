"""Many cuts: where they go, what is refused before any work, what is done again."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from vidbench.data.cut import CutRequest, CutResult, cut_videos, plan_cuts, span_name
from vidbench.errors import InputError, RunConflictError, UsageError, VidbenchError
from vidbench.video.cut import Span


def run(*sources: Path, **options: Any) -> CutResult:
    return cut_videos(CutRequest(sources=sources, jobs=1, preset="ultrafast", **options))


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def files(folder: Path) -> set[str]:
    """Files below a folder, but for the job's own."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != ".vidbench"}


@pytest.fixture
def tree(tmp_path: Path, make_video: Any) -> Path:
    """A small Kinetics: two classes, three videos of two seconds, and their list."""
    for name in ("abseiling/a_000001_000011", "abseiling/-b_000002_000012", "zumba/c d"):
        make_video(f"k/val/{name}.mp4", frames=50, fps="25")
    names = ("abseiling/a_000001_000011.mp4 0", "abseiling/-b_000002_000012.mp4 0")
    (tmp_path / "vallist.txt").write_text("".join(f"./k/val/{name}\n" for name in names))
    return tmp_path


def test_a_second_tree_with_the_names_kept(tree: Path) -> None:
    result = run(tree / "vallist.txt", short_side=32, replace=("/val/", "/val_256/"))
    assert files(tree / "k/val_256") == {"abseiling/a_000001_000011.mp4", "abseiling/-b_000002_000012.mp4"}
    assert result.out == tree / "k/val_256"
    assert (result.cuts, result.videos, result.counts, result.frames) == (2, 2, {"ok": 2}, 100)
    with av.open(str(tree / "k/val_256/abseiling/a_000001_000011.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.frames) == (42, 32, 50)
    # one class alone has the same ledger as all of them
    (tree / "one.txt").write_text("./k/val/abseiling/a_000001_000011.mp4 0\n")
    assert run(tree / "one.txt", short_side=32, replace=("/val/", "/val_256/")).ledger == result.ledger


def test_folders_keep_their_tree(tree: Path) -> None:
    result = run(tree / "k", out=tree / "out", start_s=0.4, end_s=1)
    assert files(tree / "out") == {"val/abseiling/a_000001_000011.mp4", "val/abseiling/-b_000002_000012.mp4",
                                   "val/zumba/c d.mp4"}  # fmt: skip
    assert frames(tree / "out/val/zumba/c d.mp4") == 15
    assert result.seconds == pytest.approx(1.8)
    # cuts within the folder that is read are no videos to cut
    assert run(tree / "k", out=tree / "k/cut", end_s=1).cuts == 3
    assert run(tree / "k", out=tree / "k/cut", end_s=1).cuts == 3


def test_spans_of_a_file(tree: Path) -> None:
    spans = tree / "spans.csv"
    spans.write_text("video,start,end,name\nc d,0,1,\nc d.mp4,1,1.5,\n-b_000002_000012,0.2,0.4,new/one\nnone,1,2,\n")
    result = run(tree / "k/val", out=tree / "out", spans=str(spans))
    assert files(tree / "out") == {"zumba/c d_000000_000001.mp4", "zumba/c d_000001_000001.500.mp4",
                                   "abseiling/new/one.mp4"}  # fmt: skip
    assert (result.unmatched, result.idle, result.videos, result.cuts) == (1, 1, 2, 3)
    assert frames(tree / "out/abseiling/new/one.mp4") == 5


def test_annotations_of_kinetics_name_videos_by_their_ids(tree: Path) -> None:
    (tree / "k/val/zumba/c d.mp4").rename(tree / "k/val/zumba/-bcdefghijk.mp4")
    spans = tree / "validate.csv"
    spans.write_text("label,youtube_id,time_start,time_end,split\nzumba,-bcdefghijk,0,1,validate\nx,other,0,10,val\n")
    assert run(tree / "k/val", out=tree / "out", spans=str(spans)).counts == {"ok": 1}
    assert files(tree / "out") == {"zumba/-bcdefghijk_000000_000001.mp4"}


def test_names_of_spans() -> None:
    assert span_name("0wR5jVB-WPk", Span(417, 427)) == "0wR5jVB-WPk_000417_000427.mp4"
    assert span_name("x", Span(0.5, 1000.25)) == "x_000000.500_001000.250.mp4"


def test_a_failed_item_is_data(tree: Path) -> None:
    (tree / "k/val/zumba/page.mp4").write_text("<html>")
    (tree / "k/val/zumba/old.mpg").write_bytes((tree / "k/val/zumba/c d.mp4").read_bytes())
    result = run(tree / "k/val", out=tree / "out", start_s=1, end_s=3)
    assert result.counts == {"short": 3, "no_video": 1, "unsupported": 1}
    assert result.failed == 2
    assert {failure.name: failure.reason for failure in result.failures} == {
        "zumba/page.mp4": "no_video", "zumba/old.mpg": "unsupported"}  # fmt: skip
    records = [json.loads(line) for line in result.ledger.read_text().splitlines()]
    short = next(record for record in records if record["name"] == "zumba/c d.mp4")
    assert short["detail"] == "the video ends at 2.000 s: 1.000 of 2 s are there"
    assert (short["frames"], short["fps"], short["width"], short["duration_s"]) == (25, "25", 64, 1.0)
    assert run(tree / "k/val", out=tree / "ava", spans="ava").counts == {"empty": 3, "no_video": 1, "unsupported": 1}
    assert files(tree / "ava") == set()


def test_only_what_is_not_done_is_done(tree: Path) -> None:
    options: dict[str, Any] = {"out": tree / "out", "end_s": 1.0}
    first = run(tree / "k/val", **options)
    made = {name: (tree / "out" / name).stat().st_ino for name in files(tree / "out")}
    lines = first.ledger.read_text().count("\n")

    def again(expected: set[str]) -> None:
        nonlocal lines
        assert run(tree / "k/val", **options).counts == {"ok": 3}
        assert first.ledger.read_text().count("\n") == lines + len(expected)
        lines += len(expected)
        inodes = {name: (tree / "out" / name).stat().st_ino for name in files(tree / "out")}
        assert {name for name in inodes if inodes[name] != made[name]} == expected
        made.update(inodes)

    again(set())
    # the result was changed, or is gone
    with (tree / "out/zumba/c d.mp4").open("ab") as stream:
        stream.write(b"x")
    again({"zumba/c d.mp4"})
    # another video has the name
    os.utime(tree / "k/val/abseiling/a_000001_000011.mp4", (1, 1))
    again({"abseiling/a_000001_000011.mp4"})
    (tree / "out/zumba/c d.mp4").rename(tree / "elsewhere.mp4")
    again({"zumba/c d.mp4"})


def test_a_video_that_breaks_takes_its_cut_along(tree: Path) -> None:
    run(tree / "k/val/zumba", out=tree / "out")
    (tree / "k/val/zumba/c d.mp4").write_text("broken")
    assert run(tree / "k/val/zumba", out=tree / "out").counts == {"no_video": 1}
    assert files(tree / "out") == set()


def test_other_settings_conflict(tree: Path) -> None:
    run(tree / "k/val/zumba", out=tree / "out", crf=30)
    before = (tree / "out/c d.mp4").read_bytes()
    with pytest.raises(RunConflictError, match="crf: 30 there, 20 asked"):
        run(tree / "k/val/zumba", out=tree / "out", crf=20)
    with pytest.raises(RunConflictError, match=r"to: null there, 1\.0 asked"):
        run(tree / "k/val/zumba", out=tree / "out", crf=30, end_s=1)
    assert (tree / "out/c d.mp4").read_bytes() == before
    run(tree / "k/val/zumba", out=tree / "out", crf=20, overwrite=True)
    assert (tree / "out/c d.mp4").read_bytes() != before


def test_files_in_the_way_are_not_overwritten(tree: Path) -> None:
    (tree / "out").mkdir()
    mine = tree / "out/c d.mp4"
    mine.write_text("my own")
    for _ in range(2):
        with pytest.raises(InputError, match=r"files are in the way that this job has not made: .*out/c d\.mp4"):
            run(tree / "k/val/zumba", out=tree / "out")
    assert mine.read_text() == "my own"
    assert run(tree / "k/val/zumba", out=tree / "out", overwrite=True).counts == {"ok": 1}
    assert frames(mine) == 50


def test_a_file_without_its_record_is_the_job_s_own(tree: Path) -> None:
    # a kill between the file's appearance and its line in the ledger
    ledger = run(tree / "k/val", out=tree / "out").ledger
    lines = ledger.read_text().splitlines(keepends=True)
    before = {name: (tree / "out" / name).read_bytes() for name in files(tree / "out")}
    ledger.write_text("".join(lines[:1]) + lines[1][:20])
    assert run(tree / "k/val", out=tree / "out").counts == {"ok": 3}
    assert {name: (tree / "out" / name).read_bytes() for name in files(tree / "out")} == before


def test_leftovers_are_swept(tree: Path) -> None:
    (tree / "out/zumba").mkdir(parents=True)
    (tree / "out/zumba/c d.mp4.vbpart").write_text("half")
    run(tree / "k/val", out=tree / "out")
    assert not any(name.endswith(".vbpart") for name in files(tree / "out"))


def refused(kind: type[VidbenchError], *sources: Path, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        run(*sources, **options)
    return caught.value.message


def test_what_is_refused_before_any_work(tree: Path) -> None:
    val, out = tree / "k/val", tree / "out"
    again = tree / "again/zumba"
    again.mkdir(parents=True)
    os.link(val / "zumba/c d.mp4", again / "c d.mp4")
    message = refused(InputError, val, tree / "again", out=out)
    assert message == f"two cuts would be {out}/zumba/c d.mp4: {val}/zumba/c d.mp4 (whole) and {again}/c d.mp4 (whole)"
    spans = tree / "s.csv"
    spans.write_text("video,start,end,name\nc d,0,1,same\nc d,1,2,same\n")
    assert "(0 to 1 s) and" in refused(InputError, val, out=out, spans=str(spans))
    spans.write_text("video,start,end\nc d,0,1\n")
    assert refused(InputError, val, tree / "again", out=out, spans=str(spans)).startswith(f"{spans}:2: c d may be")
    spans.write_text("video,start,end\nnobody,0,1\n")
    assert "no line names one of the 3 videos" in refused(InputError, val, out=out, spans=str(spans))
    spans.write_text("video,start,end\nc d,2,1\n")
    assert refused(InputError, val, out=out, spans=str(spans)).startswith(f"{spans}:2: the span is reversed")
    assert "would destroy it" in refused(InputError, val, out=val)
    assert "would destroy it" in refused(InputError, val / "zumba", replace=("zumba/", "zumba/./"))
    listed = refused(InputError, tree / "vallist.txt", replace=("/train/", "/x/"))
    assert listed.endswith("vallist.txt:1: the path ./k/val/abseiling/a_000001_000011.mp4 does not contain /train/")
    assert "no such file" in refused(InputError, tree / "none.mp4", out=out)
    assert refused(InputError, val, out=tree / "vallist.txt/x") == f"{tree}/vallist.txt/x: not a folder"
    (tree / "nothing").mkdir()
    assert refused(InputError, tree / "nothing", out=out) == f"{tree}/nothing: no video in this folder (0 other files)"
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "where do the cuts go?"),
        ({"out": Path("o"), "replace": ("a", "b")}, "where do the cuts go?"),
        ({"replace": ("", "b")}, "--replace needs"),
        ({"replace": ("b", "b")}, "--replace needs"),
        ({"out": Path("o"), "start_s": -1.0}, "--from -1: not a time"),
        ({"out": Path("o"), "end_s": float("nan")}, "--to nan: not a time"),
        ({"out": Path("o"), "start_s": 2.0, "end_s": 2.0}, "--to 2 is not after --from 2"),
        ({"out": Path("o"), "end_s": 0.0}, "--to 0 is not after --from 0"),
        ({"out": Path("o"), "spans": "ava", "end_s": 1.0}, "--spans and --from or --to"),
        ({"out": Path("o"), "short_side": 255}, "--short-side 255"),
        ({"out": Path("o"), "fps": Fraction(0)}, "--fps 0"),
    ],
)
def test_options_that_cannot_be(tree: Path, options: dict[str, Any], message: str) -> None:
    assert refused(UsageError, tree / "k/val", **options).startswith(message)


def test_paths_that_lead_out_stay_below_the_folder(tree: Path) -> None:
    (tree / "lists").mkdir()
    (tree / "lists/l.txt").write_text(f"../k/val/abseiling/a_000001_000011.mp4 0\n{tree}/k/val/abseiling/-b_000002_000012.mp4 1\n")  # fmt: skip # noqa: E501
    run(tree / "lists/l.txt", out=tree / "out")
    assert files(tree / "out") == {"abseiling/a_000001_000011.mp4", "abseiling/-b_000002_000012.mp4"}


def test_a_plan_writes_nothing(tree: Path) -> None:
    request = CutRequest(sources=(tree / "k/val",), out=tree / "out", start_s=0.5, end_s=3)
    plan = plan_cuts(request)
    assert (plan.cuts, plan.videos, plan.there, plan.seconds, plan.open_ended) == (3, 3, 0, 7.5, 0)
    assert plan.free_bytes > 0
    assert not (tree / "out").exists()
    run(tree / "k/val/zumba", out=tree / "out/zumba")
    whole = plan_cuts(CutRequest(sources=(tree / "k/val",), out=tree / "out"))
    assert (whole.there, whole.seconds, whole.open_ended) == (1, 0, 3)


def test_smart_falls_back_and_counts_why(tree: Path) -> None:
    result = run(tree / "k/val", out=tree / "out", mode="smart", start_s=0.1, end_s=1.7)
    assert (result.modes, result.fallbacks) == ({"smart": 3}, {})
    result = run(tree / "k/val", out=tree / "short", mode="smart", start_s=0.1, end_s=0.3)
    assert result.modes == {"exact": 3}
    assert result.fallbacks == {"no whole closed group of pictures lies within the span": 3}


def test_names_that_no_ledger_can_hold(tree: Path) -> None:
    os.rename(tree / "k/val/zumba/c d.mp4", os.fsencode(tree / "k/val/zumba") + b"/\xff.mp4")
    assert "a name is not UTF-8" in refused(InputError, tree / "k/val", out=tree / "out")


def test_a_name_that_is_too_long_fails_alone(tree: Path) -> None:
    (tree / "k/val/zumba/c d.mp4").rename(tree / "k/val/zumba" / ("x" * 250 + ".mp4"))
    result = run(tree / "k/val", out=tree / "out")
    assert result.counts == {"ok": 2, "tool": 1}
    assert "too long" in result.failures[0].detail
