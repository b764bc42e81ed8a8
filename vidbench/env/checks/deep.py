"""Checks that compute, decode, start processes or ask the network: `--deep` and `--net`."""

from __future__ import annotations

from vidbench.env.facts import Facts, Trial
from vidbench.env.findings import EVERYTHING, NETWORKS, Check, Outcome, known, listed, number

GROUP = "Deep"
_NOT_LOADED = ("ImportError", "ModuleNotFoundError", "OSError")


def _went_wrong(trial: Trial, what: str) -> str:
    return {
        "timeout": f"{what} came to no end: {trial.error}",
        "died": f"{what} took its process down: {trial.error}",
    }.get(trial.status, f"{what} failed: {trial.error}")


def _remedy(trial: Trial, otherwise: str) -> str:
    """Where libraries do not load, the checks that load them say which."""
    return "vidbench env check --group torch --only B4" if trial.error.startswith(_NOT_LOADED) else otherwise


def _compute(facts: Facts) -> Outcome:
    trial = known(facts.compute)
    if trial.status != "ok":
        return Outcome("fail", _went_wrong(trial, "a convolution"), "vidbench env check --group torch --group gpus")
    devices: dict[str, str] = trial.told["devices"]
    bad = {device: problem for device, problem in devices.items() if problem}
    if bad:
        said = "; ".join(f"{device}: {problem}" for device, problem in bad.items())
        return Outcome("fail", said, "vidbench env check --only C5")
    return Outcome("ok", f"a convolution over space and time is right on {listed(list(devices))}")


def _codecs(facts: Facts) -> Outcome:
    trial = known(facts.codecs)
    if trial.status != "ok":
        return Outcome("fail", _went_wrong(trial, "the matrix of decoders"))
    rows: dict[str, dict[str, str]] = trial.told["rows"]
    lost: dict[str, list[str]] = {}
    for codec, cells in rows.items():
        for decoder, told in cells.items():
            if not _whole(told):
                verb = f"{decoder} reads {told} of" if "/" in told else f"{decoder} does not read"
                lost.setdefault(verb, []).append(codec)
    short = [f"{verb} {listed(names)}" for verb, names in lost.items()]
    if any(not _whole(cells.get("pyav", "")) for cells in rows.values()):
        return Outcome("fail", "; ".join(short), "pip install --force-reinstall av")
    said = f"all frames of {listed(list(rows))} are read by PyAV"
    return Outcome("warn" if short else "ok", f"{said}; {'; '.join(short)}" if short else f"{said} and the others")


def _whole(told: str) -> bool:
    read, _, expected = told.partition("/")
    return bool(expected) and read == expected


def _clip(facts: Facts) -> Outcome:
    trial = known(facts.clip)
    if trial.status != "ok":
        remedy = _remedy(trial, "vidbench env check --only D4 --only F3")
        return Outcome("fail", _went_wrong(trial, "a clip through X3D-XS"), remedy)
    return Outcome("ok", f"a clip went through X3D-XS in {trial.seconds:.1f} s, loading included")


def _attack(facts: Facts) -> Outcome:
    trial = known(facts.attack)
    if trial.status != "ok":
        remedy = _remedy(trial, "vidbench env check --only D0 --only B8")
        return Outcome("fail", _went_wrong(trial, "a step of PGD"), remedy)
    return Outcome("ok", f"a step of PGD took {trial.seconds:.1f} s, loading included")


def _gloo(facts: Facts) -> Outcome:
    trial = known(facts.gloo)
    if trial.status != "ok":
        remedy = _remedy(trial, "export GLOO_SOCKET_IFNAME=lo")
        return Outcome("warn", _went_wrong(trial, "a meeting of two processes over gloo"), remedy)
    return Outcome("ok", f"two processes met over gloo in {trial.seconds:.1f} s, loading included")


def _nccl(facts: Facts) -> Outcome:
    torch, trial = known(facts.torch), facts.nccl
    if len(torch.devices) < 2 or trial is None:
        return Outcome("skip", f"{number(len(torch.devices), 'GPU')}: NCCL has nothing to do")
    if trial.status == "ok":
        return Outcome("ok", f"{trial.told['processes']} GPUs met over NCCL in {trial.seconds:.1f} s")
    return Outcome(
        "warn",
        _went_wrong(trial, f"a meeting of {len(torch.devices)} GPUs over NCCL")
        + "; NCCL_P2P_DISABLE=1 tells whether it is their direct link",
        "NCCL_DEBUG=INFO NCCL_P2P_DISABLE=1 vidbench env check --only I2",
    )


def _hosts(facts: Facts) -> Outcome:
    hosts = known(facts.hosts)
    if not hosts:
        return Outcome("skip", "no hosts to ask")
    bad = [host for host in hosts if host.problem]
    if not bad:
        return Outcome("ok", f"{number(len(hosts), 'host')} of weights and data sets answer")
    certificate = any("certificate" in host.problem.lower() for host in bad)
    first = bad[0]
    said = f"{len(bad)} of {number(len(hosts), 'host')} do not answer, as {first.address} ({first.problem})"
    if certificate:
        return Outcome("warn", said, "export SSL_CERT_FILE=/path/to/the/certificates/of/your/network.pem")
    return Outcome("warn", said, "export https_proxy=http://your-proxy:port" if len(bad) == len(hosts) else "")


CHECKS = (
    Check(
        "C6",
        "computing",
        GROUP,
        ("compute",),
        _compute,
        NETWORKS,
        why="A GPU that is listed may compute nothing, or wrong numbers: one is asked for an answer that is known.",
        when="deep",
    ),
    Check(
        "F8",
        "decode matrix",
        GROUP,
        ("codecs",),
        _codecs,
        EVERYTHING,
        why="Clips of H.264, HEVC, VP9 and AV1 go through every decoder, and the frames that come out are counted.",
        when="deep",
    ),
    Check(
        "I1",
        "gloo",
        GROUP,
        ("gloo",),
        _gloo,
        ("model",),
        why="Training on several processes starts by a meeting, which firewalls and wrong interfaces prevent.",
        when="deep",
    ),
    Check(
        "I2",
        "NCCL",
        GROUP,
        ("torch", "nccl"),
        _nccl,
        ("model",),
        why="GPUs that cannot reach each other make NCCL wait without end; it is given thirty seconds.",
        when="deep",
    ),
    Check(
        "K1",
        "a clip",
        GROUP,
        ("clip",),
        _clip,
        ("model", "demo"),
        why="The whole way from a video through a network with random weights, as `model predict` goes it.",
        when="deep",
    ),
    Check(
        "K2",
        "an attack",
        GROUP,
        ("attack",),
        _attack,
        ("attack", "demo"),
        why="The whole way of an attack with its gradients, as `attack run` goes it.",
        when="deep",
    ),
    Check(
        "J3",
        "hosts",
        "Network",
        ("hosts",),
        _hosts,
        ("data", "model"),
        why="Weights and data sets come from these hosts; proxies and certificates of institutions stand before them.",
        when="net",
    ),
)
