"""`vidbench data list`, `vidbench data csv`: lists for the programs that read them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.options import DryRunOpt, JsonOpt
from vidbench.errors import UsageError

if TYPE_CHECKING:
    from vidbench.data.build_list import BuildListResult
    from vidbench.data.charades_csv import FramesCsvResult
    from vidbench.data.kinetics_csv import KineticsCsvResult
    from vidbench.data.listing import BuildCsvResult
    from vidbench.data.something_csv import SomethingCsvResult


class CsvKind(StrEnum):
    """What `data csv` reads."""

    LIST = "list"
    KINETICS = "kinetics"
    CHARADES = "charades"
    SOMETHING = "something"


_TABLE = "kinetics400|kinetics600|kinetics700|...|FILE"

ClassFoldersArg = Annotated[
    Path, typer.Argument(metavar="DIR", help="Holds a folder of videos per class.", show_default=False)
]
TableOpt = Annotated[
    str, typer.Option("--labels", metavar=_TABLE, help="The class table; FILE has a class name a line, ids from 0.")
]
ListOutOpt = Annotated[
    Path | None,
    typer.Option(
        "--out", help="The list; with --split the folder of the lists. Without it beside DIR, as vallist.txt."
    ),
]
RenameOpt = Annotated[bool, typer.Option("--rename", help="Make blanks in folder and file names underscores, on disk.")]
SplitOpt = Annotated[
    str | None,
    typer.Option("--split", metavar="val=0.1,test=0.1", help="Shares of lists by source video; the rest is train."),
]
SplitSeedOpt = Annotated[int, typer.Option("--seed", min=0, help="Seed of the split.")]
PatternOpt = Annotated[
    str | None,
    typer.Option(
        "--source-pattern",
        metavar="REGEX",
        help="Its first group in a file's name is the source video; else the id of a Kinetics name, else the name.",
    ),
]


def list_(
    folder: ClassFoldersArg,
    labels: TableOpt = "kinetics400",
    out: ListOutOpt = None,
    rename: RenameOpt = False,
    split: SplitOpt = None,
    seed: SplitSeedOpt = 0,
    source_pattern: PatternOpt = None,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Write the list of `path label` of class folders; ids come from a class table, not from the folders there are."""
    from vidbench.cli.requests import ask
    from vidbench.data.build_list import BuildListRequest, build_list

    request = ask(BuildListRequest, locals())
    console.show(build_list(request, console.reporter()), json, _list_text)


def _list_text(result: BuildListResult) -> None:
    would = "would be " if result.dry_run else ""
    for old, new in result.renamed:
        console.out(f"{would}renamed: {result.folder / old} -> {new}")
    listed = sum(result.videos.values())
    sources = "" if result.sources is None else f" from {result.sources} source videos"
    console.out(f"{result.folder}: {listed} videos{sources} of {result.classes} classes of {result.labels}")
    if result.skipped:
        console.out("not listed: " + ", ".join(f"{count} {kind}" for kind, count in result.skipped.items()))
    for side, path in result.lists.items():
        share = "" if len(result.lists) == 1 else f", {console.share(result.videos[side] / listed)}"
        console.out(f"{'would write' if result.dry_run else 'wrote'} {path}: {result.videos[side]} lines{share}")


SourcesArg = Annotated[
    list[Path],
    typer.Argument(
        metavar="LIST", help="Lines of `path label`, as vallist.txt; or what --kind says.", show_default=False
    ),
]
KindOpt = Annotated[
    CsvKind,
    typer.Option("--kind", help="What LIST is: lines of `path label`, or the annotations of a data set."),
]
OrderSeedOpt = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="list: seed of the order.")]
ShuffleOpt = Annotated[
    bool, typer.Option("--shuffle/--no-shuffle", help="list: change the order of the lines, or keep it.")
]
PrefixOpt = Annotated[
    str, typer.Option("--prefix", help="list: put directly before paths that start with ./ and no others.")
]
OutDirOpt = Annotated[
    Path | None,
    typer.Option(
        "--out-dir", metavar="DIR", help="Where to write; without it the list's folder, else beside the videos."
    ),
]
NameOpt = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="FILE",
        help="list: write test_256.csv under this name, too; else what the list is called, as test.csv.",
    ),
]
FromOpt = Annotated[str, typer.Option("--from", help="list: what marks the raw videos in a path.")]
ToOpt = Annotated[str, typer.Option("--to", help="list: what stands in its place in test_256.csv.")]
VideosOpt = Annotated[
    Path | None,
    typer.Option(
        "--videos", metavar="DIR", help="kinetics, something: the videos; kinetics in class folders or in none."
    ),
]
FramesOpt = Annotated[
    Path | None,
    typer.Option("--frames", metavar="DIR", help="charades, something: a folder of numbered frames per video."),
]
CsvTableOpt = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="TABLE|FILE", help="kinetics: the class table, kinetics400 by default; something: its own."
    ),
]
FpsOpt = Annotated[str | None, typer.Option("--fps", help="charades: frames a second, 24 by default.")]

_TAKES = {
    CsvKind.LIST: {"seed", "shuffle", "prefix", "source_part", "target_part"},
    CsvKind.KINETICS: {"videos", "labels"},
    CsvKind.CHARADES: {"frames", "fps"},
    CsvKind.SOMETHING: {"videos", "frames", "labels"},
}
_DEFAULTS: dict[str, object] = {
    "seed": 0, "shuffle": True, "prefix": ".", "source_part": "/val/", "target_part": "/val_256/",
    "videos": None, "frames": None, "labels": None, "fps": None,
}  # fmt: skip
_SPELLED = {"shuffle": "--no-shuffle", "source_part": "--from", "target_part": "--to"}


def csv(
    sources: SourcesArg,
    kind: KindOpt = CsvKind.LIST,
    seed: OrderSeedOpt = 0,
    shuffle: ShuffleOpt = True,
    prefix: PrefixOpt = ".",
    out_dir: OutDirOpt = None,
    name: NameOpt = None,
    source_part: FromOpt = "/val/",
    target_part: ToOpt = "/val_256/",
    videos: VideosOpt = None,
    frames: FramesOpt = None,
    labels: CsvTableOpt = None,
    fps: FpsOpt = None,
    json: JsonOpt = False,
) -> None:
    """Write lists for PySlowFast: test_raw.csv and test_256.csv of a list, train|val|test.csv of annotations."""
    options = _of_kind(kind, locals())
    if kind is CsvKind.LIST:
        _csv_of_list(options, json)
    elif kind is CsvKind.KINETICS:
        _csv_of_kinetics(options, json)
    elif kind is CsvKind.CHARADES:
        _csv_of_charades(options, json)
    else:
        _csv_of_something(options, json)


def _of_kind(kind: CsvKind, options: Mapping[str, object]) -> dict[str, object]:
    """The options that were given and that the kind takes."""
    for option, default in _DEFAULTS.items():
        if options[option] != default and option not in _TAKES[kind]:
            takers = [str(one) for one, taken in _TAKES.items() if option in taken]
            shown = _SPELLED.get(option, f"--{option}")
            raise UsageError(f"{shown} belongs to --kind {' or '.join(takers)}", f"This is --kind {kind}.")
    return {key: value for key, value in options.items() if value is not None}


def _one(options: Mapping[str, object]) -> Path:
    sources = options["sources"]
    assert isinstance(sources, list)
    if len(sources) > 1:
        raise UsageError(
            f"--kind {options['kind']} takes one file, not {len(sources)}", "Give them one after the other."
        )
    path: Path = sources[0]
    return path


def _needs(options: Mapping[str, object], option: str, what: str) -> None:
    if option not in options:
        raise UsageError(f"--kind {options['kind']} needs --{option}", f"Give {what}.")


def _csv_of_list(options: Mapping[str, object], json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.data.listing import BuildCsvRequest, build_csv

    request = ask(BuildCsvRequest, {**options, "list": _one(options)})
    console.show(build_csv(request, console.reporter()), json, _csv_text)


def _csv_of_kinetics(options: Mapping[str, object], json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.data.kinetics_csv import KineticsCsvRequest, kinetics_csv

    _needs(options, "videos", "the folder of the clips, or of their class folders")
    request = ask(KineticsCsvRequest, {**options, "annotations": options["sources"]})
    console.show(kinetics_csv(request, console.reporter()), json, _annotated_text)


def _csv_of_charades(options: Mapping[str, object], json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.data.charades_csv import CharadesCsvRequest, charades_csv

    _needs(options, "frames", "the folder of Charades_v1_rgb: a folder of frames per video")
    request = ask(CharadesCsvRequest, {**options, "annotations": _one(options)})
    console.show(charades_csv(request, console.reporter()), json, _frames_text)


def _csv_of_something(options: Mapping[str, object], json: bool) -> None:
    from vidbench.cli.requests import ask
    from vidbench.data.something_csv import SomethingCsvRequest, something_csv, something_frames_csv

    request = ask(SomethingCsvRequest, {**options, "annotations": _one(options)})
    if request.frames is None:
        console.show(something_csv(request, console.reporter()), json, _annotated_text)
    else:
        console.show(something_frames_csv(request, console.reporter()), json, _frames_text)


def _csv_text(result: BuildCsvResult) -> None:
    order = "the order of the list" if result.seed is None else f"shuffled with seed {result.seed}"
    console.out(f"{result.source}: {result.lines} videos of {result.classes} classes, {order}")
    for path in (result.raw, result.resized, result.named):
        if path is not None:
            console.out(f"wrote {path}: {result.lines} lines")


def _annotated_text(result: KineticsCsvResult | SomethingCsvResult) -> None:
    console.out(f"{result.videos}: videos of {result.classes} classes of {result.labels}")
    for one in result.lists:
        left = "".join(
            f", {count} {what}" for count, what in ((one.missing, "missing"), (one.unlabelled, "unlabelled")) if count
        )
        wrote = f"wrote {one.path}" if one.listed else f"did not write {one.path}"
        console.out(f"{wrote}: {one.listed} of {one.annotated} annotated{left}")
        if one.listed < one.annotated:
            console.out(f"wrote {one.missing_path}: the other {one.annotated - one.listed}")


def _frames_text(result: FramesCsvResult) -> None:
    console.out(f"{result.frames_root}: {result.frames} frames, {result.labelled} of them with a class")
    console.out(f"wrote {result.path}: {result.listed} of {result.annotated} annotated videos")
    if result.missing:
        console.out(f"wrote {result.missing_path}: the other {result.missing}")
    for path in result.beside:
        console.out(f"wrote {path}")
