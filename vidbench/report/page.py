"""One self-contained HTML page from run folders: no network, no script, the same bytes each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

import vidbench
from vidbench.errors import InputError, UsageError
from vidbench.progress import Reporter, SilentReporter
from vidbench.report.attack_verdict import verify_section
from vidbench.report.detect_summary import DetectSummary
from vidbench.report.detection import detection_section
from vidbench.report.evaluation import evaluation_section
from vidbench.report.folders import Image, Run, read_images, read_runs
from vidbench.report.markup import Html, join, plural, tag
from vidbench.report.overview import lead, models, tiles
from vidbench.report.reproduction import reproduction_section
from vidbench.report.robustness import robustness_section
from vidbench.report.summaries import AttackRun, EvalSummary, VerifySummary
from vidbench.report.training import training_section
from vidbench.runs import write_text_atomic

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
_FEW = 100
_TITLES = {
    "summary": "Summary",
    "training": "Training",
    "evaluation": "Evaluation",
    "robustness": "Robustness",
    "verification": "Verification of robustness",
    "reading": "How to read this",
    "reproduction": "Reproduction",
}


class ReportRequest(BaseModel):
    """Which runs to show, and where.

    Attributes:
        runs: Run folders of `model eval`, `model finetune`, `attack run` and `attack verify`, in the order to show
            them.
        out: The page; its name ends in `.html`.
        title: Of the page; made from the models' names where empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: tuple[Path, ...] = Field(min_length=1)
    out: Path
    title: str = ""


@dataclass(frozen=True)
class ReportResult:
    """The page that was written.

    Attributes:
        out: Where it is.
        bytes: How large it is.
        runs: The folders it shows.
        sections: Its parts, in order.
    """

    out: Path
    bytes: int
    runs: tuple[Path, ...]
    sections: tuple[str, ...]


def write_report(request: ReportRequest, reporter: Reporter = SilentReporter()) -> ReportResult:
    """Write one HTML page about the runs; it stands alone and needs no network.

    It is a function of the run folders' files: the same runs give the same bytes.

    Raises:
        UsageError: `out` is not named `.html` or `.htm`, so it might be a run's own file.
        InputError: A folder is no run or holds a malformed file, or `out` cannot be written.
    """
    if request.out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{request.out}: the page is HTML", "Give --out a name that ends in .html.")
    if request.out.is_dir():
        raise InputError(f"{request.out} is a folder", "Give --out another name.")
    runs = read_runs(request.runs)
    images = [(run, *read_images(run)) for run in runs]
    for run, _, remarks in images:
        if run.summary is None:
            reporter.warn(f"{run.folder}: not finished (status {run.manifest.status!r}); shown without figures")
        for remark in remarks:
            reporter.warn(f"{run.folder}: {remark}")
    sections = _sections(runs, images)
    text = _page(request.title or _title(runs), runs, sections)
    write_text_atomic(request.out, text)
    return ReportResult(request.out, len(text.encode()), request.runs, tuple(sections))


def _title(runs: Sequence[Run]) -> str:
    found = models(runs)
    return f"Report on {', '.join(found)}" if 0 < len(found) <= 3 else f"Report on {plural(len(runs), 'run')}"


def _sections(runs: Sequence[Run], images: Sequence[tuple[Run, tuple[Image, ...], tuple[str, ...]]]) -> dict[str, Html]:
    sections = {"summary": join([lead(runs), tiles(runs)])}
    kinds = {run.kind for run in runs}
    if "finetune" in kinds:
        sections["training"] = training_section(runs)
    if "eval" in kinds:
        sections["evaluation"] = join([evaluation_section(runs, images), detection_section(runs, images)])
    if "attack" in kinds:
        sections["robustness"] = robustness_section(runs, images)
    if "verify" in kinds:
        sections["verification"] = verify_section(runs)
    sections["reading"] = _reading(runs)
    sections["reproduction"] = reproduction_section(runs)
    return sections


def _reading(runs: Sequence[Run]) -> Html:
    evals = [run.summary for run in runs if isinstance(run.summary, EvalSummary)]
    detect = [run.summary for run in runs if isinstance(run.summary, DetectSummary)]
    shares = len(detect) < len(runs) and (
        not evals or any(not one.several for one in evals) or any(run.kind != "eval" for run in runs)
    )
    notes = []
    speaks = "It speaks of the choice of clips alone: not of another training seed, nor of another data set."
    if shares:
        notes.append(f"An interval of 95% is that of Wilson for a share of clips. {speaks}")
    if any(one.several for one in evals):
        how = "An interval of mean average precision is that of drawing the clips anew, with replacement."
        notes.append(how if shares else f"{how} {speaks}")
    if detect:
        notes.append(
            "Average precision is the area under the envelope of precision over recall, where a detection is right that"
            " overlaps a box of its class by half or more and is the first to claim it; its mean is over classes."
            " Programs differ in what they count: compare figures only where the scorer is the same."
        )
    if any(one.verdict is not None and one.verdict.published is not None for one in evals):
        notes.append(
            "A verdict asks whether chance and other decoders and scalers explain the difference from the published"
            " figure: a sound run is called below or above less than once in 1000 times. Within tolerance means that"
            " no difference is shown, which of few clips says little."
        )
    sizes = [one.evaluated for one in evals]
    attacks = [run.summary for run in runs if isinstance(run.summary, AttackRun)]
    sizes += [point.clips for attack in attacks for column in attack.columns for point in column.curve]
    verified = [run.summary for run in runs if isinstance(run.summary, VerifySummary)]
    sizes += [one.evaluated for one in verified]
    if sizes and min(sizes) < _FEW:
        notes.append(
            f"Few clips: the least number behind a figure is {min(sizes)}. Two figures whose intervals overlap much are"
            " not shown to differ, and the accuracy of a class with a handful of clips says little."
        )
    if attacks:
        notes += [
            "Robust accuracy is an upper bound. An attack that succeeds proves that a clip is not robust; an attack"
            " that fails proves nothing, since a stronger one may succeed. Before trusting a high value, look for an"
            " attack with more steps and restarts, and one that does not rely on the same gradients.",
            "A curve should fall as the budget grows and should come near zero for a large one. Where it does not,"
            " suspect the attack first.",
            "Budgets and mean norms are in units of the pixel range and hold per clip: L∞ bounds the change of each"
            " value, L2 and L1 that of the whole clip, so budgets of different norms are not comparable.",
            "Clean accuracy in an attack run is that of the very clips and views that were attacked. It may differ"
            " from the accuracy of an evaluation, which may average several views.",
        ]
    if verified:
        notes.append(
            "A verification attacks in many ways and looks for signs that a figure comes from a weak attack or from"
            " concealed gradients. It never proves robustness: its best verdict is that nothing speaks against the"
            " figure, which remains an upper bound."
        )
    notes.append("Failed clips are in no accuracy: they are counted and listed apart.")
    return tag("ul", *(tag("li", note) for note in notes))


def _page(title: str, runs: Sequence[Run], sections: dict[str, Html]) -> str:
    links = tag("ul", *(tag("li", tag("a", _TITLES[name], href=f"#{name}")) for name in sections))
    created = sorted(run.manifest.created for run in runs if run.manifest.created)
    span = (
        "" if not created else f", created {created[0]}" + (f" to {created[-1]}" if created[-1] != created[0] else "")
    )
    parts = [
        tag(
            "section",
            None if name == "summary" else tag("h2", _TITLES[name]),
            content,
            id=name,
            aria_label=_TITLES[name],
        )
        for name, content in sections.items()
    ]
    style = resources.files("vidbench.report").joinpath("page.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        # stops browsers from asking a server for an icon
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", title),
            tag("p", f"{plural(len(runs), 'run')}{span}", class_="about"),
            tag("nav", links, aria_label="Contents"),
        ),
        tag("main", *parts),
        tag("footer", f"Made by vidbench {vidbench.__version__} from the files of the run folders alone."),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
