"""A folder of class folders of images, in torchvision's `ImageFolder` layout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vidbench.data.folders import is_video_name
from vidbench.errors import InputError
from vidbench.video.images import IMAGE_ENDINGS, is_image_name

_REMEDY = "An image set is a folder of class folders, `DIR/<class>/<image>`: " + " ".join(sorted(IMAGE_ENDINGS)) + "."


@dataclass(frozen=True)
class ImageFolder:
    """What lies in a folder of class folders.

    Attributes:
        root: The folder, absolute and with links followed.
        classes: The names of the class folders, sorted: a class's place is its number.
        images: Path below `root` and class number of every image, by class, then by folder, then by name.
    """

    root: str
    classes: tuple[str, ...]
    images: tuple[tuple[str, int], ...]


def read_image_folder(folder: Path) -> ImageFolder:
    """Look for the images of every class folder, at any depth; links are followed, hidden names are passed over.

    Classes and their numbers are those of `ImageFolder`, except that a hidden folder is no class there.
    Files that are neither images nor videos are passed over as well.

    Raises:
        InputError: No class folder or no image in one of them, an image or a video that would be left out, a name
            that is not UTF-8, or a folder that cannot be read.
    """
    root = os.path.realpath(folder)
    classes = []
    loose = 0
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    classes.append(entry.name)
                else:
                    loose += is_image_name(entry.name)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
    classes.sort()
    if not classes and not loose:
        raise InputError(
            f"{folder}: a folder, not a list, and no folder of images in it",
            f"Give the path of a list: lines of `path label`. {_REMEDY}",
        )
    if loose:
        where = "beside its class folders" if classes else "and no class folder"
        raise InputError(f"{folder}: {loose} images of no class {where}", _REMEDY)
    images = [
        (f"{name}/{inner}", number) for number, name in enumerate(classes) for inner in _images(folder, root, name)
    ]
    return ImageFolder(root, tuple(classes), tuple(images))


def _images(folder: Path, root: str, name: str) -> list[str]:
    """The images of a class, by their paths from its folder, in the order of `ImageFolder`."""
    top = os.path.join(root, name)
    seen = {os.path.realpath(top)}
    found = []

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for home, folders, files in os.walk(top, followlinks=True, onerror=refuse):
        kept = []
        for inner in folders:
            real = os.path.realpath(os.path.join(home, inner))
            if not inner.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(inner)
        folders[:] = kept
        below = "" if home == top else os.path.relpath(home, top) + "/"
        for file in sorted(files):
            if is_image_name(file):
                found.append((home, below + file))
            elif is_video_name(file):
                raise InputError(
                    f"{folder}: {name}/{below}{file} is a video, where images are expected",
                    "Make a list of the videos: vidbench data list.",
                )
    found.sort()
    for _, path in found:
        try:
            (name + path).encode()
        except UnicodeEncodeError:
            shown = os.fsencode(f"{name}/{path}")
            raise InputError(f"{folder}: a name is not UTF-8: {shown!r}", "Rename that file.") from None
    if not found:
        raise InputError(
            f"{folder}: no image in the class folder {name}",
            f"Add images or remove that folder: it would count as a class. {_REMEDY}",
        )
    return [path for _, path in found]
