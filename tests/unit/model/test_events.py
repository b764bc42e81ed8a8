"""TensorBoard events hold the figures of the summary, once, as TensorBoard's own reader finds them."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vidbench.model.events import confusion_picture, require_tensorboard, write_events
from vidbench.model.gradcam import heat_colours

pytest.importorskip("tensorboard")

SUMMARY: dict[str, Any] = {
    "kind": "eval",
    "model": "x3d_s",
    "clips": 9,
    "evaluated": 8,
    "failed": 1,
    "top1": 0.75,
    "top1_low": 0.40927,
    "top1_high": 0.92852,
    "top5": 1.0,
    "mean_class_accuracy": 0.7,
    "per_class": [
        {"label": 0, "class": "tying knot", "clips": 5, "correct": 4},
        {"label": 2, "class": "a|b", "clips": 3, "correct": 2},
    ],
    "confusion": [[4, 1, 0], [0, 0, 0], [1, 0, 2]],
    "confused": [{"true": "a|b", "predicted": "tying knot", "clips": 1, "of": 3}],
    "examples": [],
}


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"images": 0})
    found.Reload()
    return found


def test_the_reader_finds_what_the_summary_says(tmp_path: Path) -> None:
    (tmp_path / "misses").mkdir()
    strip = np.random.default_rng(0).integers(0, 256, (40, 300, 3), dtype=np.uint8)
    Image.fromarray(strip).save(tmp_path / "misses/k.png")
    summary = SUMMARY | {"examples": [{"file": "misses/k.png", "caption": "k.mp4: green taken for red"}]}
    place = write_events(tmp_path, summary, {"views": "10x3", "seed": 3, "limit": None})
    assert place == tmp_path / "tensorboard"
    events = read(place)
    scalars = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    assert all(len(values) == 1 for values in scalars.values())
    assert {tag: values[0].value for tag, values in scalars.items() if tag.startswith("accuracy/")} == pytest.approx(
        {f"accuracy/{name}": SUMMARY[name] for name in ("top1", "top1_low", "top1_high", "top5", "mean_class_accuracy")}
    )
    assert scalars["clips/failed"][0].value == 1
    assert scalars["class accuracy/tying knot"][0].value == pytest.approx(0.8)
    histogram = events.Histograms("class accuracy")[0].histogram_value
    assert (histogram.num, histogram.sum) == (2, pytest.approx(0.8 + 2 / 3))
    shown = Image.open(io.BytesIO(events.Images("misses/00")[0].encoded_image_string))
    assert np.array_equal(np.asarray(shown.convert("RGB")), strip)
    matrix = Image.open(io.BytesIO(events.Images("confusion")[0].encoded_image_string))
    assert np.array_equal(np.asarray(matrix.convert("RGB")), confusion_picture(SUMMARY["confusion"]))
    text = events.Tensors("misses/00/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text == "k.mp4: green taken for red"
    assert (
        "| a\\|b | tying knot | 1 | 3 |"
        in events.Tensors("confused/text_summary")[0].tensor_proto.string_val[0].decode()
    )


def test_settings_are_hyperparameters(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    place = write_events(tmp_path, SUMMARY, {"views": "10x3", "seed": 3, "limit": None})
    metadata = read(place).summary_metadata["_hparams_/session_start_info"]
    found = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert {name: found[name].string_value or found[name].number_value for name in found} == {
        "model": "x3d_s",
        "views": "10x3",
        "seed": 3,
        "limit": "None",
    }


def test_a_second_call_replaces_the_first(tmp_path: Path) -> None:
    write_events(tmp_path, SUMMARY)
    (tmp_path / "tensorboard/mine.txt").write_text("a note")
    place = write_events(tmp_path, SUMMARY | {"top1": 0.5})
    assert [value.value for value in read(place).Scalars("accuracy/top1")] == [0.5]
    assert len(list(place.glob("events.*"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tensorboard"]
    assert (place / "mine.txt").exists()


def test_several_labels_and_an_empty_run(tmp_path: Path) -> None:
    summary = {
        "model": "slow",
        "mean_ap": 0.25,
        "per_class": [{"label": 1, "class": "sit", "clips": 4, "average_precision": 0.25}],
    }
    events = read(write_events(tmp_path / "several", summary))
    assert events.Scalars("accuracy/mean_ap")[0].value == 0.25
    assert events.Scalars("class average precision/sit")[0].value == 0.25
    empty = {"model": "slow", "clips": 0, "evaluated": 0, "failed": 0, "top1": None, "per_class": [], "confusion": []}
    assert read(write_events(tmp_path / "empty", empty)).Scalars("clips/clips")[0].value == 0


def test_many_classes_have_a_histogram_and_no_scalars(tmp_path: Path) -> None:
    classes = [{"label": one, "class": f"c{one}", "clips": 2, "correct": one % 3} for one in range(60)]
    events = read(write_events(tmp_path, {"model": "m", "per_class": classes}))
    assert events.Histograms("class accuracy")[0].histogram_value.num == 60
    assert not [tag for tag in events.Tags()["scalars"] if tag.startswith("class accuracy")]


def test_a_field_of_the_matrix_has_the_colour_of_its_share() -> None:
    picture = confusion_picture([[3, 1], [0, 0]])
    assert picture.shape == (400, 400, 3)
    assert picture[0, 0].tolist() == heat_colours(np.array(0.75)).tolist()
    assert picture[0, 399].tolist() == heat_colours(np.array(0.25)).tolist()
    assert picture[399, 0].tolist() == picture[399, 399].tolist() == [0, 0, 4]


def test_without_the_extra_it_says_so_before_anything_is_done() -> None:
    require_tensorboard()
    code = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "from vidbench.errors import MissingError\n"
        "from vidbench.model.events import require_tensorboard\n"
        "try: require_tensorboard()\n"
        "except MissingError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "TensorBoard events need the package 'tensorboard'\npip install 'vidbench[tensorboard]'\n"
