"""Judge the facts about this machine: one finding per check, with the command that mends it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from vidbench.env.probes import BACKENDS, SLOW_PARTS, Decoding, Facts, Folder, Gatherer, Gpu, Gpus, Torch
from vidbench.env.processes import Stage
from vidbench.env.requirements import Requirement, release
from vidbench.errors import UnknownNameError
from vidbench.progress import Reporter, SilentReporter

T = TypeVar("T")

Status = Literal["ok", "info", "warn", "fail", "skip", "crash"]
STATUSES: tuple[Status, ...] = ("ok", "info", "warn", "fail", "skip", "crash")

EVERYTHING = ("data", "model", "attack", "label", "demo")
NETWORKS = ("model", "attack", "demo")
CODEC_NAMES = {"h264": "H.264", "av1": "AV1"}

GB = 10**9
GIB = 2**30
WHEELS = "https://download.pytorch.org/whl"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        id: The check, as "D1"; stable.
        title: What it looks at.
        group: The heading that it stands under.
        status: `ok`; `info`: worth knowing; `warn`: works, though worse than it could; `fail`: a command
            cannot work or is unsafe; `skip`: does not apply here; `crash`: the check itself broke.
        message: One line with the numbers compared.
        remedy: One command to copy; empty where there is none.
        affects: The command groups that suffer from `warn` and `fail`.
    """

    id: str
    title: str
    group: str
    status: Status
    message: str
    remedy: str
    affects: tuple[str, ...]


@dataclass(frozen=True)
class EnvCheckRequest:
    """What to check.

    Attributes:
        only: Identifiers of checks; empty for all.
        published: (model, file name) of all published weights, for J1.
        working: The working folder.
        limit_s: Seconds that loading one library may take.
    """

    only: tuple[str, ...] = ()
    published: tuple[tuple[str, str], ...] = ()
    working: Path = Path()
    limit_s: float = 60.0


@dataclass(frozen=True)
class EnvCheckResult:
    """The findings in the order of the table.

    Attributes:
        findings: One per check.
        facts: What they were judged by.
        counts: Findings per status; every status is there.
        verdict: One line: the counts, and what to do next.
    """

    findings: tuple[Finding, ...]
    facts: Facts
    counts: dict[str, int]
    verdict: str


@dataclass(frozen=True)
class Outcome:
    """What the function of a check gives: a finding without what the table knows already."""

    status: Status
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """A line of the table: `judge` is a pure function of the facts named in `needs`."""

    id: str
    title: str
    group: str
    needs: tuple[str, ...]
    judge: Callable[[Facts], Outcome]
    affects: tuple[str, ...] = EVERYTHING


def check(
    request: EnvCheckRequest,
    reporter: Reporter = SilentReporter(),
    each: Callable[[Finding], None] = lambda finding: None,
) -> EnvCheckResult:
    """Gather the facts that the checks need, and judge them.

    Args:
        request: What to check.
        reporter: Hears that loading libraries takes a while.
        each: Called with every finding as soon as it is known, in the order of the table.

    Raises:
        UnknownNameError: `only` names no check.
    """
    chosen = select(request.only)
    parts = {part for one in chosen for part in one.needs}
    if parts & SLOW_PARTS:
        reporter.info("loading torch and the decoders in processes of their own; this takes some seconds")
    findings = []
    working = request.working.absolute()
    with Gatherer(parts, working, request.published, request.limit_s) as gatherer:
        for one in chosen:
            finding = judge(one, gatherer.facts(one.needs))
            each(finding)
            findings.append(finding)
        facts = gatherer.facts()
    return result(findings, facts)


def select(only: Sequence[str] = ()) -> tuple[Check, ...]:
    """The checks of these identifiers in the order of the table; all for none."""
    wanted = {name.upper() for name in only}
    known = {one.id.upper() for one in CHECKS}
    for name in only:
        if name.upper() not in known:
            raise UnknownNameError("check", name, [one.id for one in CHECKS], f"Checks: {', '.join(_ids())}.")
    return tuple(one for one in CHECKS if not wanted or one.id.upper() in wanted)


def _ids() -> list[str]:
    return [one.id for one in CHECKS]


def judge(one: Check, facts: Facts) -> Finding:
    """The finding of a check; a check that raises is a `crash`, and so is one whose facts are missing."""
    broken = [f"{part}: {facts.problems[part]}" for part in one.needs if part in facts.problems]
    try:
        if broken:
            outcome = Outcome("crash", f"this could not be looked at: {'; '.join(broken)}")
        elif missing := [part for part in one.needs if getattr(facts, part) is None]:
            outcome = Outcome("skip", f"nothing was recorded about {', '.join(missing)}")
        else:
            outcome = one.judge(facts)
    except Exception as error:
        outcome = Outcome("crash", f"the check itself failed: {type(error).__name__}: {error}")
    return Finding(one.id, one.title, one.group, outcome.status, outcome.message, outcome.remedy, one.affects)


def result(findings: Iterable[Finding], facts: Facts) -> EnvCheckResult:
    """Count the findings and say what follows from them."""
    found = tuple(findings)
    seen = Counter(finding.status for finding in found)
    counts: dict[str, int] = {status: seen[status] for status in STATUSES}
    parts = [
        f"{counts['ok']} ok",
        f"{counts['info']} info",
        _number(counts["warn"], "warning"),
        _number(counts["fail"], "failure"),
    ]
    if counts["crash"]:
        parts.append(f"{counts['crash']} crashed")
    if counts["fail"]:
        then = "mend the failures first; each says how"
    elif counts["crash"]:
        then = "some checks broke; please report them"
    elif counts["warn"]:
        then = "vidbench works here; the warnings say what would go better"
    else:
        then = "vidbench works here"
    return EnvCheckResult(found, facts, counts, f"{', '.join(parts)}: {then}")


def _known(part: T | None) -> T:
    """A part that the check names in `needs`; `judge` sees to it that it is there."""
    if part is None:
        raise LookupError("a check uses facts that it does not name")
    return part


def _listed(words: Sequence[str], last: str = "and") -> str:
    """As "a, b and c"."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), "".join(words[-1:])) if part)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# --- system ----------------------------------------------------------------------------------------------


def _platform(facts: Facts) -> Outcome:
    machine = _known(facts.machine)
    if machine.system == "Darwin":
        said = f"macOS {machine.macos} on {machine.architecture}"
        if machine.architecture != "arm64":
            return Outcome("fail", f"{said}; torch 2.2.2 was the last for Intel Macs, vidbench needs 2.10")
        if release(machine.macos) < (14,):
            return Outcome("fail", f"{said}; the wheels of torch and PyAV need macOS 14 or newer")
        return Outcome("ok", said)
    if machine.system != "Linux":
        return Outcome("fail", f"{machine.system}; vidbench runs on Linux and macOS")
    name, _, version = machine.libc.partition(" ")
    said = f"Linux {machine.release} on {machine.architecture}, {machine.libc or 'a C library that is not glibc'}"
    if name != "glibc":
        return Outcome("fail", f"{said}; the wheels of torch need glibc 2.28 or newer")
    if release(version) < (2, 28):
        return Outcome("fail", f"{said}; the wheels of torch need glibc 2.28 or newer")
    if machine.architecture not in ("x86_64", "aarch64"):
        return Outcome("warn", f"{said}; there are wheels for x86_64 and aarch64 alone")
    return Outcome("ok", said)


def _processors(facts: Facts) -> Outcome:
    processors = _known(facts.processors)
    usable = processors.usable_cpus
    cpus = f"{usable:g} of {_number(processors.cpus, 'CPU')}"
    memory = processors.usable_memory_bytes
    if memory is None:
        return Outcome("info", f"{cpus}; the memory could not be told")
    said = f"{cpus}, {memory / GIB:.1f} GiB of memory"
    if memory < 8 * GIB:
        return Outcome("warn", f"{said}; 8 GiB or more are good for video, fewer --workers take less")
    return Outcome("ok", said)


# what each folder should have free; a clip of 10 s is about 1 MB, the weights of X3D 15 to 30 MB each
_FOLDER_NEEDS = {"working": 5 * GB, "cache": 2 * GB, "temporary": 1 * GB}
# about four of AVA's 15-minute videos as frames
_FILES_NEEDED = 100_000
_MOVES = {
    "working": "cd /path/on/a/larger/disk",
    "runs": "cd /path/to/a/folder/of/yours",
    "cache": "export VIDBENCH_HOME=/path/on/a/larger/disk/vidbench",
    "temporary": "export TMPDIR=/path/on/a/larger/disk/tmp",
}


def _disk(facts: Facts) -> Outcome:
    folders = [folder for folder in _known(facts.folders) if folder.role in _FOLDER_NEEDS]
    said = ", ".join(f"{folder.role} folder {_gigabytes(folder.free_bytes)}" for folder in folders)
    for folder in folders:
        wanted = _FOLDER_NEEDS[folder.role]
        if folder.free_bytes is not None and folder.free_bytes < wanted:
            return Outcome(
                "warn",
                f"{folder.path} ({folder.role} folder) has {_gigabytes(folder.free_bytes)} free, "
                f"{_gigabytes(wanted)} or more are good",
                _MOVES[folder.role],
            )
        if folder.role == "working" and folder.free_inodes is not None and folder.free_inodes < _FILES_NEEDED:
            return Outcome(
                "warn",
                f"{folder.path} (working folder) has room for {folder.free_inodes} more files, "
                f"{_FILES_NEEDED} or more are good for frames",
                _MOVES[folder.role],
            )
    return Outcome("ok", f"free: {said}")


def _gigabytes(size: int | None) -> str:
    if size is None:
        return "not told"
    return f"{size / GB:.1f} GB" if size < 100 * GB else f"{size / GB:.0f} GB"


def _writable(facts: Facts) -> Outcome:
    folders = [folder for folder in _known(facts.folders) if folder.role != "working"]
    bad = [folder for folder in folders if folder.problem]
    if bad:
        said = "; ".join(f"{folder.path} ({folder.role} folder): {folder.problem}" for folder in bad)
        return Outcome("fail", f"no file can be made and renamed in {said}", _make_writable(bad[0]))
    return Outcome("ok", f"{_listed([folder.role for folder in folders])} folders can be written")


def _make_writable(folder: Folder) -> str:
    return _MOVES[folder.role].replace("/path/on/a/larger/disk", "/path/to/a/folder/of/yours")


# --- python ----------------------------------------------------------------------------------------------


def _python(facts: Facts) -> Outcome:
    python = _known(facts.python)
    said = f"Python {python.version}, {python.bits} bit, {python.environment}"
    version = release(python.version)[:2]
    fresh = "uv venv --python 3.13"
    if version < (3, 11):
        return Outcome("fail", f"{said}; vidbench needs 3.11 to 3.13", fresh)
    if python.bits != 64:
        return Outcome("fail", f"{said}; torch needs 64 bit", fresh)
    if version > (3, 13):
        return Outcome("warn", f"{said}; vidbench is tested on 3.11 to 3.13", fresh)
    return Outcome("ok", said)


def _shadows(facts: Facts) -> Outcome:
    shadows = _known(facts.shadows)
    if not shadows:
        return Outcome("ok", "no file of the working folder hides a module")
    named = _listed([shadow.path for shadow in shadows])
    first = shadows[0]
    top = first.path.partition("/")[0]
    remedy = f"mv {top} my_{top}"
    modules = _listed([shadow.module for shadow in shadows])
    verb = "hides" if len(shadows) == 1 else "hide"
    noun = "module" if len(shadows) == 1 else "modules"
    if first.searched:
        return Outcome("fail", f"{named} in the working folder {verb} the {noun} {modules}", remedy)
    return Outcome(
        "warn", f"{named} in the working folder {verb} the {noun} {modules} from `python -m vidbench`", remedy
    )


def _requirements(facts: Facts) -> Outcome:
    wanted = _known(facts.requirements)
    core = [item for item in wanted.items if not item.extra and item.applies]
    if not core:
        return Outcome("skip", "vidbench is neither installed nor a checkout; its requirements are not known")
    unmet = [item for item in core if not item.met]
    if unmet:
        remedy = "pip install " + " ".join(f"'{item.name}{item.specifier}'" for item in unmet)
        return Outcome("fail", "; ".join(_unmet(item) for item in unmet), remedy)
    return Outcome("ok", f"all {len(core)} are met")


def _unmet(item: Requirement) -> str:
    asked = f"{item.name}{item.specifier}"
    return f"{asked} is asked for, {item.installed} is installed" if item.installed else f"{asked} is not installed"


def _extras(facts: Facts) -> Outcome:
    wanted = _known(facts.requirements)
    names = list(dict.fromkeys(item.extra for item in wanted.items if item.extra))
    if not names:
        return Outcome("skip", "vidbench is neither installed nor a checkout; its extras are not known")
    complete, lacking, foreign = [], [], []
    details = []
    for name in names:
        items = [item for item in wanted.items if item.extra == name and item.applies]
        unmet = [item for item in items if not item.met]
        if not items:
            foreign.append(name)
        elif unmet:
            lacking.append(name)
            details.append(f"{name} ({'; '.join(_unmet(item) for item in unmet)})")
        else:
            complete.append(name)
    said = [f"complete: {', '.join(complete) or 'none'}"]
    if details:
        said.append(f"not complete: {', '.join(details)}")
    if foreign:
        said.append(f"not for this platform: {', '.join(foreign)}")
    remedy = f"pip install 'vidbench[{','.join(lacking)}]'" if lacking else ""
    return Outcome("info", "; ".join(said), remedy)


def _pkg_resources(facts: Facts) -> Outcome:
    packages = _known(facts.packages)
    tracker = packages.versions.get("deep-sort-realtime")
    if tracker is None:
        return Outcome("skip", "deep-sort-realtime is not installed")
    setuptools = packages.versions.get("setuptools")
    if packages.has_pkg_resources and release(setuptools or "0") < (82,):
        return Outcome("ok", f"setuptools {setuptools} has the pkg_resources that deep-sort-realtime imports")
    installed = f"setuptools {setuptools}" if setuptools else "this environment without setuptools"
    return Outcome(
        "warn",
        f"deep-sort-realtime {tracker} imports pkg_resources, which {installed} does not have (81 was the last)",
        "pip install 'setuptools<81'",
    )


def _packaging(facts: Facts) -> Outcome:
    packages = _known(facts.packages)
    art = packages.versions.get("adversarial-robustness-toolbox")
    if art is None:
        return Outcome("skip", "adversarial-robustness-toolbox is not installed")
    if not packages.has_packaging:
        return Outcome(
            "fail",
            f"adversarial-robustness-toolbox {art} imports packaging, which is not installed and which it does "
            "not ask for",
            "pip install packaging",
        )
    return Outcome("ok", f"adversarial-robustness-toolbox {art} finds packaging, which it does not ask for")


# --- torch and devices -----------------------------------------------------------------------------------


def _torch(facts: Facts) -> Outcome:
    torch = _known(facts.torch)
    if torch.stage.status == "ok":
        return Outcome("ok", f"torch {torch.version} loads")
    if torch.stage.status == "absent":
        return Outcome("fail", "torch is not installed", "pip install torch torchvision")
    return Outcome("fail", _went(torch.stage, "torch"), "pip install --force-reinstall torch torchvision")


def _went(stage: Stage, name: str) -> str:
    """Why loading failed, in one line."""
    how = {
        "absent": f"{name} is not installed",
        "error": f"{name} fails while it loads: {stage.error}",
        "died": f"{name} takes its process down: {stage.error}",
        "timeout": f"{name} hangs: {stage.error}",
        "unreached": stage.error,
    }
    return how.get(stage.status, f"{name} loads")


def _nvidia(facts: Facts) -> Outcome:
    if _known(facts.machine).system == "Darwin":
        return Outcome("skip", "macOS has no NVIDIA driver")
    gpus = _known(facts.gpus)
    if not gpus.tool:
        return Outcome("info", "no NVIDIA GPU: nvidia-smi is not there")
    if gpus.error:
        mismatch = "mismatch" in gpus.error
        return Outcome("warn", f"nvidia-smi does not answer: {gpus.error}", "sudo reboot" if mismatch else "")
    if not gpus.gpus:
        return Outcome("info", "nvidia-smi lists no GPU")
    kinds = Counter(_gpu(gpu) for gpu in gpus.gpus)
    said = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    cuda = f", which supports CUDA {gpus.cuda}" if gpus.cuda else ""
    return Outcome("ok", f"{said}; driver {gpus.gpus[0].driver}{cuda}")


def _gpu(gpu: Gpu) -> str:
    memory = f" ({gpu.memory_mib / 1024:.0f} GiB)" if gpu.memory_mib is not None else ""
    return gpu.name + memory


def _driver(facts: Facts) -> Outcome:
    torch, gpus = _known(facts.torch), _known(facts.gpus)
    if unfit := _no_cuda_question(torch, gpus):
        return unfit
    if not torch.cuda:
        return Outcome("skip", f"torch {torch.version} is built without CUDA")
    if not gpus.cuda:
        return Outcome("skip", "nvidia-smi does not tell which CUDA the driver supports")
    said = (
        f"driver {gpus.gpus[0].driver} supports CUDA {gpus.cuda}, torch {torch.version} was built for CUDA {torch.cuda}"
    )
    # within a major version an older driver serves (CUDA's minor version compatibility)
    if release(gpus.cuda)[:1] < release(torch.cuda)[:1]:
        return Outcome("warn", f"{said}; it runs on the CPU alone", _install_for(gpus))
    return Outcome("ok", said)


def _cpu_build(facts: Facts) -> Outcome:
    torch, gpus = _known(facts.torch), _known(facts.gpus)
    if unfit := _no_cuda_question(torch, gpus):
        return unfit
    if torch.cuda or torch.hip:
        return Outcome("ok", f"torch {torch.version} is built for CUDA {torch.cuda or 'by ROCm'}")
    return Outcome(
        "warn",
        f"torch {torch.version} is built without CUDA, though this machine has {_number(len(gpus.gpus), 'GPU')} "
        f"({gpus.gpus[0].name})",
        _install_for(gpus),
    )


def _device(facts: Facts) -> Outcome:
    torch, gpus = _known(facts.torch), _known(facts.gpus)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if torch.cuda_available:
        kinds = Counter(device.name for device in torch.devices)
        return Outcome("ok", "cuda: " + ", ".join(f"{count} x {name}" for name, count in kinds.items()))
    if torch.mps_available:
        return Outcome("ok", "mps: the GPU of this Mac")
    fits = not gpus.cuda or release(gpus.cuda)[:1] >= release(torch.cuda)[:1]
    if gpus.gpus and torch.cuda and fits:
        # neither of the other checks explains it
        hidden = torch.cuda_visible_devices
        why = f"CUDA_VISIBLE_DEVICES is {hidden!r}" if hidden is not None else torch.cuda_remark
        return Outcome(
            "warn",
            f"cpu: nvidia-smi lists {_number(len(gpus.gpus), 'GPU')}, torch {torch.version} sees none"
            + (f" ({why})" if why else ""),
            "unset CUDA_VISIBLE_DEVICES" if hidden is not None else "",
        )
    return Outcome("info", "cpu: torch sees no GPU that it can use")


def _kernels(facts: Facts) -> Outcome:
    torch, gpus = _known(facts.torch), _known(facts.gpus)
    if unfit := _no_cuda_question(torch, gpus):
        return unfit
    if not torch.cuda or not torch.architectures:
        return Outcome("skip", f"torch {torch.version} is built without CUDA")
    seen = {device.name: device.capability for device in torch.devices}
    seen |= {gpu.name: gpu.capability for gpu in gpus.gpus if gpu.capability}
    if not seen:
        return Outcome("skip", "the compute capability of the GPU is not told")
    compiled = ", ".join(_dotted(name) for name in torch.architectures)
    for name, capability in seen.items():
        if not _covered(capability, torch.architectures):
            return Outcome(
                "fail",
                f"{name} has compute capability {capability}, torch {torch.version} has kernels for {compiled}",
                _install_for(gpus, capability),
            )
    has = ", ".join(f"{name} {capability}" for name, capability in seen.items())
    return Outcome("ok", f"compute capability: {has}; torch {torch.version} has kernels for {compiled}")


def _covered(capability: str, architectures: Iterable[str]) -> bool:
    """Whether code compiled for one of these runs: `sm_80` on 8.x from 8.0 on, `compute_80` on all from 8.0 on."""
    device = release(capability)
    for name in architectures:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name)
        if found is None:
            continue
        built = (int(found[2]), int(found[3]))
        if built <= device and (found[1] == "compute" or built[0] == device[0]):
            return True
    return False


def _dotted(architecture: str) -> str:
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", architecture)
    if found is None:
        return architecture
    return f"{found[2]}.{found[3]}{found[4]}" + (" and later" if found[1] == "compute" else "")


def _precision(facts: Facts) -> Outcome:
    torch = _known(facts.torch)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if torch.cuda_available:
        return Outcome("info", f"bfloat16 on the GPU: {'yes' if torch.bf16 else 'no'}")
    if torch.mps_built:
        return Outcome("info", f"Metal (mps): {'yes' if torch.mps_available else 'built in, not available'}")
    return Outcome("skip", "no GPU")


def _no_cuda_question(torch: Torch, gpus: Gpus) -> Outcome | None:
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if not gpus.gpus:
        return Outcome("skip", "no NVIDIA GPU")
    return None


def _install_for(gpus: Gpus, capability: str = "") -> str:
    """The torch that fits a driver and a GPU; empty where there is none.

    The package index has torch for CUDA 13. The builds for CUDA 12.6 end with torch 2.14 and are the last
    with kernels for Pascal and Volta (pytorch/pytorch#157517); those for CUDA 12.8 are the first for Blackwell.
    """
    capabilities = [capability] if capability else [gpu.capability for gpu in gpus.gpus if gpu.capability]
    oldest = min((release(one) for one in capabilities), default=(9, 0))
    newest = max((release(one) for one in capabilities), default=(9, 0))
    driver = release(gpus.cuda) or (13, 0)
    install = "pip install --force-reinstall torch torchvision"
    if oldest < (5, 0) or driver < (12,):
        return ""
    if oldest < (7, 5):
        return f"{install} --index-url {WHEELS}/cu126"
    if driver >= (13,):
        return install
    return f"{install} --index-url {WHEELS}/{'cu128' if newest >= (10, 0) else 'cu126'}"


def _torchvision(facts: Facts) -> Outcome:
    torch, stage = _known(facts.torch), _known(facts.torchvision)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if stage.status == "ok":
        return Outcome("ok", f"torchvision {stage.data['version']} runs nms with torch {torch.version}")
    said = _went(stage, "torchvision")
    if stage.status == "absent":
        return Outcome("fail", said, _reinstall("torchvision", torch.version))
    return Outcome(
        "fail", f"{said} (with torch {torch.version})", _reinstall("--force-reinstall torch torchvision", torch.version)
    )


def _reinstall(what: str, version: str) -> str:
    """Install from where this torch is from, as its local version tells."""
    tag = version.partition("+")[2]
    known = re.fullmatch(r"cpu|cu\d{3}|rocm[\d.]+", tag)
    return f"pip install {what} --index-url {WHEELS}/{tag}" if known else f"pip install {what}"


def _local_versions(facts: Facts) -> Outcome:
    torch, stage = _known(facts.torch), _known(facts.torchvision)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    packages = _known(facts.packages)
    other = stage.data.get("version") or packages.versions.get("torchvision", "")
    ours, theirs = torch.version.partition("+")[2], other.partition("+")[2]
    if not ours or not theirs:
        return Outcome("skip", "the versions do not tell what torch and torchvision were built for")
    said = f"torch {torch.version}, torchvision {other}"
    if ours != theirs:
        return Outcome(
            "warn",
            f"{said}: built for {ours} and {theirs}",
            _reinstall("--force-reinstall torch torchvision", torch.version),
        )
    return Outcome("ok", f"{said}: both built for {ours}")


def _pytorchvideo(facts: Facts) -> Outcome:
    torch, stage = _known(facts.torch), _known(facts.pytorchvideo)
    if torch.stage.status != "ok":
        return Outcome("skip", "torch does not load")
    if stage.status == "ok":
        return Outcome("ok", f"X3D-XS builds, {stage.data['parameters'] / 1e6:.2f} million parameters")
    if stage.status == "absent":
        return Outcome("fail", "pytorchvideo is not installed", "pip install pytorchvideo")
    vision = facts.torchvision
    if vision is not None and vision.status != "ok":
        return Outcome("fail", f"{_went(stage, 'pytorchvideo')}; it needs torchvision: see D1")
    return Outcome("fail", _went(stage, "pytorchvideo"), "pip install --force-reinstall --no-deps pytorchvideo")


def _safe_loading(facts: Facts) -> Outcome:
    version = _known(facts.packages).versions.get("torch", "")
    if facts.torch is not None and facts.torch.version:
        version = facts.torch.version
    if not version:
        return Outcome("skip", "torch is not installed")
    if release(version) < (2, 10):
        return Outcome(
            "fail",
            f"torch {version} can be made to run code by a weights file (CVE-2026-24747); 2.10 and newer cannot",
            _reinstall("--upgrade torch torchvision", version),
        )
    return Outcome("ok", f"torch {version} reads weights without running code; that takes 2.10 or newer")


# --- decoders --------------------------------------------------------------------------------------------


def _ffmpeg(facts: Facts) -> Outcome:
    said = []
    for tool in _known(facts.tools):
        said.append(f"{tool.name} {tool.version}" if tool.path else f"no {tool.name}")
    return Outcome("info", f"{', '.join(said)}; not needed, PyAV brings its own")


def _decoders(facts: Facts) -> Outcome:
    clips, decodings = _known(facts.clips), _known(facts.decoders)
    first = clips[0]
    if not first.frames:
        if first.stage.status == "absent":
            return Outcome("fail", "PyAV is not installed, no video can be read", "pip install 'av>=15'")
        said = first.problem if first.stage.status == "ok" else _went(first.stage, "PyAV")
        return Outcome("fail", f"no H.264 clip could be written: {said}", "pip install --force-reinstall av")
    # without torch, torchcodec was not reached
    present = [one for one in decodings if one.stage.status not in ("absent", "unreached")]
    bad = [one for one in present if not _reads_all(one)]
    if not bad:
        readers = {clip.codec: [BACKENDS[one.backend] for one in present if one.codec == clip.codec] for clip in clips}
        read = "; ".join(f"{CODEC_NAMES[codec]} by {_listed(names)}" for codec, names in readers.items() if names)
        unwritten = [CODEC_NAMES[clip.codec] for clip in clips if not clip.frames]
        tail = f"; {_listed(unwritten)} not tried, PyAV does not write it" if unwritten else ""
        return Outcome("ok", f"all {first.frames} frames are read of {read}{tail}")
    said = "; ".join(_failures([one for one in bad if one.backend == name]) for name in _names(bad))
    if any(one.backend == "pyav" and one.codec == "h264" for one in bad):
        return Outcome("fail", said, "pip install --force-reinstall av")
    for codec in dict.fromkeys(one.codec for one in bad):
        # OpenCV is what other packages read videos with, no decoder of ours
        good = [one.backend for one in present if one.codec == codec and _reads_all(one) and one.backend != "opencv"]
        if good:
            said += f"; for {CODEC_NAMES[codec]} use {_listed([BACKENDS[name] for name in good], 'or')}"
    if any("libtorchcodec" in one.stage.error for one in bad):
        mac = _known(facts.machine).system == "Darwin"
        return Outcome("warn", said, "brew install ffmpeg" if mac else "sudo apt install ffmpeg")
    return Outcome("warn", said)


def _names(decodings: Iterable[Decoding]) -> list[str]:
    return list(dict.fromkeys(one.backend for one in decodings))


def _reads_all(one: Decoding) -> bool:
    return one.stage.status == "ok" and not one.problem and one.frames == one.expected


def _failures(bad: Sequence[Decoding]) -> str:
    """What one decoder made of the clips that it does not read, in a few words."""
    name = BACKENDS[bad[0].backend]
    if any("libtorchcodec" in one.stage.error for one in bad):
        return f"{name} does not find the shared libraries of FFmpeg 4 to 9"
    return ", ".join(_failure(name, one) for one in bad)


def _failure(name: str, one: Decoding) -> str:
    codec = CODEC_NAMES[one.codec]
    if one.stage.status == "ok":
        why = f" ({_brief(one.problem)})" if one.problem else ""
        return f"{name} reads {one.frames} of {one.expected} frames of {codec}{why}"
    if one.stage.status == "died":
        return f"{name} takes its process down on {codec} ({_brief(one.stage.error)})"
    if one.stage.status == "timeout":
        return f"{name} hangs on {codec} ({one.stage.error})"
    return f"{name} does not read {codec} ({_brief(one.stage.error)})"


def _brief(error: str) -> str:
    """An error without decord's time and source line, at most 80 characters."""
    text = re.sub(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ", "", error)
    return text if len(text) <= 80 else f"{text[:77]}..."


# --- weights ---------------------------------------------------------------------------------------------


def _weights(facts: Facts) -> Outcome:
    weights = _known(facts.weights)
    if not weights.files:
        return Outcome("skip", "no model of the catalogue has published weights")
    here = [file for file in weights.files if file.size_bytes is not None]
    gone = [file for file in weights.files if file.size_bytes is None]
    empty = [file for file in here if file.size_bytes == 0]
    if empty:
        return Outcome(
            "warn", f"{weights.folder}/{empty[0].file} is an empty file", f"vidbench weights pull {empty[0].model}"
        )
    said = f"{len(here)} of {_number(len(weights.files), 'published file')} in {weights.folder}"
    if here:
        said += f": {', '.join(f'{file.file} {(file.size_bytes or 0) / 1e6:.1f} MB' for file in here)}"
    if not gone:
        return Outcome("ok", said)
    wanted = next((file.model for file in gone if file.model == "x3d_m"), gone[0].model)
    return Outcome("info", said, f"vidbench weights pull {wanted}")


# --- the table -------------------------------------------------------------------------------------------

SYSTEM, PYTHON, TORCH, DECODERS, WEIGHTS = "System", "Python", "torch", "Decoders", "Weights"

CHECKS: tuple[Check, ...] = (
    Check("A1", "platform", SYSTEM, ("machine",), _platform),
    Check("A2", "CPUs and memory", SYSTEM, ("processors",), _processors),
    Check("A3", "disk space", SYSTEM, ("folders",), _disk),
    Check("A4", "folders", SYSTEM, ("folders",), _writable),
    Check("B1", "interpreter", PYTHON, ("python",), _python),
    Check("B3", "shadowed modules", PYTHON, ("shadows",), _shadows),
    Check("B4", "requirements", PYTHON, ("requirements",), _requirements),
    Check("B4-extras", "extras", PYTHON, ("requirements",), _extras),
    Check("B5", "setuptools", PYTHON, ("packages",), _pkg_resources, ("label",)),
    Check("B8", "packaging", PYTHON, ("packages",), _packaging, ("attack",)),
    Check("C1", "GPUs", TORCH, ("machine", "gpus"), _nvidia, NETWORKS),
    Check("D0", "torch", TORCH, ("torch",), _torch, NETWORKS),
    Check("C2", "driver", TORCH, ("torch", "gpus"), _driver, NETWORKS),
    Check("C3", "CUDA build", TORCH, ("torch", "gpus"), _cpu_build, NETWORKS),
    Check("C4", "device", TORCH, ("torch", "gpus"), _device, NETWORKS),
    Check("C5", "kernels", TORCH, ("torch", "gpus"), _kernels, NETWORKS),
    Check("C10", "precision", TORCH, ("torch",), _precision, NETWORKS),
    Check("D1", "torchvision", TORCH, ("torch", "torchvision"), _torchvision, NETWORKS),
    Check("D2", "builds", TORCH, ("torch", "torchvision", "packages"), _local_versions, NETWORKS),
    Check("D4", "pytorchvideo", TORCH, ("torch", "torchvision", "pytorchvideo"), _pytorchvideo, NETWORKS),
    Check("D6", "weights loader", TORCH, ("packages",), _safe_loading, NETWORKS),
    Check("F1", "ffmpeg", DECODERS, ("tools",), _ffmpeg, ("data",)),
    Check("F3", "decoders", DECODERS, ("machine", "clips", "decoders"), _decoders),
    Check("J1", "published weights", WEIGHTS, ("weights",), _weights, ("model", "attack")),
)
