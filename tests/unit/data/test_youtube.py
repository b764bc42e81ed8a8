"""Videos by yt-dlp from a real server, and reasons out of what it says."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidbench.data.youtube import classify, download
from vidbench.net.http import Failure
from vidbench.video.encode import encode


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("ERROR: [youtube] abc: Video unavailable", "gone"),
        ("ERROR: [youtube] abc: Private video. Sign in if you've been granted access to this video", "gone"),
        ("ERROR: [youtube] abc: Video unavailable. This video has been removed by the uploader", "gone"),
        ("ERROR: [youtube] abc: This video is no longer available because its account has been terminated.", "gone"),
        ("ERROR: [youtube] abc: Sign in to confirm you\u2019re not a bot. Use --cookies", "throttled"),
        ("ERROR: [youtube] abc: Video unavailable. This content isn't available, try again later.", "throttled"),
        ("ERROR: unable to download video data: HTTP Error 429: Too Many Requests", "throttled"),
        ("ERROR: [youtube] abc: Sign in to confirm your age. It may be inappropriate for some users.", "blocked"),
        ("ERROR: [youtube] abc: The uploader has not made this video available in your country", "blocked"),
        ("ERROR: [youtube] abc: Join this channel to get access to members-only content", "blocked"),
        ("ERROR: unable to download video data: HTTP Error 403: Forbidden", "blocked"),
        ("ERROR: [generic] Unable to download webpage: HTTP Error 404: Not Found", "gone"),
        ("ERROR: Unable to download webpage: The read operation timed out", "network"),
        ("ERROR: Unable to download webpage: [Errno -2] Name or service not known", "network"),
        ("ERROR: [generic] Unable to download webpage: HTTP Error 503: Service Unavailable", "network"),
        ("ERROR: [youtube] abc: Requested format is not available", "tool"),
        ("ERROR: ffmpeg not found. Please install or provide the path using --ffmpeg-location", "tool"),
        ("ERROR: something nobody has seen before", "tool"),
    ],
)  # fmt: skip
def test_reasons(message: str, reason: str) -> None:
    failure = classify(message)
    assert failure.reason == reason, failure.kind
    assert failure.detail == message.removeprefix("ERROR: ").splitlines()[0]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    encode(path, (np.full((48, 64, 3), 20 + n, np.uint8) for n in range(200)), Fraction(10))
    return path.read_bytes()


def test_a_video_comes_by_the_generic_extractor(web: Any, film: bytes, tmp_path: Path) -> None:
    web.add("/watch/abc.mp4", film)
    got = download(f"{web.url}/watch/abc.mp4", tmp_path / "50% off {x}", timeout_s=5)
    assert got == tmp_path / "50% off {x}.mp4"
    assert got.read_bytes() == film
    assert [path.name for path in tmp_path.iterdir()] == [got.name]


def test_a_download_that_broke_off_is_continued(web: Any, film: bytes, tmp_path: Path) -> None:
    served = web.add("/watch/abc.mp4", film)
    served.always = web.step(cut_after=3000)
    with pytest.raises(Failure) as caught:
        download(f"{web.url}/watch/abc.mp4", tmp_path / "video", timeout_s=2)
    assert caught.value.reason == "network", caught.value.detail
    served.always = web.step()
    got = download(f"{web.url}/watch/abc.mp4", tmp_path / "video", timeout_s=5)
    assert got.read_bytes() == film


@pytest.mark.parametrize(("status", "reason"), [(404, "gone"), (403, "blocked"), (429, "throttled"), (503, "network")])
def test_statuses_have_their_reasons(web: Any, film: bytes, tmp_path: Path, status: int, reason: str) -> None:
    web.add("/watch/abc.mp4", film).always = web.step(status=status)
    with pytest.raises(Failure) as caught:
        download(f"{web.url}/watch/abc.mp4", tmp_path / "video", timeout_s=2)
    assert caught.value.reason == reason, caught.value.detail
    assert not list(tmp_path.glob("*.mp4"))


def test_a_page_without_a_video_is_told(web: Any, tmp_path: Path) -> None:
    web.add("/watch/abc", b"<html><title>Nothing here</title></html>")
    with pytest.raises(Failure) as caught:
        download(f"{web.url}/watch/abc", tmp_path / "video", timeout_s=2)
    assert caught.value.reason == "tool", caught.value.detail


def test_cookies_are_read_and_never_written(web: Any, film: bytes, tmp_path: Path) -> None:
    served = web.add("/watch/abc.mp4", film)
    cookies = tmp_path / "cookies.txt"
    text = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t2147483647\tsession\tsecret\n"
    cookies.write_text(text)
    download(f"{web.url}/watch/abc.mp4", tmp_path / "video", timeout_s=5, cookies=cookies)
    assert cookies.read_text() == text
    assert any("session=secret" in asked.headers.get("Cookie", "") for asked in served.gets)


def test_it_can_be_stopped(web: Any, film: bytes, tmp_path: Path) -> None:
    web.add("/watch/abc.mp4", film)
    with pytest.raises(InterruptedError):
        download(f"{web.url}/watch/abc.mp4", tmp_path / "video", timeout_s=5, stopped=lambda: True)
