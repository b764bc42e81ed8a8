"""The class tables: their ids, and one class whatever way its name is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidbench.errors import InputError, UnknownNameError
from vidbench.formats.labels import TABLES, LabelTable, load_labels, parse_labels, spelling, table, tables_holding


def underscored(name: str) -> str:
    """As video-nonlocal-net's gen_py_list.py renames folders."""
    return "_".join(name.split(" "))


def cleaned(name: str) -> str:
    """As torchvision's Kinetics data set names folders."""
    return name.replace(" ", "_").replace("'", "").replace("(", "").replace(")", "")


def quoted(name: str) -> str:
    """As the keys of video-nonlocal-net's classids.json, and of PySlowFast's class names."""
    return f'"{name}"' if " " in name else name


SPELLINGS = (str, underscored, cleaned, quoted)

# number of classes, then known ids: for kinetics400 those of video-nonlocal-net's classids.json, for ava those of
# the action list v2.2, for the others the first and the last
KNOWN = {
    "kinetics400": (400, {"abseiling": 0, "deadlifting": 88, "hurling (sport)": 161, "massaging person's head": 196,
                          "passing American football (in game)": 208, "passing American football (not in game)": 209,
                          "petting animal (not cat)": 212, "playing cards": 222, "punching person (boxing)": 259,
                          "sharpening knives": 290, "shooting goal (soccer)": 297,
                          "skiing (not slalom or crosscountry)": 308, "skiing crosscountry": 309,
                          "tying knot (not on a tie)": 369, "using remote controller (not gaming)": 374,
                          "zumba": 399}),
    "kinetics600": (600, {"abseiling": 0, "passing american football (not in game)": 309, "zumba": 599}),
    "kinetics700": (700, {"abseiling": 0, "acting in play": 1, "zumba": 699}),
    "kinetics710": (710, {"abseiling": 0, "zumba": 399}),
    "ucf101": (101, {"ApplyEyeMakeup": 0, "HandstandPushups": 36, "YoYo": 100}),
    "hmdb51": (51, {"brush_hair": 0, "wave": 50}),
    "something-something-v2": (174, {"Approaching something with your camera": 0, "Closing something": 5,
                                     "Wiping something off of something": 173}),
    "charades": (157, {"Holding some clothes": 0, "Someone is eating something": 156}),
    "ava_80": (80, {"bend/bow (at the waist)": 1, "crawl": 2, "watch (a person)": 80}),
    "ava_60": (60, {"bend/bow (at the waist)": 1, "crouch/kneel": 3, "watch (a person)": 80}),
}  # fmt: skip


def test_every_table_is_known_here() -> None:
    assert set(TABLES) == set(KNOWN)


@pytest.mark.parametrize("name", TABLES)
def test_lengths_and_known_ids(name: str) -> None:
    labels = table(name)
    count, ids = KNOWN[name]
    assert len(labels) == len(labels.names) == count
    assert {one: labels.id_of(one) for one in ids} == ids
    if not name.startswith("ava"):
        assert list(labels.classes) == list(range(count))


@pytest.mark.parametrize("name", TABLES)
def test_every_spelling_of_every_class_is_that_class_and_no_other(name: str) -> None:
    labels = table(name)
    owner: dict[str, int] = {}
    for number, one in labels:
        for spell in SPELLINGS:
            assert owner.setdefault(spell(one), number) == number
            assert labels.find(spell(one)) == number
    assert len({spelling(one) for one in labels.names}) == len(labels)


@pytest.mark.parametrize("spell", SPELLINGS)
def test_308_and_309_are_not_swapped_by_a_spelling(spell: object) -> None:
    assert callable(spell)
    labels = table("kinetics400")
    assert labels.id_of(spell("skiing (not slalom or crosscountry)")) == 308
    assert labels.id_of(spell("skiing crosscountry")) == 309


def test_sorting_the_cleaned_folders_would_swap_them() -> None:
    folders = sorted(cleaned(name) for name in table("kinetics400").names)
    assert folders.index("skiing_crosscountry") == 308  # why ids never come from folders


def test_kinetics_ids_are_the_alphabetical_order() -> None:
    for name in ("kinetics400", "kinetics600", "kinetics700"):
        assert list(table(name).names) == sorted(table(name).names)


def test_the_60_are_among_the_80() -> None:
    every = table("ava_80").classes
    assert all(every[number] == name for number, name in table("ava_60"))


def test_an_unknown_class_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"class of kinetics400 'abseilin'\nDid you mean abseiling"):
        table("kinetics400").id_of("abseilin")
    assert table("kinetics400").find("adjusting glasses") is None
    assert table("kinetics400").nearest("plying_cards")[0] == "playing cards"


def test_a_decomposed_name_is_the_composed_one() -> None:
    assert LabelTable("own", {0: "caf\u00e9"}).find("cafe\u0301") == 0


def test_which_tables_hold_all() -> None:
    assert tables_holding(["abseiling", "playing_cards"]) == ("kinetics400", "kinetics700", "kinetics710")
    assert tables_holding(["acting_in_play", "adjusting_glasses", "zumba"])[0] == "kinetics600"
    assert tables_holding(["no such class"]) == ()


def test_own_table(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffwave left\r\nwave right\r\n\r\n".encode())
    labels = load_labels(str(path))
    assert dict(labels) == {0: "wave left", 1: "wave right"}
    assert labels.id_of("Wave_Right") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\n\nb\n", "t:2: an empty line, which would shift the ids after it"),
        ("wave left\nrun\nwave_left\n", "t:3: 'wave_left' is line 1 again"),
        ("a\nA\n", "t:2: 'A' is line 1 again"),
        ("a\n()\n", "t:2: '()' has no letter or digit"),
        ("a\n b\n", "t:2: ' b' is not a class"),
        ("a\x00\n", "t:1: an unprintable character"),
        ("\n", "t: no class name in it"),
    ],
)
def test_own_tables_that_are_none(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_labels(text.split("\n"), "t")
    assert told in caught.value.message


def test_names_of_tables_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean kinetics400"):
        load_labels("kinetics40")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        load_labels("latin.txt")
    with pytest.raises(UnknownNameError):
        table("latin.txt")


def test_a_table_in_which_two_classes_look_alike_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be told apart"):
        LabelTable("t", {0: "a b", 1: "a_b"})
