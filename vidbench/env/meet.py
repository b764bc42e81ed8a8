"""Run in processes of their own: compute on every device, or meet the other processes; a JSON line on stdout."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import sys


def compute() -> None:
    """A 3-D convolution and a matrix product on each device, compared with float64 on the CPU."""
    torch = importlib.import_module("torch")

    generator = torch.Generator().manual_seed(0)
    clip = torch.rand(1, 3, 4, 32, 32, generator=generator, dtype=torch.float64)
    kernel = torch.rand(8, 3, 3, 3, 3, generator=generator, dtype=torch.float64) - 0.5
    wanted = torch.nn.functional.conv3d(clip, kernel, padding=1).flatten(2)
    wanted = wanted @ wanted.transpose(1, 2)
    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    told = {}
    for device in devices:
        try:
            found = torch.nn.functional.conv3d(clip.float().to(device), kernel.float().to(device), padding=1).flatten(2)
            found = (found @ found.transpose(1, 2)).cpu().double()
            # TF32 keeps ten bits of each factor
            off = float((found - wanted).abs().max() / wanted.abs().max())
            told[device] = "" if off < 5e-3 else f"its answer is off by {off:.2g}"
        except Exception as error:
            told[device] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    print(json.dumps({"devices": told}))


def meet(backend: str) -> None:
    """Add the ranks up, in all processes."""
    torch = importlib.import_module("torch")
    dist = importlib.import_module("torch.distributed")

    rank = int(os.environ["RANK"])
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=datetime.timedelta(seconds=60))
    number = torch.tensor([float(rank + 1)], device=device)
    dist.all_reduce(number)
    size = dist.get_world_size()
    if float(number) != size * (size + 1) / 2:
        raise SystemExit(f"{size} processes added up to {float(number)}")
    if rank == 0:
        print(json.dumps({"processes": size}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    if sys.argv[1] == "compute":
        compute()
    else:
        meet(sys.argv[1])
