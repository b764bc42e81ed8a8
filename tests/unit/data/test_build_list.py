"""Class folders to lists: ids from the table, names that are renamed or not, splits by source."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vidbench.data.build_list import BuildListRequest, BuildListResult, build_list
from vidbench.data.dataset import read_clips
from vidbench.errors import InputError

K400 = {"skiing (not slalom or crosscountry)": 308, "skiing crosscountry": 309}


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def built(folder: Path | str, **options: object) -> BuildListResult:
    return build_list(BuildListRequest(folder=Path(folder), **options))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name.replace(" ", "_"),
        lambda name: name.replace(" ", "_").replace("(", "").replace(")", ""),
        lambda name: name,
    ],
    ids=["underscores", "torchvision", "raw"],
)
def test_ids_of_308_and_309_from_every_spelling(spell: object, home: Path) -> None:
    assert callable(spell)
    fill(home / "val", *(f"{spell(name)}/x.mp4" for name in K400))
    result = built("val", rename=True)
    lines = (home / "vallist.txt").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["308", "309"]
    assert "crosscountry" in lines[1]
    assert "slalom" in lines[0]
    assert result.classes == 2


def test_bytes_order_and_place(home: Path) -> None:
    fill(home / "data/val", "zumba/b.mp4", "zumba/a.MKV", "abseiling/-x.webm", "hurling_(sport)/ü.mp4")
    result = built("data/val")
    assert result.lists == {"val": Path("data/vallist.txt")}
    assert (home / "data/vallist.txt").read_bytes().decode() == (
        "./data/val/abseiling/-x.webm 0\n"
        "./data/val/hurling_(sport)/ü.mp4 161\n"
        "./data/val/zumba/a.MKV 399\n"
        "./data/val/zumba/b.mp4 399\n"
    )
    assert [item.path.is_file() for item in read_clips(Path("data/vallist.txt")).items] == [True] * 4
    built(home / "data/val", out=home / "abs.txt")
    assert (home / "abs.txt").read_text().splitlines()[0] == f"{home}/data/val/abseiling/-x.webm 0"


def test_from_within_and_from_beside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home / "val", "zumba/b.mp4")
    monkeypatch.chdir(home / "val")
    assert built(".").lists == {"val": Path("../vallist.txt")}
    assert (home / "vallist.txt").read_text() == "./zumba/b.mp4 399\n"
    monkeypatch.chdir(fill(home / "other", "x"))
    built("../val")
    assert (home / "vallist.txt").read_text() == "./../val/zumba/b.mp4 399\n"
    assert len(read_clips(home / "vallist.txt").items) == 1


def test_what_is_no_video_is_counted_and_told(home: Path) -> None:
    fill(home / "val", "zumba/a.mp4", "zumba/.DS_Store", "zumba/._a.mp4", "zumba/a.txt", "zumba/b.mp4.part",
         "zumba/c.mp4.vbpart", "zumba/deep/d.mp4", "loose.mp4", ".hidden/e.mp4")  # fmt: skip
    (home / "val/abseiling").mkdir()
    (home / "val/zumba/gone.mp4").symlink_to("nowhere")
    (home / "val/zumba/empty.mp4").touch()
    result = built("val")
    assert result.videos == {"val": 2}
    assert result.skipped == {
        "hidden": 3, "half written": 2, "not videos": 1, "folders in class folders": 1, "broken links": 1,
    }  # fmt: skip
    assert result.empty_folders == ("abseiling",)
    assert result.empty_files == 1
    assert len(result.warnings) == 3


def test_unknown_folders_are_named_with_the_nearest_and_the_table_that_fits(home: Path) -> None:
    fill(home / "val", "abseilin/a.mp4", "zumba/a.mp4", "quite_another/a.mp4")
    with pytest.raises(InputError) as caught:
        built("val")
    assert (
        caught.value.message.splitlines()[0]
        == "val/abseilin: no class of kinetics400; the nearest is abseiling or sailing"
    )
    assert "val/quite_another" in caught.value.message
    fill(home / "k6", "acting_in_play/a.mp4", "zumba/a.mp4")
    with pytest.raises(InputError) as caught:
        built("k6")
    assert caught.value.remedy == "All folders are classes of kinetics600: --labels kinetics600"
    assert built("k6", labels="kinetics600").videos == {"k6": 2}
    assert not (home / "vallist.txt").exists()


def test_an_unknown_folder_that_no_terminal_can_show(home: Path) -> None:
    (home / "val" / os.fsdecode(b"latin\xe9\n")).mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        built("val")
    assert caught.value.message.startswith("'val/latin\\udce9\\n': no class of kinetics400")


def test_own_classes(home: Path) -> None:
    fill(home / "mine", "wave/a.mp4", "bow/b.mp4")
    (home / "classes.txt").write_text("wave\nnod\nbow\n")
    built("mine", labels="classes.txt")
    assert (home / "minelist.txt").read_text() == "./mine/wave/a.mp4 0\n./mine/bow/b.mp4 2\n"


def test_without_rename_nothing_is_renamed(home: Path) -> None:
    fill(home / "val", "playing cards/a b.mp4", "zumba/c d.mp4")
    before = tree(home)
    with pytest.raises(InputError) as caught:
        built("val")
    assert "3 folders and videos have a blank" in caught.value.message
    assert "'val/playing cards/a b.mp4'" in caught.value.message
    assert caught.value.remedy.endswith("vidbench data list val --rename")
    assert tree(home) == before


def test_rename_as_the_workflow_does_and_again(home: Path) -> None:
    fill(home / "val", "playing cards/a  b.mp4", "hurling (sport)/c.mp4", "zumba/keep me.txt")
    dry = built("val", rename=True, dry_run=True)
    assert (home / "val/playing cards/a  b.mp4").exists()
    assert not (home / "vallist.txt").exists()
    result = built("val", rename=True)
    assert result.renamed == dry.renamed
    assert set(tree(home / "val")) == {"playing_cards/a__b.mp4", "hurling_(sport)/c.mp4", "zumba/keep me.txt"}
    assert tree(home / "val")["playing_cards/a__b.mp4"] == b"playing cards/a  b.mp4"
    text = (home / "vallist.txt").read_bytes()
    assert text == b"./val/hurling_(sport)/c.mp4 161\n./val/playing_cards/a__b.mp4 222\n"
    again = built("val", rename=True)
    assert again.renamed == ()
    assert (home / "vallist.txt").read_bytes() == text
    assert built("val").videos == result.videos


def test_killed_between_any_two_renames_the_same_command_completes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["playing cards/a b.mp4", "playing cards/c d.mp4", "air drumming/e f.mp4"]
    texts = set()
    real = Path.rename
    for kill_at in range(6):
        folder = fill(home / f"at{kill_at}/val", *names)
        monkeypatch.chdir(folder.parent)
        done = 0

        def rename(self: Path, target: Path, kill_at: int = kill_at) -> Path:
            nonlocal done
            if done == kill_at:
                raise KeyboardInterrupt
            done += 1
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", rename)
            if kill_at < 5:
                with pytest.raises(KeyboardInterrupt):
                    built("val", rename=True)
                assert not Path("vallist.txt").exists()
            else:
                built("val", rename=True)
        built("val", rename=True)
        assert sorted(tree(folder).values()) == sorted(name.encode() for name in names)
        texts.add(Path("vallist.txt").read_bytes())
    assert len(texts) == 1


def test_nothing_is_renamed_where_one_name_is_taken(home: Path) -> None:
    fill(
        home / "val",
        "playing cards/a.mp4",
        "playing_cards/a.mp4",
        "zumba/c d.mp4",
        "zumba/x y_z.mp4",
        "zumba/x_y z.mp4",
    )
    before = tree(home)
    with pytest.raises(InputError) as caught:
        built("val", rename=True)
    assert caught.value.message.splitlines() == [
        "nothing was renamed:",
        "val/playing cards: playing_cards is there already",
        "val/zumba/x_y z.mp4: would be called zumba/x_y_z.mp4, as zumba/x y_z.mp4",
    ]
    assert tree(home) == before


def test_what_a_rename_cannot_mend(home: Path) -> None:
    fill(home / "val", 'zumba/a"b.mp4', "zumba/new\nline.mp4", "zumba/c d.mp4")
    (home / "val/zumba" / os.fsdecode(b"latin\xe9.mp4")).touch()
    before = tree(home)
    with pytest.raises(InputError) as caught:
        built("val", rename=True)
    assert "3 folders and videos cannot stand in a list" in caught.value.message
    assert all(line.isprintable() for line in caught.value.message.splitlines())
    assert tree(home) == before


def test_nothing_is_renamed_outside_of_the_folder(home: Path) -> None:
    fill(home / "store", "a b.mp4", "c.mp4")
    (home / "val").mkdir()
    (home / "val/playing cards").symlink_to(home / "store")
    with pytest.raises(InputError, match="lies in a linked folder"):
        built("val", rename=True)
    (home / "store/a b.mp4").unlink()
    built("val", rename=True)
    assert (home / "val/playing_cards").is_symlink()
    assert (home / "vallist.txt").read_text() == "./val/playing_cards/c.mp4 222\n"
    assert [path.name for path in (home / "store").iterdir()] == ["c.mp4"]


def test_a_blank_above_the_folder_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home / "my data/val", "zumba/a.mp4")
    with pytest.raises(InputError, match="has a blank in it"):
        built("my data/val", rename=True)
    monkeypatch.chdir(home / "my data")
    assert built("val").videos == {"val": 1}


def test_split_keeps_the_clips_of_a_source_together(home: Path) -> None:
    names = [f"zumba/vid{i:08d}_{j:06d}_{j + 10:06d}.mp4" for i in range(40) for j in (0, 10, 20)]
    names += [f"abseiling/vid{i:08d}_{j:06d}_{j + 10:06d}.mp4" for i in range(40) for j in (30,)]
    fill(home / "videos", *names)
    result = built("videos", split="val=0.2,test=0.2", seed=1)
    assert result.lists == {side: Path(f"{side}list.txt") for side in ("test", "val", "train")}
    assert result.sources == 40
    assert result.told_by == {"kinetics name": 160}
    sides = {side: [item.path.name for item in read_clips(path).items] for side, path in result.lists.items()}
    assert sum(map(len, sides.values())) == 160
    ids = {side: {name[:11] for name in held} for side, held in sides.items()}
    assert sum(map(len, ids.values())) == 40
    assert {side: len(held) for side, held in sides.items()} == result.videos

    fill(home / "videos", *(f"zumba/new{i:08d}_000000_000010.mp4" for i in range(30)))
    built("videos", split="val=0.2,test=0.2", seed=1)
    for side, path in result.lists.items():
        assert set(sides[side]) <= {item.path.name for item in read_clips(path).items}


def test_split_by_pattern(home: Path) -> None:
    fill(home / "ucf", *(f"Archery/v_Archery_g{g:02d}_c{c:02d}.avi" for g in range(20) for c in range(3)))
    result = built("ucf", labels="ucf101", split="test=0.3", source_pattern=r"_(g\d+)_", out=Path("lists"))
    assert (result.sources, result.told_by) == (20, {"pattern": 60})
    groups = {side: {item.path.name[10:13] for item in read_clips(path).items} for side, path in result.lists.items()}
    assert not groups["test"] & groups["train"]
    assert {str(path) for path in result.lists.values()} == {"lists/testlist.txt", "lists/trainlist.txt"}


def test_a_side_without_videos_is_refused_before_anything_happens(home: Path) -> None:
    fill(home / "val", "playing cards/a.mp4")
    with pytest.raises(InputError, match="no video falls to"):
        built("val", rename=True, split="val=0.5")
    assert (home / "val/playing cards").exists()


@pytest.mark.parametrize(
    ("folder", "told"),
    [("none", "no such folder"), ("file", "not a folder"), ("flat", "1 videos lie in it"), ("empty", "no video")],
)  # fmt: skip
def test_folders_that_are_none(folder: str, told: str, home: Path) -> None:
    fill(home, "file", "flat/a.mp4", "empty/zumba/a.txt")
    with pytest.raises(InputError, match=told):
        built(folder)


def test_out_that_is_a_folder_is_refused_before_anything_is_renamed(home: Path) -> None:
    fill(home / "val", "playing cards/a.mp4")
    (home / "lists").mkdir()
    with pytest.raises(InputError, match="a folder has the name of a list"):
        built("val", rename=True, out=Path("lists"))
    assert (home / "val/playing cards").exists()


def test_replaced_lists_are_told(home: Path) -> None:
    fill(home / "val", "zumba/a.mp4")
    assert built("val").warnings == ()
    assert built("val").warnings == ()
    (home / "vallist.txt").write_text("other\n")
    assert built("val").warnings == ("replaced, and held other lines before: vallist.txt",)


def test_two_spellings_of_one_class_are_told(home: Path) -> None:
    fill(home / "val", "playing_cards/a.mp4", "Playing-Cards/b.mp4")
    assert built("val").warnings == ("2 folders are the one class playing cards: Playing-Cards, playing_cards",)
