"""AVA: films, annotations, frame lists and person boxes, in the folders that PySlowFast expects."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from vidbench.data.fetching import Fetcher, Plan, Want, Wanted
from vidbench.data.sources import AVA_VIDEO, Source, at_mirror
from vidbench.errors import InputError
from vidbench.ledger import OK
from vidbench.net.http import Failure
from vidbench.runs import write_text_atomic

PARTS = ("annotations", "frame_lists", "boxes", "videos")
_FILM = re.compile(r"[\w-]+\.(mp4|mkv|webm|avi)")


def fetch(fetcher: Fetcher, source: Source, want: Want) -> Plan:
    """Fetch what is asked of AVA.

    Files: `annotations/` (the bundle, and the boxes of long-term feature banks), `frame_lists/{train,val}.csv`,
    `videos/<id>.<ending>`. The splits train and val share one folder of films at the mirror; which film is in
    which is told by the annotations.
    """
    plan = Plan()
    extras = [
        Wanted(name, at_mirror(url, want.mirror), is_video=False)
        for name, url in source.extras
        if ("frame_lists" if name.startswith("frame_lists") else "boxes") in want.parts
    ]
    bundle = at_mirror(source.annotations, want.mirror)
    if fetcher.dry:
        films = _films(fetcher, source, want) if "videos" in want.parts else []
        left = [item for item in (*extras, *films) if not fetcher.has(item)]
        tars = [bundle] if "annotations" in want.parts and not _whole(fetcher, bundle) else []
        plan.wanted, plan.here = len(extras) + len(films), len(extras) + len(films) - len(left)
        plan.bytes = fetcher.sizes([*tars, *(item.url for item in left)])
        return plan
    held: list[Wanted] = []
    if "annotations" in want.parts:
        held = _annotations(fetcher, bundle)
    films = _films(fetcher, source, want) if "videos" in want.parts else []
    items = [*extras, *films]
    plan.items, plan.wanted = [*held, *items], len(held) + len(items)
    plan.here = sum(map(fetcher.has, items))
    fetcher.ledger.plan(plan.wanted, "files")
    left = fetcher.left(items)
    with fetcher.progress(f"ava {want.split}", items, "files"):
        fetcher.each(left, fetcher.download)
    return plan


def _whole(fetcher: Fetcher, url: str) -> bool:
    """Whether all files of a tarball that was read to its end are still here."""
    record = fetcher.archives.by_key.get(url)
    return record is not None and all(fetcher.has(Wanted(name)) for name in record["names"])


def _annotations(fetcher: Fetcher, url: str) -> list[Wanted]:
    """Unpack the bundle; its outermost folder is `annotations` here."""
    archives = fetcher.archives
    if not _whole(fetcher, url):
        names = []
        with fetcher.progress("annotations", [], "files"):
            for member, body, _ in fetcher.unpack(url):
                inner = member.path.parts[1:] if len(member.path.parts) > 1 else member.path.parts
                item = Wanted(str(PurePosixPath("annotations", *inner)), is_video=False)
                names.append(item.name)
                if not fetcher.has(item):
                    fetcher.keep(item, member, body, url)
        if not names:
            raise Failure("corrupt", "tarball", f"{url} holds no files")
        archives.append({"key": url, "reason": OK, "names": names})
    return [Wanted(name, is_video=False) for name in archives.by_key[url]["names"]]


def _films(fetcher: Fetcher, source: Source, want: Want) -> list[Wanted]:
    folder = "test" if want.split == "test" else "trainval"
    address = at_mirror(source.parts.format(split=folder), want.mirror)
    names = [line.strip() for line in fetcher.http.text(address).decode("utf-8", "replace").splitlines()]
    names = [name for name in names if name]
    if bad := [name for name in names if not _FILM.fullmatch(name)]:
        raise Failure("corrupt", "films", f"{address} is no list of films: {bad[0][:80]!r}")
    if not fetcher.dry:
        write_text_atomic(fetcher.out / PurePosixPath(address).name, "".join(f"{name}\n" for name in names))
    if want.split in ("train", "val"):
        ids = _ids(fetcher, want.split)
        names = [name for name in names if PurePosixPath(name).stem in ids]
    names = want.selection.named(names, lambda name: PurePosixPath(name).stem)[: want.selection.limit]
    return [
        Wanted(f"videos/{name}", at_mirror(AVA_VIDEO.format(split=folder, name=name), want.mirror)) for name in names
    ]


def _ids(fetcher: Fetcher, split: str) -> set[str]:
    path = fetcher.out / "annotations" / f"ava_{split}_v2.2.csv"
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; it tells which films are in {split}",
            "Fetch the annotations first: vidbench data fetch ava --what annotations --out DIR",
        )
    with path.open(encoding="utf-8") as lines:
        return {line.partition(",")[0] for line in lines if line.strip()}
