"""What is worked on: a video, an image or a video of single frames, as a thing that can be opened in any process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidbench.data.frame_sets import FrameRows
from vidbench.runs import content_hash
from vidbench.video.clip import Frames, VideoError
from vidbench.video.images import decode_images, is_image_name

if TYPE_CHECKING:
    from vidbench.video.decoder import Decoder, Wanted
    from vidbench.video.fit import Fit

NO_LABEL = -1
"""The label of an item that has none, or more than one."""

Kind = Literal["videos", "images", "frames"]


@dataclass(frozen=True, slots=True)
class ClipItem:
    """One video, image, or video of single frames. It can be pickled, and `decode_item` opens it in any process.

    Attributes:
        name: The path as the list writes it; the video's name in a frame list; in a folder the path from there.
        path: Where that is, absolute; whether a file is there is not known until it is opened. For a video of a
            frame list its first image.
        label: The class number, 0 or more; `NO_LABEL` where there is not exactly one.
        line: The line in the list, from 1, in a frame list that of the first row; in a folder the place in its order.
        key: 16 hex digits that name the item in a run: the start of the sha256 of (name, label, span), or of
            (name, labels, span) where there is not one label. The same line has the same key in every list and under
            every root.
        bytes: The file's size where a manifest tells it.
        labels: All classes, ascending: `(label,)` where there is one; empty where there is none, which in a list of
            several labels per video says that no class is in it.
        frames: Where the rows of a frame list are; None for a file.
    """

    name: str
    path: Path
    label: int
    line: int
    key: str
    bytes: int | None = None
    labels: tuple[int, ...] = ()
    frames: FrameRows | None = None

    def __post_init__(self) -> None:
        if self.label != NO_LABEL and not self.labels:
            object.__setattr__(self, "labels", (self.label,))

    @property
    def kind(self) -> Kind:
        """What it is: told by the frame list, or by the ending of the name."""
        if self.frames is not None:
            return "frames"
        return "images" if is_image_name(self.name) else "videos"

    def file(self) -> Path:
        """The path, to be opened now.

        Raises:
            VideoError: The file is not of the size that the manifest tells, so it is not the one that was checked;
                or the item is no single file.
        """
        if self.frames is not None:
            raise VideoError(f"{self.frames.count} image files of a frame list, not one video file")
        if self.bytes is not None:
            try:
                size = self.path.stat().st_size
            except OSError:
                raise VideoError("no such file") from None
            if size != self.bytes:
                raise VideoError(f"changed since the manifest: {size} bytes, {self.bytes} when it was checked")
        return self.path


def decode_item(item: ClipItem, wanted: Wanted, decode: Decoder, fit: Fit | None = None) -> Frames:
    """The wanted frames of an item, whatever it is; needs no torch and works in any process or thread.

    A video goes to `decode`. An image is a video of one frame, and the rows of a frame list are one of as many; both
    have the codec "images" and, as they tell no rate, 30 frames a second. `vidbench.video.images` says what becomes
    of pixels: no EXIF rotation, RGB, 8 bits.

    Args:
        item: What to open.
        wanted: Gives frame indices in [0, info.frames), as in `Decoder`.
        decode: Reads the file of a video.
        fit: The size that the frames get; None keeps theirs.

    Raises:
        VideoError: It cannot be read, a frame has another size than the first, or it changed since it was listed;
            the message is the reason.
    """
    if item.frames is not None:
        return decode_images(item.path, item.frames.files(), wanted, fit)
    if item.kind == "images":
        return decode_images(item.path, (item.file(),), wanted, fit)
    return decode(item.file(), wanted, fit)


@dataclass(frozen=True)
class ClipList:
    """What a list, a frame list or a folder of images names, or the usable part of a manifest.

    Attributes:
        source: The list or manifest file, or the folder.
        root: The folder that relative paths start from, absolute.
        root_rule: Why that one: "--root", "list folder", "working folder", "images folder" (beside a list of images),
            "manifest", "folder", or "absolute" where the list has no relative path and no root is needed.
        items: In the list's order.
        sha256: Of the source file's bytes, in hex; for a folder of the lines `path label` that it amounts to.
        listed: Videos that the source lists, whatever the limit, and for a manifest whatever their class: a result
            over fewer says so.
        kind: "frames" for a frame list; "images" where every item is an image of its own, whatever the limit;
            else "videos", among which there may be single images.
        classes: The names of the class folders, by class number; empty where the source has none.
        several: Whether an item may have any number of labels.
    """

    source: Path
    root: Path
    root_rule: str
    items: tuple[ClipItem, ...]
    sha256: str
    listed: int
    kind: Kind = "videos"
    classes: tuple[str, ...] = ()
    several: bool = False


def clip_key(name: str, label: int | tuple[int, ...], span: tuple[float, float] | None = None) -> str:
    """The key of a video, or of a part of one, in the records of a run.

    Args:
        name: The path as the list writes it.
        label: The class number, or all class numbers where there is not one.
        span: Start and end in seconds; None is the whole video.
    """
    if isinstance(label, tuple):
        label = label[0] if len(label) == 1 else label
    return content_hash([name, label, span])[:16]
