"""`vidbench label detect-track`: from videos to a set that people can label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidbench.cli import console
from vidbench.cli.complete import complete_person_detector, complete_tracker
from vidbench.cli.options import DeviceOpt, DryRunOpt, JobsOpt, JsonOpt, LimitOpt

if TYPE_CHECKING:
    from vidbench.label.detect_track import DetectTrackResult

SourcesArg = Annotated[
    list[Path], typer.Argument(metavar="VIDEO|DIR", help="Videos, and folders of videos.", show_default=False)
]
SetOutOpt = Annotated[
    Path,
    typer.Option(
        "--out", metavar="SET", help="Folder of the set; videos are added to one that is there.", show_default=False
    ),
]
DetectorOpt = Annotated[
    str,
    typer.Option(
        "--detector",
        metavar="yolo|torchvision|detectron2|boxes",
        help="What finds persons; boxes reads them from --boxes.",
        autocompletion=complete_person_detector,
    ),
]
DetectorWeightsOpt = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="FILE|NAME", help="The detector's weights; nothing is downloaded.", show_default=False
    ),
]
BoxesOpt = Annotated[
    Path | None,
    typer.Option(
        "--boxes", metavar="FILE", help="Boxes of your own as .csv, MOT .txt or COCO .json.", show_default=False
    ),
]
ConfOpt = Annotated[
    float | None, typer.Option("--conf", help="Least score that counts; default: the detector's.", show_default=False)
]
IouOpt = Annotated[
    float | None,
    typer.Option(
        "--iou", help="Of two boxes that overlap more, keep the surer one; default: the network's.", show_default=False
    ),
]
MinSizeOpt = Annotated[int, typer.Option("--min-size", metavar="PIXELS", help="Leave out smaller persons.")]
ImageSizeOpt = Annotated[
    int | None,
    typer.Option(
        "--image-size",
        metavar="PIXELS",
        help="Longer side of what the detector sees; default: its own.",
        show_default=False,
    ),
]
ConfigOpt = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration for detectron2.", show_default=False)
]
TrackerOpt = Annotated[
    str | None,
    typer.Option(
        "--tracker",
        metavar="deepsort|bytetrack|iou|given",
        help="What follows them: deepsort by motion and looks (default), bytetrack and iou by motion alone; given: the "
        "numbers in --boxes (default where all have one).",
        show_default=False,
        autocompletion=complete_tracker,
    ),
]
RateOpt = Annotated[
    int, typer.Option("--rate", metavar="N", help="Pictures a second to look at; 1 is what guides do, and loses ids.")
]
MarginOpt = Annotated[int, typer.Option("--margin", metavar="S", help="Seconds without keyframes at both ends.")]
GapOpt = Annotated[
    float, typer.Option("--max-gap", metavar="S", help="Join pieces of a track over gaps up to this; 0 joins none.")
]
MinBoxesOpt = Annotated[
    int | None,
    typer.Option("--min-boxes", help="Drop tracks with fewer boxes; default: 0.3 s of them.", show_default=False),
]
ShotsOpt = Annotated[bool, typer.Option("--shots/--no-shots", help="End tracks at shot changes.")]
ActionsOpt = Annotated[
    str, typer.Option("--actions", metavar="ava_80|ava_60|FILE", help="Action list; a file has a name a line.")
]
BatchOpt = Annotated[int, typer.Option("--batch", help="Pictures that the detector gets at a time.")]
RemakeOpt = Annotated[
    bool, typer.Option("--overwrite", help="Make videos of other settings again; never those with labels.")
]


def detect_track(
    sources: SourcesArg,
    out: SetOutOpt,
    detector: DetectorOpt = "yolo",
    weights: DetectorWeightsOpt = None,
    boxes: BoxesOpt = None,
    conf: ConfOpt = None,
    iou: IouOpt = None,
    min_size: MinSizeOpt = 8,
    image_size: ImageSizeOpt = None,
    config: ConfigOpt = None,
    tracker: TrackerOpt = None,
    rate: RateOpt = 10,
    margin: MarginOpt = 2,
    max_gap_s: GapOpt = 3.0,
    min_boxes: MinBoxesOpt = None,
    shots: ShotsOpt = True,
    actions: ActionsOpt = "ava_80",
    device: DeviceOpt = "auto",
    batch: BatchOpt = 8,
    jobs: JobsOpt = 0,
    limit: LimitOpt = None,
    overwrite: RemakeOpt = False,
    dry_run: DryRunOpt = False,
    json: JsonOpt = False,
) -> None:
    """Find the persons of videos and follow them: a set to label. Running it again resumes, video by video.

    The keyframe of a second is its first picture; the first and last two seconds have none. `label review` is next.
    """
    from vidbench.cli.requests import ask
    from vidbench.label.detect_track import DetectTrackRequest
    from vidbench.label.detect_track import detect_track as serve

    options = {"sources": "VIDEO", "max_gap_s": "--max-gap"}
    result = serve(ask(DetectTrackRequest, locals(), options), console.reporter())
    console.show(result, json, _text)
    console.end(0 if dry_run else len(result.failed), result.ledger)


def _text(result: DetectTrackResult) -> None:
    if result.dry_run:
        console.out(f"{result.out}: would look through {result.made} of {result.made + len(result.videos)} videos")
        return
    rows = [
        (one.id, f"{one.seconds:.1f}", one.keyframes, one.persons, one.rows, one.doubtful, one.joined, one.shots,
         f"{one.pictures_per_s:.1f}")
        for one in result.videos
    ]  # fmt: skip
    console.table(
        ("video", "seconds", "keyframes", "persons", "boxes", "doubtful", "joined", "shots", "pictures/s"), rows
    )
    for failed in result.failed[:10]:
        console.out(f"{failed.source}: {failed.reason}: {failed.detail}")
    console.out(
        f"{result.out}: {result.persons} persons, {result.rows} boxes at keyframes to label, {result.actions} actions"
    )
    still = sum(one.still for one in result.videos)
    if still:
        console.out(
            f"{still} left out as no persons: an unsure detection that never moves in a picture that never does"
        )
    if result.rows:
        console.out(f"Next: vidbench label review {result.out}")
    elif result.videos:
        console.out("No person was found: lower --conf, or look at the videos.")
