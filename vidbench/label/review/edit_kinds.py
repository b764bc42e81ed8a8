"""The edits that the page may ask for, as validated values."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vidbench.formats.labelset import MOST_ACTIONS

Second = Annotated[int, Field(ge=0, le=999_999)]
Person = Annotated[int, Field(ge=0, le=999_999)]
Seconds = Annotated[tuple[Second, ...], Field(min_length=1, max_length=100_000)]
ActionId = Annotated[int, Field(ge=1, le=MOST_ACTIONS)]
Answer = Annotated[tuple[ActionId, ...], Field(max_length=MOST_ACTIONS)] | None
Edge = Annotated[float, Field(ge=-10, le=10)]
DrawnBox = tuple[Edge, Edge, Edge, Edge]
"""x1, y1, x2, y2 in fractions of the frame; what is dragged beyond the frame is clipped."""


class EditError(ValueError):
    """An edit that cannot be made; nothing was changed."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Toggle(_Strict):
    """Say that a person does an action at some keyframes, or that it does not."""

    kind: Literal["toggle"]
    person: Person
    seconds: Seconds
    action: ActionId
    on: bool


class NoAction(_Strict):
    """Say that a person does none of the actions, or take that back."""

    kind: Literal["none"]
    person: Person
    seconds: Seconds
    on: bool


class SetAnswer(_Strict):
    """Give keyframes of a person an answer: ids, an empty list for "no action", null for "nobody has looked"."""

    kind: Literal["set"]
    person: Person
    seconds: Seconds
    actions: Answer


class Fill(_Strict):
    """Copy the answer of a keyframe of a person to others; with `actions` it gets this answer first, in one step."""

    kind: Literal["fill"]
    person: Person
    start: Second = Field(alias="from")
    until: Literal["change", "end", "whole"]
    actions: Answer = None


class Merge(_Strict):
    """Say that two persons are one."""

    kind: Literal["merge"]
    person: Person
    into: Person


class Split(_Strict):
    """Say that a person is another one from a keyframe on."""

    kind: Literal["split"]
    person: Person
    start: Second = Field(alias="from")


class Swap(_Strict):
    """Exchange two persons from a keyframe on."""

    kind: Literal["swap"]
    a: Person
    b: Person
    start: Second = Field(alias="from")


class Delete(_Strict):
    """Take away the boxes of a person at some keyframes, or at all of them."""

    kind: Literal["delete"]
    person: Person
    seconds: Seconds | None


class MoveBox(_Strict):
    """Draw a box anew."""

    kind: Literal["box"]
    person: Person
    second: Second
    box: DrawnBox


class Add(_Strict):
    """Draw a box that was missing; a person of its own where none is named."""

    kind: Literal["add"]
    second: Second
    box: DrawnBox
    person: Person | None = None


class Check(_Strict):
    """Say that a second look confirmed the answers, or take that back."""

    kind: Literal["check"]
    person: Person
    seconds: Seconds
    on: bool


Edit = Toggle | NoAction | SetAnswer | Fill | Merge | Split | Swap | Delete | MoveBox | Add | Check


class EditRequest(_Strict):
    """What is posted to make an edit: the revision that the page shows, and the edit."""

    revision: int
    edit: Annotated[Edit, Field(discriminator="kind")]


class StepRequest(_Strict):
    """What is posted to undo or redo."""

    revision: int


_EDIT = TypeAdapter(EditRequest)
_STEP = TypeAdapter(StepRequest)


def read_edit(body: bytes) -> EditRequest:
    """An edit from the JSON that was posted.

    Raises:
        EditError: It is none; the message names the first field that is wrong.
    """
    try:
        return _EDIT.validate_json(body)
    except ValidationError as error:
        raise EditError(_complaint(error)) from None


def read_step(body: bytes) -> StepRequest:
    """A wish to undo or redo from the JSON that was posted.

    Raises:
        EditError: It is none.
    """
    try:
        return _STEP.validate_json(body)
    except ValidationError as error:
        raise EditError(_complaint(error)) from None


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
