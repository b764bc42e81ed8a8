"""The pictures of the page: keyframes, crops of persons, and the seconds around a keyframe, as JPEG."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidbench.formats.labelset import BoxT, Row, SetVideo
from vidbench.label.review.between import Between
from vidbench.label.store import LabelSet
from vidbench.video.clip import VideoError
from vidbench.video.steady import GRID_FPS, Steady

LONGEST = 960
"""Pixels of the longer side of the pictures that play."""

_REACH = GRID_FPS * 3 // 2
_MARGIN = 0.1
_WIDEST = 4
_QUALITY = 80
_LARGE = 1280 * 720
_DECODERS = 2
_WAIT_S = 120.0
_STILL_BYTES = 32 * 2**20
_CLIP_BYTES = 96 * 2**20
_PATH_VIDEOS = 3

T = TypeVar("T")


class NoPictureError(Exception):
    """There is no such picture, and why."""


class Cache(Generic[T]):
    """Values by key, the latest used ones, up to a size; for several threads."""

    def __init__(self, most: int) -> None:
        """An empty cache that holds values of a size of `most` together."""
        self._most = most
        self._held: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def get(self, key: Hashable) -> T | None:
        """The value of a key, if it is still there."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            self._held.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: T, size: int) -> None:
        """Keep a value, and forget those not used for longest."""
        with self._lock:
            self.size -= self._held.pop(key, (None, 0))[1]
            self._held[key] = value, size
            self.size += size
            while self.size > self._most:
                self.size -= self._held.popitem(last=False)[1][1]


@dataclass
class _Clip:
    """The pictures around a keyframe while they are decoded; `changed` tells of each."""

    numbers: range
    pictures: list[bytes] = field(default_factory=list)
    done: bool = False
    fault: str | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, index: int) -> bytes:
        with self.changed:
            self.changed.wait_for(lambda: self.done or len(self.pictures) > index, _WAIT_S)
            if len(self.pictures) > index:
                return self.pictures[index]
        raise NoPictureError(self.fault or "the video has no picture there")


class Pictures:
    """Pictures of a set, made when they are asked for and kept in bounded memory; for several threads."""

    def __init__(self, labels: LabelSet) -> None:
        """Nothing is read yet."""
        self._labels = labels
        self._stills: Cache[bytes] = Cache(_STILL_BYTES)
        self._clips: Cache[_Clip] = Cache(_CLIP_BYTES)
        self._between: Cache[Between] = Cache(_PATH_VIDEOS)
        self._running: dict[tuple[str, int], tuple[_Clip, threading.Thread]] = {}
        self._lock = threading.Lock()
        self._decoders = threading.BoundedSemaphore(_DECODERS)
        self._closed = threading.Event()

    def keyframe(self, video: SetVideo, second: int) -> bytes:
        """The JPEG of a keyframe; from the video where its file is gone.

        Raises:
            NoPictureError: There is none.
        """
        if second not in video.keyframes:
            raise NoPictureError(f"second {second} is no keyframe of {video.id}")
        path = self._labels.keyframe(video.id, second)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise NoPictureError(f"{path}: {error.strerror}") from None
        key = (video.id, second)
        found = self._stills.get(key)
        if found is None:
            found = self._decoded(video, second)
            self._stills.put(key, found, len(found))
        return found

    def crop(self, video: SetVideo, second: int, box: BoxT, height: int) -> bytes:
        """The JPEG of a person at a keyframe: the box and a tenth more on each side, `height` pixels high.

        A very wide box gives a lower picture.

        Raises:
            NoPictureError: There is no such keyframe.
        """
        key = (video.id, second, box, height)
        found = self._stills.get(key)
        if found is None:
            data = self.keyframe(video, second)
            try:
                found = _cropped(data, box, height)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise NoPictureError(f"the keyframe of second {second} is damaged: {error}") from None
            self._stills.put(key, found, len(found))
        return found

    def clip(self, video: SetVideo, second: int, rows: list[Row]) -> dict[str, Any]:
        """What plays around a keyframe: rate, numbers, size, and the boxes of each person.

        Args:
            video: The video.
            second: The keyframe.
            rows: The rows from two seconds before to two seconds after.

        Raises:
            NoPictureError: The video is missing, another one, damaged there, or ends before.
            InputError: `paths.jsonl` is malformed.
        """
        clip = self._clip(video, second)
        clip.wait_for(0)
        width, height = _size(video.width, video.height)
        between = self._between.get(video.id)
        if between is None:
            between = Between(self._labels.paths(video.id))
            self._between.put(video.id, between, 1)
        return {
            "fps": GRID_FPS // clip.numbers.step,
            "numbers": list(clip.numbers),
            "width": width,
            "height": height,
            "boxes": between.boxes(rows, clip.numbers),
        }

    def clip_picture(self, video: SetVideo, second: int, index: int) -> bytes:
        """The JPEG of a picture around a keyframe; waits until it is decoded.

        Args:
            video: The video.
            second: The keyframe.
            index: Which of the clip's numbers.

        Raises:
            NoPictureError: The video is missing, another one, damaged there, or ends before.
        """
        clip = self._clip(video, second)
        if index >= len(clip.numbers):
            raise NoPictureError(f"{len(clip.numbers)} pictures play around second {second}")
        return clip.wait_for(index)

    def close(self) -> None:
        """End what is being decoded."""
        with self._lock:
            self._closed.set()
            threads = [thread for _, thread in self._running.values()]
        for thread in threads:
            thread.join()

    def _clip(self, video: SetVideo, second: int) -> _Clip:
        if second not in video.keyframes:
            raise NoPictureError(f"second {second} is no keyframe of {video.id}")
        key = (video.id, second)
        with self._lock:
            clip = self._clips.get(key)
            if clip is None and key in self._running:
                clip = self._running[key][0]
            if clip is None:
                self._refuse_other_file(video)
                if self._closed.is_set():
                    raise NoPictureError("the review has ended")
                clip = _Clip(_numbers(video, second))
                thread = threading.Thread(target=self._decode, args=(video, key, clip), daemon=True)
                self._running[key] = clip, thread
                thread.start()
        return clip

    def _decode(self, video: SetVideo, key: tuple[str, int], clip: _Clip) -> None:
        try:
            with self._decoders:
                self._decode_into(video, clip)
        except Exception as error:
            # nobody else waits for this thread: whatever it is, who asked for the pictures has to hear it
            clip.fault = f"{self._labels.file(video)}: {error}"
        finally:
            with self._lock:
                # a clip with a fault is tried again when it is asked for again: the file may be back
                if clip.fault is None and not self._closed.is_set():
                    self._clips.put(key, clip, sum(map(len, clip.pictures)))
                del self._running[key]
            with clip.changed:
                clip.done = True
                clip.changed.notify_all()

    def _decode_into(self, video: SetVideo, clip: _Clip) -> None:
        if self._closed.is_set() or not clip.numbers:
            return
        from_s, to_s = Fraction(clip.numbers[0], GRID_FPS), Fraction(clip.numbers[-1] + 1, GRID_FPS)
        shown: NDArray[np.uint8] | None = None
        data = b""
        for picture in Steady(self._labels.file(video), every=clip.numbers.step, from_s=from_s, to_s=to_s):
            if self._closed.is_set():
                return
            if picture.image is not shown:
                shown = picture.image
                image = Image.fromarray(shown)
                size = _size(image.width, image.height)
                data = _jpeg(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.5))
            with clip.changed:
                clip.pictures.append(data)
                clip.changed.notify_all()

    def _decoded(self, video: SetVideo, second: int) -> bytes:
        self._refuse_other_file(video)
        path = self._labels.file(video)
        try:
            with self._decoders:
                pictures = list(Steady(path, from_s=Fraction(second), to_s=second + Fraction(1, GRID_FPS)))
        except (VideoError, OSError) as error:
            raise NoPictureError(f"{path}: {error}") from None
        if not pictures:
            raise NoPictureError(f"{path}: ends before second {second}")
        return _jpeg(Image.fromarray(pictures[0].image))

    def _refuse_other_file(self, video: SetVideo) -> None:
        path = self._labels.file(video)
        try:
            size = path.stat().st_size
        except OSError:
            raise NoPictureError(
                f"{path}: no such file; put the video back there, or change `file` in set.json"
            ) from None
        if size != video.size_bytes:
            raise NoPictureError(
                f"{path}: another file: {size} bytes, where the one of the boxes had {video.size_bytes}"
            )


def _numbers(video: SetVideo, second: int) -> range:
    """The moments that play around a keyframe, the keyframe among them; fewer a second where frames are large."""
    every = 2 if video.width * video.height <= _LARGE else 3
    first = max(0, second * GRID_FPS - _REACH // every * every)
    return range(first, min(video.pictures, second * GRID_FPS + _REACH + 1), every)


def _size(width: int, height: int) -> tuple[int, int]:
    share = min(1.0, LONGEST / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def _cropped(data: bytes, box: BoxT, height: int) -> bytes:
    x1, y1, x2, y2 = box
    more_x, more_y = (x2 - x1) * _MARGIN, (y2 - y1) * _MARGIN
    left, right = max(0.0, x1 - more_x), min(1.0, x2 + more_x)
    top, bottom = max(0.0, y1 - more_y), min(1.0, y2 + more_y)
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        wide, high = (right - left) * image.width, (bottom - top) * image.height
        share = min(height / high, _WIDEST * height / wide)
        size = max(1, round(wide * share)), max(1, round(high * share))
        # the decoder itself halves pictures, which is much quicker than decoding them whole
        image.draft("RGB", (round(image.width * share), round(image.height * share)))
        corners = (left * image.width, top * image.height, right * image.width, bottom * image.height)
        return _jpeg(image.convert("RGB").resize(size, Image.Resampling.BILINEAR, box=corners))
