"""Batch normalisation over two processes is that of one process with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vidbench.model.train.peers import Peers
from vidbench.model.train.sync_bn import synchronise

Found = dict[str, dict[str, dict[str, Tensor]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> Found:
    folder = tmp_path_factory.mktemp("sync")
    script = Path(__file__).with_name("sync_bn_processes.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(folder)]
    told = subprocess.run(command, check=True, timeout=240, env=environment, capture_output=True, text=True).stdout
    assert told.strip() == str(3 * len(CASES))
    return {which: torch.load(folder / f"{which}.pt", weights_only=True) for which in ("one", "two")}


CASES = [f"{dims} {kind}" for dims in (1, 2, 3) for kind in ("affine", "plain", "mean")]
CASES += ["3 last", "3 drawing", "3 recomputed"]


@pytest.mark.parametrize("split", [(3, 2), (1, 4), (5, 0)], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_two_processes_normalise_as_one(found, case, split) -> None:
    one, two = (found[which][f"{case} {split}"] for which in ("one", "two"))
    assert one.keys() == two.keys()
    largest = max(float(value.abs().max()) for name, value in one.items() if name.startswith("to_"))
    for name, value in one.items():
        # a bias before a normalisation has a gradient of 0: what is left of large sums
        nothing = name in ("to_0.bias", "to_3.layers.0.bias")
        scale = 10 * largest if nothing else max(1.0, float(value.abs().max()))
        assert float((value.double() - two[name].double()).abs().max()) < 5e-6 * scale, name


def test_the_statistics_are_those_of_all(found) -> None:
    """The running variance is the unbiased one of the five clips, which no process has alone."""
    for which in ("one", "two"):
        assert int(found[which]["3 affine (3, 2)"]["held_1.num_batches_tracked"]) == 2
    assert any("precise" in name for name in found["two"]["2 affine (3, 2)"])


def test_names_stay_and_one_process_computes_as_before() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4), nn.ReLU())
    values = torch.rand(2, 3, 2, 4, 4)
    names, before = list(net.state_dict()), net(values)
    assert synchronise(net, Peers.alone()) == 1
    assert list(net.state_dict()) == names
    assert isinstance(net[1], nn.BatchNorm3d)
    assert torch.equal(net(values), before)
    assert torch.equal(net.eval()(values), net(values))
