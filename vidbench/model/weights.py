"""Published weights: where they are on this machine, and how they get there.

A model may have several published files. `NAME` means its first one, `NAME@TAG` the one with that tag.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from vidbench.cache import weights_dir
from vidbench.errors import InputError, MissingError, NetworkError, UnknownNameError, UsageError, disk_errors
from vidbench.model.sniff import FileKind, sniff, sniff_head
from vidbench.model.zoo import MODELS, ModelCard, Published
from vidbench.net.http import Failure, Http
from vidbench.net.transfer import Received, locked, put_in_place, record_path, write_record
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import file_sha256, read_json

MIRROR_VARIABLE = "VIDBENCH_MIRROR"
OFFLINE_VARIABLE = "VIDBENCH_OFFLINE"

# tasks whose figures are measured on views of whole videos, by a rule of `vidbench.model.protocol`
_OF_VIEWS = ("classify", "multilabel")

Place = Literal["imported", "cache", "torch hub", "missing", "damaged"]


class PullRequest(BaseModel):
    """What to put into the cache of weights.

    Attributes:
        names: Catalogue models, each with `@TAG` for another than its first file.
        mirror: A base address to take the files from instead of the published one: `<mirror>/<file>`.
            Without it the variable VIDBENCH_MIRROR is read.
        file: A local file to copy into the cache, for a single name.
        offline: Never open a connection; VIDBENCH_OFFLINE=1 says the same.
        timeout_s: Seconds without an answer, or without a byte, after which an attempt has failed.
        attempts: Attempts in a row that may fail without a new byte before an address is given up.
        backoff_s: Seconds before the second attempt; doubled for each further one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...] = Field(min_length=1)
    mirror: str | None = None
    file: Path | None = None
    offline: bool = False
    timeout_s: float = Field(default=30.0, gt=0)
    attempts: int = Field(default=5, ge=1)
    backoff_s: float = Field(default=1.0, ge=0)


@dataclass(frozen=True)
class Pulled:
    """One file of weights that is here now.

    Attributes:
        name: The model, as it was asked for.
        path: The file.
        action: "downloaded", "copied", or "present" where nothing was to be done.
        size: Bytes.
        sha256: Of the file, in hex.
        url: Where it came from, where that is known.
    """

    name: str
    path: Path
    action: Literal["downloaded", "copied", "present"]
    size: int
    sha256: str
    url: str = ""


@dataclass(frozen=True)
class PullResult:
    """What `pull` brought, in the order asked for."""

    weights: tuple[Pulled, ...]


@dataclass(frozen=True)
class WeightsRow:
    """One line of the list of published weights.

    Attributes:
        name: What `weights pull` takes: the model, and `@TAG` for another than its first file.
        model: The model.
        tag: Of the file.
        file: The name of its file.
        where: "imported", "cache", "torch hub", "missing", or "damaged" for a file that is not what it should be.
        path: The file, where there is one.
        size: Bytes, where there is a file.
        sha256: In hex, where there is a file.
        top1: Published accuracy in per cent, under `views`; None where another figure is published.
        mean_ap: Published mean average precision in per cent, of networks with several labels or boxes.
        views: Temporal x spatial views of that figure.
        protocol: The rule that the views' frames were taken by; empty where no views of videos are taken.
        data: The set whose validation part was measured.
        source: Who says so.
        licence: Of the weights.
        urls: Where the file is published.
    """

    name: str
    model: str
    tag: str
    file: str
    where: Place
    path: Path | None
    size: int | None
    sha256: str | None
    top1: float | None
    mean_ap: float | None
    views: str
    protocol: str
    data: str
    source: str
    licence: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Verified:
    """How one file of weights compares with what is recorded of it.

    Attributes:
        name: The model, and `@TAG` for another than its first file.
        path: The file, where there is one.
        status: "ok"; "unrecorded" where no checksum is known to compare with; "changed"; "missing".
        sha256: Of the file now.
        expected: What it should be; empty where unknown.
    """

    name: str
    path: Path | None
    status: Literal["ok", "unrecorded", "changed", "missing"]
    sha256: str | None
    expected: str


@dataclass(frozen=True)
class VerifyResult:
    """What `verify` found; `failed` counts the files that are changed or missing."""

    weights: tuple[Verified, ...]
    failed: int


def imported_path(name: str) -> Path:
    """Where `weights import` puts the weights of a model; the file need not exist."""
    return weights_dir() / "imported" / f"{name}.safetensors"


def files_of(card: ModelCard) -> tuple[Published, ...]:
    """All published files of a model, the first one first."""
    return (() if card.published is None else (card.published,)) + card.others


def tags(card: ModelCard) -> tuple[str, ...]:
    """What may stand behind the `@`, and what `--weights` takes beside "pretrained", "random" and a file."""
    return tuple(published.tag for published in files_of(card) if published.tag)


def published(card: ModelCard, tag: str = "") -> Published:
    """The published file of a model that a tag means; without a tag the first one.

    Raises:
        InputError: No weights are published for this model.
        UnknownNameError: It has no file of that tag.
    """
    files = files_of(card)
    if not files:
        raise InputError(
            f"no weights are published for {card.name}",
            "Train it with `vidbench model finetune`, or try the plumbing with `--weights random`.",
        )
    if not tag:
        return files[0]
    for found in files:
        if found.tag == tag:
            return found
    raise UnknownNameError(f"weights of {card.name}", tag, tags(card), f"It has {', '.join(tags(card))}.")


def parse_name(text: str) -> tuple[ModelCard, str]:
    """`NAME` or `NAME@TAG` to the model and the tag, which is empty where none was given.

    Raises:
        UnknownNameError: No such model, or it has no file of that tag.
        InputError: Nothing after the `@`, or no weights are published for the model.
    """
    name, at, tag = text.partition("@")
    card = MODELS.get(name)
    if at:
        if not tag:
            raise InputError(f"{text!r}: no tag after the @", f"{name} has {', '.join(tags(card)) or 'none'}.")
        published(card, tag)
    return card, tag


def locate(card: ModelCard, tag: str = "") -> Path | None:
    """The weights of a model on this machine, or None.

    Without a tag imported ones come first; with one they are not looked at. Published ones are looked for in
    vidbench's cache, then in torch hub's, which is only read. A file counts when it is not empty and, where its
    sha256 is known (from the catalogue, or recorded when it came here), has it.
    """
    return _here(card, tag).path_if_good


def require(card: ModelCard, pull: bool = False, reporter: Reporter | None = None, *, tag: str = "") -> Path:
    """The weights of a model, downloaded first where `pull` is set.

    Args:
        card: The model.
        pull: Download what is missing.
        reporter: Hears of the download.
        tag: Which of its published files; the first one, or imported weights, where it is empty.

    Raises:
        MissingError: They are not here, and may not or cannot be downloaded now.
        InputError: No weights are published for this model.
        UnknownNameError: It has no file of that tag.
        NetworkError: The download failed.
    """
    found = _here(card, tag)
    if found.path_if_good is not None:
        return found.path_if_good
    if not tag and found.path == imported_path(card.name):
        # the published ones must not take their place unasked
        raise MissingError(
            f"the imported weights of {card.name} are damaged: {found.path} is not the file that was recorded",
            f"Import them again, or delete that file: vidbench weights import FILE --model {card.name}",
        )
    wanted = published(card, tag)
    name = _named(card, tag)
    if pull:
        return _pull(card, tag, PullRequest(names=(name,)), reporter or SilentReporter()).path
    raise MissingError(_not_here(name, wanted, found), _how_to_get(name))


def pull(request: PullRequest, reporter: Reporter | None = None) -> PullResult:
    """Bring published weights into the cache; what is here already is left alone.

    A download that was cut continues where it stopped, provided that the server still has the same
    version. Several processes that ask for the same file download it once.

    Raises:
        UnknownNameError: A name that the catalogue does not hold, or a tag that the model does not have.
        UsageError: Options that do not go together, or a mirror that is no http(s) address.
        InputError: No weights are published for a model, or the local file is none.
        MissingError: Downloads are forbidden, or the disk is full; what was received is kept.
        NetworkError: No address gave the file, or it is not the expected one.
    """
    if request.file is not None and len(request.names) != 1:
        raise UsageError("a local file holds the weights of one model", "Name one model with --from.")
    if request.file is not None and request.mirror is not None:
        raise UsageError("--from and --mirror exclude each other")
    _addresses_base(request)
    wanted = [parse_name(name) for name in dict.fromkeys(request.names)]
    for card, tag in wanted:
        published(card, tag)
    reporter = reporter or SilentReporter()
    return PullResult(tuple(_pull(card, tag, request, reporter) for card, tag in wanted))


def listing() -> tuple[WeightsRow, ...]:
    """All published weights of the catalogue, a row for each file of each model, and whether they are here."""
    rows = []
    finds = _Finds()
    for card, tag, file in _all_files():
        found = finds.here(card, tag)
        rows.append(
            WeightsRow(
                name=_named(card, tag),
                model=card.name,
                tag=file.tag,
                file=file.file,
                where=found.place,
                path=found.path,
                size=None if found.path is None else found.path.stat().st_size,
                sha256=found.sha256,
                top1=file.top1,
                mean_ap=file.mean_ap,
                views=file.views,
                protocol=file.protocol if card.task in _OF_VIEWS else "",
                data=file.data,
                source=file.source,
                licence=file.licence,
                urls=file.urls,
            )
        )
    return tuple(rows)


def verify(names: tuple[str, ...] = ()) -> VerifyResult:
    """Hash the weights that are here again and compare them with what is recorded.

    Args:
        names: Catalogue models, with `@TAG` for another than the first file; one whose weights are not here counts
            as failed. Without names, all weights that are here, each file once.
    """
    finds = _Finds()
    rows: list[Verified] = []
    if names:
        wanted = [parse_name(name) for name in dict.fromkeys(names)]
    else:
        wanted = [(card, tag) for card, tag, _ in _all_files()]
    seen: set[Path] = set()
    for card, tag in wanted:
        name, found = _named(card, tag), finds.here(card, tag)
        if found.path is None:
            published(card, tag)
            if names:
                rows.append(Verified(name, None, "missing", None, found.expected))
            continue
        if not names and found.path in seen:
            # the same file under another name
            continue
        seen.add(found.path)
        status: Literal["ok", "unrecorded", "changed"] = "ok" if found.expected else "unrecorded"
        if found.place == "damaged":
            status = "changed"
        rows.append(Verified(name, found.path, status, found.sha256, found.expected))
    return VerifyResult(tuple(rows), sum(row.status in ("changed", "missing") for row in rows))


def download(
    urls: tuple[str, ...],
    target: Path,
    *,
    sha256: str = "",
    timeout_s: float = 30.0,
    attempts: int = 5,
    backoff_s: float = 1.0,
    reporter: Reporter | None = None,
    pickled: bool = False,
) -> Received:
    """Fetch a file of weights from the first address that gives it; `target` appears whole or not at all.

    What came before, now or before a kill, is continued (`vidbench.net.transfer.receive`). A record of the
    download is written to `<target>.json` just before the file appears. The caller holds the lock of `target`
    (`vidbench.net.transfer.locked`).

    Args:
        urls: http or https addresses, tried in order.
        target: Where the file goes.
        sha256: What the file must have, in hex; empty where unknown.
        timeout_s: Seconds without an answer, or without a byte, after which an attempt has failed.
        attempts: Attempts in a row that may fail without a new byte before an address is given up.
        backoff_s: Seconds before the second attempt; doubled for each further one.
        reporter: Told of progress, waits and retries.
        pickled: A bare pickle, as Caffe2's, is what is published; it is never run (`vidbench.model.caffe2`).

    Raises:
        NetworkError: With every address and what was wrong with it.
        MissingError: The disk is full; the part is kept.
    """
    http = Http(timeout_s=timeout_s, attempts=attempts, backoff_s=backoff_s, workers=1)
    failures = []
    for url in urls:
        try:
            return http.download(
                url,
                target,
                check=lambda path: _check_is_weights(path, pickled),
                sha256=sha256,
                reporter=reporter,
                head_check=lambda head: _check_head_is_weights(head, pickled),
                record=lambda received: write_record(target, received),
            )
        except Failure as failure:
            failures.append(f"{url}: {failure.detail}")
    raise NetworkError(
        f"could not download {target.name}: {'; '.join(failures)}",
        "Run the same command again (it resumes), name another address with --mirror URL, "
        "or take a local file with --from FILE.",
    )


# --- what is here ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    place: Place
    path: Path | None
    sha256: str | None
    expected: str

    @property
    def path_if_good(self) -> Path | None:
        return self.path if self.place in ("imported", "cache", "torch hub") else None


def _here(card: ModelCard, tag: str = "") -> _Found:
    """The file of a tag; without one the imported weights where there are any, damaged or not, or the first file."""
    if tag:
        return _find(published(card, tag))
    path = imported_path(card.name)
    if path.is_file():
        expected, actual = _recorded_sha256(path), file_sha256(path)
        return _Found("imported" if expected == actual else "damaged", path, actual, expected)
    files = files_of(card)
    return _find(files[0]) if files else _Found("missing", None, None, "")


class _Finds:
    """What is here, each file hashed once however many models and tags name it."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], _Found] = {}

    def here(self, card: ModelCard, tag: str) -> _Found:
        files = files_of(card)
        if not tag and (not files or imported_path(card.name).is_file()):
            return _here(card)
        wanted = published(card, tag)
        key = (wanted.file, wanted.sha256)
        if key not in self._found:
            self._found[key] = _find(wanted)
        return self._found[key]


def _find(published: Published) -> _Found:
    ours = weights_dir() / published.file
    damaged: _Found | None = None
    if ours.is_file():
        expected = published.sha256 or _recorded_sha256(ours)
        actual = file_sha256(ours)
        if ours.stat().st_size > 0 and expected in ("", actual):
            return _Found("cache", ours, actual, expected)
        damaged = _Found("damaged", ours, actual, expected)
    theirs = _torch_hub_dir() / published.file
    if theirs.is_file() and theirs.stat().st_size > 0:
        # torch hub records no checksum, and what vidbench once downloaded need not be the same file
        actual = file_sha256(theirs)
        if published.sha256 in ("", actual):
            return _Found("torch hub", theirs, actual, published.sha256)
    return damaged or _Found("missing", None, None, published.sha256)


def _torch_hub_dir() -> Path:
    """Where `torch.hub` keeps downloads (`torch.hub.get_dir`), without importing torch."""
    home = os.environ.get("TORCH_HOME")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _recorded_sha256(path: Path) -> str:
    record = record_path(path)
    if not record.exists():
        return ""
    value = read_json(record).get("sha256")
    if not isinstance(value, str):
        raise InputError(f"{record}: sha256: expected text", "Delete that file: it only records a download.")
    return value


def _all_files() -> list[tuple[ModelCard, str, Published]]:
    """Every file of every model, with the tag that asks for it; the first of each model needs none."""
    cards = [entry.load() for entry in MODELS]
    return [(card, file.tag if place else "", file) for card in cards for place, file in enumerate(files_of(card))]


def _named(card: ModelCard, tag: str) -> str:
    return f"{card.name}@{tag}" if tag else card.name


def _not_here(name: str, wanted: Published, found: _Found) -> str:
    if found.path is None:
        return f"the pretrained weights of {name} are not here ({wanted.file})"
    return f"the pretrained weights of {name} are not here: {found.path} is damaged (its sha256 is another)"


def _how_to_get(name: str) -> str:
    return (
        f"vidbench weights pull {name}  (add --mirror URL to take them from elsewhere, or --from FILE for a "
        "local file). `--weights random` runs the plumbing without them."
    )


# --- bringing it here --------------------------------------------------------------------------------------


def _pull(card: ModelCard, tag: str, request: PullRequest, reporter: Reporter) -> Pulled:
    wanted, name = published(card, tag), _named(card, tag)
    target = weights_dir() / wanted.file
    # a file's name may hold a folder
    folder = target.parent
    if not tag and imported_path(card.name).is_file():
        reporter.warn(f"{card.name} has imported weights, which are used before these: {imported_path(card.name)}")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(target, reporter):
        if request.file is not None:
            return _copy(name, wanted, request.file, target, reporter)
        found = _find(wanted)
        if found.path_if_good is not None:
            return Pulled(name, found.path_if_good, "present", found.path_if_good.stat().st_size, found.sha256 or "")
        if request.offline or _is_set(os.environ.get(OFFLINE_VARIABLE, "")):
            raise MissingError(
                f"{_not_here(name, wanted, found)}, and downloads are switched off ({OFFLINE_VARIABLE})",
                f"Unset {OFFLINE_VARIABLE}, or take a local file: vidbench weights pull {name} --from FILE",
            )
        if found.path is not None:
            reporter.warn(f"{target} is damaged and is downloaded again")
        base = _addresses_base(request)
        received = download(
            wanted.urls if base is None else (f"{base}/{quote(wanted.file)}",),
            target,
            sha256=wanted.sha256,
            timeout_s=request.timeout_s,
            attempts=request.attempts,
            backoff_s=request.backoff_s,
            reporter=reporter,
            pickled=_is_pickled(wanted),
        )
        if found.expected and received.sha256 != found.expected:
            reporter.warn(
                f"{wanted.file} is another file than the one recorded before: sha256 {received.sha256}, "
                f"was {found.expected}"
            )
    return Pulled(name, target, "downloaded", received.size, received.sha256, received.url)


def _copy(name: str, wanted: Published, source: Path, target: Path, reporter: Reporter) -> Pulled:
    try:
        if not source.is_file():
            raise InputError(f"{source}: {'not a file' if source.exists() else 'no such file'}")
        kind = sniff(source)
        sha256 = file_sha256(source)
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error
    _check_kind(kind, str(source), _is_pickled(wanted))
    if wanted.sha256 not in ("", sha256):
        raise NetworkError(
            f"{source} is not the published {wanted.file}: sha256 {sha256}, expected {wanted.sha256}",
            f"vidbench weights pull {name}",
        )
    before = file_sha256(target) if target.is_file() else sha256
    part = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    if before == sha256 and target.is_file() and _recorded_sha256(target) == sha256:
        return Pulled(name, target, "present", target.stat().st_size, sha256)
    with disk_errors(target):
        try:
            shutil.copyfile(source, part)
            copied = file_sha256(part)
            if copied != sha256:
                raise InputError(f"{source} changed while it was copied", "Run the same command again.")
            write_record(target, Received(str(source), part.stat().st_size, sha256, "", ""))
            put_in_place(part, target)
        finally:
            part.unlink(missing_ok=True)
    if before != sha256:
        reporter.warn(f"{target} held another file (sha256 {before}); it is replaced")
    return Pulled(name, target, "copied", target.stat().st_size, sha256, str(source))


def _is_pickled(wanted: Published) -> bool:
    """Whether what is published may be a bare pickle; those that are not are told by their content."""
    return wanted.file.endswith(".pkl")


def _check_kind(kind: FileKind, source: str, pickled: bool) -> None:
    if kind == "pickle" and pickled:
        if not _ends_as_pickle(Path(source)):
            raise InputError(f"{source}: a pickle that was cut off", "Was its download cut off?")
        return
    if kind == "pickle":
        raise InputError(
            f"{source}: a bare pickle (as Caffe2's .pkl), not a published file",
            "vidbench weights import FILE --model NAME reads it without running it.",
        )
    if kind == "unknown":
        raise InputError(
            f"{source}: neither a safetensors file nor a whole file of torch.save", "Was its download cut off?"
        )


def _ends_as_pickle(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"."


def _check_is_weights(path: Path, pickled: bool) -> None:
    kind = sniff(path)
    if kind == "pickle" and pickled and _ends_as_pickle(path):
        return
    if kind not in ("safetensors", "torch-zip", "torch-legacy"):
        raise Failure("corrupt", "content", "gave a file that holds no weights, or not all of them")


def _check_head_is_weights(head: bytes, pickled: bool) -> None:
    kind = sniff_head(head)
    if kind in ("safetensors", "torch-zip", "torch-legacy") or (kind == "pickle" and pickled):
        return
    if head[:64].lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise Failure("corrupt", "content", "gave a web page, not weights")
    raise Failure("corrupt", "content", "gave a file that holds no weights" if head else "gave an empty file")


def _is_set(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "false", "no", "off")


def _addresses_base(request: PullRequest) -> str | None:
    base = request.mirror if request.mirror is not None else os.environ.get(MIRROR_VARIABLE, "").strip() or None
    if base is None:
        return None
    origin = "--mirror" if request.mirror is not None else MIRROR_VARIABLE
    try:
        parts = urlsplit(base)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(f"{origin} must be an http or https address, not {base!r}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(f"{origin} must be a plain base address, without user name, query or fragment")
    return base.rstrip("/")
