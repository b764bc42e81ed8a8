"""A labelled set of two real videos, and somebody who asks its server."""

import http.client
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from vidbench.formats.labelset import Row, SetAction, SetFile, SetVideo, TrackPath
from vidbench.label.review.serving import serve
from vidbench.label.store import LabelSet
from vidbench.video.encode import encode

WIDTH, HEIGHT, SECONDS = 320, 240, 8

ACTIONS = (
    SetAction(1, "bend/bow (at the waist)", "pose"),
    SetAction(11, "sit", "pose"),
    SetAction(12, "stand", "pose"),
    SetAction(17, "carry/hold (an object)", "object"),
    SetAction(80, "watch (a person)", "person"),
)


def left(number: int) -> float:
    """Where the left edge of person 0 is at a moment of the grid, in fractions of the width."""
    return round(0.1 + number * 0.001, 3)


def picture(number: int) -> np.ndarray:
    """A grey picture that grows lighter, with person 0 as a red block that walks to the right."""
    image = np.full((HEIGHT, WIDTH, 3), 40 + number // 3, dtype=np.uint8)
    x = round(left(number) * WIDTH)
    image[48:192, x : x + 64] = (220, 30, 30)
    return image


def rows() -> list[Row]:
    """Person 0 at all keyframes, person 1 at three of them."""
    found = [
        Row(s, 0, (left(30 * s), 0.2, round(left(30 * s) + 0.2, 3), 0.8), 0.9, None, 5, False, ("weak",) * (s == 4))
        for s in range(2, 7)
    ]
    return found + [Row(s, 1, (0.7, 0.2, 0.9, 0.9), 0.8, (12, 80), 6) for s in (2, 3, 4)]


def make_set(folder: Path) -> LabelSet:
    """Write the set, its videos and its keyframes."""
    labels = LabelSet(folder)
    videos = []
    for name in ("one", "two"):
        file = folder / f"{name}.mp4"
        folder.mkdir(exist_ok=True)
        encode(file, (picture(n) for n in range(30 * SECONDS)), Fraction(30))
        videos.append(SetVideo(name, file.name, file.stat().st_size, WIDTH, HEIGHT, "30", 30 * SECONDS, 2, SECONDS - 2))
        labels.save_rows(name, rows())
        numbers = tuple(range(0, 30 * SECONDS, 3))
        path = tuple((left(n), 0.2, round(left(n) + 0.2, 3), 0.8) for n in numbers)
        labels.save_paths(name, [TrackPath(5, numbers, path), TrackPath(6, (60, 120), ((0.7, 0.2, 0.9, 0.9),) * 2)])
        for second in range(2, SECONDS - 1):
            file = labels.keyframe(name, second)
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(picture(30 * second)).save(file, quality=95)
    labels.save(SetFile(ACTIONS, tuple(videos)))
    return labels


@pytest.fixture(scope="session")
def finished_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set, made once; not to be changed."""
    return make_set(tmp_path_factory.mktemp("set") / "set").folder


@pytest.fixture
def label_set(finished_set: Path, tmp_path: Path) -> LabelSet:
    """A copy of the set that a test may change."""
    shutil.copytree(finished_set, tmp_path / "set")
    return LabelSet(tmp_path / "set")


@dataclass
class Answer:
    """What the server says."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        """The JSON."""
        return json.loads(self.body)


@dataclass
class Asker:
    """Asks a server as a browser would, and as one would not."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Of the server."""
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def ask(self, path: str, body: object = None, *, method: str | None = None, **headers: str) -> Answer:
        """Ask for a path below the token; a body is posted, as JSON unless it is bytes."""
        return self.raw(urlsplit(self.url).path + path, body, method=method, **headers)

    def raw(self, path: str, body: object = None, *, method: str | None = None, **headers: str) -> Answer:
        """Ask for a whole path."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if data is not None else {}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def edit(self, revision: int, video: str = "one", **edit: object) -> Answer:
        """Make an edit."""
        told = {name.rstrip("_"): value for name, value in edit.items()}
        return self.ask(f"api/video/{video}/edit", {"revision": revision, "edit": told})

    def rows(self, video: str = "one") -> dict[tuple[int, int], dict[str, Any]]:
        """The rows as the server tells them, by second and person."""
        return {(row["second"], row["person"]): row for row in self.ask(f"api/video/{video}").told["rows"]}


@pytest.fixture
def page(label_set: LabelSet) -> Iterator[Asker]:
    """The server of the set."""
    with serve(label_set.folder) as url:
        yield Asker(url)
