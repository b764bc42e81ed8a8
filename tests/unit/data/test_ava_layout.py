"""What an export says of its names is read exactly, or refused by its line."""

from pathlib import Path

import pytest

from vidbench.data.ava_layout import Piece, read_pieces
from vidbench.errors import InputError

HEAD = "id,source,video,from_s,to_s\n"


def ids(folder: Path, rows: str) -> Path:
    path = folder / "ids.csv"
    path.write_text(HEAD + rows)
    return path


def test_pieces_of_an_export(tmp_path) -> None:
    assert read_pieces(ids(tmp_path, "a.1,films/a.mp4,a,890,1800.500\n")) == {
        "a.1": Piece("films/a.mp4", "a", 890, 27315)
    }


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("a,b,c,0,1\na,b,c,1,2\n", "csv:3: not a row of an export: a stands twice"),
        ("a,b,c,0,inf\n", "csv:2: not a row"),
        ("a,b,c,0,nan\n", "csv:2: not a row"),
        ("a,b,c,2,1\n", "no picture"),
        ("a,,c,0,1\n", "names no video"),
        ("a\n", "csv:2: not a row"),
        (f"{'a' * 200_000},b,c,0,1\n", "field larger"),
    ],
    ids=["twice", "endless", "no-number", "backwards", "no-source", "short", "long"],
)
def test_rows_that_are_none_are_refused(tmp_path, rows: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_pieces(ids(tmp_path, rows))


def test_columns_that_are_not_there_are_named(tmp_path) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("id,from_s,to_s\na,0,1\n")
    with pytest.raises(InputError, match="'source'"):
        read_pieces(path)
