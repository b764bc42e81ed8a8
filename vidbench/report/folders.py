"""What a report takes from a run folder: validated values, nothing believed unseen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vidbench.errors import InputError
from vidbench.report.detect_summary import DetectExample, DetectSummary
from vidbench.report.summaries import (
    AttackedExample,
    AttackRun,
    Epoch,
    EvalSummary,
    Example,
    FinetuneSummary,
    Kind,
    Manifest,
    Record,
    Stored,
    Summary,
    VerifySummary,
    budget,
)
from vidbench.runs import MANIFEST, RECORDS, SCHEMA_VERSION, SUMMARY

EPOCHS = "epochs.jsonl"
MAX_IMAGES = {"attack": 6, "eval": 12}
MAX_IMAGE_BYTES = 1_500_000
KINDS: dict[str, Kind] = {
    "model eval": "eval",
    "model finetune": "finetune",
    "attack run": "attack",
    "attack verify": "verify",
}
_PNG = b"\x89PNG\r\n\x1a\n"
_REMEDY = "Give folders that `vidbench model eval`, `model finetune`, `attack run` or `attack verify` wrote."

M = TypeVar("M", bound=Stored)


@dataclass(frozen=True)
class Run:
    """A run as a report shows it.

    Attributes:
        folder: Where it is.
        name: What the page calls it; unlike that of every other run on the page.
        kind: What it measured.
        manifest: What was asked.
        summary: Its figures; None while the run is not done, when a stored summary may be out of date.
        epochs: Finished epochs of a training run, in order.
        records: Finished items, failed ones included.
        failed: Items among them that failed.
    """

    folder: Path
    name: str
    kind: Kind
    manifest: Manifest
    summary: Summary | DetectSummary | None
    epochs: tuple[Epoch, ...]
    records: int
    failed: int


@dataclass(frozen=True)
class Image:
    """A film strip's bytes, its size in pixels, what it shows, whether a row of it is heat, and of which maps.

    Attributes:
        video: The bytes of an MP4 file that shows the same in motion; empty without one.
        kind: Of the miss of a detector: "wrong" or "missed".
    """

    data: bytes
    width: int
    height: int
    caption: str
    heat: bool = False
    maps: tuple[str, ...] = ()
    video: bytes = b""
    kind: str = ""


def read_runs(folders: tuple[Path, ...]) -> tuple[Run, ...]:
    """Read every folder, in the order given.

    Raises:
        InputError: A folder is no run, is given twice, or holds a file of another form.
    """
    places = [folder.resolve() for folder in folders]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise InputError(f"{folders[index]}: this run is given twice")
    return tuple(_read(folder, name) for folder, name in zip(folders, _names(places), strict=True))


def _names(places: list[Path]) -> list[str]:
    """The last part of each path, and as many parents as it takes to tell the paths apart."""
    depth = 1
    names = [place.name for place in places]
    while len(set(names)) < len(names) and depth < max(len(place.parts) for place in places):
        depth += 1
        names = [
            "/".join(place.parts[-depth:]) if names.count(name) > 1 else name
            for place, name in zip(places, names, strict=True)
        ]
    return names


def _read(folder: Path, name: str) -> Run:
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: not a run folder: it holds no {MANIFEST}", _REMEDY)
    manifest = _parse(Manifest, _bytes(folder / MANIFEST), str(folder / MANIFEST))
    if manifest.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{folder / MANIFEST}: schema version {manifest.schema_version}; this vidbench reads {SCHEMA_VERSION}"
        )
    if manifest.command not in KINDS:
        raise InputError(f"{folder / MANIFEST}: a report cannot show a run of {manifest.command!r}", _REMEDY)
    kind = KINDS[manifest.command]
    epochs = _epochs(folder / EPOCHS) if kind == "finetune" else ()
    summary: Summary | DetectSummary | None = None
    if manifest.status == "done" and (folder / SUMMARY).is_file():
        summary = _summary(kind, folder / SUMMARY)
    if kind == "finetune":
        return Run(folder, name, kind, manifest, summary, epochs, len(epochs), 0)
    states = _states(folder / RECORDS) if summary is None else {}
    failed = sum(state != "ok" for state in states.values())
    return Run(folder, name, kind, manifest, summary, (), len(states), failed)


def _summary(kind: Kind, path: Path) -> Summary | DetectSummary:
    text, source = _bytes(path), str(path)
    if kind == "eval" and _parse(_EvalForm, text, source).task == "detect":
        return _parse(DetectSummary, text, source)
    if kind == "eval":
        return _parse(EvalSummary, text, source)
    if kind == "finetune":
        return _parse(FinetuneSummary, text, source)
    if kind == "verify":
        return _parse(VerifySummary, text, source)
    if _parse(_AttackForm, text, source).is_old:
        raise InputError(
            f"{source}: written by an older version of vidbench, which kept other figures",
            "Run the attack again with --overwrite.",
        )
    return _parse(AttackRun, text, source)


class _EvalForm(Stored):
    """What an evaluation measured."""

    task: Any = None


class _AttackForm(Stored):
    """Whether the figures of an attack stand by themselves, as they once did, or in columns."""

    columns: Any = None
    curve: Any = None

    @property
    def is_old(self) -> bool:
        return self.columns is None and self.curve is not None


def _epochs(path: Path) -> tuple[Epoch, ...]:
    found = {}
    for number, line in _lines(path):
        epoch = _parse(Epoch, line, f"{path}:{number}")
        found[epoch.key] = epoch
    return tuple(sorted(found.values(), key=lambda epoch: epoch.epoch))


def _states(path: Path) -> dict[str, str]:
    found = {}
    for number, line in _lines(path):
        record = _parse(Record, line, f"{path}:{number}")
        found[record.key] = record.status
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines with their numbers; a torn last line is simply not done yet."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.endswith(b"\n") and line.strip():
                yield number, line


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _parse(model: type[M], text: bytes, source: str) -> M:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{source}: {where + ': ' if where else ''}{first['msg']}") from error


def read_images(run: Run) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """The film strips of an attack or of the worst misses of an evaluation, and a remark for each that is left out.

    At most `MAX_IMAGES` of the run's kind, PNG files (and beside them MP4 files) of at most `MAX_IMAGE_BYTES`, and
    only from inside the run folder: the names come from a file that anyone may have written.
    """
    read: list[tuple[str, tuple[Image | str, str | None]]]
    if isinstance(run.summary, AttackRun):
        read = [(one.file, _attacked_image(run.folder, one, run.summary)) for one in _of_each(run.summary)]
    elif isinstance(run.summary, DetectSummary):
        misses = _of_both(run.summary.examples, MAX_IMAGES["eval"])
        read = [(one.file, (_miss_image(run.folder, one), None)) for one in misses]
    elif isinstance(run.summary, EvalSummary):
        strips = run.summary.examples[: MAX_IMAGES["eval"]]
        read = [(one.file, (_image(run.folder, one), None)) for one in strips]
    else:
        return (), ()
    images: list[Image] = []
    remarks: list[str] = []
    for file, (found, remark) in read:
        if isinstance(found, Image):
            images.append(found)
        else:
            remarks.append(f"{file}: {found}")
        remarks += [remark] if remark else []
    more = len(run.summary.examples) - len(read)
    if more > 0:
        remarks.append(f"{more} more in the run folder; a report shows at most {len(read)} of a run")
    return tuple(images), tuple(remarks)


def _of_both(examples: Sequence[DetectExample], most: int) -> list[DetectExample]:
    """As many as are shown, of each kind about as many, the worst of each."""
    kinds = [[one for one in examples if (one.kind == "wrong") is wrong] for wrong in (True, False)]
    share = max(most // 2, most - min(map(len, kinds)))
    return [one for found in kinds for one in found[:share]][:most]


def _miss_image(folder: Path, example: DetectExample) -> Image | str:
    found = _image(folder, example)
    return found if isinstance(found, str) else replace(found, kind=example.kind)


def _of_each(summary: AttackRun) -> tuple[AttackedExample, ...]:
    """As many examples as are shown: of each attack the first, then of each the second; attack by attack."""
    seen: Counter[str] = Counter()
    ranked = []
    for place, example in enumerate(summary.examples):
        ranked.append((seen[example.column], place))
        seen[example.column] += 1
    places = sorted(place for _, place in sorted(ranked)[: MAX_IMAGES["attack"]])
    return tuple(summary.examples[place] for place in places)


def _attacked_image(folder: Path, example: AttackedExample, summary: AttackRun) -> tuple[Image | str, str | None]:
    """The strip of an attacked clip with its video, and a remark where the video is left out."""
    found = _image(folder, Example(file=example.file, caption=_caption(example, summary)))
    if isinstance(found, str) or not example.video:
        return found, None
    video = _inside(folder, example.video)
    if isinstance(video, bytes) and video[4:8] != b"ftyp":
        video = "not shown: not an MP4 file"
    if isinstance(video, str):
        return found, f"{example.video}: {video}"
    return replace(found, video=video), None


def _caption(example: AttackedExample, summary: AttackRun) -> str:
    if example.clean_pred is None or example.adv_pred is None:
        return example.path or example.file
    clean, attacked = summary.class_name(example.clean_pred), summary.class_name(example.adv_pred)
    where = budget(example.norm, example.eps)
    return f"{example.path}: {clean} becomes {attacked} under {example.column} at {where}"


def _image(folder: Path, example: Example) -> Image | str:
    data = _inside(folder, example.file)
    if isinstance(data, str):
        return data
    if not data.startswith(_PNG) or data[12:16] != b"IHDR" or len(data) < 24:
        return "not shown: not a PNG file"
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    return Image(data, width, height, example.caption or example.file, example.heat, example.maps)


def _inside(folder: Path, name: str) -> bytes | str:
    """The bytes of a file of the run folder, or why it is not shown."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            return "not shown: it lies outside the run folder"
        if not path.is_file():
            return "not shown: no such file"
        size = path.stat().st_size
        if size > MAX_IMAGE_BYTES:
            return f"not shown: {size / 1e6:.1f} MB, more than {MAX_IMAGE_BYTES / 1e6:.1f} MB"
        return path.read_bytes()
    except (OSError, ValueError) as error:
        # a name with a NUL byte is a ValueError
        return f"not shown: {error.strerror if isinstance(error, OSError) else error}"
