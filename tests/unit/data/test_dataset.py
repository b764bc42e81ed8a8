"""Reading a list as clips: the folder of relative paths, keys, and what is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from vidbench.data.dataset import ClipList, clip_key, read_clips
from vidbench.data.listing import BuildCsvRequest, build_csv
from vidbench.errors import EXIT_INPUT, InputError, UsageError
from vidbench.runs import content_hash


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "list.csv").write_text("".join(f"{line}\n" for line in lines))
    return folder / "list.csv"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: beside the other folders of a test, and empty."""
    folder = tmp_path.resolve() / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def top(here: Path) -> Path:
    return here.parent


def paths(clips: ClipList) -> list[Path]:
    return [item.path for item in clips.items]


def test_items_keep_what_the_list_says(top: Path) -> None:
    touch(top / "a" / "v" / "x.mp4")
    source = listed(top / "a", "", "./v/x.mp4 7", "v/y.mp4 3")
    clips = read_clips(source)
    assert (clips.source, clips.root, clips.root_rule) == (source, top / "a", "list folder")
    assert clips.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    first, second = clips.items
    assert (first.name, first.path, first.label, first.line) == ("./v/x.mp4", top / "a" / "v" / "x.mp4", 7, 2)
    assert (second.name, second.path, second.label, second.line) == ("v/y.mp4", top / "a" / "v" / "y.mp4", 3, 3)
    assert first.key == content_hash(["./v/x.mp4", 7, None])[:16] == clip_key("./v/x.mp4", 7)
    assert len({first.key, second.key, clip_key("./v/x.mp4", 8), clip_key("./v/x.mp4", 7, (0.0, 2.5))}) == 4


def test_keys_are_fixed_for_ever() -> None:
    text = '["./val/\u00e9/x.mp4",161,null]'
    assert clip_key("./val/é/x.mp4", 161) == hashlib.sha256(text.encode()).hexdigest()[:16] == "5540282251975047"


def test_the_list_s_folder(top: Path) -> None:
    touch(top / "a" / "x.mp4")
    clips = read_clips(listed(top / "a", "x.mp4 0", "gone.mp4 1"))
    assert (clips.root, clips.root_rule) == (top / "a", "list folder")
    assert paths(clips) == [top / "a" / "x.mp4", top / "a" / "gone.mp4"]


def test_a_list_named_by_a_relative_path(here: Path) -> None:
    touch(here / "a" / "x.mp4")
    listed(here / "a", "x.mp4 0")
    clips = read_clips(Path("a/list.csv"))
    assert (clips.source, clips.root) == (Path("a/list.csv"), here / "a")
    assert clips.items[0].path == here / "a" / "x.mp4"


def test_the_working_folder(here: Path, top: Path) -> None:
    touch(here / "v" / "last.mp4")
    clips = read_clips(listed(top / "a", "v/first.mp4 0", "v/last.mp4 1"))
    assert (clips.root, clips.root_rule) == (here, "working folder")
    assert paths(clips) == [here / "v" / "first.mp4", here / "v" / "last.mp4"]


def test_the_list_lies_in_the_working_folder(here: Path) -> None:
    touch(here / "x.mp4")
    assert read_clips(listed(here, "x.mp4 0")).root_rule == "list folder"


def test_the_option_wins(here: Path, top: Path) -> None:
    touch(here / "x.mp4", top / "a" / "x.mp4", top / "b" / "x.mp4")
    clips = read_clips(listed(top / "a", "x.mp4 0"), root=Path("../b"))
    assert (clips.root, clips.root_rule, paths(clips)) == (top / "b", "--root", [top / "b" / "x.mp4"])


def test_two_folders_that_fit_are_refused(here: Path, top: Path) -> None:
    touch(here / "y.mp4", top / "a" / "x.mp4")
    source = listed(top / "a", "x.mp4 0", "y.mp4 1")
    with pytest.raises(InputError, match="fit two folders") as caught:
        read_clips(source, limit=1)
    assert caught.value.exit_code == EXIT_INPUT
    assert "--root" in caught.value.remedy
    for part in (f"{top / 'a'}, has x.mp4", f"{here}, has y.mp4"):
        assert part in caught.value.message
    assert read_clips(source, root=here).root == here


def test_two_folders_that_lead_to_the_same_files_are_one(here: Path, top: Path) -> None:
    touch(top / "videos" / "x.mp4", top / "videos" / "y.mp4")
    clips = read_clips(listed(top / "a", "../videos/x.mp4 0", "../videos/y.mp4 1"))
    assert clips.root_rule == "list folder"
    assert paths(clips) == [top / "videos" / "x.mp4", top / "videos" / "y.mp4"]
    # by links: a folder, and a single file
    (top / "a" / "v").symlink_to(top / "videos")
    (here / "v").symlink_to(top / "videos")
    assert read_clips(listed(top / "a", "v/x.mp4 0")).root_rule == "list folder"
    (top / "a" / "z.mp4").symlink_to(top / "videos" / "x.mp4")
    (here / "z.mp4").symlink_to(top / "videos" / "x.mp4")
    clips = read_clips(listed(top / "a", "z.mp4 0"))
    assert (clips.root_rule, paths(clips)) == ("list folder", [top / "a" / "z.mp4"])


def test_files_that_both_reach_do_not_decide(here: Path, top: Path) -> None:
    touch(top / "videos" / "x.mp4", here / "own.mp4")
    clips = read_clips(listed(top / "a", "../videos/x.mp4 0", "own.mp4 1"))
    assert clips.root_rule == "working folder"
    assert paths(clips) == [top / "videos" / "x.mp4", here / "own.mp4"]


def test_the_w0_folders(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `data csv` writes can be read from the project's folder and from `slowfast/`."""
    data = top / "kinetics-400-dataset-files"
    touch(data / "val_256" / "zumba" / "a.mp4", data / "val" / "zumba" / "a.mp4")
    (data / "vallist.txt").write_text("./kinetics-400-dataset-files/val/zumba/a.mp4 399\n")
    (top / "slowfast").mkdir()
    for working in (top, top / "slowfast", data):
        monkeypatch.chdir(working)
        result = build_csv(BuildCsvRequest(list=data / "vallist.txt"))
        assert paths(read_clips(result.raw)) == [data / "val" / "zumba" / "a.mp4"]
        assert paths(read_clips(result.resized)) == [data / "val_256" / "zumba" / "a.mp4"]
    monkeypatch.chdir(top)
    assert paths(read_clips(data / "vallist.txt")) == [data / "val" / "zumba" / "a.mp4"]


def test_absolute_paths_need_no_root(top: Path) -> None:
    touch(top / "b" / "x.mp4")
    clips = read_clips(listed(top / "a", f"{top}/b/x.mp4 0", f"{top}/b/../c/y.mp4 1"))
    assert (clips.root_rule, paths(clips)) == ("absolute", [top / "b" / "x.mp4", top / "c" / "y.mp4"])


def test_absolute_and_relative_paths_in_one_list(here: Path, top: Path) -> None:
    touch(here / "x.mp4", top / "b" / "y.mp4")
    clips = read_clips(listed(top / "a", f"{top}/b/y.mp4 0", "x.mp4 1", "/x.mp4 2"))
    assert (clips.root, clips.root_rule) == (here, "working folder")
    assert paths(clips) == [top / "b" / "y.mp4", here / "x.mp4", Path("/x.mp4")]
    (here / "x.mp4").unlink()
    assert read_clips(top / "a" / "list.csv").root_rule == "list folder"


def test_dot_dot_after_a_link_leads_where_the_system_goes(top: Path) -> None:
    touch(top / "far" / "x.mp4", top / "far" / "deep" / "y.mp4")
    (top / "a").mkdir()
    (top / "a" / "link").symlink_to(top / "far" / "deep")
    assert paths(read_clips(listed(top / "a", "link/../x.mp4 0"))) == [top / "far" / "x.mp4"]


def test_a_linked_file_keeps_its_name(top: Path) -> None:
    touch(top / "store" / "0001")
    (top / "a").mkdir()
    (top / "a" / "x.mp4").symlink_to(top / "store" / "0001")
    assert paths(read_clips(listed(top / "a", "x.mp4 0"))) == [top / "a" / "x.mp4"]


def test_no_file_at_all(here: Path, top: Path) -> None:
    (top / "a" / "v" / "folder.mp4").mkdir(parents=True)
    source = listed(top / "a", "v/x.mp4 0", "v/folder.mp4 1", f"{top}/gone.mp4 2")
    with pytest.raises(InputError, match=r"none of its files exists; the first is v/x\.mp4") as caught:
        read_clips(source)
    assert str(top / "a") in caught.value.message
    assert str(here) in caught.value.message
    with pytest.raises(InputError, match="none of its files exists") as caught:
        read_clips(source, root=top)
    assert str(here) not in caught.value.message
    with pytest.raises(InputError, match="none of its files exists"):
        read_clips(listed(top / "a", f"{top}/gone.mp4 2"))


def test_a_root_that_is_no_folder(top: Path) -> None:
    touch(top / "a" / "x.mp4")
    for root in (top / "nowhere", top / "a" / "x.mp4"):
        with pytest.raises(InputError, match="no such folder"):
            read_clips(listed(top / "a", "x.mp4 0"), root=root)


def test_repeated_videos_are_refused_with_both_lines(top: Path) -> None:
    touch(top / "a" / "x.mp4")
    lines = ["x.mp4 0", "y.mp4 1", "x.mp4 0", "y.mp4 2", "./v/../x.mp4 0", f"{top}/a/x.mp4 3"]
    source = listed(top / "a", *lines)
    with pytest.raises(InputError) as caught:
        read_clips(source, limit=1)
    # "v" is not there, and a path through it is still the same place
    assert caught.value.message.splitlines() == [
        f"{source}:3: x.mp4 is listed before, at line 1",
        f"{source}:4: y.mp4 is listed before, at line 2 with label 1, here with 2",
        f"{source}:5: ./v/../x.mp4 is listed before, at line 1 as x.mp4",
        f"{source}:6: {top}/a/x.mp4 is listed before, at line 1 as x.mp4 with label 0, here with 3",
    ]


def test_limit_takes_the_first_items_and_changes_nothing_else(here: Path, top: Path) -> None:
    touch(here / "z.mp4")
    source = listed(top / "a", "x.mp4 0", "y.mp4 1", "z.mp4 2")
    whole, part = read_clips(source), read_clips(source, limit=2)
    assert part.items == whole.items[:2]
    assert (part.root, part.root_rule, part.sha256) == (whole.root, whole.root_rule, whole.sha256)
    assert read_clips(source, limit=99) == whole
    for limit in (0, -1):
        with pytest.raises(UsageError, match="--limit"):
            read_clips(source, limit=limit)


def test_malformed_lists_are_refused(top: Path) -> None:
    with pytest.raises(InputError, match=r"list\.csv:1: "):
        read_clips(listed(top / "a", "x.mp4 one"))
    with pytest.raises(InputError, match="no such file"):
        read_clips(top / "nowhere")


def test_names_that_no_disk_takes_are_only_missing(top: Path) -> None:
    touch(top / "a" / "x.mp4")
    long = "n" * 5000
    clips = read_clips(listed(top / "a", f"{long} 0", f"{long}/b 1", "x.mp4 2", "v/ 3", ".. 4"))
    assert [path.name for path in paths(clips)] == [long, "b", "x.mp4", "v", top.name]


def test_few_questions_to_the_disk_on_a_long_list(here: Path, top: Path) -> None:
    """With the first file present the disk is asked per folder, not per file."""
    touch(top / "a" / "c0" / "v0.mp4")
    source = listed(top / "a", *(f"c{i % 10}/v{i}.mp4 {i % 10}" for i in range(20_000)))
    asked = 0
    real = os.stat

    def counting(*args: object, **options: object) -> os.stat_result:
        nonlocal asked
        asked += 1
        return real(*args, **options)  # type: ignore[arg-type]

    os.stat = counting  # type: ignore[assignment]
    try:
        clips = read_clips(source)
    finally:
        os.stat = real
    assert len(clips.items) == 20_000
    assert 0 < asked < 100
