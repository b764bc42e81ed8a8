"""The frames that the views of an item need, read in this process or in others; no torch."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import TypeVar

from vidbench.data.dataset import ClipItem, decode_item
from vidbench.data.pool import Lost, each
from vidbench.errors import VidbenchError
from vidbench.model.card import Preprocess
from vidbench.model.protocol import Protocol
from vidbench.video.clip import Frames, VideoError, VideoInfo
from vidbench.video.decoder import DECODERS, ONE_THREAD, Decoder
from vidbench.video.fit import Fit
from vidbench.video.parked import Parked, park
from vidbench.video.sampling import Resize

R = TypeVar("R")

LARGEST = 4 * 2**30
"""Bytes that the frames of one video may take: those of a picture of 60000x1 pixels, scaled, would end the run."""


KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**34)}
"""Has glibc keep the memory of one video's frames for the next one's: new memory took a sixth of the reading."""


@dataclass(frozen=True)
class Reader:
    """Reads what the views of an item need, and no more: chosen frames, at the size that the protocol takes.

    Attributes:
        decoder: A name of the catalogue.
        preprocess: The network's input.
        protocol: Which views.
        resize: "decode" or "exact", see `vidbench.video.fit`; None takes the protocol's.
    """

    decoder: str
    preprocess: Preprocess
    protocol: Protocol
    resize: Resize | None = None

    @cached_property
    def _decode(self) -> Decoder:
        return DECODERS.get(self.decoder)

    def __call__(self, item: ClipItem) -> Frames:
        """Read one item.

        Raises:
            VideoError: It cannot be read; the message is the reason.
        """
        rule = self.protocol.rule
        short_side, _ = self.protocol.views.side(self.preprocess)
        fit = Fit(short_side, self.resize or rule.resize, rule.spatial, self.preprocess.fixed)
        _refuse_other_files(item)
        return decode_item(item, partial(self._wanted, fit), self._decode, fit)

    def __getstate__(self) -> dict[str, object]:
        # a loaded decoder stays in its process
        return {name: value for name, value in self.__dict__.items() if name != "_decode"}

    def _wanted(self, fit: Fit, info: VideoInfo) -> Iterable[int]:
        chosen = {index for view in self.protocol.frames(self.preprocess, info.frames, info.fps) for index in view}
        width, height = fit.size(info.width, info.height)
        size = len(chosen) * width * height * 3 * (1 if fit.how == "decode" else 4)
        if size > LARGEST:
            raise VideoError(
                f"{len(chosen)} frames of {info.width}x{info.height}, scaled to {width}x{height}, would take "
                f"{size / 2**30:.1f} GiB of memory; {LARGEST / 2**30:.0f} are allowed"
            )
        return chosen


def _refuse_other_files(item: ClipItem) -> None:
    """A named pipe would be waited for; what is not there is told by whoever opens it."""
    try:
        mode = item.path.stat().st_mode
    except (OSError, ValueError):
        return
    if stat.S_ISDIR(mode):
        raise VideoError("a folder, not a file")
    if not stat.S_ISREG(mode):
        raise VideoError("not a regular file: a pipe, a socket or a device")


def read_all(
    reader: Reader, items: Iterable[ClipItem], processes: int, timeout_s: float, in_turns: bool = False
) -> Generator[tuple[ClipItem, Frames | VideoError]]:
    """Items and their frames as they come, from worker processes that a decoder may take down.

    Each worker is at most one video ahead, so that memory does not grow with the list.

    Args:
        reader: What is read.
        items: In any number; taken one by one.
        processes: Worker processes, 1 or more.
        timeout_s: Seconds that one video may take.
        in_turns: Rest while the caller works, see `vidbench.data.pool.each`.
    """
    environment = KEEP_MEMORY | (ONE_THREAD if processes >= (os.cpu_count() or 1) else {})
    for item, found in each(partial(_attempt, reader), items, processes, timeout_s, environment, in_turns):
        if isinstance(found, Lost):
            yield item, VideoError(_lost(found, timeout_s))
        else:
            yield item, taken(found)


def _lost(found: Lost, timeout_s: float) -> str:
    if found.reason == "timeout":
        return f"reading it took longer than {timeout_s:g} s"
    return f"the decoder's process crashed: {found.detail}"


def taken(found: Frames | Parked | str) -> Frames | VideoError:
    """What another process sent by `attempted`, in this one."""
    if isinstance(found, Frames):
        return found
    if isinstance(found, str):
        return VideoError(found)
    try:
        return found.take()
    except VideoError as error:
        return error


def _attempt(reader: Reader, item: ClipItem) -> Frames | Parked | str:
    return attempted(lambda: reader(item))


def attempted(read: Callable[[], Frames]) -> Frames | Parked | str:
    """What was read, on its way to the process that asked, or why it was not.

    Raises:
        VidbenchError: What is wrong with more than one video.
    """
    try:
        return park(read())
    except VideoError as error:
        return str(error)
    except VidbenchError:
        raise
    except MemoryError:
        return "not enough memory for its frames"
    except Exception as error:
        # whatever a library thinks of, the other videos stand; the record says it
        return f"it could not be read: {type(error).__name__}: {error}"


def read_ahead(
    reader: Reader, items: Iterable[ClipItem], threads: int
) -> Generator[tuple[ClipItem, Frames | VideoError]]:
    """The same in the order of the items, by threads of this process."""
    source = iter(items)
    queue: list[tuple[ClipItem, Future[Frames]]] = []
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    try:
        queue.extend((item, pool.submit(reader, item)) for item in islice(source, threads + 1))
        while queue:
            item, future = queue.pop(0)
            outcome: Frames | VideoError
            try:
                outcome = future.result()
            except VideoError as error:
                outcome = error
            queue.extend((following, pool.submit(reader, following)) for following in islice(source, 1))
            yield item, outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
