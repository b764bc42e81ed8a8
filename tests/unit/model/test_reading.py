"""Reading in worker processes: what comes back, and what becomes of a worker that does not."""

import os
import pickle
import signal
import threading
import time
from pathlib import Path

import pytest

from vidbench.data.dataset import ClipItem
from vidbench.model.card import Preprocess
from vidbench.model.protocol import RULES, Protocol, Views
from vidbench.model.reading import Reader, read_ahead, read_all
from vidbench.video.clip import Frames, VideoError

SMALL = Preprocess(frames=4, stride=3, short_side=40, crop=32, wide=32)
READER = Reader("pyav", SMALL, Protocol(RULES["pyslowfast"], Views(2, 1)))


def items(folder: Path, make_video, count: int) -> list[ClipItem]:
    found = []
    for index in range(count):
        path = make_video(f"{index}.mp4", frames=20 + index)
        found.append(ClipItem(path.name, path, 0, index + 1, f"key{index}"))
    return found


def test_processes_give_what_this_one_gives(tmp_path: Path, make_video) -> None:
    clips = items(tmp_path, make_video, 5)
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    clips.append(ClipItem("bad.mp4", tmp_path / "bad.mp4", 0, 6, "bad"))
    found = {item.key: frames for item, frames in read_all(READER, clips, 2, 60)}
    assert set(found) == {item.key for item in clips}
    assert "not a readable video" in str(found["bad"])
    for item, outcome in read_ahead(READER, clips, 2):
        other = found[item.key]
        if isinstance(outcome, VideoError):
            assert str(outcome) == str(other)
        else:
            assert isinstance(other, Frames)
            assert (other.info, other.indices) == (outcome.info, outcome.indices)
            assert (other.data == outcome.data).all()


def test_order_is_kept_by_threads(tmp_path: Path, make_video) -> None:
    clips = items(tmp_path, make_video, 6)
    assert [item.key for item, _ in read_ahead(READER, clips, 3)] == [item.key for item in clips]


def test_only_the_frames_that_the_views_need_come_back(tmp_path: Path, make_video) -> None:
    ((_, frames),) = read_all(READER, items(tmp_path, make_video, 1), 1, 60)
    assert isinstance(frames, Frames)
    assert len(frames.indices) <= 8 < frames.info.frames == 20
    assert frames.data.shape[1:] == (40, 53, 3)


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_worker_that_is_killed_costs_its_video_alone(tmp_path: Path, make_video) -> None:
    clips = items(tmp_path, make_video, 4)
    before = set(children())

    def kill_first() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            fresh = sorted(set(children()) - before)
            if fresh:
                os.kill(fresh[0], signal.SIGKILL)
                return
            time.sleep(0.001)

    killer = threading.Thread(target=kill_first)
    killer.start()
    found = {item.key: outcome for item, outcome in read_all(READER, clips, 1, 60)}
    killer.join()
    assert str(found.pop("key0")) == "the decoder's process crashed: the worker was ended by SIGKILL"
    assert all(isinstance(outcome, Frames) for outcome in found.values())


def test_a_video_that_takes_too_long_is_given_up(tmp_path: Path, make_video) -> None:
    found = [outcome for _, outcome in read_all(READER, items(tmp_path, make_video, 2), 1, 0.001)]
    assert all(isinstance(one, VideoError) and str(one) == "reading it took longer than 0.001 s" for one in found)
    assert len(found) == 2


def test_a_reader_can_be_sent_to_a_process_after_it_was_used(tmp_path: Path, make_video) -> None:
    (clip,) = items(tmp_path, make_video, 1)
    first = READER(clip)
    again = pickle.loads(pickle.dumps(READER))
    assert (again(clip).data == first.data).all()
