"""The lists for PySlowFast: their bytes, their order, and that nothing is written by halves."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from vidbench.data.listing import BuildCsvRequest, build_csv
from vidbench.errors import InputError, UsageError

# Written by pandas 3.1.1 and numpy 2.4.6: read_csv(sep=" ", header=None), sample(frac=1, random_state=seed),
# "." put before the paths, to_csv(header=False, index=False, sep=" "); for the second list
# replace("/val/", "/val_256/", regex=True) on the paths.
LIST = """\
./kinetics-400-dataset-files/val/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
./kinetics-400-dataset-files/val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
./kinetics-400-dataset-files/val/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
./kinetics-400-dataset-files/val/val/val/--07WQ2iBlw_000001_000011.mp4 166
./kinetics-400-dataset-files/val/zumba/ünï_000001_000011.mp4 399
"""
GOLDEN_RAW = {
    0: """\
../kinetics-400-dataset-files/val/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
../kinetics-400-dataset-files/val/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
../kinetics-400-dataset-files/val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
../kinetics-400-dataset-files/val/val/val/--07WQ2iBlw_000001_000011.mp4 166
../kinetics-400-dataset-files/val/zumba/ünï_000001_000011.mp4 399
""",
    1: """\
../kinetics-400-dataset-files/val/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
../kinetics-400-dataset-files/val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
../kinetics-400-dataset-files/val/zumba/ünï_000001_000011.mp4 399
../kinetics-400-dataset-files/val/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
../kinetics-400-dataset-files/val/val/val/--07WQ2iBlw_000001_000011.mp4 166
""",
    42: """\
../kinetics-400-dataset-files/val/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
../kinetics-400-dataset-files/val/zumba/ünï_000001_000011.mp4 399
../kinetics-400-dataset-files/val/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
../kinetics-400-dataset-files/val/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
../kinetics-400-dataset-files/val/val/val/--07WQ2iBlw_000001_000011.mp4 166
""",
}
GOLDEN_256 = {
    0: """\
../kinetics-400-dataset-files/val_256/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
../kinetics-400-dataset-files/val_256/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
../kinetics-400-dataset-files/val_256/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
../kinetics-400-dataset-files/val_256/val/val_256/--07WQ2iBlw_000001_000011.mp4 166
../kinetics-400-dataset-files/val_256/zumba/ünï_000001_000011.mp4 399
""",
    1: """\
../kinetics-400-dataset-files/val_256/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
../kinetics-400-dataset-files/val_256/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
../kinetics-400-dataset-files/val_256/zumba/ünï_000001_000011.mp4 399
../kinetics-400-dataset-files/val_256/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
../kinetics-400-dataset-files/val_256/val/val_256/--07WQ2iBlw_000001_000011.mp4 166
""",
    42: """\
../kinetics-400-dataset-files/val_256/hurling_(sport)/034KeIezQZ8_000001_000011.mp4 161
../kinetics-400-dataset-files/val_256/zumba/ünï_000001_000011.mp4 399
../kinetics-400-dataset-files/val_256/abseiling/0wR5jVB-WPk_000417_000427.mp4 0
../kinetics-400-dataset-files/val_256/playing_cards/02K4QYwUR6k_000112_000122.mp4 222
../kinetics-400-dataset-files/val_256/val/val_256/--07WQ2iBlw_000001_000011.mp4 166
""",
}
# pandas.DataFrame({"a": range(n)}).sample(frac=1, random_state=seed)["a"], same versions
GOLDEN_ORDERS = {
    (0, 10): [2, 8, 4, 9, 1, 6, 7, 3, 0, 5],
    (1, 10): [2, 9, 6, 4, 0, 3, 1, 7, 8, 5],
    (42, 10): [8, 1, 5, 0, 7, 2, 9, 4, 3, 6],
    (0, 2): [1, 0],
    (1, 2): [0, 1],
    (42, 1): [0],
}
# the same, n = 2000, as the sha256 of the indices joined by commas
GOLDEN_2000 = {
    0: "8e896d18d25110b5e6879853a940c2c5b46b0cbf6dd6833877826f61c9db5fae",
    1: "eedc57112e0f970e301f93351337c5da197b17faf4c3f698531840777a6ee74c",
    42: "d2f60437da49b64ffe723e65d29d4718103a64bc08e1227e4f13e770a5752af5",
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def built(folder: Path, text: str, **options: object) -> tuple[str, str]:
    build_csv(BuildCsvRequest(list=write(folder / "vallist.txt", text), **options))
    return (folder / "test_raw.csv").read_bytes().decode(), (folder / "test_256.csv").read_bytes().decode()


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_bytes_are_those_of_the_pandas_script(seed: int, tmp_path: Path) -> None:
    assert built(tmp_path, LIST, seed=seed) == (GOLDEN_RAW[seed], GOLDEN_256[seed])


@pytest.mark.parametrize(("seed", "count"), GOLDEN_ORDERS)
def test_the_order_is_that_of_pandas_sample(seed: int, count: int, tmp_path: Path) -> None:
    raw, _ = built(tmp_path, "".join(f"./val/{i} {i}\n" for i in range(count)), seed=seed)
    assert [int(line.split(" ")[1]) for line in raw.splitlines()] == GOLDEN_ORDERS[seed, count]


@pytest.mark.parametrize("seed", GOLDEN_2000)
def test_the_order_of_a_longer_list(seed: int, tmp_path: Path) -> None:
    raw, _ = built(tmp_path, "".join(f"./val/{i} {i}\n" for i in range(2000)), seed=seed)
    labels = ",".join(line.split(" ")[1] for line in raw.splitlines())
    assert hashlib.sha256(labels.encode()).hexdigest() == GOLDEN_2000[seed]


def test_the_result_says_what_was_written(tmp_path: Path) -> None:
    source = write(tmp_path / "vallist.txt", LIST)
    result = build_csv(BuildCsvRequest(list=source, seed=7))
    assert (result.source, result.lines, result.classes, result.seed) == (source, 5, 5, 7)
    assert (result.raw, result.resized, result.named) == (tmp_path / "test_raw.csv", tmp_path / "test_256.csv", None)
    assert result.warnings == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test_256.csv", "test_raw.csv", "vallist.txt"]
    assert source.read_bytes() == LIST.encode()


def test_without_shuffle_the_order_stays(tmp_path: Path) -> None:
    raw, _ = built(tmp_path, LIST, shuffle=False)
    assert raw == LIST.replace("./", "../")
    assert build_csv(BuildCsvRequest(list=tmp_path / "vallist.txt", shuffle=False)).seed is None


def test_the_same_request_gives_the_same_bytes_and_says_nothing(tmp_path: Path) -> None:
    first = built(tmp_path, LIST, seed=3)
    assert built(tmp_path, LIST, seed=3) == first
    assert build_csv(BuildCsvRequest(list=tmp_path / "vallist.txt", seed=3)).warnings == ()


def test_line_ends_blank_lines_and_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    other = "\ufeff\r\n" + LIST.replace("\n", "\r\n\r\n")
    assert built(tmp_path / "a", LIST) == built(tmp_path / "b", other)


def test_the_prefix_goes_before_dot_slash_only(tmp_path: Path) -> None:
    text = "./val/a 0\n/data/val/b 1\nval/c 2\n../val/d 3\n.hidden/val/e 4\n"
    raw, resized = built(tmp_path, text, shuffle=False)
    assert raw == "../val/a 0\n/data/val/b 1\nval/c 2\n../val/d 3\n.hidden/val/e 4\n"
    assert resized == "../val_256/a 0\n/data/val_256/b 1\nval/c 2\n../val_256/d 3\n.hidden/val_256/e 4\n"
    assert built(tmp_path, text, shuffle=False, prefix="")[0] == text
    assert built(tmp_path, text, shuffle=False, prefix="/mnt/")[0].startswith("/mnt/./val/a 0\n/data/val/b 1\n")


def test_other_parts_are_taken_literally(tmp_path: Path) -> None:
    _, resized = built(tmp_path, "./a.b/x 0\n./aXb/y 1\n", shuffle=False, source_part="a.b", target_part=r"\1")
    assert resized == "../\\1/x 0\n../aXb/y 1\n"


def test_out_dir_and_name(tmp_path: Path) -> None:
    source, out = write(tmp_path / "lists" / "vallist.txt", LIST), tmp_path / "new" / "folder"
    result = build_csv(BuildCsvRequest(list=source, out_dir=out, name="test.csv"))
    assert result.named == out / "test.csv"
    assert {path.name: path.read_bytes().decode() for path in out.iterdir()} == {
        "test_raw.csv": GOLDEN_RAW[0],
        "test_256.csv": GOLDEN_256[0],
        "test.csv": GOLDEN_256[0],
    }
    assert [path.name for path in source.parent.iterdir()] == ["vallist.txt"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b.csv", "/test.csv", "a\n.csv", "test_raw.csv", "test_256.csv"])
def test_names_that_are_refused(name: str, tmp_path: Path) -> None:
    source = write(tmp_path / "vallist.txt", LIST)
    with pytest.raises(UsageError, match="--name"):
        build_csv(BuildCsvRequest(list=source, name=name))
    assert list(tmp_path.iterdir()) == [source]


def test_warnings(tmp_path: Path) -> None:
    def warnings(text: str, **options: object) -> tuple[str, ...]:
        for stale in tmp_path.glob("*.csv"):
            stale.unlink()
        return build_csv(BuildCsvRequest(list=write(tmp_path / "l.txt", text), **options)).warnings

    (nothing_to_replace,) = warnings("val/a 0\n/x/val_256/b 1\n")
    assert nothing_to_replace.startswith("no path contains /val/")
    (some,) = warnings("./val/a 0\n./val/c 0\n./train/b 1\n./train/d 1\n")
    assert some.startswith("2 of 4 paths do not contain /val/")
    assert some.endswith("l.txt:3")
    (repeated,) = warnings("./val/a 0\n./val/b 0\n./val/a 0\n./val/a 1\n")
    assert repeated.startswith("2 lines list a path again, the first is ")
    assert "l.txt:3:" in repeated
    (name,) = warnings("./val/a 0\n", name="eval.csv")
    assert name == "PySlowFast reads train.csv, val.csv, test.csv only, not eval.csv"


def test_lists_that_are_replaced_are_named(tmp_path: Path) -> None:
    built(tmp_path, LIST)
    write(tmp_path / "test_256.csv", "edited by hand 1\n")
    (warning,) = build_csv(BuildCsvRequest(list=tmp_path / "vallist.txt")).warnings
    assert warning == f"replaced, and held other lines before: {tmp_path / 'test_256.csv'}"
    assert (tmp_path / "test_256.csv").read_bytes().decode() == GOLDEN_256[0]


@pytest.mark.parametrize(
    "options",
    [{"prefix": "a b"}, {"prefix": "\n"}, {"source_part": ""}, {"source_part": '"'}, {"target_part": "/val 256/"}],
)
def test_options_that_spoil_paths_are_refused(options: dict[str, str], tmp_path: Path) -> None:
    source = write(tmp_path / "l.txt", LIST)
    with pytest.raises(UsageError):
        build_csv(BuildCsvRequest(list=source, **options))
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 2**32}, {"sed": 1}])
def test_requests_that_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        BuildCsvRequest(list=Path("l"), **options)


def test_a_malformed_line_writes_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "l.txt", LIST + "./val/playing cards/x.mp4 3\n")
    write(tmp_path / "test_raw.csv", "old 1\n")
    with pytest.raises(InputError, match=r"l\.txt:6: "):
        build_csv(BuildCsvRequest(list=source, out_dir=tmp_path / "out"))
    with pytest.raises(InputError, match=r"l\.txt:6: "):
        build_csv(BuildCsvRequest(list=source))
    assert {path.name for path in tmp_path.iterdir()} == {"l.txt", "test_raw.csv"}
    assert (tmp_path / "test_raw.csv").read_text() == "old 1\n"


def test_a_path_that_vanishes_writes_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "l.txt", "/val/ 0\n/val/a 1\n")
    with pytest.raises(InputError, match="cannot write"):
        build_csv(BuildCsvRequest(list=source, target_part=""))
    assert list(tmp_path.iterdir()) == [source]


def test_the_list_itself_is_never_overwritten(tmp_path: Path) -> None:
    for name, options in (("test_raw.csv", {}), ("test_256.csv", {}), ("test.csv", {"name": "test.csv"})):
        folder = tmp_path / name
        source = write(folder / name, LIST)
        with pytest.raises(InputError, match="would be overwritten"):
            build_csv(BuildCsvRequest(list=source, **options))
        (folder / "link.txt").symlink_to(name)
        with pytest.raises(InputError, match="would be overwritten"):
            build_csv(BuildCsvRequest(list=folder / "link.txt", **options))
        with pytest.raises(InputError, match="would be overwritten"):
            build_csv(BuildCsvRequest(list=source, out_dir=folder / ".." / name, **options))
        assert source.read_bytes() == LIST.encode()
        assert {path.name for path in folder.iterdir()} == {name, "link.txt"}


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    source = write(tmp_path / "l.txt", LIST)
    with pytest.raises(InputError, match="not a folder"):
        build_csv(BuildCsvRequest(list=source, out_dir=source))
    with pytest.raises(InputError, match="not a folder"):
        build_csv(BuildCsvRequest(list=source, out_dir=source / "below"))
    (tmp_path / "test_256.csv").mkdir()
    with pytest.raises(InputError, match="a folder has the name"):
        build_csv(BuildCsvRequest(list=source))
    assert {path.name for path in tmp_path.iterdir()} == {"l.txt", "test_256.csv"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_forbidden_folder(tmp_path: Path) -> None:
    source = write(tmp_path / "l.txt", LIST)
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot write"):
        build_csv(BuildCsvRequest(list=source, out_dir=tmp_path / "out"))


def test_a_disk_that_fills_up_leaves_the_old_lists(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the first list fits, the longer second does not."""
    folder = tmp_path / "lists"
    built(folder, LIST)
    old = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".csv"}
    draw = random.Random(0)
    write(folder / "vallist.txt", "".join(f"./val/{draw.random()} {i}\n" for i in range(2000)))
    raw_size = len((folder / "vallist.txt").read_bytes()) + 2000
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from vidbench.data.listing import BuildCsvRequest, build_csv\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({raw_size}, {raw_size}))\n"
        "build_csv(BuildCsvRequest(list=Path(sys.argv[1])))\n"
    )
    command = [sys.executable, "-B", "-c", program, str(folder / "vallist.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".csv"} == old
    assert {path.name for path in folder.iterdir()} == {"vallist.txt", "test_raw.csv", "test_256.csv"}
    # and without the limit the same command succeeds
    assert build_csv(BuildCsvRequest(list=folder / "vallist.txt")).lines == 2000
    assert (folder / "test_raw.csv").stat().st_size == raw_size


def test_warnings_reach_the_reporter(tmp_path: Path) -> None:
    class Listener:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def task(self, title: str, total: float | None, unit: str) -> None:
            raise AssertionError("nothing here is counted")

        def info(self, message: str) -> None:
            raise AssertionError(message)

        def warn(self, message: str) -> None:
            self.heard.append(message)

    listener = Listener()
    result = build_csv(BuildCsvRequest(list=write(tmp_path / "l.txt", "a 0\n")), listener)  # type: ignore[arg-type]
    assert tuple(listener.heard) == result.warnings
    assert len(result.warnings) == 1
