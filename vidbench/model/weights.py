"""Published weights: where they are on this machine, and how they get there."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from vidbench.cache import weights_dir
from vidbench.errors import InputError, MissingError, NetworkError, UsageError, disk_errors
from vidbench.model.sniff import FileKind, sniff, sniff_head
from vidbench.model.zoo import MODELS, ModelCard, Published
from vidbench.net.http import Failure, Http
from vidbench.net.transfer import Received, locked, put_in_place, record_path, write_record
from vidbench.progress import Reporter, SilentReporter
from vidbench.runs import file_sha256, read_json

MIRROR_VARIABLE = "VIDBENCH_MIRROR"
OFFLINE_VARIABLE = "VIDBENCH_OFFLINE"

Place = Literal["imported", "cache", "torch hub", "missing", "damaged"]


class PullRequest(BaseModel):
    """What to put into the cache of weights.

    Attributes:
        names: Catalogue models.
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
        name: The model.
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
        name: The model.
        file: The name of its file.
        where: "imported", "cache", "torch hub", "missing", or "damaged" for a file that is not what it should be.
        path: The file, where there is one.
        size: Bytes, where there is a file.
        sha256: In hex, where there is a file.
        top1: Published accuracy in per cent, under `views`; None where another figure is published.
        views: Temporal x spatial views of that accuracy.
        licence: Of the weights.
    """

    name: str
    file: str
    where: Place
    path: Path | None
    size: int | None
    sha256: str | None
    top1: float | None
    views: str
    licence: str


@dataclass(frozen=True)
class Verified:
    """How one file of weights compares with what is recorded of it.

    Attributes:
        name: The model.
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


def locate(card: ModelCard) -> Path | None:
    """The weights of a model on this machine, or None.

    Imported ones come first. Published ones are looked for in vidbench's cache, then in torch hub's, which is only
    read. A file counts when it is not empty and, where its sha256 is known (from the catalogue, or recorded when it
    came here), has it.
    """
    return _here(card).path_if_good


def require(card: ModelCard, pull: bool = False, reporter: Reporter | None = None) -> Path:
    """The published weights of a model, downloaded first where `pull` is set.

    Raises:
        MissingError: They are not here, and may not or cannot be downloaded now.
        InputError: No weights are published for this model.
        NetworkError: The download failed.
    """
    found = _here(card)
    if found.path_if_good is not None:
        return found.path_if_good
    if found.path == imported_path(card.name):
        # the published ones must not take their place unasked
        raise MissingError(
            f"the imported weights of {card.name} are damaged: {found.path} is not the file that was recorded",
            f"Import them again, or delete that file: vidbench weights import FILE --model {card.name}",
        )
    published = _published(card)
    if pull:
        return _pull(card, PullRequest(names=(card.name,)), reporter or SilentReporter()).path
    raise MissingError(_not_here(card, published, found), _how_to_get(card.name))


def pull(request: PullRequest, reporter: Reporter | None = None) -> PullResult:
    """Bring published weights into the cache; what is here already is left alone.

    A download that was cut continues where it stopped, provided that the server still has the same
    version. Several processes that ask for the same file download it once.

    Raises:
        UnknownNameError: A name that the catalogue does not hold.
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
    cards = [MODELS.get(name) for name in dict.fromkeys(request.names)]
    for card in cards:
        _published(card)
    reporter = reporter or SilentReporter()
    return PullResult(tuple(_pull(card, request, reporter) for card in cards))


def listing() -> tuple[WeightsRow, ...]:
    """All published weights of the catalogue, and whether they are on this machine."""
    rows = []
    for card in _cards_with_weights():
        published = _published(card)
        found = _here(card)
        rows.append(
            WeightsRow(
                name=card.name,
                file=published.file,
                where=found.place,
                path=found.path,
                size=None if found.path is None else found.path.stat().st_size,
                sha256=found.sha256,
                top1=published.top1,
                views=published.views,
                licence=published.licence,
            )
        )
    return tuple(rows)


def verify(names: tuple[str, ...] = ()) -> VerifyResult:
    """Hash the weights that are here again and compare them with what is recorded.

    Args:
        names: Catalogue models; one whose weights are not here counts as failed. Without names, all
            weights that are here.
    """
    cards = [MODELS.get(name) for name in dict.fromkeys(names)] if names else _cards_with_weights()
    rows = []
    for card in cards:
        found = _here(card)
        if found.path is None:
            _published(card)
            if names:
                rows.append(Verified(card.name, None, "missing", None, found.expected))
            continue
        status: Literal["ok", "unrecorded", "changed"] = "ok" if found.expected else "unrecorded"
        if found.place == "damaged":
            status = "changed"
        rows.append(Verified(card.name, found.path, status, found.sha256, found.expected))
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
                check=_check_is_weights,
                sha256=sha256,
                reporter=reporter,
                head_check=_check_head_is_weights,
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


def _here(card: ModelCard) -> _Found:
    """The imported weights of a model where there are any, damaged or not; the published ones otherwise."""
    path = imported_path(card.name)
    if path.is_file():
        expected, actual = _recorded_sha256(path), file_sha256(path)
        return _Found("imported" if expected == actual else "damaged", path, actual, expected)
    return _Found("missing", None, None, "") if card.published is None else _find(card.published)


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


def _cards_with_weights() -> list[ModelCard]:
    cards = [entry.load() for entry in MODELS]
    return [card for card in cards if card.published is not None]


def _published(card: ModelCard) -> Published:
    if card.published is None:
        raise InputError(
            f"no weights are published for {card.name}",
            "Train it with `vidbench model finetune`, or try the plumbing with `--weights random`.",
        )
    return card.published


def _not_here(card: ModelCard, published: Published, found: _Found) -> str:
    if found.path is None:
        return f"the pretrained weights of {card.name} are not here ({published.file})"
    return f"the pretrained weights of {card.name} are not here: {found.path} is damaged (its sha256 is another)"


def _how_to_get(name: str) -> str:
    return (
        f"vidbench weights pull {name}  (add --mirror URL to take them from elsewhere, or --from FILE for a "
        "local file). `--weights random` runs the plumbing without them."
    )


# --- bringing it here --------------------------------------------------------------------------------------


def _pull(card: ModelCard, request: PullRequest, reporter: Reporter) -> Pulled:
    published = _published(card)
    folder = weights_dir()
    target = folder / published.file
    if imported_path(card.name).is_file():
        reporter.warn(f"{card.name} has imported weights, which are used before these: {imported_path(card.name)}")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(target, reporter):
        if request.file is not None:
            return _copy(card.name, published, request.file, target, reporter)
        found = _find(published)
        if found.path_if_good is not None:
            return Pulled(
                card.name, found.path_if_good, "present", found.path_if_good.stat().st_size, found.sha256 or ""
            )
        if request.offline or _is_set(os.environ.get(OFFLINE_VARIABLE, "")):
            raise MissingError(
                f"{_not_here(card, published, found)}, and downloads are switched off ({OFFLINE_VARIABLE})",
                f"Unset {OFFLINE_VARIABLE}, or take a local file: vidbench weights pull {card.name} --from FILE",
            )
        if found.path is not None:
            reporter.warn(f"{target} is damaged and is downloaded again")
        base = _addresses_base(request)
        received = download(
            published.urls if base is None else (f"{base}/{quote(published.file)}",),
            target,
            sha256=published.sha256,
            timeout_s=request.timeout_s,
            attempts=request.attempts,
            backoff_s=request.backoff_s,
            reporter=reporter,
        )
        if found.expected and received.sha256 != found.expected:
            reporter.warn(
                f"{published.file} is another file than the one recorded before: sha256 {received.sha256}, "
                f"was {found.expected}"
            )
    return Pulled(card.name, target, "downloaded", received.size, received.sha256, received.url)


def _copy(name: str, published: Published, source: Path, target: Path, reporter: Reporter) -> Pulled:
    try:
        if not source.is_file():
            raise InputError(f"{source}: {'not a file' if source.exists() else 'no such file'}")
        kind = sniff(source)
        sha256 = file_sha256(source)
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error
    _check_kind(kind, str(source))
    if published.sha256 not in ("", sha256):
        raise NetworkError(
            f"{source} is not the published {published.file}: sha256 {sha256}, expected {published.sha256}",
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


def _check_kind(kind: FileKind, source: str) -> None:
    if kind == "pickle":
        raise InputError(
            f"{source}: a bare pickle (as Caffe2's .pkl), not a published file",
            "vidbench weights import FILE --model NAME reads it without running it.",
        )
    if kind == "unknown":
        raise InputError(
            f"{source}: neither a safetensors file nor a whole file of torch.save", "Was its download cut off?"
        )


def _check_is_weights(path: Path) -> None:
    if sniff(path) not in ("safetensors", "torch-zip", "torch-legacy"):
        raise Failure("corrupt", "content", "gave a file that holds no weights, or not all of them")


def _check_head_is_weights(head: bytes) -> None:
    if sniff_head(head) in ("safetensors", "torch-zip", "torch-legacy"):
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
