"""Views in batches through a network: what is averaged, what a batch may change, and in which precision."""

import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vidbench.errors import MissingError
from vidbench.model import scoring
from vidbench.model.card import Preprocess
from vidbench.model.classifier import Classifier
from vidbench.model.layout import fast_layout
from vidbench.model.protocol import RULES, Protocol, Views
from vidbench.model.resolve import build
from vidbench.model.scoring import Scored, Scorer, batch_for
from vidbench.model.views import VideoViews
from vidbench.model.zoo import MODELS
from vidbench.video.clip import VideoError, VideoInfo

SIZE = Preprocess(frames=4, stride=3, short_side=32, crop=32, wide=32)
CPU = torch.device("cpu")


class Colours(nn.Module):
    """Three logits: ten times the mean of each channel."""

    def forward(self, clips: Tensor) -> Tensor:
        return 10 * clips.mean((2, 3, 4))


class Small(nn.Module):
    """As `Colours`, of a machine whose memory holds no more than so many clips."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.sizes = room, list[int]()

    def forward(self, clips: Tensor) -> Tensor:
        if len(clips) > self.room:
            raise torch.OutOfMemoryError("no room")
        self.sizes.append(len(clips))
        return 10 * clips.mean((2, 3, 4))


def plain(net: nn.Module, several: bool = False) -> Classifier:
    size = Preprocess(4, 3, 32, 32, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return Classifier(net, size, 3, several=several).eval()


def protocol(text: str, rule: str = "pyslowfast") -> Protocol:
    return Protocol(RULES[rule], Views.parse(text))


def video(seed: int, views: str) -> VideoViews:
    """Random frames of 40x32, the views of "KxC"."""
    count = Views.parse(views)
    images = torch.randint(0, 256, (4 * count.temporal, 32, 40, 3), generator=torch.Generator().manual_seed(seed))
    places = tuple(tuple(range(4 * view, 4 * view + 4)) for view in range(count.temporal))
    boxes = tuple((left, 0, left + 32, 32) for left in (0, 4, 8)[: count.spatial])
    return VideoViews(VideoInfo(Path("v"), "h264", 40, 32, Fraction(30), 99), images.byte(), places, boxes)


def scores(scorer: Scorer, videos: list[VideoViews]) -> list[list[float]]:
    found = list(scorer.score(enumerate(videos)))
    assert [index for index, _ in found] == list(range(len(videos)))
    assert all(isinstance(one, Scored) for _, one in found)
    return [one.scores for _, one in found]  # type: ignore[union-attr]


def by_hand(classifier: Classifier, one: VideoViews) -> Tensor:
    with torch.inference_mode():
        return torch.stack([classifier.probabilities(classifier(one.clip(view)[None]))[0] for view in range(len(one))])


def test_the_mean_of_the_views_softmax() -> None:
    classifier = plain(Colours())
    one = video(0, "2x3")
    (found,) = scores(Scorer(classifier, protocol("2x3"), 4), [one])
    assert found == pytest.approx(by_hand(classifier, one).double().mean(0).tolist(), abs=1e-7)
    assert sum(found) == pytest.approx(1, abs=1e-6)


def test_the_largest_of_the_views_sigmoid_where_several_classes_are_meant() -> None:
    classifier = plain(Colours(), several=True)
    one = video(1, "3x1")
    (found,) = scores(Scorer(classifier, protocol("3x1", "charades"), 2), [one])
    expected = by_hand(classifier, one)
    assert found == pytest.approx(expected.max(0).values.tolist(), abs=1e-7)
    assert expected.std(0).max() > 1e-4, "the views differ"
    assert sum(found) > 2


@pytest.mark.parametrize("batch", [1, 2, 5, 6, 7, 12, 100])
def test_no_batch_changes_what_belongs_to_whom(batch: int) -> None:
    classifier = plain(Colours())
    videos = [video(seed, "2x3") for seed in range(5)]
    found = scores(Scorer(classifier, protocol("2x3"), batch), videos)
    for own, one in zip(found, videos, strict=True):
        assert own == pytest.approx(by_hand(classifier, one).double().mean(0).tolist(), abs=1e-6)


def test_several_videos_share_a_pass_when_the_batch_is_larger_than_one_has_views() -> None:
    net = Small(100)
    scores(Scorer(plain(net), protocol("1x1"), 4), [video(seed, "1x1") for seed in range(10)])
    assert net.sizes == [4, 4, 2]


def test_a_batch_that_memory_does_not_hold_is_halved() -> None:
    net = Small(4)
    scorer = Scorer(plain(net), protocol("2x3"), 12)
    videos = [video(seed, "2x3") for seed in range(4)]
    found = scores(scorer, videos)
    assert scorer.batch == 3
    assert set(net.sizes) == {3}
    assert found == scores(Scorer(plain(Colours()), protocol("2x3"), 3), videos)
    with pytest.raises(torch.OutOfMemoryError):
        scores(Scorer(plain(Small(0)), protocol("1x1"), 8), videos[:1])


def test_videos_that_cannot_be_read_pass_through_in_their_place() -> None:
    def mixed() -> Iterator[tuple[str, VideoViews | VideoError]]:
        yield "a", VideoError("broken")
        yield "b", video(0, "1x1")
        yield "c", VideoError("gone")

    found = dict(Scorer(plain(Colours()), protocol("1x1"), 1).score(mixed()))
    assert isinstance(found["b"], Scored)
    assert (str(found["a"]), str(found["c"])) == ("broken", "gone")


@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.03), ("fp16", 0.004)])
def test_lower_precisions_are_near_and_are_not_the_same(precision: str, most: float) -> None:
    card = MODELS.get("x3d_tiny")
    classifier = build(card, 6, (), seed=0).eval()
    with torch.no_grad():
        classifier.net.blocks[-1].proj.weight.mul_(300)  # type: ignore[union-attr,operator,index]
    fast = fast_layout(classifier)
    generator = torch.Generator().manual_seed(0)
    info = VideoInfo(Path("v"), "h264", 64, 64, Fraction(30), 99)
    pictures = [torch.randint(0, 256, (16, 64, 64, 3), generator=generator).byte() for _ in range(3)]
    places = (tuple(range(8)), tuple(range(8, 16)))
    videos = [VideoViews(info, one, places, ((0, 0, 64, 64),)) for one in pictures]
    exact = torch.tensor(scores(Scorer(fast, protocol("2x1"), 2), videos))
    near = torch.tensor(scores(Scorer(fast, protocol("2x1"), 2, precision), videos))
    assert exact.std() > 0.05
    assert 0 < (exact - near).abs().max() < most


@pytest.mark.slow
def test_compiled_is_the_same_function(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = plain(Colours())
    videos = [video(0, "2x3")]
    if any(map(shutil.which, ("g++", "c++", "clang++"))):
        found = scores(Scorer(classifier, protocol("2x3"), 3, compiled=True), videos)
        assert found == [pytest.approx(own, abs=1e-6) for own in scores(Scorer(classifier, protocol("2x3"), 3), videos)]
    monkeypatch.setattr(scoring.shutil, "which", lambda name: None)
    with pytest.raises(MissingError, match=r"apt install g\+\+"):
        Scorer(classifier, protocol("2x3"), 3, compiled=True)


@pytest.mark.parametrize(
    ("name", "views", "expected"),
    [("x3d_s", "10x3", 2), ("x3d_m", "10x3", 1), ("slowfast_r50", "10x3", 1), ("x3d_tiny", "10x3", 15)],
)
def test_batches_on_a_cpu_hold_as_many_pixels_as_suit_it(name: str, views: str, expected: int) -> None:
    assert batch_for(MODELS.get(name).preprocess, protocol(views), CPU) == expected
    assert batch_for(MODELS.get(name).preprocess, protocol(views), torch.device("cuda")) == 30
