"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes
import sys

# of glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_memory(keep: bool = True) -> bool:
    """Has glibc's allocator keep what is freed for the next request of its size, in place of giving it back.

    Activations of video networks are large enough to be mapped anew at each layer, which costs a page fault for
    every 4 KiB: a sixth of the time of X3D-S on a CPU. The process's peak stays what it is. Nothing happens with
    another C library.

    Args:
        keep: False goes back to glibc's own settings.

    Returns:
        Whether it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        change = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mapped, trimmed = (0, 2**31 - 1) if keep else (65536, 128 * 1024)
    return bool(change(_M_MMAP_MAX, mapped) and change(_M_TRIM_THRESHOLD, trimmed))
