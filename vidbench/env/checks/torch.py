"""Checks of torch and of what stands on it."""

from __future__ import annotations

from vidbench.env.facts import Facts
from vidbench.env.findings import (
    NETWORKS,
    Check,
    Outcome,
    known,
    reinstall,
    went,
)
from vidbench.env.requirements import release

GROUP = "torch"


def _torch(facts: Facts) -> Outcome:
    torch = known(facts.torch)
    if torch.stage.status == "ok":
        return Outcome("ok", f"torch {torch.version} loads")
    if torch.stage.status == "absent":
        return Outcome("fail", "torch is not installed", "pip install torch torchvision")
    return Outcome("fail", went(torch.stage, "torch"), "pip install --force-reinstall torch torchvision")


def _torchvision(facts: Facts) -> Outcome:
    torch, stage = known(facts.torch), known(facts.torchvision)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if stage.status == "ok":
        return Outcome("ok", f"torchvision {stage.data['version']} runs nms with torch {torch.version}")
    said = went(stage, "torchvision")
    if stage.status == "absent":
        return Outcome("fail", said, reinstall("torchvision", torch.version))
    return Outcome(
        "fail", f"{said} (with torch {torch.version})", reinstall("--force-reinstall torch torchvision", torch.version)
    )


def _local_versions(facts: Facts) -> Outcome:
    torch, stage = known(facts.torch), known(facts.torchvision)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    packages = known(facts.packages)
    other = stage.data.get("version") or packages.versions.get("torchvision", "")
    ours, theirs = torch.version.partition("+")[2], other.partition("+")[2]
    if not ours or not theirs:
        return Outcome("skip", "the versions do not tell what torch and torchvision were built for")
    said = f"torch {torch.version}, torchvision {other}"
    if ours != theirs:
        return Outcome(
            "warn",
            f"{said}: built for {ours} and {theirs}",
            reinstall("--force-reinstall torch torchvision", torch.version),
        )
    return Outcome("ok", f"{said}: both built for {ours}")


def _pytorchvideo(facts: Facts) -> Outcome:
    torch, stage = known(facts.torch), known(facts.pytorchvideo)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if stage.status == "ok":
        return Outcome("ok", f"X3D-XS builds, {stage.data['parameters'] / 1e6:.2f} million parameters")
    if stage.status == "absent":
        return Outcome("fail", "pytorchvideo is not installed", "pip install pytorchvideo")
    vision = facts.torchvision
    if vision is not None and vision.status != "ok":
        return Outcome("fail", f"{went(stage, 'pytorchvideo')}; it needs torchvision: see D1")
    return Outcome("fail", went(stage, "pytorchvideo"), "pip install --force-reinstall --no-deps pytorchvideo")


def _video_io(facts: Facts) -> Outcome:
    stage = known(facts.torchvision)
    if stage.status != "ok":
        return Outcome("skip", "torchvision does not load")
    version = stage.data["version"]
    if stage.data.get("video_io"):
        return Outcome("ok", f"torchvision {version} still reads videos; vidbench does without")
    return Outcome(
        "info",
        f"torchvision {version} reads no videos any more; vidbench does without, PySlowFast needs "
        "DATA.DECODING_BACKEND pyav",
    )


def _slowfast_parts(facts: Facts) -> Outcome:
    stage = known(facts.pytorchvideo)
    if stage.status != "ok":
        return Outcome("skip", "pytorchvideo does not load")
    if stage.data.get("cat_all_gather"):
        return Outcome("ok", "pytorchvideo has what PySlowFast imports of it")
    return Outcome(
        "info",
        "pytorchvideo is the release of the package index, without cat_all_gather, which PySlowFast imports; vidbench "
        "does without",
        "pip install --no-deps 'git+https://github.com/facebookresearch/pytorchvideo'",
    )


def _safe_loading(facts: Facts) -> Outcome:
    version = known(facts.packages).versions.get("torch", "")
    if facts.torch is not None and facts.torch.version:
        version = facts.torch.version
    if not version:
        return Outcome("skip", "torch is not installed")
    if release(version) < (2, 10):
        return Outcome(
            "fail",
            f"torch {version} can be made to run code by a weights file (CVE-2026-24747); 2.10 and newer cannot",
            reinstall("--upgrade torch torchvision", version),
        )
    return Outcome("ok", f"torch {version} reads weights without running code; that takes 2.10 or newer")


CHECKS = (
    Check("D0", "torch", GROUP, ("torch",), _torch, NETWORKS, why="Everything that runs a network needs it."),
    Check(
        "D1",
        "torchvision",
        GROUP,
        ("torch", "torchvision"),
        _torchvision,
        NETWORKS,
        why=(
            "torchvision's compiled operators fit one version of torch, from the same index. Otherwise: `operator"
            " torchvision::nms does not exist`."
        ),
    ),
    Check(
        "D2",
        "builds",
        GROUP,
        ("torch", "torchvision", "packages"),
        _local_versions,
        NETWORKS,
        why=(
            "Packages of different indexes carry different local versions, as +cpu and +cu132. Mixed ones fail at"
            " the first compiled operator."
        ),
    ),
    Check(
        "D3",
        "torchvision's video reader",
        GROUP,
        ("torchvision",),
        _video_io,
        NETWORKS,
        why="torchvision dropped its functions that read and write videos. vidbench reads by PyAV, PySlowFast may not.",
    ),
    Check(
        "D5",
        "pytorchvideo for PySlowFast",
        GROUP,
        ("pytorchvideo",),
        _slowfast_parts,
        NETWORKS,
        why=(
            "PySlowFast beside vidbench in one environment: it imports functions that pytorchvideo has in its "
            "repository and not in its release."
        ),
    ),
    Check(
        "D4",
        "pytorchvideo",
        GROUP,
        ("torch", "torchvision", "pytorchvideo"),
        _pytorchvideo,
        NETWORKS,
        why=(
            "The networks of the catalogue are built by pytorchvideo.models. Its transforms do not import with "
            "current torchvision; vidbench does not use them."
        ),
    ),
    Check(
        "D6",
        "weights loader",
        GROUP,
        ("packages",),
        _safe_loading,
        NETWORKS,
        why=(
            "Files of weights are pickles. torch before 2.10 could be made to run code by one, even with "
            "weights_only=True."
        ),
    ),
)
