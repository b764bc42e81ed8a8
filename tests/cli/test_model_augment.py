"""`vidbench model augment`, as typed."""

import json

import numpy as np
from PIL import Image

from vidbench.cli.app import main


def test_a_sheet_of_some(make_video, tmp_path, capsys) -> None:
    sheet = tmp_path / "sheets" / "some.png"
    words = ["model", "augment", str(make_video(frames=20)), "--preview", str(sheet), "--side", "48"]
    words += ["--augment", "erasing", "--augment", "rain:beta=0.8..1", "--augment", "cutmix", "--seed", "3"]
    assert main(words) == 0
    told = capsys.readouterr().out
    for word in ("original", "erasing", "rain", "beta 0.8..1", "cutmix", "as in training", "contact sheet:"):
        assert word in told
    first = np.asarray(Image.open(sheet))
    assert first.shape[2] == 3
    # the first row is the original: even grey, brighter from frame to frame; the second has noise in it
    rows = [first[12 + place * 130 : 12 + place * 130 + 90, 16:100].astype(int) for place in range(2)]
    assert rows[0].std() < 3
    assert rows[1].std() > 10
    assert main(words) == 0
    assert np.array_equal(np.asarray(Image.open(sheet)), first)
    capsys.readouterr()
    assert main([*words[:-1], "4"]) == 0
    assert not np.array_equal(np.asarray(Image.open(sheet)), first)


def test_all_of_them_as_json(make_video, tmp_path, capsys) -> None:
    sheet = tmp_path / "all.png"
    words = ["-q", "model", "augment", str(make_video(frames=3)), "--preview", str(sheet)]
    assert main([*words, "--side", "32", "--columns", "1", "--thumbnail", "32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in found["rows"]]
    assert found["frames"] == 3
    assert len(names) == len(set(names))
    assert {"original", "jitter-hue", "grey", "randaugment Rotate", "mixup", "elastic", "as in training"} <= set(names)
    assert Image.open(sheet).size == (found["width"], found["height"])


def test_wrong_words(make_video, tmp_path, capsys) -> None:
    video, sheet = str(make_video()), str(tmp_path / "sheet.png")
    assert main(["model", "augment", video, "--preview", sheet, "--augment", "rains"]) == 3
    assert "rain" in capsys.readouterr().err
    assert main(["model", "augment", video, "--preview", sheet, "--augment", "mixup:-1"]) == 2
    assert main(["model", "augment", video, "--preview", sheet, "--columns", "17"]) == 2
    assert "--columns" in capsys.readouterr().err
    (tmp_path / "text.mp4").write_text("no video")
    assert main(["model", "augment", str(tmp_path / "text.mp4"), "--preview", sheet]) == 3
    assert main(["model", "augment", str(tmp_path / "none.mp4"), "--preview", sheet]) == 3
    assert not (tmp_path / "sheet.png").exists()
