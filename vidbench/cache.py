"""Where downloads are kept between runs: one folder per user, or the one that $VIDBENCH_HOME names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HOME_VARIABLE = "VIDBENCH_HOME"


def home() -> Path:
    """The cache folder, absolute; it need not exist yet.

    `$VIDBENCH_HOME` where it is set, else `~/Library/Caches/vidbench` on macOS and
    `$XDG_CACHE_HOME/vidbench` or `~/.cache/vidbench` elsewhere (XDG Base Directory Specification 0.8,
    which has a relative `$XDG_CACHE_HOME` ignored).
    """
    chosen = os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vidbench"
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path.home() / ".cache") / "vidbench"


def weights_dir() -> Path:
    """Where published weights are kept: `weights/` in the cache folder."""
    return home() / "weights"
