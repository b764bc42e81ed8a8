"""`data check` at full decode against `ffmpeg -f null` over the same clips, and its memory over a long list."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from evaluate import kinetics_like
from timing import in_turns, report


def one_by_one(clips: list[Path]) -> None:
    """ffmpeg, file after file, with its own threads."""
    for clip in clips:
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", str(clip), "-f", "null", "-"], check=True)


def side_by_side(clips: list[Path], jobs: int) -> None:
    """As many ffmpeg at a time as there are cores."""
    names = b"\0".join(str(clip).encode() for clip in clips)
    command = ["xargs", "-0", f"-P{jobs}", "-I{}", "ffmpeg", "-nostdin", "-v", "error", "-i", "{}"]
    subprocess.run([*command, "-f", "null", "-"], input=names, check=True)


def ours(folder: Path, *options: str) -> None:
    """The command as a user types it, without what an earlier round found."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    command = [sys.executable, "-m", "vidbench", "-q", "data", "check", "list.txt", *options]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=False)
    if done.returncode not in (0, 6):
        raise SystemExit(done.stdout.decode())


def peak_memory(folder: Path, *options: str) -> tuple[float, float, float]:
    """Largest resident memory of the command itself and of all its processes together, in MB; and its seconds."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    command = [sys.executable, "-m", "vidbench", "-q", "data", "check", "list.txt", *options]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    alone = together = 0.0
    while process.poll() is None:
        # not ru_maxrss: that remembers this process, which it was forked from
        alone = max(alone, _field(Path(f"/proc/{process.pid}/status"), "VmHWM:"))
        together = max(together, sum(_field(path, "Pss:") for path in _memory(process.pid)))
        time.sleep(0.05)
    return alone, together, time.perf_counter() - started


def _field(path: Path, name: str) -> float:
    """A figure of a file in /proc, given there in KiB, in MB."""
    try:
        return next(
            int(line.split()[1]) * 1024 / 1e6 for line in path.read_text().splitlines() if line.startswith(name)
        )
    except (OSError, StopIteration):
        return 0.0


def _memory(pid: int) -> list[Path]:
    return [Path(f"/proc/{one}/smaps_rollup") for one in [pid, *_children(pid)]]


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def main() -> None:
    """Rounds over rendered clips."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--lines", type=int, default=20_000)
    asked = parser.parse_args()
    jobs = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [folder / "v" / f"{index:03d}.mp4" for index in range(asked.clips)]
        (folder / "v").mkdir()
        with ProcessPoolExecutor(jobs) as pool:
            list(pool.map(kinetics_like, clips, range(asked.clips)))
        (folder / "list.txt").write_text("".join(f"v/{clip.name} 0\n" for clip in clips))
        work = {
            "ffmpeg, one by one": lambda: one_by_one(clips),
            f"ffmpeg, {jobs} at a time": lambda: side_by_side(clips, jobs),
            "vidbench data check": lambda: ours(folder),
        }
        seconds = in_turns(work, asked.rounds)
        fastest = min((name for name in seconds if name.startswith("ffmpeg")), key=lambda name: min(seconds[name]))
        size = sum(clip.stat().st_size for clip in clips) / 1e6
        notes = [
            f"{size:.0f} MB; start of the process, sha256, ledger and strict error detection are in our time",
            f"clips a second: {asked.clips / min(seconds['vidbench data check']):.1f}",
        ]
        long = folder / "long"
        (long / "v").mkdir(parents=True)
        lines = []
        for index in range(asked.lines):
            link = long / "v" / f"{index:05d}_abcdefghijk_000010_000020.mp4"
            os.link(clips[index % len(clips)], link)
            lines.append(f"./v/{link.name} {index % 400}\n")
        (long / "list.txt").write_text("".join(lines))
        alone, together, took = peak_memory(long, "--level", "quick", "--manifest", "m.jsonl", "--overwrite")
        notes.append(
            f"{asked.lines} lines, --level quick --manifest: {alone:.0f} MB at most for the command, "
            f"{together:.0f} MB with its {jobs} workers, {took:.0f} s"
        )
        title = f"Full check of {asked.clips} clips of 340x256, 10 s, 30 fps"
        report(title, seconds, fastest, notes)


if __name__ == "__main__":
    main()
