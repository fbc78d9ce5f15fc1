"""What crosses the pipes between the coordinator and its shards: flat tuples in batches, no pixels and no bodies. Pure.

An item crosses once, with its lease. Facts name it by its number, and the coordinator, which keeps what it has leased,
puts it back. Measured for `Fetched`: 2 us to pack and 5 to unpack as a flat tuple, 10 and 8 as a pickled object.
"""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Self, TypeAlias

from downloader.errors import CannotGoOn, DownloaderError
from downloader.model.items import (
    Fact,
    Failed,
    Fetched,
    Item,
    OutputName,
    Partial,
    Rendition,
    Skipped,
    Transformed,
    Unchanged,
    Url,
    Validator,
)
from downloader.model.spans import Span
from downloader.scheduling.interface import Block, HostFailure

Flat: TypeAlias = tuple[Any, ...]
"""Values of builtin types, and of model types where they are rare."""


# -- to a shard --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeaseUrls:
    """Tasks of one host, to be done one after another: packed items, and numbers of tasks that the shard has kept.

    `block` says why they are not to be done at this host.
    """

    batch: int
    host: str
    tasks: tuple[Flat | int, ...]
    block: Block | None = None


@dataclass(frozen=True, slots=True)
class LeaseLocal:
    """Items that need no network, and bytes that were fetched before, both packed."""

    items: tuple[Flat, ...]
    fetched: tuple[tuple[Flat, Flat], ...]


@dataclass(frozen=True, slots=True)
class PauseHost:
    """Start no request to this host for so long."""

    host: str
    seconds: float


@dataclass(frozen=True, slots=True)
class HostFailed:
    """An attempt failed for reasons of its host: batches of this host have no more tasks begun."""

    host: str
    failure: HostFailure


@dataclass(frozen=True, slots=True)
class BlockHost:
    """A host wants to be left alone for longer than any of its items would wait."""

    host: str
    block: Block
    seconds: float


@dataclass(frozen=True, slots=True)
class HostAnswered:
    """An attempt at a host that was failing did not fail."""

    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The source of the item that had the same bytes first; None if there is none."""

    claim: int
    source: str | None


@dataclass(frozen=True, slots=True)
class SetRate:
    """The share of `--limit-rate` that a shard may use, in bytes a second."""

    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Drain:
    """Begin nothing more."""


@dataclass(frozen=True, slots=True)
class Abort:
    """End now."""


@dataclass(frozen=True, slots=True)
class Finish:
    """There will be no more work."""


# -- to the coordinator ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Released:
    """A batch has ended; so many of its tasks, the last ones, were not begun."""

    batch: int
    returned: int


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """A task goes on as these, kept by the shard under these numbers, after a delay."""

    host: str
    tasks: tuple[int, ...]
    delay_s: float


@dataclass(frozen=True, slots=True)
class Claim:
    """Asks whether an item is the first with these bytes."""

    claim: int
    item_id: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Problem:
    """The exception that ended a shard."""

    error: DownloaderError

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """The problem that an exception is; one that is not meant to end runs is a defect."""
        if not isinstance(error, DownloaderError):
            error = CannotGoOn(f"a defect in downloader, please report it: {type(error).__name__}: {error}")
        return cls(error)


@dataclass(frozen=True, slots=True)
class ComingUp:
    """A shard is alive and not yet at work."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A shard has done all that it was given, and ends."""


def dumps(messages: Sequence[object]) -> bytes:
    """Messages as one piece."""
    return pickle.dumps(messages, pickle.HIGHEST_PROTOCOL)


def loads(data: bytes) -> list[Any]:
    """The messages of one piece; it comes from a process of this run."""
    messages: list[Any] = pickle.loads(data)  # noqa: S301 - see above
    return messages


# -- items -------------------------------------------------------------------------------------------------------------


def pack_item(item: Item) -> Flat:
    """An item as a flat tuple."""
    what = None if isinstance(item.what, Url) and item.what.url == item.source else item.what
    name = item.name
    rare = (item.request, item.part, item.previous)
    return (
        item.id, item.key, item.source, what, name.stem, name.extension, item.renewed, None if rare == _RARE else rare
    )  # fmt: skip


_RARE = (None, None, None)


def unpack_item(flat: Flat) -> Item:
    """The item of a flat tuple."""
    number, key, source, what, stem, extension, renewed, rare = flat
    request, part, previous = rare or _RARE
    return Item(
        id=number,
        key=key,
        source=source,
        what=Url(source) if what is None else what,
        name=OutputName(stem=stem, extension=extension),
        renewed=renewed,
        request=request,
        part=part,
        previous=previous,
    )


# -- facts -------------------------------------------------------------------------------------------------------------

_FACTS: tuple[type[Fact], ...] = (Fetched, Transformed, Failed, Skipped, Unchanged, Partial)
"""What shards emit."""
_CODES = {fact: code for code, fact in enumerate(_FACTS)}
_NAMES = tuple(tuple(field.name for field in fields(fact) if field.name not in {"item", "row"}) for fact in _FACTS)
_GETTERS: tuple[Callable[[Any], Flat], ...] = tuple(attrgetter(*names, "item.id") for names in _NAMES)
"""The values of a fact; the number of its item last, so that there are two of them at least."""
_NO_VALIDATOR = Validator()
_RENDITION = attrgetter(*(field.name for field in fields(Rendition)))
_RENDITION_NAMES = tuple(field.name for field in fields(Rendition))


def pack_fact(fact: Fact) -> Flat:
    """A fact as a flat tuple: its type, the number of its item, whether that still has earlier results, its values."""
    code = _CODES[type(fact)]
    *values, item_id = _GETTERS[code](fact)
    return (code, item_id, fact.item.previous is not None, *map(_packed, _NAMES[code], values))


def unpack_fact(flat: Flat, item: Item) -> Fact:
    """The fact of a flat tuple, about the item that was leased."""
    code, _, _, *values = flat
    names = _NAMES[code]
    fact: Fact = _FACTS[code](item=item, **dict(zip(names, map(_unpacked, names, values), strict=True)))
    return fact


def _packed(name: str, value: Any) -> Any:  # noqa: ANN401 - the value of any field
    match name:
        case "spans":
            return tuple(map(tuple, value))
        case "validator":
            return None if value == _NO_VALIDATOR else (value.etag, value.last_modified, value.settled)
        case "renditions":
            return tuple(map(_RENDITION, value))
    return value


def _unpacked(name: str, value: Any) -> Any:  # noqa: ANN401 - the value of any field
    match name:
        case "spans":
            return tuple(map(Span._make, value))
        case "validator":
            if value is None:
                return _NO_VALIDATOR
            etag, last_modified, settled = value
            return Validator(etag=etag, last_modified=last_modified, settled=settled)
        case "renditions":
            return tuple(Rendition(**dict(zip(_RENDITION_NAMES, each, strict=True))) for each in value)
    return value
