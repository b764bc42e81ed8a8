"""A mirror of the public sets in miniature: real videos, tarballs and tables under the published addresses."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vidbench.video.encode import encode

CLASSES = ("abseiling", "hurling (sport)", "playing cards")
FILM = "1j20qq1JyX4"


def kinetics(web: Any, folder: Path, per_class: int = 2) -> dict[str, bytes]:
    """Kinetics-400's validation split: so many clips of three classes in one tarball; the clips by name."""
    folder.mkdir(parents=True, exist_ok=True)
    clips: dict[str, bytes] = {}
    rows = ["label,youtube_id,time_start,time_end,split"]
    for number in range(len(CLASSES) * per_class):
        name = f"clip{number:07d}_{number:06d}_{number + 10:06d}.mp4"
        encode(folder / name, _square(96, 72, 24, number), Fraction(24))
        clips[name] = (folder / name).read_bytes()
        rows.append(f"{CLASSES[number % 3]},{name[:11]},{number},{number + 10},validate")
    web.add("/kinetics/400/annotations/val.csv", "".join(f"{row}\n" for row in rows).encode())
    web.add("/kinetics/400/val/k400_val_path.txt", b"https://s3.amazonaws.com/kinetics/400/val/part_0.tar.gz\n")
    web.add("/kinetics/400/val/part_0.tar.gz", tarball((f"./{name}", data) for name, data in clips.items()))
    return clips


def ava(web: Any, folder: Path, seconds: int = 1803) -> None:
    """AVA with one film of a frame a second, its annotations and frame lists."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{FILM}.mp4"
    encode(path, _square(48, 32, seconds, 0), Fraction(1), gop=30)
    web.add("/ava-dataset/annotations/ava_file_names_trainval_v2.1.txt", f"{path.name}\n".encode())
    web.add(f"/ava-dataset/trainval/{path.name}", path.read_bytes())
    boxes = f"{FILM},0902,0.002,0.118,0.714,0.977,12,1\n{FILM},0904,0.002,0.118,0.714,0.977,12,1\n"
    predicted = boxes.replace(",12,1", ",,0.995518")
    people = "person_box_67091280_iou90/ava_detection"
    members = {
        "ava_train_v2.2.csv": boxes,
        "ava_val_v2.2.csv": boxes,
        "ava_train_excluded_timestamps_v2.2.csv": "",
        "ava_val_excluded_timestamps_v2.2.csv": "",
        "ava_action_list_v2.2.pbtxt": 'label {\n  name: "walk"\n  label_id: 14\n  label_type: PERSON_MOVEMENT\n}\n',
        "ava_action_list_v2.2_for_activitynet_2019.pbtxt": 'item {\n  name: "stand"\n  id: 12\n}\n',
        f"{people}_train_boxes_and_labels_include_negative_v2.2.csv": predicted,
        f"{people}_val_boxes_and_labels.csv": predicted,
    }
    archive = tarball(((f"ava_annotations/{name}", text.encode()) for name, text in members.items()), packed=False)
    web.add("/pyslowfast/annotation/ava/ava_annotations.tar", archive)
    features = "/video-long-term-feature-banks/data/ava"
    head = "original_vido_id video_id frame_id path labels\n"
    for split in ("train", "val"):
        rows = "".join(f'{FILM} 0 {n} {FILM}/{FILM}_{n + 1:06d}.jpg ""\n' for n in range(27030))
        web.add(f"{features}/frame_lists/{split}.csv", (head + rows).encode())
    for split in ("train", "val", "test"):
        web.add(f"{features}/annotations/ava_{split}_predicted_boxes.csv", predicted.encode())


def charades(web: Any) -> None:
    """Charades with two videos of eight frames, and their frame lists."""
    from PIL import Image

    videos = {"001YG": "train", "004QE": "val"}
    stream = io.BytesIO()
    Image.new("RGB", (32, 24), (90, 120, 60)).save(stream, "JPEG")
    names = [f"Charades_v1_rgb/{video}/{video}-{n:06d}.jpg" for video in videos for n in range(1, 9)]
    web.add("/charades/Charades_v1_rgb.tar", tarball(((name, stream.getvalue()) for name in names), packed=False))
    head = "original_vido_id video_id frame_id path labels\n"
    for video, split in videos.items():
        rows = "".join(f'{video} 0 {n} {video}/{video}-{n + 1:06d}.jpg "{92 if n > 3 else ""}"\n' for n in range(8))
        web.add(f"/pyslowfast/dataset/charades/frame_lists/{split}.csv", (head + rows).encode())


def tarball(members: Iterable[tuple[str, bytes]], packed: bool = True) -> bytes:
    """A tar archive, packed or not, of names and contents."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if packed else "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _square(width: int, height: int, frames: int, seed: int) -> Iterable[np.ndarray[Any, np.dtype[np.uint8]]]:
    """A bright square that moves over a dark ground; where it begins hangs on the seed."""
    for number in range(frames):
        picture = np.full((height, width, 3), 40, np.uint8)
        left = (3 * number + 11 * seed) % (width - height // 3)
        picture[height // 3 : 2 * height // 3, left : left + height // 3] = (220, 180, 90)
        yield picture
