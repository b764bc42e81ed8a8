"""`vidbench data fetch` and `data status` as they are typed, killed and typed again."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidbench.cli.app import main
from vidbench.video.encode import encode

CLASSES = ("abseiling", "playing cards", "zumba")


@pytest.fixture
def mirror(web: Any, tmp_path: Path) -> Any:
    """Twelve clips in a packed and a plain tarball, under Kinetics' addresses."""
    path = tmp_path / "source.mp4"
    encode(path, (np.full((48, 64, 3), 20 + 8 * n, np.uint8) for n in range(20)), Fraction(30))
    names = [f"-{n:02d}abcdefgh_{n:06d}_{n + 10:06d}.mp4" for n in range(12)]
    clips = {name: path.read_bytes() + bytes([0, 0, 0, 8]) + b"free" for name in names}
    rows = "".join(f"{CLASSES[n % 3]},{name[:11]},{n},{n + 10},validate\n" for n, name in enumerate(names))
    base = "/kinetics/400"
    web.add(f"{base}/annotations/val.csv", f"label,youtube_id,time_start,time_end,split\n{rows}".encode())
    urls = "".join(f"https://s3.amazonaws.com{base}/val/part_{n}.tar.gz\n" for n in range(2))
    web.add(f"{base}/val/k400_val_path.txt", urls.encode())
    for number, mode in enumerate(("w:gz", "w")):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode=mode) as archive:
            for name in names[number * 6 : number * 6 + 6]:
                info = tarfile.TarInfo(name)
                info.size = len(clips[name])
                archive.addfile(info, io.BytesIO(clips[name]))
        web.add(f"{base}/val/part_{number}.tar.gz", stream.getvalue())
    web.clips = clips
    return web


def words(web: Any, out: Path, *more: str) -> list[str]:
    return ["data", "fetch", "kinetics400", "--out", str(out), "--mirror", web.url, "--source", "mirror", *more]


def test_as_it_is_typed(mirror: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "k400"
    assert main(words(mirror, out, "--dry-run")) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("kinetics400 val: 12 items, 0 of them here, 0.0 MB to transfer, ")
    assert second == "  2 tarballs"
    assert main(words(mirror, out, "--limit", "5")) == 0
    assert capsys.readouterr().out == f"kinetics400 val: 5 ok, 0.0 MB, in {out}\n"
    assert main(words(mirror, out, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["wanted"], result["here"], result["counts"], result["failed"]) == (12, 5, {"ok": 12}, 0)
    assert main(["data", "status", str(out)]) == 0
    assert capsys.readouterr().out.startswith("fetch-kinetics400-val: done, 12 of 12 clips: 12 ok\n")
    assert {path.name for path in (out / "val").iterdir()} == {"abseiling", "playing_cards", "zumba"}


def test_failures_and_throttling_have_their_exit_codes(
    mirror: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "/kinetics/400/val/part_1.tar.gz"
    mirror.add(url, b"").always = mirror.step(status=404)
    assert main(words(mirror, tmp_path / "a")) == 6
    out, err = capsys.readouterr()
    assert "6 ok, 6 gone" in out
    assert "6 items failed" in err
    assert "fetch-kinetics400-val.jsonl" in err
    mirror.add(url, b"").always = mirror.step(status=429, headers={"Retry-After": "9999"})
    assert main(words(mirror, tmp_path / "b")) == 7
    assert "asks for a pause" in capsys.readouterr().err
    assert main(["data", "status", str(tmp_path / "absent")]) == 3


def test_options_outside_their_range_name_themselves(
    mirror: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(mirror, tmp_path)[:-1], "torrent"]) == 2
    assert "--source 'torrent'" in capsys.readouterr().err
    assert main(words(mirror, tmp_path, "--retry-reason", "often")) == 2
    (tmp_path / "file").write_text("no folder")
    assert main(words(mirror, tmp_path / "file")) == 3
    assert "Not a directory" in capsys.readouterr().err
    assert main(["data", "fetch", "kinetic400", "--out", str(tmp_path)]) == 3
    assert "kinetics400" in capsys.readouterr().err


def tree(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.rglob("*.mp4")}


def started(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "vidbench", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def until(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_killed_again_and_again_nothing_is_lost(mirror: Any, tmp_path: Path) -> None:
    out = tmp_path / "k400"
    for number in range(2):
        url = f"/kinetics/400/val/part_{number}.tar.gz"
        mirror.add(url, mirror._paths[url].data).always = mirror.step(delay_s=0.01, block=200)
    killed = 0
    for count in (1, 4, 7, 10):
        process = started(words(mirror, out, "--workers", "1"))
        until(lambda count=count: len(tree(out)) >= count, process)
        killed += process.poll() is None
        process.kill()
        process.communicate()
        assert tree(out).items() <= mirror.clips.items(), "what has its name is whole"
    assert killed >= 2, "it was too quick to be killed"
    assert main(words(mirror, out)) == 0
    assert tree(out) == mirror.clips
    names = {path.name for path in out.rglob("*") if path.is_file() and ".vidbench" not in path.parts}
    assert names == {*mirror.clips, "val.csv"}
    lines = (out / ".vidbench" / "fetch-kinetics400-val.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["reason"] == "ok" for line in lines) == 12, "every clip is counted once"


def test_ctrl_c_ends_in_good_order_and_another_terminal_sees_it(
    mirror: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "k400"
    url = "/kinetics/400/val/part_1.tar.gz"
    mirror.add(url, mirror._paths[url].data).always = mirror.step(delay_s=0.05, block=100)
    process = started(words(mirror, out, "--workers", "1"))
    until(lambda: len(tree(out)) >= 7, process)
    assert main(["data", "status", str(out)]) == 0
    assert "fetch-kinetics400-val: running, " in capsys.readouterr().out
    # a second one keeps its hands off
    assert main(words(mirror, out)) == 5
    assert "another process" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"run the same command to resume" in err
    assert main(["data", "status", str(out)]) == 0
    assert "fetch-kinetics400-val: interrupted, " in capsys.readouterr().out
    mirror.add(url, mirror._paths[url].data)
    assert main(words(mirror, out)) == 0
    assert tree(out) == mirror.clips


def test_a_full_disk_keeps_what_is_whole(mirror: Any, tmp_path: Path) -> None:
    if os.geteuid() != 0 or not Path("/bin/mount").exists():
        pytest.skip("needs to mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("may not mount")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vidbench", *words(mirror, disk / "k400")], capture_output=True, timeout=60
        )
        assert done.returncode == 4, done.stderr
        assert b"no space left" in done.stderr
        assert 0 < len(tree(disk)) < 12
        assert tree(disk).items() <= mirror.clips.items()
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert main(words(mirror, disk / "k400")) == 0
        assert tree(disk) == mirror.clips
    finally:
        subprocess.run(["umount", str(disk)], check=False)
