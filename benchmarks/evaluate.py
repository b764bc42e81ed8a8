"""X3D-S, 10x3 views: ours against the usual loop that decodes again for each view."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from timing import in_turns, report
from torch import Tensor
from torch.nn import functional

from vidbench.data.dataset import ClipItem
from vidbench.memory import keep_memory
from vidbench.model.classifier import Classifier
from vidbench.model.layout import fast_layout
from vidbench.model.protocol import Protocol
from vidbench.model.reading import Reader, read_all
from vidbench.model.resolve import build
from vidbench.model.scoring import Scorer, autocast, batch_for
from vidbench.model.views import video_views
from vidbench.model.zoo import MODELS
from vidbench.video.encode import encode
from vidbench.video.sampling import scaled_size, spatial_crop

PROTOCOL = Protocol.choose(MODELS.get("x3d_s"), None, None)
CPU = torch.device("cpu")
PLAIN = "the network alone, fp32, memory as glibc does it"


def kinetics_like(path: Path, seed: int) -> None:
    """Ten seconds of 340x256 at 30 fps: a textured background that drifts, and moving squares."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    texture = np.kron(coarse, np.ones((16, 16, 1), dtype=np.uint8))

    def frames():
        for index in range(300):
            shift = index // 3
            frame = np.roll(texture, shift, axis=1)[:256, :340].copy()
            x = (index * 2) % 280
            frame[80:140, x : x + 60] = generator.integers(0, 255, (60, 60, 3), dtype=np.uint8)
            yield frame

    encode(path, frames(), Fraction(30), crf=23, gop=250)


def usual_loop(path: Path, classifier: Classifier) -> list[float]:
    """One view after another: open, decode all frames, sample, scale, crop, forward."""
    size = classifier.preprocess
    total = torch.zeros(classifier.num_classes, dtype=torch.float64)
    for temporal in range(10):
        for place in range(3):
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                fps = Fraction(stream.average_rate)
                images = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
            indices = PROTOCOL.frames(size, len(images), fps)[temporal]
            clip = torch.from_numpy(np.stack([images[index] for index in indices])).permute(0, 3, 1, 2).float()
            width, height = scaled_size(clip.shape[3], clip.shape[2], size.wide)
            clip = functional.interpolate(clip, size=(height, width), mode="bilinear", align_corners=False) / 255
            left, top, right, bottom = spatial_crop(width, height, size.wide, place)
            clip = clip[:, :, top:bottom, left:right].transpose(0, 1).contiguous()[None]
            with torch.inference_mode():
                total += torch.softmax(classifier(clip), dim=1)[0].double()
    return (total / 30).tolist()


def items_of(videos: Sequence[Path]) -> list[ClipItem]:
    """The videos as the items of a list."""
    return [ClipItem(path.name, path, 0, place, path.name) for place, path in enumerate(videos, start=1)]


def ours(videos: Sequence[Path], classifier: Classifier, precision: str) -> dict[str, list[float]]:
    """As `model eval` does it: worker processes, all views of a video from one decode, batches."""
    size = classifier.preprocess
    reader = Reader("pyav", size, PROTOCOL)
    scorer = Scorer(classifier, PROTOCOL, batch_for(size, PROTOCOL, CPU), precision)
    read = read_all(reader, items_of(videos), 2, 600, in_turns=True)
    found = scorer.score((item, video_views(frames, size, PROTOCOL)) for item, frames in read)
    return {item.name: scored.scores for item, scored in found}


def forward_alone(videos: Sequence[Sequence[Tensor]], classifier: Classifier, precision: str) -> None:
    """The network's part of the same work: clips lie in memory."""
    with torch.inference_mode(), autocast(CPU, precision):
        for video in videos:
            for clips in video:
                classifier(clips)


def main() -> None:
    """Rounds over rendered videos."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", type=int, default=4, help="of each round")
    parser.add_argument("--gap", action="store_true", help="leave out the usual loop")
    options = parser.parse_args()
    card = MODELS.get("x3d_s")
    reference = build(card, 400, (), seed=0).eval()
    with torch.no_grad():
        # random weights give nearly uniform probabilities; sharper logits make the comparison mean something
        reference.net.blocks[-1].proj.weight.mul_(3000)
    fast = fast_layout(reference)
    precisions = ["fp32", "bf16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ["fp32"]
    with tempfile.TemporaryDirectory() as folder:
        videos = [Path(folder) / f"{index}.mp4" for index in range(options.videos)]
        for index, video in enumerate(videos):
            kinetics_like(video, index)
        read = Reader("pyav", card.preprocess, PROTOCOL)
        batch = batch_for(card.preprocess, PROTOCOL, CPU)
        decoded = [list(video_views(read(item), card.preprocess, PROTOCOL).batches(batch)) for item in items_of(videos)]
        answers: dict[str, dict[str, list[float]]] = {}
        loop = "usual loop: decode again for each view, contiguous"

        def in_kept_memory(call: Callable[[], None]) -> None:
            keep_memory()
            call()

        def peer() -> None:
            keep_memory(False)
            answers[loop] = {video.name: usual_loop(video, reference) for video in videos}

        def plain() -> None:
            keep_memory(False)
            forward_alone(decoded, fast, "fp32")

        work: dict[str, Callable[[], None]] = {PLAIN: plain} if options.gap else {loop: peer}
        for precision in precisions:

            def whole(precision: str = precision) -> None:
                answers[precision] = ours(videos, fast, precision)

            work[f"vidbench, {precision}"] = partial(in_kept_memory, whole)
            alone = partial(forward_alone, decoded, fast, precision)
            work[f"the network alone, {precision}"] = partial(in_kept_memory, alone)
        seconds = in_turns(work, options.rounds)
    exact = np.array([answers["fp32" if options.gap else loop][video.name] for video in videos])
    notes = [f"largest probability {exact.max():.3f} (random weights, sharpened)"]
    for precision in precisions:
        found = np.array([answers[precision][video.name] for video in videos])
        notes.append(f"{precision}: largest difference of a probability {np.abs(exact - found).max():.1e}")
        pairs = zip(seconds[f"vidbench, {precision}"], seconds[f"the network alone, {precision}"], strict=True)
        gap = np.median([whole / alone for whole, alone in pairs])
        notes.append(f"{precision}: the whole evaluation takes {gap:.3f} times the network's own time")
    title = f"Evaluation of X3D-S, 10x3 views, {options.videos} videos of 10 s, 340x256, a round"
    report(title, seconds, PLAIN if options.gap else loop, notes)


if __name__ == "__main__":
    main()
