"""`vidbench model list` and `model show`."""

import dataclasses
import json
import subprocess
import sys

import pytest

from vidbench.cli.app import main
from vidbench.cli.model import _card_json
from vidbench.model.zoo import MODELS


def test_list_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(MODELS.names())


def test_list_and_show_do_without_torch() -> None:
    code = (
        "import sys\n"
        "from vidbench.cli.app import main\n"
        "assert main(['model', 'list']) == 0\n"
        "assert main(['model', 'show', 'slowfast_r50']) == 0\n"
        "assert main(['model', 'show', 'SLOWFAST_8x8_R50']) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "catalogue model: slowfast_r50" in done.stdout


@pytest.mark.parametrize("name", MODELS.names())
def test_show_tells_what_the_card_holds(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    card = MODELS.get(name)
    assert main(["model", "show", name, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == name
    assert facts["frames"] == card.preprocess.frames
    assert facts.get("note", "") == card.note
    if card.published:
        assert facts["url"] == card.published.urls[0]
        figures = (card.published.top1, card.published.top5, card.published.mean_ap)
        assert all(str(figure) in facts["published"] for figure in figures if figure is not None)
        assert "None" not in facts["published"]
        assert [row["tag"] for row in facts["files"]] == [card.published.tag, *(file.tag for file in card.others)]
        assert (facts["task"], facts["data set"]) == (card.task, card.published.data)


def test_show_prints_every_file_with_its_figure_and_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", "x3d_m"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index(
        "x3d_m@pyslowfast: 76.20 (10x3) on kinetics400, protocol pyslowfast; PySlowFast model zoo; Apache-2.0"
    )
    assert lines[at + 1] == "  https://dl.fbaipublicfiles.com/pyslowfast/x3d_models/x3d_m.pyth"


def test_list_tells_task_figure_and_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line.split() for line in lines if line.split()[:1] == ["slow_r50_charades"])
    assert row == ["slow_r50_charades", "Slow", "8x8", "224", "157", "34.72", "(10x3)", "charades"]


def test_list_fits_100_columns_with_every_name_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    shown = {line.split()[0] for line in lines if line.strip()}
    assert set(MODELS.names()) <= shown


def test_list_by_task_and_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list", "--task", "detect", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found] == [name for name in MODELS.names() if MODELS.get(name).task == "detect"]
    assert main(["model", "list", "--family", "slowfast", "--task", "multilabel", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in found] == ["slowfast_r50_charades", "slowfast_16x8_r50_charades"]
    assert main(["model", "list", "--task", "persons"]) == 0
    shown = capsys.readouterr().out
    assert "boxes of persons in images" in shown
    assert "x3d_m" not in shown
    assert main(["model", "list", "--family", "x3d", "--task", "persons"]) == 0
    assert capsys.readouterr().out == "no model of that task and family\n"
    assert main(["model", "list", "--task", "dance"]) == 2
    assert "classify" in capsys.readouterr().err
    assert main(["model", "list", "--family", "slowfist"]) == 3
    assert "Did you mean SlowFast" in capsys.readouterr().err


def test_show_tells_what_becomes_of_a_video(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(name: str) -> dict[str, str]:
        assert main(["model", "show", name, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert shown("x3d_s")["three crops"] == "short side 182, crop 182"
    detector = shown("slow_r50_detection")
    assert detector["input"] == "whole frame, short side 256"
    assert not {"one crop", "three crops"} & set(detector)
    fixed = shown("r3d_18")
    assert fixed["fixed"] == "every frame is scaled to 171 x 128, whatever its shape"
    assert fixed["one crop"] == "crop 112"
    assert shown("fasterrcnn_resnet50_fpn")["input"] == "single images, short side 800, no crop"


def test_show_says_that_frames_by_themselves_may_be_any_number() -> None:
    card = dataclasses.replace(MODELS.get("resnet50"), framewise=True)
    assert str(_card_json(card)["length"]).startswith("any number of frames")
    assert "length" not in _card_json(MODELS.get("x3d_s"))


def test_show_explains_a_configuration_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", "I3D_NLN_8x8_R50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["part"] for row in found["parts"]] == ["I3D", "NLN", "8x8", "R50"]
    assert found["model"] == "i3d_nln_r50"


def test_show_of_an_unknown_name_offers_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "show", "slowfast_50"]) == 3
    assert "Did you mean slowfast_r50" in capsys.readouterr().err
