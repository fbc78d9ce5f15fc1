"""The nouns that stages hand to each other: an item, and the facts learned about it.

    Row -> Item -> Fetched -> Transformed -> Stored        or, at any point, Failed or Skipped

Every fact holds its item and what one stage learned. Facts are values: they cross threads and processes, and a bad URL
or a broken image is one of them (`Failed`), never an exception. Sizes are in bytes, times in seconds, sides in pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from downloader.model.failures import FailureKind, SkipReason, Stage, Warn

ORIGINAL = "original"
"""The variant of bytes that are kept as they came."""


class Origin(StrEnum):
    """Where the bytes of an item come from."""

    URL = "url"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How one row wants to be fetched, where its list says more than a URL.

    `mirrors` are further URLs of the same bytes, `headers` are `Name: value`, `checksum` is as the list has it, and
    `name` is the relative path the list wants for the result: text of a stranger, `/` between folders, made safe by
    `sinks.layout`.
    """

    mirrors: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    checksum: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a list, or one file of a folder, as a source read it.

    `source` is the URL, or the path of the file, as listed. `inside` is the path relative to the folder that was named
    as a source; None for URLs and for files named one by one. `where` tells a person where the row stands
    ("urls.txt:12"). `request` is None for a plain URL.
    """

    source: str
    origin: Origin
    inside: str | None = None
    where: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    request: Request | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The output name an item owns, fixed when its row was read.

    `stem` is a relative path without extension, with `/` between folders. `extension` is None where only the decoder
    can tell it; the item then owns the stem with every extension. Where a template makes a folder for each variant, the
    stem holds a `*` in its place, which `sinks.layout.output_path` fills.
    """

    stem: str
    extension: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One row of the plan.

    `id` is its number in the journal, `key` the hex sha256 of its source and occurrence, `renewed` is true where an
    earlier run on the same output planned it already (its output name is ours to replace).
    """

    id: int
    key: str
    source: str
    origin: Origin
    claim: Claim
    renewed: bool = False
    request: Request | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The bytes of an item are in a file on this machine.

    `staged` tells our own copy (deleted once the item is done) from a user's file, which is only ever read.
    `sha256` of the bytes is None where nobody has read them yet (local files: the transform reads them anyway).
    """

    item: Item
    path: str
    bytes: int
    staged: bool
    sha256: str | None = None
    media_type: str | None = None
    final_url: str | None = None
    http_status: int | None = None
    attempts: int = 0
    timings_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """One finished image, still under its temporary name `path`."""

    variant: str | None
    path: str
    extension: str
    format: str
    width: int
    height: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transformed:
    """The finished images of an item, not yet under their final names. `width` and `height`: the upright source."""

    item: Item
    renditions: tuple[Rendition, ...]
    width: int
    height: int
    sha256: str
    warnings: tuple[Warn, ...] = ()
    timings_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file under its final name; `path` is relative to the output folder. Format and sides: None where unknown."""

    variant: str | None
    path: str
    format: str | None
    width: int | None
    height: int | None
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Every output of the item is on disk under its final name."""

    item: Item
    outputs: tuple[Output, ...]
    timings_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The item did not make it. `message` says what happened and what to do, for a person."""

    item: Item
    stage: Stage
    kind: FailureKind
    message: str
    http_status: int | None = None
    attempts: int = 0
    final_url: str | None = None
    timings_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """The item was left out on purpose."""

    item: Item
    stage: Stage
    reason: SkipReason
    message: str
    timings_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeued:
    """The item is to be done again: asked for by the user, or its staged bytes were lost in a crash."""

    item: Item


Outcome = Stored | Failed | Skipped
Fact = Fetched | Transformed | Outcome | Requeued
