"""What a file of weights is, by its content."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

FileKind = Literal["safetensors", "torch-zip", "torch-legacy", "pickle", "unknown"]

_HEAD_BYTES = 64
# the number 0x1950a86a20f9469cfc6c as a pickled long: what torch.save wrote first before it wrote zip files
_LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
# the largest header that the safetensors format allows
_SAFETENSORS_HEADER = 100_000_000


def sniff(path: Path) -> FileKind:
    """What a file is; the name is not looked at.

    "torch-zip" is what `torch.save` writes, "torch-legacy" what it wrote before version 1.6, "pickle"
    any other binary pickle (as Caffe2's `.pkl`; `vidbench.model.caffe2` tells what it holds). A zip archive or a
    safetensors file that was cut off is "unknown".
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    kind = sniff_head(head)
    if kind == "torch-zip" and not _is_torch_archive(path):
        return "unknown"
    if kind == "safetensors" and path.stat().st_size < 8 + int.from_bytes(head[:8], "little"):
        return "unknown"
    return kind


def sniff_head(head: bytes) -> FileKind:
    """What a file seems to be by its first 64 bytes; more may be wrong with it."""
    if head.startswith(b"PK\x03\x04"):
        return "torch-zip"
    if len(head) > 9 and head[:1] == b"\x80" and 2 <= head[1] <= 5:
        return "torch-legacy" if _LEGACY_MAGIC in head[:32] else "pickle"
    if len(head) > 9 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _SAFETENSORS_HEADER:
        return "safetensors"
    return "unknown"


def _is_torch_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name == "data.pkl" or name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False
