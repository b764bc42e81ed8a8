"""Labelling on rendered scenes with known truth: identities at ten pictures a second and at one, time and memory."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.figures import tracking_metrics as metrics  # noqa: E402
from tests.figures.scenes import Kind, Scene, scene  # noqa: E402
from vidbench.formats.labelset import SetVideo  # noqa: E402
from vidbench.label.detect_track import DetectTrackRequest, detect_track  # noqa: E402
from vidbench.label.detectors import DETECTORS, DetectorSettings, VideoFacts  # noqa: E402
from vidbench.label.store import LabelSet  # noqa: E402
from vidbench.video.encode import encode  # noqa: E402
from vidbench.video.steady import Steady  # noqa: E402

WEIGHTS = ROOT / "tests" / "figures" / "figures.pt"
KINDS: tuple[Kind, ...] = ("crossing", "occlusion", "fast", "walk", "enter_leave", "crowd")
SIZE, FPS, SECONDS = (320, 240), 30, 12.0
CONF = 0.45
"""What the tiny detector is sure at; it has more false boxes than published ones."""
VISIBLE = 0.5
"""Persons of whom less is to be seen are neither asked for nor counted as wrong."""
FIRST_SEED = 700
"""Scenes that nothing was tuned on."""
Boxes = list[list[tuple[int, metrics.Box]]]


def main() -> None:
    """The identities, then the time, then the memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("identities", "time", "memory"))
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="the first seed; those below 700 were tuned on")
    parser.add_argument("--kinds", nargs="*", default=KINDS)
    parser.add_argument("--trackers", nargs="*", default=("deepsort", "bytetrack", "iou"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if given.part == "identities":
            seeds = range(given.first, given.first + given.seeds)
            identities(Path(place), given.kinds, given.trackers, seeds)
        elif given.part == "time":
            time_720p(Path(place))
        else:
            memory(Path(place))


def identities(folder: Path, kinds: list[Kind], trackers: list[str], seeds: range) -> None:
    """IDF1 and what is seen at keyframes, by kind of scene."""
    scenes = {kind: list(_rendered(folder, kind, seeds)) for kind in kinds}
    print(f"| tracker, pictures a second | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}")
    for name, rate in [*((name, 10) for name in trackers), *((name, 1) for name in trackers)]:
        cells = [_cell(folder / f"{name}-{rate}-{kind}", scenes[kind], name, rate) for kind in kinds]
        print(f"| {name}, {rate} | {' | '.join(cells)} |", flush=True)


def _rendered(folder: Path, kind: Kind, seeds: range) -> Iterator[tuple[Path, Scene]]:
    for seed in seeds:
        drawn = scene(kind, seed, world="test", size=SIZE, seconds=SECONDS, fps=FPS, identical=seed % 2 == 1)
        path = folder / f"{kind}-{seed}.mp4"
        encode(path, drawn.frames(), Fraction(FPS))
        yield path, drawn


def _cell(out: Path, scenes: list[tuple[Path, Scene]], tracker: str, rate: int) -> str:
    """IDF1 at keyframes, at ten pictures a second also between; recall at keyframes; switches."""
    _run([path for path, _ in scenes], out, tracker, rate)
    store = LabelSet.open(out)
    at_keyframes, between, found, asked, switches = [], [], 0, 0, 0
    for video, (_, drawn) in zip(store.load().videos, scenes, strict=True):
        truth, hidden, result = _at_keyframes(store, video, drawn)
        kept = metrics.without_ignored(truth, result, hidden)
        at_keyframes.append(metrics.identity(truth, kept))
        clear = metrics.clear_mot(truth, kept)
        found, asked, switches = found + clear.matches, asked + clear.truths, switches + clear.switches
        if rate > 1:
            truth, hidden, result = _between(store, video, drawn, rate)
            between.append(metrics.identity(truth, metrics.without_ignored(truth, result, hidden)))
    dense = f"{_together(between):.3f}; " if between else ""
    return f"{dense}{_together(at_keyframes):.3f} ({found / asked:.1%}, {switches})"


def _together(found: list[metrics.Identity]) -> float:
    return 2 * sum(one.idtp for one in found) / sum(one.truths + one.results for one in found)


def _run(videos: list[Path], out: Path, tracker: str, rate: int) -> None:
    with contextlib.redirect_stderr(None):
        detect_track(
            DetectTrackRequest(
                sources=tuple(videos),
                out=out,
                weights=str(WEIGHTS),
                image_size=320,
                conf=CONF,
                iou=0.5,
                tracker=tracker,
                rate=rate,
            )
        )


def _truth(drawn: Scene, frame: int) -> tuple[list[tuple[int, metrics.Box]], list[metrics.Box]]:
    seen = [(one.person, one.box) for one in drawn.truth[frame] if one.visible >= VISIBLE]
    return seen, [one.box for one in drawn.truth[frame] if one.visible < VISIBLE]


def _pixels(box: tuple[float, float, float, float]) -> metrics.Box:
    return box[0] * SIZE[0], box[1] * SIZE[1], box[2] * SIZE[0], box[3] * SIZE[1]


def _at_keyframes(store: LabelSet, video: SetVideo, drawn: Scene) -> tuple[Boxes, list[list[metrics.Box]], Boxes]:
    pairs = [_truth(drawn, second * FPS) for second in video.keyframes]
    rows = store.rows(video.id)
    result = [[(row.person, _pixels(row.box)) for row in rows if row.second == second] for second in video.keyframes]
    return [seen for seen, _ in pairs], [hidden for _, hidden in pairs], result


def _between(store: LabelSet, video: SetVideo, drawn: Scene, rate: int) -> tuple[Boxes, list[list[metrics.Box]], Boxes]:
    numbers = range(video.first * 30, video.last * 30 + 1, 30 // rate)
    pairs = [_truth(drawn, number) for number in numbers]
    boxes: dict[int, list[tuple[int, metrics.Box]]] = {number: [] for number in numbers}
    for path in store.paths(video.id):
        for number, box in zip(path.numbers, path.boxes, strict=True):
            if number in boxes:
                boxes[number].append((path.track, _pixels(box)))
    return [seen for seen, _ in pairs], [hidden for _, hidden in pairs], [boxes[number] for number in numbers]


def time_720p(folder: Path) -> None:
    """What detector, looks, decoding, JPEG and all else take of 60 s at 1280x720 with several persons, one process.

    The nano network has fresh weights, whose boxes mean nothing: it is timed on the very pictures, and the tracker
    gets the true boxes.
    """
    video, nano, table = folder / "crowd.mp4", folder / "nano.pt", folder / "boxes.csv"
    drawn = scene("crowd", 1, world="test", size=(1280, 720), seconds=60, fps=FPS)
    encode(video, drawn.frames(), Fraction(FPS))
    with table.open("w") as stream:
        stream.write("video,time,x1_px,y1_px,x2_px,y2_px,score\n")
        for number in range(0, len(drawn), FPS // 10):
            for seen, box in _truth(drawn, number)[0]:
                stream.write(
                    f"crowd,{number / FPS:.4f},{','.join(f'{value:.1f}' for value in box)},{0.9 - seen / 1000}\n"
                )
    subprocess.run([sys.executable, "-c", _NANO, nano], check=True, env={**os.environ, **_QUIET})
    facts = VideoFacts(video, "crowd", 1280, 720, FPS)
    network = DETECTORS.get("yolo")(DetectorSettings(weights=str(nano), conf=0.9999, device="cpu"), facts)
    some = list(islice(Steady(video, every=3), 48))
    network(some[:8])
    began = time.monotonic()
    for start in range(0, len(some), 8):
        network(some[start : start + 8])
    each = (time.monotonic() - began) / len(some)
    print("| tracker | pictures | boxes | s | detector | looks | decoding | JPEG | all else |\n" + "|---" * 9 + "|")
    for tracker in ("deepsort", "bytetrack", "iou"):
        out = folder / tracker
        detect_track(
            DetectTrackRequest(
                sources=(video,), out=out, detector="boxes", boxes=table, tracker=tracker, device="cpu", jobs=1
            )
        )
        record = _record(out)
        detector = each * record["seen"]
        whole = record["seconds"] + detector
        parts = [detector, *(record[name] for name in ("looks_s", "decoding_s", "jpeg_s"))]
        shares = " | ".join(f"{part / whole:.1%}" for part in (*parts, whole - sum(parts)))
        print(f"| {tracker} | {record['seen']} | {record['boxes']} | {whole:.1f} | {shares} |", flush=True)


# the published nano network as it is built, with fresh weights: what it costs does not depend on them
_NANO = """
import sys
from ultralytics.models import YOLO
model = YOLO("yolo11n.yaml", task="detect")
model.model.names = {number: "person" if number == 0 else str(number) for number in range(80)}
model.save(sys.argv[1])
"""
_QUIET = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def memory(folder: Path) -> None:
    """The worker's peak for videos of growing length."""
    print("| minutes | peak, MB | s |\n|---|---|---|")
    for minutes in (1, 5, 15):
        video = folder / f"{minutes}.mp4"
        drawn = scene("crowd", 1, world="test", size=SIZE, seconds=20, fps=10)
        frames = list(drawn.frames())
        encode(video, (frames[number % len(frames)] for number in range(minutes * 600)), Fraction(10))
        words = ["label", "detect-track", str(video), "--weights", str(WEIGHTS), "--image-size", "320", "--jobs", "1",
                 "--out", str(folder / f"set{minutes}")]  # fmt: skip
        code = (
            "import resource, sys\nfrom vidbench.cli.app import main\ncode = main(['-q', *sys.argv[1:]])\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, file=sys.stderr)\nsys.exit(code)"
        )
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        seconds = _record(folder / f"set{minutes}")["seconds"]
        print(f"| {minutes} | {done.stderr.split()[-1]} | {seconds:.0f} |", flush=True)


def _record(out: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((out / ".vidbench" / "detect-track.jsonl").read_text().splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
