"""The nouns that stages hand to each other: an item, and the facts learned about it.

    Row -> Item -> Fetched -> Transformed -> Stored        or, at any point, Failed or Skipped
            Partial                                        some of the bytes are there already
            Unchanged                                      what an earlier run stored is still what the source has

Every fact holds its item and what one stage learned. Facts are values: they cross threads and processes, and a bad URL
or a broken image is one of them (`Failed`), never an exception. Sizes are in bytes, times in seconds, sides in pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from downloader.model.failures import FailureKind, SkipReason, Stage, Warn
from downloader.model.groups import GroupRow
from downloader.model.spans import Spans

ORIGINAL = "original"
"""The variant of bytes that are kept as they came."""


class Url(NamedTuple):
    """Bytes that a server has."""

    url: str


class File(NamedTuple):
    """Bytes of a file on this machine, which is only ever read."""

    path: str


class FileSpan(NamedTuple):
    """Bytes of a part of a file, read in place: `length` bytes from `offset` on."""

    path: str
    offset: int
    length: int


class Invalid(NamedTuple):
    """No bytes: the row cannot be used. `reason` tells a person why, and where the row stands."""

    reason: str


Location = Url | File | FileSpan
"""Where the bytes of an item are."""


RelativeBox = tuple[float, float, float, float]
"""Left, top, right and bottom edge of a part of an upright image, as shares of its sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one row wants, where its list says more than a URL.

    `mirrors` are further URLs of the same bytes, `headers` are `Name: value`, `checksum` is as the list has it, and
    `name` is the relative path the list wants for the result: text of a stranger, `/` between folders, made safe by
    `naming`. `boxes` are the parts of its image to blur.
    """

    mirrors: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    checksum: str | None = None
    name: str | None = None
    boxes: tuple[RelativeBox, ...] = ()


class Row(NamedTuple):
    """One line of a list, or one file of a folder, as a source read it.

    A tuple, since there may be millions: made in 0.4 us, a frozen dataclass in 1.

    `source` is the row as listed: the URL, or the path of the file. `what` is where its bytes are, or why there are
    none. `inside` is the path relative to the folder that was named as a source; None for URLs and for files named one
    by one. `where` tells a person where the row stands ("urls.txt:12"). `request` is None for a plain URL.
    """

    source: str
    what: Location | Invalid
    inside: str | None = None
    where: str = ""
    columns: Mapping[str, str] = MappingProxyType({})
    request: Request | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputName:
    """The output name an item owns, fixed when its row was read.

    `stem` is a relative path without extension, with `/` between folders. `extension` is None where only the decoder
    can tell it; the item then owns the stem with every extension. Where a template makes a folder for each variant, the
    stem holds a `*` in its place, which `naming.names.output_path` fills.
    """

    stem: str
    extension: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """Which version of a thing a server sent (RFC 9110, 8.8).

    `etag` is as sent, quotes, `W/` and all. `last_modified` is an IMF-fixdate as sent; `settled` says that it lay far
    enough in the past to tell versions apart byte for byte.
    """

    etag: str | None = None
    last_modified: str | None = None
    settled: bool = False

    @property
    def weak(self) -> bool:
        """Whether the tag tells versions apart by meaning only, not byte for byte (8.8.1)."""
        return self.etag is not None and self.etag.startswith("W/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One range of a file that is fetched in several: from `start` to before `stop`, and there up to before `at`."""

    start: int
    at: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What there is of a thing of `total` bytes (None: not known): the first `bytes`, or some of each of `segments`.

    `name` is the file it lies in, within the staging folder; no other part ever gets the same name. `validator` is the
    version it is a part of, and `source` the number of the item's URL it came from.
    """

    name: str = ""
    bytes: int = 0
    total: int | None = None
    validator: Validator = field(default_factory=Validator)
    source: int = 0
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousResult:
    """What an earlier run stored of an item that may have changed since.

    `sha256` is that of the source's bytes, `outputs` the path (relative to the output folder) and size of each result.
    """

    validator: Validator
    sha256: str | None
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One row of the plan.

    `id` is its number in the journal, `key` the hex sha256 of its source and occurrence, `renewed` is true where an
    earlier run on the same output planned it already (its output name is ours to replace). `part` and `previous` are
    what earlier runs left.
    """

    id: int
    key: str
    source: str
    what: Location | Invalid
    name: OutputName
    renewed: bool = False
    request: Request | None = None
    part: Part | None = None
    previous: PreviousResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """So much of an item is on disk for sure, should this run end now."""

    item: Item
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The bytes of an item are in a file on this machine.

    The `bytes` bytes from `offset` of the file at `path` are the item's. `staged` tells our own copy (deleted once the
    item is done) from a user's file, which is only ever read.
    `sha256` of the bytes is None where nobody has read them yet (local files: the transform reads them anyway).
    `validator` tells whether the source has another version later. `server_name` is what the server calls the file:
    text of a stranger.
    """

    item: Item
    path: str
    bytes: int
    staged: bool
    offset: int = 0
    sha256: str | None = None
    media_type: str | None = None
    final_url: str | None = None
    http_status: int | None = None
    server_name: str | None = None
    attempts: int = 0
    validator: Validator = field(default_factory=Validator)
    spans: Spans = ()


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
    """The finished images of an item, not yet under their final names.

    `width` and `height` are those of the upright source, `exif` its EXIF as a JSON object, where the sink wants it.
    """

    item: Item
    renditions: tuple[Rendition, ...]
    width: int
    height: int
    sha256: str
    warnings: tuple[Warn, ...] = ()
    exif: str | None = None
    perceptual_hash: str | None = None
    blurhash: str | None = None
    spans: Spans = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file under its final name; `path` is relative to the output folder. Format and sides: None where unknown.

    With a sink that packs results into groups, `path` is the file of the group, `member` the name of the image in it,
    and `offset` where its bytes begin in the tar, or in the file of the open group.
    """

    variant: str | None
    path: str
    format: str | None
    width: int | None
    height: int | None
    bytes: int
    sha256: str
    member: str | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Every output of the item is on disk, under its final name or in a group; `row` is its row in that group."""

    item: Item
    outputs: tuple[Output, ...]
    spans: Spans = ()
    row: GroupRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The item did not make it. `message` says what happened and what to do, for a person.

    `row` is its row in a group of results, where the sink makes groups.
    """

    item: Item
    stage: Stage
    kind: FailureKind
    message: str
    http_status: int | None = None
    attempts: int = 0
    final_url: str | None = None
    spans: Spans = ()
    row: GroupRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """The item was left out on purpose; `row` as in `Failed`."""

    item: Item
    stage: Stage
    reason: SkipReason
    message: str
    spans: Spans = ()
    row: GroupRow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeued:
    """The item is to be done again: asked for by the user, or its staged bytes were lost in a crash."""

    item: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheckRequested:
    """The source of a stored item is to be asked whether it has another version now; until then its results stand."""

    item: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """The source has what was stored already, so the results stand."""

    item: Item
    attempts: int = 1
    http_status: int | None = None
    spans: Spans = ()


Outcome = Stored | Unchanged | Failed | Skipped
Fact = Partial | Fetched | Transformed | Outcome | Requeued | RecheckRequested
