"""`vidbench model profile`, as typed."""

import json
from collections.abc import Iterator

import pytest
import torch

from vidbench.cli.app import main


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks are faster so, most of all on a machine that does other things, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_table(capsys) -> None:
    assert (
        main(["-q", "model", "profile", "x3d_tiny", "--device", "cpu", "--precision", "bf16", "--seconds", "0.2"]) == 0
    )
    told = capsys.readouterr().out
    for words in ("blocks.0", "1 x 3 x 8 x 64 x 64, bf16", "weights: random", "papers call", "not counted"):
        assert words in told
    assert "forward + backward: reference layout" in told


def test_json_is_all_of_stdout(small_model, capsys) -> None:
    assert (
        main(
            [
                "-q",
                "model",
                "profile",
                str(small_model),
                "--device",
                "cpu",
                "--batch",
                "2",
                "--seconds",
                "0.2",
                "--json",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["input_shape"] == [2, 3, 8, 64, 64]
    assert found["parameters"] == sum(part["parameters"] for part in found["modules"])


def test_wrong_names(tmp_path, capsys) -> None:
    assert main(["model", "profile", "x3d_q"]) == 3
    assert main(["model", "profile", str(tmp_path)]) == 3
    assert main(["model", "profile", "x3d_tiny", "--layout", "odd"]) == 2
    assert "--layout" in capsys.readouterr().err
    assert main(["model", "profile", "x3d_tiny", "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err
    assert main(["model", "profile", "x3d_tiny", "--device", "cuda:99"]) == 4
    assert main(["model", "profile", "x3d_tiny", "--precision", "fp8"]) == 2
    capsys.readouterr()
    assert main(["model", "profile", "fasterrcnn_resnet50_fpn"]) == 3
    assert "finds persons in images" in capsys.readouterr().err


@pytest.mark.slow
def test_a_detector_says_how_many_boxes(capsys) -> None:
    words = ["-q", "model", "profile", "slow_r50_detection", "--device", "cpu", "--seconds", "0.1"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "input 1 x 3 x 4 x 256 x 256, 4 boxes per clip, fp32" in told
    assert "torchvision::roi_align 1" in told
