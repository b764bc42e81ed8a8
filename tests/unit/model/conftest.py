"""Records of runs made up for the tests of the verdict: labels, predictions and scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from vidbench.model.card import Published
from vidbench.model.verdict import Outcome, Verdict, judge

PUBLISHED = Published(("https://x/a.pyth",), "a.pyth", 76.0, 92.0, "10x3", "zoo", "Apache-2.0")


class RecordMaker:
    """Makes up records, and reads verdicts on them."""

    def sound(
        self, seed: int, videos: int, k: int = 400, accuracy: float = 0.76, labels: Sequence[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels and predictions of a network that confuses neighbours, and some classes more often than not."""
        draw = np.random.default_rng(seed)
        truth = draw.integers(0, k, videos) if labels is None else np.asarray(labels)
        own = np.random.default_rng(7).beta(4 * accuracy, 4 * (1 - accuracy), k)
        right = draw.random(len(truth)) < own[truth]
        near = np.clip(truth + draw.choice([-2, -1, 1, 2], len(truth)), 0, k - 1)
        wrong = np.where(draw.random(len(truth)) < 0.6, near, draw.integers(0, k, len(truth)))
        return truth, np.where(right, truth, wrong)

    def rows(self, guesses: np.ndarray, k: int, confidence: float = 0.7) -> Iterator[list[float]]:
        for guess in guesses:
            row = [(1 - confidence) / (k - 1)] * k
            row[guess] = confidence
            yield row

    def outcome(self, labels: Any, guesses: Any, k: int = 400, **more: Any) -> Outcome:
        n = len(labels)
        known = {"listed": n, "clips": n, "evaluated": n, "failed": 0, "num_classes": k} | more
        return Outcome(labels=[int(label) for label in labels], predictions=[int(guess) for guess in guesses], **known)

    def verdict_of(
        self, labels: Any, guesses: Any, k: int = 400, published: Published | None = PUBLISHED, **more: Any
    ) -> Verdict:
        asked = {name: more.pop(name) for name in ("card", "weights", "preprocess", "data", "protocol") if name in more}
        asked.setdefault("protocol", "pyslowfast 10x3")
        # scores of very many videos take their time to make up
        given = {"scores": self.rows(np.asarray(guesses), k) if len(guesses) <= 1000 else ()} | more
        return judge(self.outcome(labels, guesses, k, **given), published, **asked)

    def ids(self, verdict: Verdict) -> set[str]:
        return {cause.id for cause in verdict.causes}

    def cause(self, verdict: Verdict, name: str) -> Any:
        return next(one for one in verdict.causes if one.id == name)

    def kind_of(self, verdict: Verdict) -> str:
        return self.cause(verdict, "labels-out-of-order").numbers["kind"]


@pytest.fixture(scope="session")
def records() -> RecordMaker:
    """Made-up records and the verdicts on them."""
    return RecordMaker()
