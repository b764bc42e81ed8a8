"""Lists in another order of classes are told by what it is, and nothing else is taken for one."""

from typing import Any

import numpy as np
import pytest

from vidbench.formats.labels import table
from vidbench.model.verdict import lines
from vidbench.model.zoo import MODELS

K400 = table("kinetics400").names


def test_no_order_is_seen_in_600_sound_or_guessing_runs(records: Any) -> None:
    draw = np.random.default_rng(11)
    for seed in range(200):
        k = int(draw.choice([5, 10, 40]))
        accuracy = float(draw.choice([0.9, 0.5, 0.25]))
        labels, guesses = records.sound(seed, int(draw.choice([60, 300, 1500])), k, accuracy)
        assert "labels-out-of-order" not in records.ids(records.verdict_of(labels, guesses, k, None))
        uniform = draw.integers(0, k, 300), draw.integers(0, k, 300)
        assert "labels-out-of-order" not in records.ids(records.verdict_of(*uniform, k, None))
        # skewed lists and skewed answers, which do not depend on the video
        shares = draw.dirichlet(np.full(k, 0.3)), draw.dirichlet(np.full(k, 0.3))
        guessed = [draw.choice(k, 300, p=share) for share in shares]
        assert "labels-out-of-order" not in records.ids(records.verdict_of(*guessed, k, None))


@pytest.mark.parametrize("videos", [50, 2000])
def test_labels_that_count_from_1_are_told_from_50_videos_on(records: Any, videos: int) -> None:
    labels, guesses = records.sound(1, videos, labels=np.random.default_rng(1).integers(0, 399, videos))
    found = records.verdict_of(labels + 1, guesses, classes=K400)
    assert found.verdict in ("at chance", "below")
    told = records.cause(found, "labels-out-of-order")
    assert told.numbers["kind"] == "shifted"
    assert told.numbers["right_in_order"] == (labels == guesses).sum()
    assert told.numbers["right_as_given"] < 0.1 * videos
    assert told.remedy == "Subtract 1 from every label of the list."
    assert found.causes[0].id == "labels-out-of-order"
    assert not records.ids(found) & {"untrained", "collapsed", "input-preprocessing"}
    text = lines(found)
    assert len(text) <= 6
    assert "published 76.00 %" in text[0]
    assert "one too high" in text[2]


def test_labels_one_too_low_and_in_reverse(records: Any) -> None:
    labels, guesses = records.sound(2, 500, labels=np.random.default_rng(2).integers(1, 400, 500))
    assert "one too low" in records.cause(records.verdict_of(labels - 1, guesses), "labels-out-of-order").text
    assert records.kind_of(records.verdict_of(399 - labels, guesses)) == "reversed"


@pytest.mark.parametrize("how", ["quoted", "no blanks", "text"])
def test_another_sorting_is_told_by_its_name(records: Any, how: str) -> None:
    spell = {
        "quoted": lambda index: f'"{K400[index]}"' if " " in K400[index] else K400[index],
        "no blanks": lambda index: K400[index].replace(" ", ""),
        "text": str,
    }[how]
    said = {"quoted": "with quotes", "no blanks": "without blanks", "text": "sorted as text"}[how]
    place = np.argsort(sorted(range(400), key=spell))
    labels, guesses = records.sound(3, 3000)
    found = records.verdict_of(place[labels], guesses, classes=K400)
    told = records.cause(found, "labels-out-of-order")
    assert told.numbers["kind"] == "sorting"
    assert said in told.text
    assert told.text.startswith("the labels")
    # the same of the network's outputs, whose remedy is another one
    other = records.cause(records.verdict_of(labels, place[guesses], classes=K400), "labels-out-of-order")
    # of a few classes that change places in cycles both may explain alike; whole orders tell
    if how != "no blanks":
        assert other.text.startswith("the network's outputs")


@pytest.mark.parametrize("name", ["kinetics600", "kinetics700"])
def test_the_numbers_of_another_table_are_told(records: Any, name: str) -> None:
    other = table(name)
    there = {index: other.find(title) for index, title in enumerate(K400)}
    usable = [index for index, place in there.items() if place is not None and place < 400]
    labels, guesses = records.sound(4, 1500, labels=np.random.default_rng(4).choice(usable, 1500))
    found = records.verdict_of([there[int(label)] for label in labels], guesses, card=MODELS.get("x3d_s"))
    assert records.kind_of(found) == "table"
    assert name in records.cause(found, "labels-out-of-order").text


def test_any_other_order_is_found_and_shown_on_held_out_videos(records: Any) -> None:
    order = np.random.default_rng(5).permutation(400)
    labels, guesses = records.sound(5, 8000)
    found = records.verdict_of(order[labels], guesses, classes=K400)
    told = records.cause(found, "labels-out-of-order")
    assert told.numbers["kind"] == "another order"
    assert told.numbers["videos"] == pytest.approx(4000, abs=200)
    assert told.numbers["right_in_order"] / told.numbers["videos"] > 0.7
    correct = sum(order[guess] == label for label, guess, _, _ in told.numbers["pairs"])
    assert correct == len(told.numbers["pairs"]) == 10
    label, guess, hits, total = told.numbers["pairs"][0]
    assert f"{label} → {guess} {K400[guess]} ({hits} of {total})" in told.text


def test_two_classes_that_changed_places_are_found(records: Any) -> None:
    labels, guesses = records.sound(6, 4000, 40, accuracy=0.8)
    swapped = labels.copy()
    swapped[labels == 3], swapped[labels == 17] = 17, 3
    told = records.cause(records.verdict_of(swapped, guesses, 40, None), "labels-out-of-order")
    assert {tuple(pair[:2]) for pair in told.numbers["pairs"]} == {(3, 17), (17, 3)}


def test_the_names_of_the_list_tell_where_videos_are_few(records: Any) -> None:
    # classes numbered among themselves: 0, 1, 2 of the list are 5, 50, 200 of the model
    names = {0: K400[5].replace(" ", "_"), 1: K400[50], 2: K400[200]}
    few = records.verdict_of([0, 1, 2], [5, 50, 7], classes=K400, list_classes=names)
    assert records.cause(few, "labels-out-of-order").certainty == "possible"
    assert records.kind_of(few) == "names"
    many = records.verdict_of([0, 1, 2] * 20, [5, 50, 200] * 20, classes=K400, list_classes=names)
    assert records.cause(many, "labels-out-of-order").certainty == "likely"
    assert records.kind_of(many) == "names"
    # names that are wrong do no harm where the numbers are right
    labels, guesses = records.sound(8, 200)
    assert not records.ids(records.verdict_of(labels, guesses, classes=K400, list_classes={3: K400[4], 4: K400[3]}))
