"""What is wrong with a network or its weights, as its predictions and scores show by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from vidbench.model.metrics import wilson
from vidbench.model.outcome import Cause, Floats, Ints, Json, Outcome
from vidbench.model.tolerance import Z

_CHUNK = 256


@dataclass(frozen=True)
class Scores:
    """Sums over the score rows, gathered a few hundred rows at a time.

    Attributes:
        rows: How many.
        top5: Videos whose label is among the five best; ties count for the lower class.
        confidence: Mean of the largest score.
        largest: The largest score of all.
        entropy: Mean entropy as a share of log K, 1 where all classes score alike.
        spread: The largest difference of a class's scores between two videos.
        probabilities: Whether all rows are in [0, 1] and sum to 1.
    """

    rows: int
    top5: int
    confidence: float
    largest: float
    entropy: float
    spread: float
    probabilities: bool

    @classmethod
    def gather(cls, outcome: Outcome, labels: Ints) -> Scores | None:
        """Read the scores of an outcome once; None where there are none.

        Raises:
            ValueError: Rows that are not K finite numbers, or not one for each label.
        """
        k = outcome.num_classes
        rows = top5 = 0
        confidence = entropy = 0.0
        low, high = np.full(k, np.inf), np.full(k, -np.inf)
        probabilities = True
        source = iter(outcome.scores)
        while chunk := list(islice(source, _CHUNK)):
            scores: Floats = np.asarray(chunk, dtype=np.float64)
            if scores.shape[1:] != (k,) or not np.isfinite(scores).all():
                raise ValueError(f"scores that are not {k} finite numbers a video")
            truth = labels[rows : rows + len(scores)]
            rows += len(scores)
            probabilities &= bool(((scores >= 0) & (scores <= 1)).all() and (abs(scores.sum(1) - 1) < 1e-3).all())
            if len(truth) == len(scores):
                own = scores[np.arange(len(scores)), truth][:, None]
                ahead = (scores > own) | ((scores == own) & (np.arange(k) < truth[:, None]))
                top5 += int((ahead.sum(1) < min(5, k)).sum())
            confidence += float(scores.max(1).sum())
            logs = np.log(np.where(scores > 0, scores, 1.0))
            entropy += float(-(scores * logs).sum())
            low, high = np.minimum(low, scores.min(0)), np.maximum(high, scores.max(0))
        if not rows or not len(labels):
            return None
        if rows != len(labels):
            raise ValueError(f"{rows} rows of scores of {len(labels)} videos")
        spread, largest = float((high - low).max()), float(high.max())
        entropy /= rows * math.log(k) if k > 1 else rows
        return cls(rows, top5, confidence / rows, largest, entropy, spread, probabilities)


def score_faults(
    labels: Ints, guesses: Ints, outcome: Outcome, facts: Scores | None, at_chance: bool
) -> Iterator[Cause]:
    """Causes that predictions and scores show by themselves; `at_chance`: nothing else is known to explain that."""
    n, k = len(labels), outcome.num_classes
    counts = np.bincount(guesses, minlength=k)
    top = int(counts.argmax())
    share, kinds = counts[top] / n, _effective(guesses)
    # a sound network that is right for 30 % of a list cannot give one class to 90 % of it where no class has half
    # of the list, nor use a tenth of its classes: for 20 videos the chance is below 1e-6 already
    varied = np.bincount(labels).max() / n <= 0.5
    collapsed = n >= 20 and varied and (share > 0.9 or kinds < 0.1 * _effective(labels))
    used = f"{100 * share:.0f} % of {n} predictions are class {top}, {kinds:.1f} classes in effect"
    used += f" where the list has {_effective(labels):.1f}"
    numbers: Json = {"largest_share": float(share), "class": top, "effective_classes": kinds}
    sound = facts is not None and facts.probabilities
    if facts is not None:
        numbers |= {"confidence": facts.confidence, "entropy": facts.entropy, "spread": facts.spread}
    if facts is not None and n >= 20 and varied and facts.spread < 1e-6:
        evidence = f"no class's score differs by more than {facts.spread:.0e} between any two of {n} videos"
        remedy = "Look at the frames: `vidbench model predict` on one video with --json; then at the weights."
        text = "every video gets the same scores: the network does not see them"
        yield Cause("constant-output", "certain", text, evidence, remedy, numbers)
        return
    if at_chance and facts is not None and sound and k > 2 and facts.entropy > 0.95:
        # a trained network that guesses is sure of itself: its entropy on videos, noise and black frames alike is
        # well below this; only fresh layers and classes it was not trained on score all classes alike
        evidence = (
            f"the largest score is {facts.confidence:.4f} on average where equal scores are {1 / k:.4f}, and the "
            f"entropy is {100 * facts.entropy:.1f} % of the largest possible" + (f"; {used}" if collapsed else "")
        )
        remedy = "Check which tensors of the file were loaded: `vidbench model show`, `vidbench weights import`."
        text = "the network, or the layer that classifies, looks untrained: all classes score nearly alike"
        yield Cause("untrained", "likely", text, evidence, remedy, numbers)
    elif collapsed and facts is not None and sound and k >= 10 and facts.confidence >= max(0.2, 5 / k):
        # confident answers need trained weights; that they hardly depend on the video points at what went in
        evidence = f"{used}, with a mean confidence of {facts.confidence:.2f}"
        remedy = "Check mean, std, channel order (RGB) and range (0 to 1) against the card: `vidbench model show`."
        text = "few answers, given with confidence: input preprocessing (normalisation, channel order, range)"
        yield Cause("input-preprocessing", "likely", text, evidence, remedy, numbers)
    elif collapsed:
        remedy = "Check that the weights' last layer was loaded, and the input's mean, std and range."
        yield Cause("collapsed", "likely", "the network gives few answers whatever the video", used, remedy, numbers)
    right = int((labels == guesses).sum())
    bound = math.e / (math.e + k - 1)
    # of probabilities the softmax is at most e/(e+K-1); a network whose accuracy is surely twice that, and which is
    # as sure of itself as it is right, cannot stay below on every video
    if facts is not None and sound and k >= 10 and facts.largest <= bound + 1e-6 and wilson(right, n, Z)[0] > 2 * bound:
        evidence = f"no score exceeds {facts.largest:.4f}, and the softmax of probabilities cannot exceed {bound:.4f}"
        text = "softmax was taken twice: the network gives probabilities already, and its views are averaged wrongly"
        remedy = "Take the softmax off the network's last layer (`activation = None` of pytorchvideo's head)."
        yield Cause("softmax-twice", "likely", text, evidence, remedy, {"largest": facts.largest, "bound": bound})


def _effective(values: Ints) -> float:
    """How many equally frequent classes have the same entropy."""
    shares = np.bincount(values) / len(values)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def random_weights() -> Cause:
    """Random weights that were asked for."""
    remedy = "Take trained ones: --weights pretrained --pull, or --weights FILE."
    return Cause("random-weights", "certain", "the weights are random", "the run was asked for them", remedy)


def worse_than_guessing(figure: float, chance: float, n: int) -> Cause:
    """A figure surely below that of guessing; both in [0, 1]."""
    evidence = f"{100 * figure:.2f} % of {n} videos right, and guessing gives {100 * chance:.2f} %"
    remedy = "Compare the list's class numbers with the model's class names: `vidbench model show`."
    text = "fewer right than by guessing, so labels and outputs do not speak of the same classes"
    return Cause("worse-than-guessing", "likely", text, evidence, remedy, {"chance": 100 * chance})
