"""Two processes that normalise and train their parts of batches together; run by `test_sync_bn.py`."""

from __future__ import annotations

import copy
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidbench.model.shards import Team
from vidbench.model.train.draws import Part, drawn_together
from vidbench.model.train.launch import launch
from vidbench.model.train.peers import Peers
from vidbench.model.train.precise_bn import precise_bn
from vidbench.model.train.recompute import recompute_blocks
from vidbench.model.train.sync_bn import synchronise
from vidbench.progress import Reporter, SilentReporter

SHAPES = {1: (5, 6), 2: (5, 6, 7, 4), 3: (5, 6, 3, 4, 5)}
SPLITS = ((3, 2), (1, 4), (5, 0))
Found = dict[str, dict[str, Tensor]]


class BasicBlock(nn.Module):
    """A block that `recompute_blocks` knows by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(6, 6, 1), nn.BatchNorm3d(6), nn.ReLU(), nn.Dropout(0.4))

    def forward(self, values: Tensor) -> Tensor:
        """Values, changed."""
        result: Tensor = values + self.layers(values)
        return result


def network(dims: int, kind: str) -> nn.Module:
    """A normalisation between layers, and after random parts where these are wanted."""
    torch.manual_seed(dims)
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
    made = norm(6, affine=kind != "plain", momentum=None if kind == "mean" else 0.1)
    if made.affine:
        nn.init.normal_(made.weight)
        nn.init.normal_(made.bias)
    conv = {1: nn.Linear(6, 6), 2: nn.Conv2d(6, 6, 1), 3: nn.Conv3d(6, 6, 1)}[dims]
    drawing = [BasicBlock(), nn.Dropout3d(0.3), nn.Dropout(0.5)] if kind in ("drawing", "recomputed") else []
    net = nn.Sequential(conv, made, nn.Tanh(), *drawing)
    if kind == "recomputed":
        recompute_blocks(net)
    return net


def clips(dims: int, kind: str) -> Tensor:
    """The batch of all processes."""
    values = torch.randn(SHAPES[dims], generator=torch.Generator().manual_seed(7)) * 2 + 3
    return values.contiguous(memory_format=torch.channels_last_3d) if kind == "last" else values


def answers(net: nn.Module, shown: Tensor, weight: float, gather: Peers) -> dict[str, Tensor]:
    """Outputs, gradients and statistics of two passes."""
    for _ in range(2):
        shown = shown.detach().requires_grad_()
        net.zero_grad()
        result = net(shown)
        factors = torch.linspace(-1, 1, result[0].numel()).view(result[0].shape)
        (weight * (functional.softplus(result * 3) * factors)).sum().backward()
    gather.sum_gradients(net.parameters())
    assert shown.grad is not None
    found = {"out": result.detach(), "to_values": shown.grad}
    found |= {f"to_{name}": one.grad.clone() for name, one in net.named_parameters() if one.grad is not None}
    return found | {f"held_{name}": one.clone() for name, one in net.named_buffers()}


def cases() -> list[tuple[int, str]]:
    """Dimensions, and what is special."""
    kinds = ("affine", "plain", "mean")
    return [*((dims, kind) for dims in SHAPES for kind in kinds), (3, "last"), (3, "drawing"), (3, "recomputed")]


def together(path: Path, reporter: Reporter) -> int:
    """Store what the processes find, put together, everybody's outputs in their order; how many cases."""
    torch.set_num_threads(1)
    team = Team.join()
    peers = Peers(team, torch.device("cpu"))
    found: Found = {}
    for dims, kind in cases():
        for split in SPLITS:
            before, own = sum(split[: peers.rank]), split[peers.rank]
            whole = clips(dims, kind)
            net = network(dims, kind).train()
            synchronise(net, peers)
            copy.deepcopy(net)
            shown = whole[before : before + own] if own else whole[:1]
            peers.present = own > 0
            torch.manual_seed(3)
            with drawn_together([Part(len(shown), before if own else 0, len(whole))]):
                mine = answers(net, shown, float(own > 0), peers)
            if split == (3, 2) and kind == "affine":
                precise_bn(net, [shown, shown + 1], peers=peers)
                mine |= {f"precise_{name}": one.clone() for name, one in net.named_buffers()}
            peers.present = True
            for name in ("out", "to_values"):
                mine[name] = torch.cat(peers.gather(mine[name][:own] if own else mine[name][:0]))
            found[f"{dims} {kind} {split}"] = mine
    if peers.first:
        torch.save(found, path)
    peers.gather(None)
    team.leave()
    return len(found)


def alone() -> Found:
    """What one process finds."""
    torch.set_num_threads(1)
    found: Found = {}
    for dims, kind in cases():
        for split in SPLITS:
            net = network(dims, kind).train()
            whole = clips(dims, kind)
            torch.manual_seed(3)
            mine = answers(net, whole, 1.0, Peers.alone())
            if split == (3, 2) and kind == "affine":
                precise_bn(net, [whole, whole + 1])
                mine |= {f"precise_{name}": one.clone() for name, one in net.named_buffers()}
            found[f"{dims} {kind} {split}"] = mine
    return found


if __name__ == "__main__":
    out = Path(sys.argv[1])
    torch.save(alone(), out / "one.pt")
    print(launch(partial(together, out / "two.pt"), 2, SilentReporter()))
