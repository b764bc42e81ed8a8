"""AVA's mean average precision equals what ActivityNet's, PySlowFast's and MMAction2's programs answered."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from vidbench.model.score import ScoreRequest, ScoreResult, score

DATA = Path(__file__).parent / "data" / "ava_scoring"
MAIN = json.loads(gzip.decompress((DATA / "main" / "expected.json.gz").read_bytes()))
TINY = json.loads((DATA / "tiny" / "expected.json").read_text())
FIGURES = [
    *(("main", name, figure) for name, figure in MAIN["expected"].items()),
    *(("tiny", name, figure) for name, figure in TINY["expected"].items()),
]
GROUPS = {"person_movement": "pose", "object_manipulation": "object", "person_interaction": "person"}

Run = Callable[..., ScoreResult]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Scores one of the two sets."""

    def file(folder: str, name: str) -> Path:
        packed = DATA / folder / f"{name}.csv.gz"
        if not packed.exists():
            return DATA / folder / f"{name}.csv"
        (tmp_path / f"{name}.csv").write_bytes(gzip.decompress(packed.read_bytes()))
        return tmp_path / f"{name}.csv"

    def scored(folder: str, figure: str, label_map: str = "label_map.pbtxt") -> ScoreResult:
        scorer, _, variant = figure.partition("_")
        truth = "groundtruth_with_empty_frames" if variant == "gt_with_empty_frames" else "groundtruth"
        excludes = scorer != "activitynet" and variant != "no_exclusions"
        return score(
            ScoreRequest(
                detections=file(folder, "detections"),
                groundtruth=file(folder, truth),
                labels=str(DATA / folder / label_map),
                exclude=DATA / folder / "excluded_timestamps.csv" if excludes else None,
                scorer=scorer,
                every=4 if variant == "every_4th_second" else 1,
                empty_seconds=variant == "not_ignoring_empty_frames",
            )
        )

    return scored


@pytest.mark.parametrize(("folder", "name", "figure"), FIGURES, ids=[f"{folder}-{name}" for folder, name, _ in FIGURES])
def test_every_figure_equals_the_original_s(run: Run, folder: str, name: str, figure: dict) -> None:
    result = run(folder, name)
    assert result.mean_ap == pytest.approx(figure["mAP"], abs=1e-9)
    assert {str(one.id) for one in result.classes} == set(figure["AP"])
    for one in result.classes:
        wanted = figure["AP"][str(one.id)]
        assert math.isnan(one.average_precision) == (wanted is None)
        if wanted is not None:
            assert one.average_precision == pytest.approx(wanted, abs=1e-9)
    if "in_mean" in figure:
        assert [one.id for one in result.classes if one.detections] == figure["in_mean"]
    groups = {group.name: group.mean_ap for group in result.groups}
    for original, wanted in figure.get("groups", {}).items():
        ours = groups[GROUPS[original]]
        assert math.isnan(ours) if wanted is None else ours == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("folder", ["main", "tiny"])
def test_both_dialects_of_the_label_map_say_the_same(run: Run, folder: str) -> None:
    one = run(folder, "pyslowfast")
    assert repr(run(folder, "pyslowfast", "label_map_label_id.pbtxt").classes) == repr(one.classes)


def test_every_line_is_accounted_for(run: Run) -> None:
    stats = MAIN["stats"]
    for name in MAIN["expected"]:
        result = run("main", name)
        assert result.detections.lines == result.detections.boxes == stats["det_rows"]
        assert result.ground_truth.boxes == stats["gt_rows"]
        for file, of_classes in (
            (result.detections, sum(one.detections for one in result.classes)),
            (result.ground_truth, sum(one.ground_truth for one in result.classes)),
        ):
            assert file.counted == of_classes
            assert file.counted + sum(file.left_out.values()) == file.boxes


def test_the_scorers_differ_on_these_files() -> None:
    """A test that could not tell the rules apart would prove nothing."""
    means = [figure["mAP"] for figure in MAIN["expected"].values()]
    assert all(abs(one - other) > 1e-3 for at, one in enumerate(means) for other in means[:at])
