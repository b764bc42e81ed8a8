"""What a run keeps of the recipe that it was trained by."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class RecipeRecord(BaseModel):
    """A recipe, applied.

    Attributes:
        name: Of a published recipe, or the file.
        sha256: Of its file.
        faithful: Whether it was followed where it contradicts itself.
        overridden: Settings that the user gave otherwise: the recipe's value and the user's, None where the recipe's
            has no place any more.
        test: How its authors test, as `model eval` takes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    faithful: bool = False
    overridden: dict[str, tuple[Any, Any]] = {}
    test: dict[str, str] = {}
