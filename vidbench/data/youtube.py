"""Videos from YouTube and other sites by yt-dlp: the one file that imports it."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vidbench.errors import MissingError
from vidbench.net.http import Failure, Reason

FORMAT = "b[vcodec^=avc1][height<=480]/bv[vcodec^=avc1][height<=480]/b[height<=480]/bv[height<=480]/b/bv"
"""H.264 with a short side that is enough for every 256-pixel protocol first; then anything."""

# yt-dlp has one exception for all that can go wrong, so its text is what tells; the first match counts
_REASONS: tuple[tuple[str, Reason, str], ...] = (
    (r"not a bot", "throttled", "bot-check"),
    (r"HTTP Error 429|Too Many Requests", "throttled", "http-429"),
    (r"isn'?t available, try again later|rate.?limit", "throttled", "session-limit"),
    (r"requested format|no video formats|unsupported url|not a valid url", "tool", "format"),
    (r"private video|video is private", "gone", "private"),
    (r"terminated|closed (their|this) account|account.*(suspended|closed)", "gone", "account"),
    (r"copyright", "gone", "copyright"),
    (r"removed|no longer available|does not exist|has been deleted", "gone", "removed"),
    (r"(available|blocked it) in your country|geo.?restrict", "blocked", "country"),
    (r"confirm your age|age.?restricted|inappropriate for some users", "blocked", "age"),
    (r"members.?only|join this channel|requires? payment|log ?in|sign in", "blocked", "sign-in"),
    (r"HTTP Error 404|HTTP Error 410", "gone", "http-404"),
    (r"HTTP Error 40[13]|HTTP Error 451|Forbidden", "blocked", "http-403"),
    (r"video (is )?(un|not )available|not available", "gone", "unavailable"),
    (r"timed out|timeout", "network", "timeout"),
    (r"reset by peer|connection (was )?(aborted|refused)|IncompleteRead|bytes read", "network", "reset"),
    (r"name or service not known|getaddrinfo|temporary failure in name resolution|unreachable", "network", "dns"),
    (r"HTTP Error 5\d\d|HTTP Error 408", "network", "http-5xx"),
    (r"javascript runtime|challenge solver|ffmpeg|ffprobe|postprocess", "tool", "yt-dlp"),
)


class _Words:
    """Collects what yt-dlp says, instead of its writing to the terminal."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, message: str) -> None:
        """Progress and the like: dropped."""

    info = debug

    def warning(self, message: str) -> None:
        """Kept: a warning often tells why the error came."""
        self.warnings.append(message)

    def error(self, message: str) -> None:
        """The exception says it, too."""


def missing() -> MissingError:
    """The error where yt-dlp is not installed."""
    return MissingError("downloading from YouTube needs the package yt_dlp", "pip install 'vidbench[youtube]'")


def at_hand() -> bool:
    """Whether yt-dlp is installed."""
    try:
        _library()
    except MissingError:
        return False
    return True


def download(
    url: str,
    stem: Path,
    *,
    timeout_s: float = 30.0,
    rate: float | None = None,
    cookies: Path | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """Download one video whole, in one of the formats of `FORMAT`.

    What an interrupted attempt left is continued. Nothing is written outside the folder of `stem`: no cache,
    no cookies.

    Args:
        url: The page or the file.
        stem: Where to write, without the ending, which the format decides.
        timeout_s: Seconds without an answer after which an attempt has failed.
        rate: Bytes a second at most.
        cookies: A cookie file in Netscape's form; read, never written.
        stopped: Asked between blocks; the download ends where it says so.

    Returns:
        The file.

    Raises:
        Failure: With its reason for a ledger.
        MissingError: yt-dlp is not installed.
        InterruptedError: `stopped` said so.
    """
    library = _library()
    words = _Words()

    def hook(_: dict[str, Any]) -> None:
        if stopped():
            raise InterruptedError

    options: dict[str, Any] = {
        "format": FORMAT,
        "outtmpl": {"default": f"{str(stem).replace('%', '%%')}.%(ext)s"},
        "quiet": True,
        "noprogress": True,
        "logger": words,
        "progress_hooks": [hook],
        "noplaylist": True,
        "cachedir": False,
        "socket_timeout": timeout_s,
        "retries": 3,
        "extractor_retries": 2,
        "fixup": "never",
        "updatetime": False,
        "overwrites": False,
        "color": "no_color",
    }
    if rate:
        options["ratelimit"] = rate
    if cookies:
        # a stream of its own: yt-dlp writes the cookies back into a file that it is given by name
        options["cookiefile"] = io.StringIO(cookies.read_text(encoding="utf-8"))
    try:
        with library.YoutubeDL(options) as loader:
            info = loader.extract_info(url, download=True)
            info = info["entries"][0] if info.get("entries") else info
            path = Path(info["requested_downloads"][0]["filepath"])
    except library.utils.YoutubeDLError as error:
        if stopped():
            raise InterruptedError from None
        raise classify(str(error), words.warnings) from error
    except (KeyError, IndexError, TypeError) as error:
        raise Failure("gone", "empty", "no video behind this address") from error
    return path


def classify(message: str, warnings: list[str] | None = None) -> Failure:
    """The reason behind what yt-dlp said."""
    text = re.sub(r"^ERROR:\s*", "", message).strip()
    told = text.splitlines()[0] if text else "no reason given"
    for pattern, reason, kind in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return Failure(reason, kind, told)
    hint = f" ({warnings[-1].splitlines()[0]})" if warnings else ""
    return Failure("tool", "yt-dlp", f"{told}{hint}")


def _library() -> Any:
    # plug-ins would be loaded from the home folder
    os.environ.setdefault("YTDLP_NO_PLUGINS", "1")
    try:
        import yt_dlp
    except ModuleNotFoundError as error:
        raise missing() from error
    return yt_dlp
