"""Persons' actions at keyframes: the right boxes on the right frames, files that are read back, nothing unsaid."""

from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import nn

from vidbench.errors import InputError, MissingError, UsageError
from vidbench.formats import ava
from vidbench.model import predict_actions as module
from vidbench.model.card import ModelCard, Preprocess
from vidbench.model.detection import ActionDetector, BoxNet, LoadedDetector, RoIHead
from vidbench.model.persons import LoadedPersons
from vidbench.model.predict_actions import ActionsRequest, predict_actions
from vidbench.model.predict_result import ActionsResult
from vidbench.video.encode import encode
from vidbench.video.pyav import probe

SIZE = Preprocess(frames=4, stride=2, short_side=64, crop=64, wide=64, mean=(0.0,) * 3, std=(1.0,) * 3)


class Means(nn.Module):
    """The mean of each 16 x 16 pixels."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool3d(clips, (1, 16, 16))


@pytest.fixture(autouse=True)
def bright(monkeypatch) -> ActionDetector:
    """A detector whose logit of action k is k times the brightest part of the box, for 80 actions from 1."""
    head = RoIHead(3, 80)
    with torch.no_grad():
        head.proj.weight.copy_(torch.arange(1, 81)[:, None].expand(80, 3) / 300)
        head.proj.bias.zero_()
    detector = ActionDetector(BoxNet(Means(), head), SIZE, 80).eval()
    card = ModelCard("bright", "Test", SIZE, 80, "ava_80", 0.0, lambda count: detector.net, task="detect")

    def load(reference: str, **_: object) -> LoadedDetector:
        return LoadedDetector(detector, reference, "bright", "random", "random:0", card)

    monkeypatch.setattr(module, "load_detector", load)
    return detector


class Heard:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @contextmanager
    def task(self, title, total, unit):
        yield self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.total = getattr(self, "total", 0.0) + amount

    def info(self, message: str) -> None:
        self.said.append(message)

    warn = info


def boxes(folder: Path, *lines: str) -> str:
    path = folder / "boxes.csv"
    path.write_text("".join(line + "\n" for line in lines))
    return str(path)


def look(*sources: Path, reporter: Heard | None = None, **more) -> ActionsResult:
    request = ActionsRequest(sources=tuple(map(str, sources)), model="bright", device="cpu", **more)
    return predict_actions(request, reporter or Heard())


def halves(path: Path, *, frames: int, fps: int, size: tuple[int, int]) -> Path:
    """A video whose left half is black and whose right half gets brighter by one each frame."""
    width, height = size

    def images():
        for number in range(frames):
            image = np.zeros((height, width, 3), np.uint8)
            image[:, width // 2 :] = 100 + number
            yield image

    encode(path, images(), Fraction(fps))
    return path


@pytest.mark.parametrize("fps", [24, 25, 30, 60])
@pytest.mark.parametrize("size", [(128, 64), (192, 96)])
def test_scores_are_of_the_box_and_of_the_clip_around_the_second(tmp_path, fps, size) -> None:
    video = halves(tmp_path / "v.mp4", frames=2 * fps + 5, fps=fps, size=size)
    given = boxes(
        tmp_path, "v,0000,0.02,0.1,0.4,0.9,,0.99", "v,0001,0.02,0.1,0.4,0.9,,0.9", "v,0001,0.6,0.1,0.98,0.9,,0.95"
    )
    (found,) = look(video, persons=given, top=80).videos
    assert [(one.time_s, one.frame, len(one.persons)) for one in found.keyframes] == [
        (0, 0, 1), (1, fps, 2), (2, 2 * fps, 0),
    ]  # fmt: skip
    assert found.without_persons == 1
    with av.open(str(video)) as container:
        levels = [frame.to_ndarray(format="rgb24")[:, size[0] * 3 // 4].mean() for frame in container.decode(video=0)]
    clip = [int((1 + step / 30 + 6e-4) * fps) for step in (-4, -2, 0, 2)]
    expected = np.mean([levels[index] for index in clip]) / 255
    dark, light = found.keyframes[1].persons
    assert [one.score for one in (dark, light)] == [0.9, 0.95]
    for guess in light.top:
        assert guess.probability == pytest.approx(1 / (1 + np.exp(-expected * guess.label / 100)), abs=2e-3)
    assert [guess.label for guess in light.top] == list(range(80, 0, -1))
    assert all(guess.probability == pytest.approx(0.5, abs=4e-3) for guess in dark.top)
    assert {guess.label: guess.name for guess in light.top}[12] == "stand"


@pytest.mark.parametrize("batch", [1, 4])
def test_every_batch_gives_the_same(tmp_path, batch, make_video) -> None:
    video = make_video("v.mp4", frames=200)
    lines = [f"v,{second:04d},0.1,0.1,0.{5 + second % 3},0.9,,0.9" for second in range(6) for _ in range(second % 3)]
    found = look(video, persons=boxes(tmp_path, *lines), batch=batch).videos[0]
    assert [len(one.persons) for one in found.keyframes] == [0, 1, 2, 0, 1, 2, 0]
    levels = [one.persons[0].top[0].probability for one in found.keyframes if one.persons]
    assert levels == sorted(levels)
    assert len(set(levels)) == 4


def test_the_csv_reads_back_as_detections_with_the_seconds_of_the_boxes(tmp_path, make_video) -> None:
    video, out = make_video("-5KQ66BBWC4.mp4", frames=75), tmp_path / "out.csv"
    given = boxes(tmp_path, "-5KQ66BBWC4,0901,0.1,0.25,0.5,1.000,,0.99", "-5KQ66BBWC4,0902,0.1234,0.2,0.5,0.9,,0.99")
    result = look(video, persons=given, csv=out, first_second=900, top=2)
    rows = ava.load(out, ava.parse_predicted)
    assert result.csv == out
    assert len(rows) == 160
    assert {row.video for row in rows} == {"-5KQ66BBWC4"}
    assert [row.action for row in rows] == [*range(1, 81)] * 2
    assert {(row.second, row.box) for row in rows} == {
        (901, ava.Box.of(0.1, 0.25, 0.5, 1)), (902, ava.Box.of(0.123, 0.2, 0.5, 0.9)),
    }  # fmt: skip
    best = result.videos[0].keyframes[1].persons[0].top[0]
    assert {row.action: row.score for row in rows[:80]}[best.label] == Decimal(f"{best.probability:.4f}")
    assert out.read_text().startswith("-5KQ66BBWC4,0901,0.100,0.250,0.500,1.000,1,0.")


def test_what_is_not_used_is_said(tmp_path, make_video) -> None:
    one, two = make_video("one.mp4", frames=60), make_video("two.mp4", frames=30)
    given = boxes(
        tmp_path,
        "one,0000,0.1,0.1,0.5,0.9,,0.79",
        "one,0001,0.1,0.1,0.1,0.9,,0.99",
        "one,0002,0.1,0.1,0.5,0.9,,0.99",
        "three,0000,0.1,0.1,0.5,0.9,,0.99",
    )
    heard = Heard()
    result = look(one, two, persons=given, reporter=heard)
    said = "\n".join(heard.said)
    assert "not among the sources: three" in said
    assert "no boxes of" in said
    assert "two.mp4" in said
    assert "1 boxes are left out: their score" in said
    assert "1 boxes are left out: they have no area" in said
    assert "boxes of second 2 are at no keyframe; there is one every 1 s from 0 to 1" in said
    assert "NOTHING" in said
    assert (result.unknown_videos, result.low_boxes, result.flat_boxes) == (("three",), 1, 1)
    assert [video.without_persons for video in result.videos] == [2, 1]
    assert result.videos[0].unused_seconds == (2,)
    assert all(not one.persons for video in result.videos for one in video.keyframes)
    assert heard.total == pytest.approx(2)


def test_a_shorter_hop_has_keyframes_between_the_seconds_without_moving_boxes(tmp_path, make_video) -> None:
    given = boxes(tmp_path, "v,0,0.1,0.1,0.5,0.9,12,4", "v,1,0.1,0.1,0.5,0.9,12,4", "v,1,0.1,0.1,0.5,0.9,80,4")
    (found,) = look(make_video("v.mp4", frames=60), persons=given, person_ids=True, hop_s=0.5).videos
    assert [one.time_s for one in found.keyframes] == [0, 0.5, 1, 1.5]
    assert [[person.person for person in one.persons] for one in found.keyframes] == [[4], [], [4], []]
    assert found.keyframes[0].persons[0].score is None


@pytest.mark.parametrize("size", [(96, 72), (70, 50)])
def test_the_overlay_has_a_box_where_the_person_is(tmp_path, make_video, size) -> None:
    video, out = make_video("v.mp4", frames=60, size=size), tmp_path / "out.mp4"
    given = boxes(tmp_path, "v,0,0.1,0.1,0.5,0.9,,0.9")
    result = look(video, persons=given, overlay=out, threshold=0.99)
    assert result.videos[0].overlay == out
    assert probe(out).frames == 60
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    coloured = [bool((np.ptp(frame, axis=2) > 60).any()) for frame in frames]
    assert coloured == [True] * 15 + [False] * 45
    assert not (np.ptp(frames[0][:, round(size[0] * 0.6) :], axis=2) > 60).any()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_broken_video_and_a_broken_network_are_failed_items(tmp_path, make_video, bright) -> None:
    good, bad = make_video("v.mp4", frames=30), tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    given, out = boxes(tmp_path, "v,0,0.1,0.1,0.5,0.9,,0.9"), tmp_path / "out.csv"
    result = look(bad, good, persons=given, csv=out)
    assert [video.status for video in result.videos] == ["failed", "ok"]
    assert "zero bytes" in result.videos[0].reason
    assert result.failed == 1
    assert len(out.read_text().splitlines()) == 80
    with torch.no_grad():
        bright.net.detection_head.proj.bias.fill_(float("nan"))
    (found,) = look(good, persons=given).videos
    assert (found.status, found.reason) == ("failed", "the network's output is not finite")


def test_persons_are_found_in_the_frame_of_the_keyframe(tmp_path, make_video, monkeypatch) -> None:
    class Half(nn.Module):
        """Finds one person, in the left half, and something else; both as sure as the frame is bright."""

        def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
            return [
                {
                    "boxes": torch.tensor([[0.0, 0.0, image.shape[2] / 2, image.shape[1] * 1.5]] * 2),
                    "scores": image.mean().expand(2),
                    "labels": torch.tensor([1, 3]),
                }
                for image in images
            ]

    net = Half()
    loaded = LoadedPersons(net, "half", "some.pth", "0" * 64, torch.device("cpu"))
    monkeypatch.setattr(module, "load_persons", lambda name, **_: loaded)
    video = make_video("v.mp4", frames=91)
    result = look(video, persons="half", person_score=0.5)
    found = result.videos[0].keyframes
    # grey 40 to 200 of 255: sure enough from the second half on
    assert [len(one.persons) for one in found] == [0, 0, 1, 1]
    assert found[3].persons[0].box == (0, 0, 0.5, 1)
    assert found[3].persons[0].score == pytest.approx(200 / 255, abs=0.02)
    assert (result.persons, result.person_weights, result.person_weights_sha256) == ("half", "some.pth", "0" * 64)
    net.forward = lambda images: [
        {"boxes": torch.full((1, 4), float("nan")), "scores": torch.ones(1), "labels": torch.ones(1, dtype=torch.long)}
        for _ in images
    ]
    assert "not finite" in look(video, persons="half").videos[0].reason


def test_what_cannot_be_done_is_refused_before_any_work(tmp_path, make_video) -> None:
    video, other = make_video("v.mp4", frames=4), make_video("other/v.mp4", frames=4)
    given = boxes(tmp_path, "v,0,0.1,0.1,0.5,0.9,,0.9")
    with pytest.raises(UsageError, match="where they are"):
        look(video, persons="none")
    with pytest.raises(UsageError, match="both called v"):
        look(video, other, persons=given)
    with pytest.raises(UsageError, match="whole seconds"):
        look(video, persons=given, csv=tmp_path / "o.csv", hop_s=0.5)
    with pytest.raises(InputError, match="cannot write"):
        look(make_video("a b.mp4", frames=4), persons=given, csv=tmp_path / "o.csv")
    with pytest.raises(UsageError, match="it is an input"):
        look(video, persons=given, csv=Path(given))
    with pytest.raises(UsageError, match="--person-ids"):
        look(video, person_ids=True)
    with pytest.raises(MissingError, match="fasterrcnn_resnet50_fpn_v2") as caught:
        look(video)
    assert "--persons FILE.csv" in (caught.value.remedy or "")
    with pytest.raises(InputError, match="400 classes, but bright has 80"):
        look(video, persons=given, classes="kinetics400")
