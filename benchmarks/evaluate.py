"""X3D-S, 10x3 views: ours against the usual loop that decodes again for each view."""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from timing import in_turns, report
from torch.nn import functional

from vidbench.model.classifier import Classifier
from vidbench.model.evaluate import score_views
from vidbench.model.layout import fast_layout
from vidbench.model.resolve import build
from vidbench.model.views import Views, read_views
from vidbench.model.zoo import MODELS
from vidbench.video.encode import encode
from vidbench.video.pyav import decode
from vidbench.video.sampling import scaled_size, spatial_crop, temporal_views


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
            indices = temporal_views(len(images), fps, size.frames, size.stride, 10)[temporal]
            clip = torch.from_numpy(np.stack([images[index] for index in indices])).permute(0, 3, 1, 2).float()
            width, height = scaled_size(clip.shape[3], clip.shape[2], size.wide)
            clip = functional.interpolate(clip, size=(height, width), mode="bilinear", align_corners=False) / 255
            left, top, right, bottom = spatial_crop(width, height, size.wide, place)
            clip = clip[:, :, top:bottom, left:right].transpose(0, 1).contiguous()[None]
            with torch.inference_mode():
                total += torch.softmax(classifier(clip), dim=1)[0].double()
    return (total / 30).tolist()


def ours(path: Path, classifier: Classifier, preprocess) -> list[float]:
    """As `model eval` does it."""
    return score_views(classifier, read_views(path, preprocess, Views(10, 3), decode), torch.device("cpu"), 3)


def main() -> None:
    """Rounds over rendered videos."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    card = MODELS.get("x3d_s")
    reference = build(card, 400, (), seed=0).eval()
    with torch.no_grad():
        # random weights give nearly uniform probabilities; sharper logits make the comparison mean something
        reference.net.blocks[-1].proj.weight.mul_(3000)
    fast = fast_layout(reference)
    with tempfile.TemporaryDirectory() as folder:
        videos = [Path(folder) / f"{index}.mp4" for index in range(rounds)]
        for index, video in enumerate(videos):
            kinetics_like(video, index)
        answers: dict[str, list[list[float]]] = {"usual loop": [], "vidbench": []}
        turn = iter([video for video in videos for _ in range(2)])
        work = {
            "usual loop": lambda: answers["usual loop"].append(usual_loop(next(turn), reference)),
            "vidbench": lambda: answers["vidbench"].append(ours(next(turn), fast, card.preprocess)),
        }
        seconds = in_turns(work, rounds)
    difference = np.abs(np.array(answers["usual loop"]) - np.array(answers["vidbench"])).max()
    spread = np.array(answers["usual loop"]).max()
    notes = [f"largest difference of a probability: {difference:.2e} (largest probability {spread:.3f})"]
    report("Evaluation of X3D-S, 10x3 views, one 10 s video of 340x256 a round", seconds, "usual loop", notes)


if __name__ == "__main__":
    main()
