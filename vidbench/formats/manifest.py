"""The frozen manifest of a set of videos: what each file was when it was checked, as JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidbench.errors import InputError
from vidbench.formats.kinetics import line_errors
from vidbench.runs import write_text_atomic

VERSION = 1
CLASSES = (
    "ok",
    "short",
    "vfr",
    "duplicate",
    "corrupt",
    "unsupported",
    "no_video",
    "truncated",
    "empty",
    "missing",
)
"""What a checked video can be. Where several hold, the later one is told; `duplicate` is only said of usable files."""
USABLE = ("ok", "short", "vfr")
"""The classes whose videos are evaluated; `short` and `vfr` are warnings."""

_HEADER = ("manifest", "version", "level", "decoder", "min_duration_s", "listed", "source", "root")
_ROW = (
    "id",
    "path",
    "label",
    "sha256",
    "bytes",
    "frames",
    "fps",
    "duration_s",
    "width",
    "height",
    "codec",
    "class",
    "detail",
)
_SHA256 = re.compile("[0-9a-f]{64}")
_FPS = re.compile("[0-9]{1,9}(/[1-9][0-9]{0,8})?")
_REMEDY = "Write it again with `vidbench data check LIST --manifest FILE`; a manifest is not edited by hand."


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One video of a manifest; a fact that could not be found is None.

    Attributes:
        id: What names it in runs, the key of its records; unlike that of every other row.
        path: As it was listed.
        label: The class number; None where there was no list.
        sha256: Of the file's bytes, in hex.
        bytes: Its size.
        frames: Frames that decode (level full), else that are in the container; of a damaged file, up to the damage.
        fps: Average frames per second, exact.
        duration_s: Frames over fps.
        width: Pixels, as coded.
        height: Pixels, as coded.
        codec: FFmpeg's name.
        kind: One of `CLASSES`; the file's word for it is `class`.
        detail: Why, in a few words; empty for most that are ok.
        line: Its line in the manifest, from 1.
    """

    id: str
    path: str
    label: int | None
    sha256: str | None
    bytes: int | None
    frames: int | None
    fps: Fraction | None
    duration_s: float | None
    width: int | None
    height: int | None
    codec: str | None
    kind: str
    detail: str
    line: int = 0

    @property
    def usable(self) -> bool:
        """Whether a model is measured on it."""
        return self.kind in USABLE


@dataclass(frozen=True)
class Manifest:
    """A frozen set of videos.

    Attributes:
        level: How they were checked: "quick", "sampled" or "full".
        decoder: What decoded them.
        min_duration_s: Below it a video is `short`; None for no such bound.
        source: The list or folder that was checked, as it was typed.
        root: The folder that relative paths start from; if relative itself, from the manifest's folder.
        rows: Every listed video, good or bad, in the list's order.
    """

    level: str
    decoder: str
    min_duration_s: float | None
    source: str
    root: str
    rows: tuple[ManifestRow, ...]

    def base(self, manifest: Path) -> Path:
        """The folder of relative paths, for a manifest that lies at `manifest`."""
        return manifest.absolute().parent / self.root


def is_manifest(data: bytes, name: str = "") -> bool:
    """Whether a file's bytes are a manifest's: its first line says so, or the name ends in `.jsonl`."""
    first = data[: data.find(b"\n") if b"\n" in data else None]
    try:
        header = json.loads(first)
    except ValueError:
        header = None
    return (isinstance(header, dict) and "manifest" in header) or name.endswith(".jsonl")


def parse_manifest(lines: Iterable[str], source: str | Path) -> Manifest:
    """Read a manifest's lines.

    Args:
        lines: The lines, with or without their line ends.
        source: The file's name, for errors.

    Raises:
        InputError: Lines are malformed or missing; each is named as `file:line: reason`.
    """
    texts = [text.rstrip("\r\n") for text in lines]
    while texts and not texts[-1]:
        texts.pop()
    if not texts:
        raise InputError(f"{source}: the manifest is empty", _REMEDY)
    header = _header(texts[0], source)
    rows: list[ManifestRow] = []
    problems: list[tuple[int, str]] = []
    seen: dict[str, int] = {}
    for number, text in enumerate(texts[1:], start=2):
        try:
            row = _row(text, number)
            first = seen.setdefault(row.id, number)
            if first != number:
                raise ValueError(f"the id {row.id!r} is that of line {first}")
            rows.append(row)
        except ValueError as error:
            problems.append((number, str(error)))
    if not problems and len(rows) != header["listed"]:
        problems.append((1, f"the header lists {header['listed']} videos, {len(rows)} lines follow"))
    if problems:
        raise line_errors(source, problems, _REMEDY)
    return Manifest(
        header["level"],
        header["decoder"],
        None if header["min_duration_s"] is None else float(header["min_duration_s"]),
        header["source"],
        header["root"],
        tuple(rows),
    )


def dump_manifest(manifest: Manifest) -> str:
    """The text of a manifest; `parse_manifest` reads it back, and the same rows give the same text."""
    header = {
        "manifest": "vidbench",
        "version": VERSION,
        "level": manifest.level,
        "decoder": manifest.decoder,
        "min_duration_s": manifest.min_duration_s,
        "listed": len(manifest.rows),
        "source": manifest.source,
        "root": manifest.root,
    }
    lines = [header, *map(_values, manifest.rows)]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def decode_manifest(data: bytes, source: str | Path) -> Manifest:
    """Read a manifest from a file's bytes; errors as `parse_manifest`."""
    try:
        # not splitlines: a path may hold what that splits at
        return parse_manifest(data.decode("utf-8").split("\n"), source)
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: not UTF-8 text: {error.reason} at byte {error.start}", _REMEDY) from error


def load_manifest(path: Path) -> Manifest:
    """Read a manifest file.

    Raises:
        InputError: It is missing or malformed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return decode_manifest(data, path)


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest file, whole or not at all."""
    write_text_atomic(path, dump_manifest(manifest))


def _values(row: ManifestRow) -> dict[str, Any]:
    values = {name: getattr(row, "kind" if name == "class" else name) for name in _ROW}
    return values | {"fps": None if row.fps is None else str(row.fps)}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _fields(value: dict[str, Any], names: tuple[str, ...]) -> None:
    unlike = [f"no {name!r}" for name in names if name not in value]
    unlike += [f"an unknown field {name!r}" for name in value if name not in names]
    if unlike:
        raise ValueError(", ".join(unlike))


def _header(text: str, source: str | Path) -> dict[str, Any]:
    try:
        header = _object(text)
        if header.get("manifest") != "vidbench":
            raise ValueError("not the header of a vidbench manifest")
        if header.get("version") != VERSION:
            raise ValueError(f"version {header.get('version')}; this vidbench reads version {VERSION}")
        _fields(header, _HEADER)
        for name in ("level", "decoder", "source", "root"):
            _demand(isinstance(header[name], str) and header[name], name, header[name])
        _demand(_whole(header["listed"]), "listed", header["listed"])
        shortest = header["min_duration_s"]
        _demand(shortest is None or _amount(shortest), "min_duration_s", shortest)
    except ValueError as error:
        raise InputError(f"{source}:1: {error}", _REMEDY) from error
    return header


def _row(text: str, number: int) -> ManifestRow:
    value = _object(text)
    _fields(value, _ROW)
    for name in ("id", "path"):
        _demand(isinstance(value[name], str) and value[name] != "", name, value[name])
    for name in ("label", "bytes", "frames", "width", "height"):
        _demand(value[name] is None or _whole(value[name]), name, value[name])
    sha256, fps, codec = value["sha256"], value["fps"], value["codec"]
    _demand(sha256 is None or (isinstance(sha256, str) and _SHA256.fullmatch(sha256)), "sha256", sha256)
    _demand(fps is None or (isinstance(fps, str) and _FPS.fullmatch(fps)), "fps", fps)
    _demand(codec is None or isinstance(codec, str), "codec", codec)
    _demand(value["duration_s"] is None or _amount(value["duration_s"]), "duration_s", value["duration_s"])
    _demand(value["class"] in CLASSES, "class", value["class"])
    _demand(isinstance(value["detail"], str), "detail", value["detail"])
    return ManifestRow(
        id=value["id"],
        path=value["path"],
        label=value["label"],
        sha256=sha256,
        bytes=value["bytes"],
        frames=value["frames"],
        fps=None if fps is None else Fraction(fps),
        duration_s=None if value["duration_s"] is None else float(value["duration_s"]),
        width=value["width"],
        height=value["height"],
        codec=codec,
        kind=value["class"],
        detail=value["detail"],
        line=number,
    )


def _demand(holds: object, name: str, value: object) -> None:
    if not holds:
        raise ValueError(f"{name} is {json.dumps(value, ensure_ascii=False)}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _amount(value: object) -> bool:
    # JSON as Python reads it has NaN and Infinity; neither is an amount
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
