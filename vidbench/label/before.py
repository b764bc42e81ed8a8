"""A set's files as they were before a change, kept so that the change can be taken back with one copy."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vidbench.errors import disk_errors
from vidbench.label.store import SET, TRACKS, VIDEOS, LabelSet

FOLDER = Path(".vidbench") / "before"

_NUMBERED = re.compile(r"(\d{4,})-.*")


def keep_before(labels: LabelSet, videos: Iterable[str], what: str) -> Path:
    """Copy `set.json` and the rows of videos, under the names that they have in the set.

    Copying the folder's content over the set takes the change back: `cp -r SET/.vidbench/before/0001-import/. SET/`.

    Args:
        labels: The set, which the caller holds.
        videos: Ids of the videos whose rows will change.
        what: What will change them, as "import".

    Returns:
        The folder, a new one each time.
    """
    home = labels.folder / FOLDER
    with disk_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        numbers = [int(found[1]) for one in home.iterdir() if (found := _NUMBERED.fullmatch(one.name))]
        folder = home / f"{max(numbers, default=0) + 1:04d}-{what}"
        folder.mkdir()
        shutil.copyfile(labels.folder / SET, folder / SET)
        for video in videos:
            source = labels.home(video) / TRACKS
            if source.exists():
                target = folder / VIDEOS / video / TRACKS
                target.parent.mkdir(parents=True)
                shutil.copyfile(source, target)
    return folder


@contextmanager
def changing(labels: LabelSet, videos: Iterable[str], what: str) -> Iterator[Path]:
    """Keep the files before a change, and put them back where it fails; gives the folder, see `keep_before`."""
    folder = keep_before(labels, videos, what)
    try:
        yield folder
    except BaseException:
        shutil.copytree(folder, labels.folder, dirs_exist_ok=True)
        raise
