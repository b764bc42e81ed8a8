"""Fetching from a real server that has its moods: every item ends with a line and a reason, none is lost."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vidbench.data.fetch import FetchRequest, FetchResult, fetch
from vidbench.data.fetching import parse_rate
from vidbench.errors import InputError, NetworkError, UnknownNameError, UsageError
from vidbench.ledger import FOLDER
from vidbench.video.encode import encode
from vidbench.video.pyav import decode

LABELS = ("abseiling", "playing cards", "hurling (sport)")
S3 = "/kinetics/400"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    encode(path, (np.full((48, 64, 3), 20 + 8 * n, np.uint8) for n in range(20)), Fraction(30))
    return path.read_bytes()


def tarball(members: Iterable[tuple[str, bytes]], packed: bool = True) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if packed else "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def free_box(seed: int) -> bytes:
    """A part of an mp4 file that players pass over, of bytes that cannot be packed."""
    data = random.Random(seed).randbytes(1000 + seed)
    return (len(data) + 8).to_bytes(4, "big") + b"free" + data


class Kinetics:
    """A mirror of a small Kinetics: 12 clips of 3 classes in two tarballs."""

    def __init__(self, web: Any, video: bytes) -> None:
        self.web = web
        self.names = [f"-{n:02d}abcdefgh_{n:06d}_{n + 10:06d}.mp4" for n in range(12)]
        # every clip has bytes of its own, so that a mix-up shows
        self.clips = {name: video + free_box(n) for n, name in enumerate(self.names)}
        rows = [f"{LABELS[n % 3]},{name[:11]},{n},{n + 10},validate" for n, name in enumerate(self.names)]
        self.table = "label,youtube_id,time_start,time_end,split\n" + "".join(f"{row}\n" for row in rows)
        web.add(f"{S3}/annotations/val.csv", self.table.encode())
        paths = "".join(f"https://s3.amazonaws.com/kinetics/400/val/part_{n}.tar.gz\n" for n in range(2))
        web.add(f"{S3}/val/k400_val_path.txt", paths.encode())
        self.parts = [
            web.add(f"{S3}/val/part_0.tar.gz", tarball((f"./{name}", self.clips[name]) for name in self.names[:6])),
            # a plain tar in spite of its name, with a prefix and the leavings of a Mac
            web.add(
                f"{S3}/val/part_1.tar.gz",
                tarball(
                    [
                        *((f"home/x/{name}", self.clips[name]) for name in self.names[6:]),
                        (f"home/x/._{self.names[6]}", b"x"),
                    ],
                    packed=False,
                ),
            ),
        ]

    def place(self, name: str) -> str:
        label = LABELS[self.names.index(name) % 3].replace(" ", "_")
        return f"val/{label}/{name}"

    def tree(self, names: Iterable[str] | None = None) -> dict[str, bytes]:
        return {self.place(name): self.clips[name] for name in names or self.names}


@pytest.fixture
def kinetics(web: Any, video: bytes) -> Kinetics:
    return Kinetics(web, video)


def ask(web: Any, out: Path, source: str = "kinetics400", **options: Any) -> FetchResult:
    if source != "urls":
        options.setdefault("mirror", web.url)
    options.setdefault("via", "mirror")
    return fetch(FetchRequest(source=source, out=out, timeout_s=2, **options))


def tree(out: Path) -> dict[str, bytes]:
    files = [path for path in out.rglob("*") if path.is_file() and FOLDER not in path.parts]
    return {str(path.relative_to(out)): path.read_bytes() for path in files if path.parent.name != "annotations"}


def ledger(out: Path, job: str = "fetch-kinetics400-val") -> dict[str, dict[str, Any]]:
    lines = (out / FOLDER / f"{job}.jsonl").read_text().splitlines()
    return {record["key"]: record for record in map(json.loads, lines)}


def test_a_split_comes_out_of_its_tarballs(kinetics: Kinetics, tmp_path: Path) -> None:
    result = ask(kinetics.web, tmp_path)
    assert tree(tmp_path) == kinetics.tree()
    assert result.counts == {"ok": 12}
    assert result.bytes == sum(map(len, kinetics.clips.values()))
    assert (tmp_path / "annotations" / "val.csv").read_text() == kinetics.table
    record = ledger(tmp_path)[kinetics.place(kinetics.names[3])]
    assert record["reason"] == "ok"
    assert record["sha256"] == hashlib.sha256(kinetics.clips[kinetics.names[3]]).hexdigest()
    assert record["bytes"] == len(kinetics.clips[kinetics.names[3]])


def test_a_second_run_asks_for_nothing_again(kinetics: Kinetics, tmp_path: Path) -> None:
    ask(kinetics.web, tmp_path)
    before = [len(part.gets) for part in kinetics.parts]
    again = ask(kinetics.web, tmp_path)
    assert again.counts == {"ok": 12}
    assert again.here == 12
    assert [len(part.gets) for part in kinetics.parts] == before


def test_a_clip_that_was_removed_comes_again_and_only_its_tarball_is_read(kinetics: Kinetics, tmp_path: Path) -> None:
    ask(kinetics.web, tmp_path)
    (tmp_path / kinetics.place(kinetics.names[8])).unlink()
    before = [len(part.gets) for part in kinetics.parts]
    ask(kinetics.web, tmp_path)
    assert tree(tmp_path) == kinetics.tree()
    assert [len(part.gets) for part in kinetics.parts] == [before[0], before[1] + 1]


def test_the_first_so_many_and_then_more(kinetics: Kinetics, tmp_path: Path) -> None:
    result = ask(kinetics.web, tmp_path, limit=4)
    assert result.counts == {"ok": 4}
    assert tree(tmp_path) == kinetics.tree(kinetics.names[:4])
    assert len(kinetics.parts[1].gets) == 0
    assert ask(kinetics.web, tmp_path, limit=8).counts == {"ok": 8}
    assert tree(tmp_path) == kinetics.tree(kinetics.names[:8])


def test_so_many_of_each_class(kinetics: Kinetics, tmp_path: Path) -> None:
    assert ask(kinetics.web, tmp_path, per_class=2, sample_seed=1).counts == {"ok": 6}
    folders = [path.parent.name for path in tmp_path.rglob("*.mp4")]
    assert sorted(folders) == sorted(["abseiling", "hurling_(sport)", "playing_cards"] * 2)
    # a greater number adds
    before = tree(tmp_path)
    ask(kinetics.web, tmp_path, per_class=3, sample_seed=1)
    assert before.items() <= tree(tmp_path).items()
    assert len(tree(tmp_path)) == 9


def test_classes_by_name(kinetics: Kinetics, tmp_path: Path) -> None:
    ask(kinetics.web, tmp_path, classes="playing_cards")
    assert {path.parent.name for path in tmp_path.rglob("*.mp4")} == {"playing_cards"}
    with pytest.raises(UnknownNameError, match="playing cardz"):
        ask(kinetics.web, tmp_path / "other", classes="playing cardz")


def test_a_dry_run_counts_and_leaves_nothing(kinetics: Kinetics, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = ask(kinetics.web, out, dry_run=True)
    assert result.dry_run
    assert (result.wanted, result.here) == (12, 0)
    assert result.bytes == sum(len(part.data) for part in kinetics.parts)
    assert result.free > 1e6
    assert not out.exists()
    ask(kinetics.web, out)
    result = ask(kinetics.web, out, dry_run=True)
    assert (result.here, result.bytes) == (12, 0)


def test_a_broken_clip_is_corrupt_and_its_replacement_wins(kinetics: Kinetics, video: bytes, tmp_path: Path) -> None:
    bad = kinetics.names[2]
    members = [(name, b"no video" if name == bad else kinetics.clips[name]) for name in kinetics.names[:6]]
    kinetics.parts[0].data = tarball(members)
    result = ask(kinetics.web, tmp_path)
    assert result.counts == {"ok": 11, "corrupt": 1}
    assert result.failed == 1
    record = ledger(tmp_path)[kinetics.place(bad)]
    assert (record["state"], record["reason"], record["kind"]) == ("failed", "corrupt", "video")
    assert not (tmp_path / kinetics.place(bad)).exists()
    # corrupt stays corrupt unless it is asked for again
    kinetics.web.add(f"{S3}/replacement_for_corrupted_k400.tgz", tarball([(f"x/{bad}", kinetics.clips[bad])]))
    assert ask(kinetics.web, tmp_path).counts == {"ok": 11, "corrupt": 1}
    assert ask(kinetics.web, tmp_path, retry_reasons="corrupt,gone").counts == {"ok": 12}
    assert tree(tmp_path) == kinetics.tree()


def test_a_replacement_is_taken_in_the_same_run(kinetics: Kinetics, tmp_path: Path) -> None:
    bad = kinetics.names[2]
    kinetics.parts[0].data = tarball(
        (name, b"" if name == bad else kinetics.clips[name]) for name in kinetics.names[:6]
    )
    kinetics.web.add(f"{S3}/replacement_for_corrupted_k400.tgz", tarball([(f"x/{bad}", kinetics.clips[bad])]))
    assert ask(kinetics.web, tmp_path).counts == {"ok": 12}
    assert tree(tmp_path) == kinetics.tree()


def test_a_clip_in_no_tarball_is_gone(kinetics: Kinetics, tmp_path: Path) -> None:
    kinetics.web.add(f"{S3}/annotations/val.csv", (kinetics.table + "abseiling,zzzzzzzzzzz,3,13,val\n").encode())
    result = ask(kinetics.web, tmp_path)
    assert result.counts == {"ok": 12, "gone": 1}
    assert ledger(tmp_path)["val/abseiling/zzzzzzzzzzz_000003_000013.mp4"]["kind"] == "mirror"


def test_broken_lines_are_mended_in_the_middle_of_a_tarball(kinetics: Kinetics, tmp_path: Path) -> None:
    step = kinetics.web.step
    kinetics.parts[0].steps = [step(cut_after=700), step(cut_after=900), step(status=503)]
    kinetics.parts[1].steps = [step(cut_after=5000)]
    assert ask(kinetics.web, tmp_path).counts == {"ok": 12}
    assert tree(tmp_path) == kinetics.tree()
    assert any(asked.range for asked in kinetics.parts[0].gets)


def test_another_version_in_mid_stream_is_never_mixed_in(kinetics: Kinetics, tmp_path: Path) -> None:
    part = kinetics.parts[1]
    part.steps = [kinetics.web.step(cut_after=4000)]
    part.later = (1, tarball([("x", b"y" * 9000)], packed=False), '"v2"')
    result = ask(kinetics.web, tmp_path)
    assert "corrupt" in result.counts or "gone" in result.counts
    kept = tree(tmp_path)
    assert kept.items() <= kinetics.tree().items()


def test_a_tarball_that_ends_too_early_costs_what_it_lacks_alone(kinetics: Kinetics, tmp_path: Path) -> None:
    part = kinetics.parts[1]
    whole = part.data
    part.data = whole[: len(whole) // 2]
    result = ask(kinetics.web, tmp_path)
    assert result.counts["ok"] >= 8
    assert result.counts["ok"] + result.counts["corrupt"] == 12
    assert tree(tmp_path).items() <= kinetics.tree().items()
    part.data = whole
    assert ask(kinetics.web, tmp_path, retry_reasons="corrupt").counts == {"ok": 12}


def test_an_evil_tarball_writes_nowhere_else(kinetics: Kinetics, tmp_path: Path) -> None:
    name = kinetics.names[0]
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for bad in (f"../../{name}", f"{tmp_path}/elsewhere/{name}"):
            info = tarfile.TarInfo(bad)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"evil"))
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    kinetics.parts[0].data = stream.getvalue()
    out = tmp_path / "a" / "b"
    result = ask(kinetics.web, out)
    assert result.counts == {"ok": 6, "gone": 6}
    assert not list(tmp_path.glob("*.mp4"))
    assert not (tmp_path / "elsewhere").exists()
    assert not any(path.is_symlink() for path in out.rglob("*"))


def test_a_server_that_throttles_ends_the_job(kinetics: Kinetics, tmp_path: Path) -> None:
    kinetics.parts[0].always = kinetics.web.step(status=429, headers={"Retry-After": "3600"})
    with pytest.raises(NetworkError, match="asks for a pause") as caught:
        ask(kinetics.web, tmp_path, workers=1)
    assert caught.value.exit_code == 7
    assert len(kinetics.parts[1].gets) == 0
    kinetics.parts[0].always = kinetics.web.step()
    assert ask(kinetics.web, tmp_path).counts == {"ok": 12}


def test_without_annotations_there_is_no_job(web: Any, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="gone"):
        ask(web, tmp_path)
    web.add(f"{S3}/annotations/val.csv", b"<html>sign in</html>")
    with pytest.raises(NetworkError, match="corrupt"):
        ask(web, tmp_path)
    assert not (tmp_path / "annotations" / "val.csv").exists()


def test_a_file_of_another_program_is_taken_over(kinetics: Kinetics, tmp_path: Path) -> None:
    name = kinetics.names[0]
    place = tmp_path / kinetics.place(name)
    place.parent.mkdir(parents=True)
    place.write_bytes(kinetics.clips[name])
    broken = tmp_path / kinetics.place(kinetics.names[1])
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"left by a crawler")
    assert ask(kinetics.web, tmp_path).counts == {"ok": 12}
    assert tree(tmp_path) == kinetics.tree()
    assert ledger(tmp_path)[kinetics.place(name)]["detail"] == "found in its place"


def test_a_part_of_a_file_that_another_program_left_is_not_taken_for_whole(
    web: Any, ava: dict[str, bytes], kinetics: Kinetics, tmp_path: Path, make_video: Any
) -> None:
    # Matroska opens and counts as many frames as are left; a table is a table, however short
    whole = make_video("whole.mp4", frames=60)
    film = tmp_path / "film.mkv"
    with av.open(str(whole)) as old, av.open(str(film), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    name = next(iter(ava))
    web.add(f"/ava-dataset/trainval/{name}.mkv", film.read_bytes())
    out = tmp_path / "out"
    (out / "videos").mkdir(parents=True)
    (out / "frame_lists").mkdir()
    (out / "annotations").mkdir()
    (out / "videos" / f"{name}.mkv").write_bytes(film.read_bytes()[:-400])
    (out / "frame_lists" / "val.csv").write_text("lis")
    (out / "annotations" / "val.csv").write_text("".join(kinetics.table.splitlines(keepends=True)[:3]))
    ask(web, out, "ava")
    assert (out / "videos" / f"{name}.mkv").read_bytes() == film.read_bytes()
    assert (out / "frame_lists" / "val.csv").read_text() == "list of val\n"
    assert ask(web, out).counts == {"ok": 12}
    assert (out / "annotations" / "val.csv").read_text() == kinetics.table


def test_one_tarball_per_class_is_read_for_the_classes_wanted_alone(web: Any, video: bytes, tmp_path: Path) -> None:
    base = "/kinetics/600"
    names = {"abseiling": "aaaaaaaaaaa_000001_000011.mp4", "playing chess": "bbbbbbbbbbb_000002_000012.mp4"}
    table = "label,youtube_id,time_start,time_end,split\n" + "".join(
        f"{label},{name[:11]},{int(name[12:18])},{int(name[19:25])},val\n" for label, name in names.items()
    )
    web.add(f"{base}/annotations/val.csv", table.encode())
    web.add(
        f"{base}/val/k600_val_path.txt",
        "".join(f"https://s3.amazonaws.com{base}/val/{label}.tar.gz\n" for label in names).encode(),
    )
    parts = {
        label: web.add(f"{base}/val/{label}.tar.gz", tarball([(f"{label}/{name}", video)]))
        for label, name in names.items()
    }
    result = ask(web, tmp_path, "kinetics600", classes="playing chess")
    assert result.counts == {"ok": 1}
    assert tree(tmp_path) == {f"val/playing_chess/{names['playing chess']}": video}
    assert len(parts["abseiling"].gets) == 0


# --- YouTube ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """30 s whose frame at n/10 s has the grey level 20 + n % 200."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    encode(path, (np.full((48, 64, 3), 20 + n % 200, np.uint8) for n in range(300)), Fraction(10), gop=70)
    return path.read_bytes()


def test_what_the_mirror_lacks_comes_from_youtube_cut_to_the_frame(
    kinetics: Kinetics, long_video: bytes, tmp_path: Path
) -> None:
    web = kinetics.web
    extra = "abseiling,-_yyyyyyyyy,3,13,val\nabseiling,zzzzzzzzzzz,3,13,val\nabseiling,xxxxxxxxxxx,40,50,val\n"
    web.add(f"{S3}/annotations/val.csv", (kinetics.table + extra).encode())
    page = f"{web.url}/watch/{{id}}.mp4"
    for video_id in ("-_yyyyyyyyy", "xxxxxxxxxxx"):
        web.add(f"/watch/{video_id}.mp4", long_video)
    # from the mirror alone first: they are gone there, and not given up for good
    assert ask(web, tmp_path).counts == {"ok": 12, "gone": 3}
    result = ask(web, tmp_path, via=None, youtube_url=page)
    assert result.counts == {"ok": 13, "corrupt": 1, "gone": 1}
    place = "val/abseiling/-_yyyyyyyyy_000003_000013.mp4"
    record = ledger(tmp_path)[place]
    assert (record["reason"], record["frames"], record["via"]) == ("ok", 100, "youtube")
    seen = decode(tmp_path / place, lambda info: range(info.frames))
    assert [round(float(frame.mean())) - 20 for frame in seen.data] == pytest.approx(range(30, 130), abs=1)
    late = ledger(tmp_path)["val/abseiling/xxxxxxxxxxx_000040_000050.mp4"]
    assert late["detail"] == "no frame from 40 to 50 s"
    assert ledger(tmp_path)["val/abseiling/zzzzzzzzzzz_000003_000013.mp4"]["via"] == "youtube"
    assert not list((tmp_path / FOLDER / "youtube").iterdir()), "no video is left behind"
    before = len(web.log)
    ask(web, tmp_path, via=None, youtube_url=page)
    assert not [asked for asked in web.log[before:] if asked.path.startswith("/watch")]


def test_a_tarball_that_cannot_be_reached_now_is_no_reason_to_go_to_youtube(kinetics: Kinetics, tmp_path: Path) -> None:
    web = kinetics.web
    kinetics.parts[1].always = web.step(status=500)
    page = f"{web.url}/watch/{{id}}.mp4"
    result = ask(web, tmp_path, via=None, youtube_url=page, attempts=2)
    assert result.counts == {"ok": 6, "network": 6}
    assert not [asked for asked in web.log if asked.path.startswith("/watch")]
    kinetics.parts[1].always = web.step()
    assert ask(web, tmp_path, via=None, youtube_url=page).counts == {"ok": 12}


def test_youtube_alone_takes_the_first_so_many_that_are_there(
    kinetics: Kinetics, long_video: bytes, tmp_path: Path
) -> None:
    web = kinetics.web
    for name in kinetics.names[1:]:
        web.add(f"/watch/{name[:11]}.mp4", long_video)
    options = {"via": "youtube", "youtube_url": f"{web.url}/watch/{{id}}.mp4", "limit": 3}
    assert ask(web, tmp_path, **options).counts == {"ok": 3}
    assert sorted(path.name for path in tmp_path.rglob("*.mp4")) == sorted(kinetics.names[1:4])
    assert all(len(part.gets) == 0 for part in kinetics.parts)


def test_youtube_that_throttles_ends_the_job(kinetics: Kinetics, tmp_path: Path) -> None:
    web = kinetics.web
    for name in kinetics.names:
        web.add(f"/watch/{name[:11]}.mp4", b"").always = web.step(status=429)
    with pytest.raises(NetworkError, match="asks for a pause"):
        ask(web, tmp_path, via="youtube", youtube_url=f"{web.url}/watch/{{id}}.mp4", workers=1)
    assert len({asked.path for asked in web.log if asked.path.startswith("/watch")}) == 1
    assert [record["reason"] for record in ledger(tmp_path).values()] == ["throttled"]


def test_videos_of_pages(web: Any, long_video: bytes, tmp_path: Path) -> None:
    web.add("/page.mp4", long_video)
    web.add("/none", b"<html></html>")
    links = tmp_path / "links.txt"
    links.write_text(f"{web.url}/page.mp4\tmine.mp4\n{web.url}/none\n")
    result = ask(web, tmp_path / "out", "urls", file=links, via="youtube", pause_s=0)
    assert result.counts == {"ok": 1, "tool": 1}
    assert (tmp_path / "out" / "mine.mp4").read_bytes() == long_video


@pytest.mark.parametrize(("reasons", "again"), [("timeout", True), ("network", True), ("dns,throttled", False)])
def test_failures_are_tried_again_by_reason_or_kind(
    kinetics: Kinetics, tmp_path: Path, reasons: str, again: bool
) -> None:
    ask(kinetics.web, tmp_path, limit=3)
    lost = kinetics.place(kinetics.names[8])
    record = {
        "key": lost,
        "name": lost,
        "state": "failed",
        "reason": "network",
        "kind": "timeout",
        "detail": "timed out",
    }
    with (tmp_path / FOLDER / "fetch-kinetics400-val.jsonl").open("a") as lines:
        lines.write(json.dumps(record) + "\n")
    result = ask(kinetics.web, tmp_path, retry_reasons=reasons)
    assert result.counts == ({"ok": 12} if again else {"ok": 11, "network": 1})
    assert (tmp_path / lost).exists() == again


@pytest.mark.parametrize(
    ("text", "rate"), [("500K", 5e5), ("5M", 5e6), ("1.5G", 1.5e9), ("800", 800), ("2MB/s", 2e6), (" 3k ", 3e3)]
)
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-5M", "5T", "1e6"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        parse_rate(text)


def test_a_rate_holds_over_all_downloads(web: Any, tmp_path: Path) -> None:
    for number in range(4):
        web.add(f"/{number}.bin", bytes(50_000))
    (tmp_path / "links.txt").write_text("".join(f"{web.url}/{number}.bin\n" for number in range(4)))
    started = time.monotonic()
    ask(web, tmp_path / "out", "urls", file=tmp_path / "links.txt", rate="100K")
    assert 1.2 < time.monotonic() - started < 20


# --- AVA ----------------------------------------------------------------------------------------------------


@pytest.fixture
def ava(web: Any, video: bytes) -> Any:
    films = {f"film{n}_{n:05d}": video + free_box(n) for n in range(4)}
    web.add("/ava-dataset/annotations/ava_file_names_trainval_v2.1.txt", "".join(f"{f}.mkv\n" for f in films).encode())
    for name, data in films.items():
        web.add(f"/ava-dataset/trainval/{name}.mkv", data)
    train = "".join(f"{name},0902,0.1,0.2,0.3,0.4,12,1\n" for name in list(films)[:3])
    val = f"{list(films)[3]},0902,0.1,0.2,0.3,0.4,12,1\n"
    members = [
        ("ava_annotations/ava_train_v2.2.csv", train.encode()),
        ("ava_annotations/ava_val_v2.2.csv", val.encode()),
    ]
    members.append(("ava_annotations/person_box_67091280_iou90/boxes.csv", b"x,y\n"))
    web.add("/pyslowfast/annotation/ava/ava_annotations.tar", tarball(members, packed=False))
    for split in ("train", "val"):
        web.add(f"/video-long-term-feature-banks/data/ava/frame_lists/{split}.csv", f"list of {split}\n".encode())
    for split in ("train", "val", "test"):
        web.add(f"/video-long-term-feature-banks/data/ava/annotations/ava_{split}_predicted_boxes.csv", b"boxes\n")
    return films


def test_all_of_ava(web: Any, ava: dict[str, bytes], tmp_path: Path) -> None:
    result = ask(web, tmp_path, "ava")
    assert result.counts == {"ok": 3 + 2 + 3 + 4}
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {
        "annotations/ava_train_v2.2.csv",
        "annotations/person_box_67091280_iou90/boxes.csv",
        "annotations/ava_test_predicted_boxes.csv",
        "frame_lists/val.csv",
        *(f"videos/{name}.mkv" for name in ava),
    } <= found
    assert all((tmp_path / f"videos/{name}.mkv").read_bytes() == data for name, data in ava.items())
    before = len(web.log)
    assert ask(web, tmp_path, "ava").counts == result.counts
    # the list of films alone
    assert len(web.log) == before + 1


def test_films_of_one_split_and_parts_of_ava(web: Any, ava: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which films"):
        ask(web, tmp_path, "ava", split="val", what="videos")
    ask(web, tmp_path, "ava", split="val", what="annotations,videos")
    assert [path.name for path in (tmp_path / "videos").iterdir()] == [f"{list(ava)[3]}.mkv"]
    assert not (tmp_path / "frame_lists").exists()
    ask(web, tmp_path, "ava", split="train", what="videos", limit=2)
    assert len(list((tmp_path / "videos").iterdir())) == 3


def test_reasons_of_single_files(web: Any, ava: dict[str, bytes], tmp_path: Path) -> None:
    names = list(ava)
    served = [web.add(f"/ava-dataset/trainval/{name}.mkv", data) for name, data in ava.items()]
    served[0].always = web.step(status=404)
    served[1].always = web.step(status=403)
    served[2].data = b"<html>not a video</html>"
    # a line that breaks twice, a slow one, and a redirect
    served[3].steps = [web.step(cut_after=300), web.step(cut_after=500, delay_s=0.05, block=200)]
    result = ask(web, tmp_path, "ava", what="videos")
    reasons = [ledger(tmp_path, "fetch-ava")[f"videos/{name}.mkv"]["reason"] for name in names]
    assert reasons == ["gone", "blocked", "corrupt", "ok"]
    assert result.failed == 3
    asked = [len(one.gets) for one in served]
    ask(web, tmp_path, "ava", what="videos")
    assert [len(one.gets) for one in served] == asked, "what cannot help is not tried again"
    served[0].always = web.step()
    ask(web, tmp_path, "ava", what="videos", retry_reasons="gone")
    assert ledger(tmp_path, "fetch-ava")[f"videos/{names[0]}.mkv"]["reason"] == "ok"


# --- Charades -----------------------------------------------------------------------------------------------


@pytest.fixture
def charades(web: Any) -> Any:
    videos = {f"VID{n:02d}": {f"VID{n:02d}-{k:06d}.jpg": bytes([n, k]) * 700 for k in range(1, 6)} for n in range(6)}
    members = [(f"Charades_v1_rgb/{v}/{name}", data) for v, frames in videos.items() for name, data in frames.items()]
    served = web.add("/charades/Charades_v1_rgb.tar", tarball(members, packed=False))
    head = "original_vido_id video_id frame_id path labels\n"
    for split, ids in (("train", list(videos)[:4]), ("val", list(videos)[4:])):
        rows = "".join(f'{v} {n} 0 {v}/{v}-000001.jpg ""\n' for n, v in enumerate(ids))
        web.add(f"/pyslowfast/dataset/charades/frame_lists/{split}.csv", (head + rows).encode())
    return videos, served


def frames_of(out: Path) -> dict[str, dict[str, bytes]]:
    home = out / "Charades_v1_rgb"
    return {folder.name: {path.name: path.read_bytes() for path in folder.iterdir()} for folder in home.iterdir()}


def test_all_of_charades(web: Any, charades: Any, tmp_path: Path) -> None:
    videos, served = charades
    result = ask(web, tmp_path, "charades")
    assert frames_of(tmp_path) == videos
    assert result.counts == {"ok": 6 + 2}
    ask(web, tmp_path, "charades")
    assert len(served.gets) == 1


def test_charades_is_taken_up_in_the_middle(web: Any, charades: Any, tmp_path: Path) -> None:
    videos, served = charades
    assert ask(web, tmp_path, "charades", limit=3).counts == {"ok": 3 + 2}
    assert set(frames_of(tmp_path)) == set(list(videos)[:3])
    ask(web, tmp_path, "charades")
    assert frames_of(tmp_path) == videos
    start = int(served.gets[-1].range.rstrip("-"))
    # at the third video, which is here and passed over
    assert start == 2 * 5 * (512 + 1536)
    # a new version is read from its beginning
    (tmp_path / "Charades_v1_rgb" / "VID05" / "VID05-000001.jpg").unlink()
    served.etag = '"v2"'
    ask(web, tmp_path, "charades")
    assert frames_of(tmp_path) == videos


def test_a_split_of_charades(web: Any, charades: Any, tmp_path: Path) -> None:
    videos, _ = charades
    ask(web, tmp_path, "charades", split="val")
    assert set(frames_of(tmp_path)) == set(list(videos)[4:])
    ask(web, tmp_path, "charades")
    assert frames_of(tmp_path) == videos


def test_videos_by_name(web: Any, ava: dict[str, bytes], charades: Any, kinetics: Kinetics, tmp_path: Path) -> None:
    films = list(ava)
    ask(web, tmp_path / "ava", "ava", ids=f"{films[2]},{films[0]}", what="videos")
    assert {path.stem for path in (tmp_path / "ava" / "videos").iterdir()} == {films[0], films[2]}
    with pytest.raises(UnknownNameError, match=films[1]):
        ask(web, tmp_path / "ava", "ava", ids=f"{films[1]}x", what="videos")
    result = ask(web, tmp_path / "charades", "charades", ids="VID03,VID99", what="frames")
    assert set(frames_of(tmp_path / "charades")) == {"VID03"}
    assert result.counts == {"ok": 1, "gone": 1}
    ask(web, tmp_path / "charades", "charades", what="frames")
    assert frames_of(tmp_path / "charades") == charades[0]
    ask(web, tmp_path / "k", ids=kinetics.names[4][:11])
    assert tree(tmp_path / "k") == kinetics.tree([kinetics.names[4]])


# --- links --------------------------------------------------------------------------------------------------


def test_links_with_names_of_every_kind(web: Any, video: bytes, tmp_path: Path) -> None:
    names = ["a b.mp4", "it's.mp4", "-dash.mp4", "größe.mp4", "notes.txt"]
    for name in names:
        web.add(f"/v/{name}", video if name.endswith("mp4") else b"text")
    links = tmp_path / "links.txt"
    links.write_text(
        "# mine\n" + "".join(f"{web.url}/v/{name}\n" for name in names) + f"\n{web.url}/v/{names[0]}\tother.mp4\n"
    )
    result = ask(web, tmp_path / "out", "urls", file=links, via=None)
    assert result.counts == {"ok": 6}
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {*names, "other.mp4"}


def test_bad_lines_of_links_are_all_told(web: Any, tmp_path: Path) -> None:
    links = tmp_path / "links.txt"
    links.write_text(
        f"{web.url}/a.mp4\nftp://x/b.mp4\n{web.url}/\n{web.url}/sub/a.mp4\n{web.url}/c.mp4\t../../evil.mp4\nfile:///etc/passwd\n"
    )
    with pytest.raises(InputError) as caught:
        ask(web, tmp_path / "out", "urls", file=links)
    lines = caught.value.message.splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4", "5", "6"]
    assert "line 1" in lines[2]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.mp4"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "vale"}, "no split"),
        ({"file": Path("x")}, "takes no file"),
        ({"source": "urls"}, "needs a file"),
        ({"source": "ava", "per_class": 2}, "no classes"),
        ({"source": "ava", "what": "films"}, "no part"),
        ({"retry_reasons": "often"}, "is no reason"),
        ({"rate": "fast"}, "--rate"),
        ({"mirror": "file:///x"}, "--mirror"),
        ({"youtube_url": "http://x/y"}, "no {id}"),
    ],
)
def test_options_that_do_not_fit(web: Any, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(web, tmp_path, options.pop("source", "kinetics400"), **options)
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_unknown_source_offers_the_nearest(web: Any, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="kinetics400"):
        ask(web, tmp_path, "kinetic400")
