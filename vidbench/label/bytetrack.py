"""ByteTrack: tracks take the sure boxes first and the doubtful ones next, by motion and overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidbench.label.iou_tracker import assign, overlaps
from vidbench.label.kalman import KalmanFilter, States
from vidbench.label.seen import GRID_FPS, Found, Picture
from vidbench.label.trackers import TrackerSettings

FIRST_IOU = 0.2
"""Least overlap with the predicted box for sure boxes."""
SECOND_IOU = 0.5
"""For doubtful boxes, which are often parts of persons or of others."""
NEW_IOU = 0.3
"""For tracks with a single sighting so far."""

_FAR = 9.21
"""Squared Mahalanobis distance that 1 % of the right boxes exceed."""

Rows = NDArray[np.intp]
Array = NDArray[np.float64]


class ByteTracker:
    """ByteTrack (Zhang et al. 2022, section 3 and algorithm 1), an implementation of its own.

    Boxes with a score of at least `settings.sure` are matched first, with all tracks, those out of sight included;
    boxes below it then with the tracks that are left and were seen in the picture before. Tracks with one sighting
    come last, for what is left of the sure boxes, and end at their first miss. A sure box without a track begins
    one; a doubtful one has none (-1). As in the paper, what is compared is the overlap with the box that a Kalman
    filter predicts. Two things are not in the paper: among boxes that overlap enough, the distance from the predicted
    place counts like the overlap, which keeps apart persons who cross; and a track that was just seen and finds
    nothing where it should be may take a sure box where it was, as who turns round is there.

    Args:
        settings: Rate, patience, and which scores are sure.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._sure = settings.sure
        # a picture may be missed at any rate
        self._patience = max(round(settings.max_age_s * GRID_FPS), GRID_FPS // settings.rate)
        self._filter = KalmanFilter()
        self._next = 0
        self._states = self._filter.start(np.empty((0, 4)))
        self._tracks, self._hits, self._last = (np.empty(0, dtype=np.int64) for _ in range(3))
        self._seen = np.empty(0, dtype=bool)
        self._boxes: Array = np.empty((0, 4))
        self._at: int | None = None

    def update(self, picture: Picture, found: Found) -> NDArray[np.int64]:
        """See `vidbench.label.seen.Tracker`."""
        self._step(picture.number)
        boxes, sure = found.boxes, found.scores >= self._sure
        numbers = np.full(len(boxes), -1, dtype=np.int64)
        open_ = np.ones(len(self._tracks), dtype=bool)
        predicted = self._states.boxes
        once = self._hits == 1
        apart = self._filter.distances(self._states, boxes)
        for places, tracks, wanted, least in (
            (predicted, ~once, sure, FIRST_IOU),
            (predicted, ~once & self._seen, ~sure, SECOND_IOU),
            (self._boxes, ~once & self._seen, sure, FIRST_IOU),
            (predicted, once, sure, NEW_IOU),
        ):
            rows = np.flatnonzero(tracks & open_)
            columns = np.flatnonzero(wanted & (numbers < 0))
            cost = 1 - overlaps(places[rows], boxes[columns])
            far = np.minimum(apart[np.ix_(rows, columns)] / _FAR, 1)
            chosen, with_ = assign(np.where(cost <= 1 - least, cost + far, np.inf), 2.0)
            numbers[columns[with_]] = self._tracks[rows[chosen]]
            open_[rows[chosen]] = False
            self._saw(rows[chosen], boxes[columns[with_]], picture.number)
        self._seen = ~open_
        self._drop(open_ & once)
        self._begin(numbers, np.flatnonzero(sure & (numbers < 0)), boxes, picture.number)
        return numbers

    def looks(self) -> None:
        """It does not look."""
        return None

    def reset(self) -> None:
        """Forget all tracks; numbers go on."""
        self._drop(np.ones(len(self._tracks), dtype=bool))
        self._at = None

    def _step(self, number: int) -> None:
        """Predict all tracks to this picture; forget those that were unseen too long."""
        if self._at is not None:
            self._drop(number - self._last > self._patience)
            # the size of a person out of sight is no news: only the place goes on
            states = self._states
            still = ~self._seen[:, None] & (np.arange(4) >= 2)
            states = States(
                states.value, np.where(still, 0.0, states.speed), states.value_var, states.joint_var, states.speed_var
            )
            self._states = self._filter.predict(states, (number - self._at) / GRID_FPS)
        self._at = number

    def _saw(self, rows: Rows, boxes: Array, number: int) -> None:
        if len(rows):
            self._states = self._states.put(rows, self._filter.correct(self._states.take(rows), boxes))
            self._boxes[rows] = boxes
            self._hits[rows] += 1
            self._last[rows] = number

    def _drop(self, gone: NDArray[np.bool_]) -> None:
        if gone.any():
            kept = ~gone
            self._states = self._states.take(kept)
            self._tracks, self._hits, self._last = self._tracks[kept], self._hits[kept], self._last[kept]
            self._seen, self._boxes = self._seen[kept], self._boxes[kept]

    def _begin(self, numbers: NDArray[np.int64], fresh: Rows, boxes: Array, number: int) -> None:
        count = len(fresh)
        numbers[fresh] = np.arange(self._next, self._next + count)
        self._next += count
        self._states = self._states.join(self._filter.start(boxes[fresh]))
        self._tracks = np.concatenate((self._tracks, numbers[fresh]))
        self._hits = np.concatenate((self._hits, np.ones(count, dtype=np.int64)))
        self._last = np.concatenate((self._last, np.full(count, number, dtype=np.int64)))
        self._seen = np.concatenate((self._seen, np.ones(count, dtype=bool)))
        self._boxes = np.concatenate((self._boxes, boxes[fresh]))


def build(settings: TrackerSettings) -> ByteTracker:
    """A tracker for one video."""
    return ByteTracker(settings)
