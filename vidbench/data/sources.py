"""The public sources: which addresses they have, and what lies where."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from vidbench.catalogue import Catalogue, Entry
from vidbench.errors import UsageError

YOUTUBE = "https://www.youtube.com/watch?v={id}"
_S3 = "https://s3.amazonaws.com"
_FAIR = "https://dl.fbaipublicfiles.com"
_AI2 = "https://ai2-public-datasets.s3-us-west-2.amazonaws.com"


@dataclass(frozen=True)
class Source:
    """A public source.

    Attributes:
        name: What users type.
        kind: How it is laid out: tarballs of clips, a file per video, a tarball of frames, or a list of links.
        splits: The names that `--split` takes, the default first.
        table: The class table of its labels, empty where it has none.
        parts: Where the list of a split's tarballs is, with `{split}`; one address a line.
        annotations: Where the annotations of a split are, with `{split}`.
        extras: Further files, by the folder or file that they belong in.
        replacements: A tarball whose clips stand in for broken ones, empty where there is none.
    """

    name: str
    kind: str
    splits: tuple[str, ...]
    table: str = ""
    parts: str = ""
    annotations: str = ""
    extras: tuple[tuple[str, str], ...] = ()
    replacements: str = ""


def _kinetics(classes: int, folder: str, parts: str, replacements: str = "") -> Source:
    """The Common Visual Data Foundation's copy: tarballs of trimmed clips."""
    base = f"{_S3}/kinetics/{folder}"
    return Source(
        name=f"kinetics{classes}",
        kind="clips",
        splits=("val", "train", "test"),
        table=f"kinetics{classes}",
        parts=f"{base}/{{split}}/{parts}_{{split}}_path.txt",
        annotations=f"{base}/annotations/{{split}}.csv",
        replacements=f"{base}/{replacements}" if replacements else "",
    )


AVA = Source(
    name="ava",
    kind="ava",
    splits=("trainval", "train", "val", "test"),
    table="ava_80",
    parts=f"{_S3}/ava-dataset/annotations/ava_file_names_{{split}}_v2.1.txt",
    annotations=f"{_FAIR}/pyslowfast/annotation/ava/ava_annotations.tar",
    extras=(
        ("frame_lists/train.csv", f"{_FAIR}/video-long-term-feature-banks/data/ava/frame_lists/train.csv"),
        ("frame_lists/val.csv", f"{_FAIR}/video-long-term-feature-banks/data/ava/frame_lists/val.csv"),
        *(
            (
                f"annotations/ava_{split}_predicted_boxes.csv",
                f"{_FAIR}/video-long-term-feature-banks/data/ava/annotations/ava_{split}_predicted_boxes.csv",
            )
            for split in ("train", "val", "test")
        ),
    ),
)
AVA_VIDEO = f"{_S3}/ava-dataset/{{split}}/{{name}}"

CHARADES = Source(
    name="charades",
    kind="charades",
    splits=("all", "train", "val"),
    table="charades",
    parts=f"{_AI2}/charades/Charades_v1_rgb.tar",
    extras=(
        ("frame_lists/train.csv", f"{_FAIR}/pyslowfast/dataset/charades/frame_lists/train.csv"),
        ("frame_lists/val.csv", f"{_FAIR}/pyslowfast/dataset/charades/frame_lists/val.csv"),
    ),
)

URLS = Source(name="urls", kind="urls", splits=("all",))

SOURCES: Catalogue[Source] = Catalogue(
    "source",
    (
        Entry(
            "kinetics400",
            "Kinetics-400: 10 s clips of 400 actions",
            lambda: _kinetics(400, "400", "k400", "replacement_for_corrupted_k400.tgz"),
        ),
        Entry("kinetics600", "Kinetics-600: 10 s clips of 600 actions", lambda: _kinetics(600, "600", "k600")),
        Entry(
            "kinetics700",
            "Kinetics-700-2020: 10 s clips of 700 actions",
            lambda: _kinetics(700, "700_2020", "k700_2020"),
        ),
        Entry("ava", "AVA v2.2: films, annotations, frame lists, person boxes", lambda: AVA),
        Entry("charades", "Charades: frames at 24 fps and frame lists", lambda: CHARADES),
        Entry("urls", "any list of links, one a line", lambda: URLS),
    ),
    group="vidbench.sources",
)


def at_mirror(url: str, mirror: str | None) -> str:
    """The address of the same file at a mirror, which keeps the paths and stands in for scheme and host.

    Raises:
        UsageError: The mirror is no http or https address.
    """
    if mirror is None:
        return url
    if urlsplit(mirror).scheme not in ("http", "https"):
        raise UsageError(f"--mirror {mirror!r} is not an http or https address", "Give it as https://host/folder.")
    return mirror.rstrip("/") + urlsplit(url)._replace(scheme="", netloc="").geturl()
