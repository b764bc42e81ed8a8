"""The section on evaluations: largest confusions, strips of misses, average precision."""

import base64
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidbench.errors import InputError
from vidbench.report.folders import MAX_IMAGES, read_images, read_runs

Page = Callable[..., str]


def words(text: str) -> str:
    """What a reader sees, in one line."""
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def with_strips(runs: Any, png: bytes, count: int, **example: object) -> Path:
    """A run of two classes and its strips."""
    examples = [
        {"file": f"misses/{index:02}.png", "caption": f"clip {index}: a (10.0%) taken for b (90.0%)", **example}
        for index in range(count)
    ]
    folder: Path = runs.eval("eval", [[3, 1], [0, 4]], ["a", "b"], summary={"examples": examples})
    (folder / "misses").mkdir()
    for one in examples:
        (folder / str(one["file"])).write_bytes(png)
    return folder


@pytest.fixture
def strip() -> bytes:
    """A PNG file as the product writes them."""
    import io

    import numpy as np
    from PIL import Image

    held = io.BytesIO()
    ramp = np.linspace(0, 255, 1278).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp[None, :, None], (160, 1278, 3))).save(held, format="PNG")
    return held.getvalue()


def test_a_large_class_table_has_its_largest_confusions(runs: Any, page: Page) -> None:
    size = 60
    confusion = [[2 if row == column else 0 for column in range(size)] for row in range(size)]
    pairs = [{"true": "lunge <b>", "predicted": "squat", "clips": 7, "of": 9, "share": 7 / 9}]
    pairs += [{"true": f"t{index}", "predicted": "p", "clips": 1, "of": 4, "share": 0.25} for index in range(25)]
    text = page(runs.eval("eval", confusion, summary={"confused": pairs}))
    assert "No confusion matrix: it is drawn for up to 50 classes, and there are 60." in text
    assert "lunge &lt;b&gt; squat 7 9 77.8%" in words(text)
    assert "t18 p 1 4 25.0%" in words(text)
    assert "t19" not in words(text)


def test_no_confusions_and_an_old_summary(runs: Any, page: Page) -> None:
    size = 60
    confusion = [[2 if row == column else 0 for column in range(size)] for row in range(size)]
    assert "No class is taken for another one." in page(runs.eval("none", confusion, summary={"confused": []}))
    text = page(runs.eval("old", confusion))
    assert "No confusion matrix" in text
    assert "Largest confusions" not in text
    assert "No class is taken" not in text


def test_the_matrix_and_the_field_give_the_same_table(runs: Any, page: Page) -> None:
    confusion, names = [[3, 1], [2, 4]], ["a", "b"]
    pairs = [
        {"true": "b", "predicted": "a", "clips": 2, "of": 6, "share": 1 / 3},
        {"true": "a", "predicted": "b", "clips": 1, "of": 4, "share": 0.25},
    ]
    rows = "True class Predicted class Clips of Share b a 2 6 33.3% a b 1 4 25.0%"
    assert rows in words(page(runs.eval("matrix", confusion, names, summary={"confused": pairs})))
    assert rows in words(page(runs.eval("field", confusion, names, summary={"confused": pairs, "confusion": None})))


def test_impossible_confusions_are_refused(runs: Any) -> None:
    pairs = [{"true": "a", "predicted": "b", "clips": 5, "of": 4, "share": 1.25}]
    folder = runs.eval("eval", [[3, 1], [0, 4]], summary={"confused": pairs})
    with pytest.raises(InputError, match="5 confused clips of 4"):
        read_runs((folder,))


def test_the_strips_of_misses_are_shown(runs: Any, page: Page, strip: bytes) -> None:
    text = page(with_strips(runs, strip, 2))
    assert words(text).count("taken for b (90.0%)") == 2
    assert text.count(base64.b64encode(strip).decode()) == 2
    assert "Worst misses" in text
    assert "Grad-CAM" not in text
    assert 'width="1278"' in text
    assert 'height="160"' in text
    shutil.rmtree(runs.root)
    assert "Grad-CAM" in page(with_strips(runs, strip, 1, heat=True))


def test_without_strips_there_is_no_heading(runs: Any, page: Page) -> None:
    assert "Worst misses" not in page(runs.eval("eval", [[3, 1], [0, 4]]))


def test_strips_are_limited_and_come_from_the_run_alone(runs: Any, page: Page, strip: bytes, tmp_path: Path) -> None:
    folder = with_strips(runs, strip, 15)
    (tmp_path / "secret.png").write_bytes(strip)
    (folder / "misses/00.png").unlink()
    (folder / "misses/00.png").symlink_to(tmp_path / "secret.png")
    (folder / "misses/01.png").write_bytes(b"no picture")
    images, remarks = read_images(read_runs((folder,))[0])
    assert len(images) == MAX_IMAGES["eval"] - 2 == 10
    assert remarks == (
        "misses/00.png: not shown: it lies outside the run folder",
        "misses/01.png: not shown: not a PNG file",
        "3 more in the run folder; a report shows at most 12 of a run",
    )
    text = page(folder)
    assert text.count("data:image/png") == 10
    assert all(remark in words(text) for remark in remarks)


def test_several_labels_have_average_precision(runs: Any, page: Page) -> None:
    several = {
        "top1": None, "top1_low": None, "top1_high": None, "top5": None, "mean_class_accuracy": None,
        "mean_ap": 0.3125, "mean_ap_low": 0.25, "mean_ap_high": 0.4,
        "per_class": [
            {"label": 0, "class": "sitting", "clips": 9, "average_precision": 0.5},
            {"label": 1, "class": "running", "clips": 4, "average_precision": 0.125},
        ],
        "confusion": None,
    }  # fmt: skip
    text = words(page(runs.eval("several", [[3, 1], [0, 4]], summary=several), runs.eval("one", [[3, 1], [0, 4]])))
    assert "Average precision on the clips as they are" in text
    assert "31.2% 25.0 to 40.0%" in text
    assert re.search(r"running: 12\.5% 4 12\.5% sitting sitting: 50\.0% 9 50\.0%", text)
    assert "Accuracy on the clips as they are" in text
    assert "87.5%" in text


def browser() -> str:
    return next(
        found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)) is not None
    )


@pytest.mark.needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_the_strips_in_both_schemes(
    runs: Any, page: Page, tmp_path: Path, scheme: str, strip: bytes
) -> None:
    import numpy as np
    from PIL import Image

    page(with_strips(runs, strip, 2, heat=True))
    arguments = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,2600",
        f"--screenshot={tmp_path / 'shot.png'}", *(["--force-dark-mode"] if scheme == "dark" else []),
    ]  # fmt: skip
    address = (tmp_path / "out" / "report.html").as_uri()
    done = subprocess.run([browser(), *arguments, address], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr
    with Image.open(tmp_path / "shot.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert bool(pixels[2, 2].sum() > 600) == (scheme == "light")
    # the ramp goes from black to white across the page, on some hundred lines for the two strips
    ramps = [line for line in pixels[:, 60:1000:47, 0] if (np.diff(line) > 3).all() and line[-1] - line[0] > 180]
    assert 150 < len(ramps) < 320
