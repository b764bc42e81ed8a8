"""Orders of classes that lists and weights are known to come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidbench.errors import InputError
from vidbench.formats.labels import TABLES, LabelTable, table
from vidbench.model.card import ModelCard
from vidbench.model.outcome import Ints, Outcome


@dataclass(frozen=True)
class Order:
    """A guess of which prediction each label means: -1 for none."""

    kind: str
    text: str
    remedy: str
    mapping: Ints


BY_NAMES = (
    "the list's class names stand at other numbers than the model's",
    "Write the labels by the class table of the weights; `vidbench data list` does.",
)

_SPELLINGS: dict[str, Callable[[str], str]] = {
    "with quotes round names of several words": lambda name: f'"{name}"' if " " in name else name,
    "without blanks": lambda name: name.replace(" ", ""),
    "with underscores": lambda name: name.replace(" ", "_"),
    "without quotes and brackets": lambda name: "".join(sign for sign in name if sign not in "\"'()[]"),
    "whatever the letter case": str.casefold,
    "with capitals before small letters": lambda name: name,
}


def class_names(outcome: Outcome, card: ModelCard | None) -> Sequence[str]:
    """The model's class names by id, empty where nobody knows them."""
    if len(outcome.classes) == outcome.num_classes:
        return outcome.classes
    if card is not None and card.labels in TABLES and card.num_classes == outcome.num_classes:
        known = table(card.labels)
        if list(known.classes) == list(range(outcome.num_classes)):
            return known.names
    return ()


def known_orders(k: int, names: Sequence[str], list_classes: Mapping[int, str]) -> Iterator[Order]:
    """Orders that lists and weights are known to come in, each once."""
    seen: set[bytes] = {np.arange(k).tobytes()}
    for order in _all_orders(k, names, list_classes):
        key = order.mapping.tobytes()
        if key not in seen:
            seen.add(key)
            yield order


def _all_orders(k: int, names: Sequence[str], list_classes: Mapping[int, str]) -> Iterator[Order]:
    ids = np.arange(k)
    by_table = BY_NAMES[1]
    own = table_of(names)
    if own is not None and list_classes:
        mapping = ids.copy()
        for label, name in list_classes.items():
            found = own.find(name)
            if 0 <= label < k and found is not None:
                mapping[label] = found
        yield Order("names", BY_NAMES[0], BY_NAMES[1], mapping)
    yield Order(
        "shifted",
        "the labels are one too high, as if counted from 1",
        "Subtract 1 from every label of the list.",
        ids - 1,
    )
    yield Order(
        "shifted",
        "the labels are one too low, as if the model had another class before its first",
        "Add 1 to every label of the list, or take the first class off the network's output.",
        np.where(ids + 1 < k, ids + 1, -1),
    )
    yield Order("reversed", "the labels are in reverse order", f"Write {k - 1} - label for every label.", ids[::-1])
    if own is not None:
        for name in TABLES:
            other = table(name)
            mapping = _by_table(own, other, k)
            # a table that shares hardly a name says nothing
            if (mapping >= 0).sum() >= min(10, k):
                yield Order("table", f"the labels are the numbers of {name}", by_table, mapping)
    sorts = [("numbers sorted as text (0, 1, 10, 100, ...)", sorted(range(k), key=str))]
    if own is not None:
        sorts += [(f"class names sorted {how}", _sorted_by(names, spell)) for how, spell in _SPELLINGS.items()]
    for how, places in sorts:
        mapping = np.asarray(places, dtype=np.int64)
        yield Order("sorting", f"the labels follow {how}", by_table, mapping)
        yield Order(
            "sorting",
            f"the network's outputs follow {how}",
            "Number the labels in that order too, or take weights in the order of the class table.",
            np.argsort(mapping),
        )


def _sorted_by(names: Sequence[str], spell: Callable[[str], str]) -> list[int]:
    return sorted(range(len(names)), key=lambda index: spell(names[index]))


def table_of(names: Sequence[str]) -> LabelTable | None:
    """The names as a table that finds other spellings; None where they name no classes."""
    try:
        return LabelTable("the model", dict(enumerate(names))) if names else None
    except InputError:  # two classes of one spelling: their names order nothing
        return None


def _by_table(own: LabelTable, other: LabelTable, k: int) -> Ints:
    mapping = np.full(k, -1, dtype=np.int64)
    for label, title in other:
        found = own.find(title)
        if label < k and found is not None:
            mapping[label] = found
    return mapping
