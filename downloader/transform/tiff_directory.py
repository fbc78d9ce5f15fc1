"""The first directory of a TIFF, read with bounds and written anew. Pure.

TIFF 6.0 section 2, and BigTIFF (libtiff's design: header of 16 bytes, entries of 20). Nothing in a file is trusted: no
value is longer than the file, and only one directory is read, so that loops of them do no harm.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite

_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""`struct` formats of the types that hold plain numbers."""

_TYPE_BYTES = {kind: struct.calcsize(code) for kind, code in _NUMBERS.items()} | {2: 1, 5: 8, 7: 1, 10: 8}
_BYTE, _SHORT, _LONG, _UNDEFINED = 1, 3, 4, 7
_CLASSIC_TYPES = frozenset(range(1, 14))
_BIG = 43
"""The version of BigTIFF; that of TIFF is 42."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag. `raw` is shorter than the type and count say if the file ends within the value."""

    type: int
    count: int
    raw: bytes

    def is_whole(self) -> bool:
        """Whether the file has all of the value."""
        return len(self.raw) == self.count * _TYPE_BYTES[self.type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The first directory. `order` is the sign of `struct` for the byte order, `following` the place of the next one.

    `cut` says that the file ends before the directory does.
    """

    order: str
    big: bool
    following: int
    entries: Mapping[int, Entry] = field(default_factory=dict)
    cut: bool = False

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The values of a tag as whole numbers; those that are complete, none if they are no numbers."""
        entry = self.entries.get(tag)
        if entry is None:
            return ()
        code = _NUMBERS.get(entry.type) or ("B" if entry.type == _UNDEFINED else "")
        count = len(entry.raw) // struct.calcsize(code) if code else 0
        values = struct.unpack_from(f"{self.order}{count}{code}", entry.raw) if count else ()
        return tuple(int(value) for value in values if isfinite(value))

    def number(self, tag: int, default: int) -> int:
        """The first value of a tag."""
        return next(iter(self.numbers(tag)), default)


def read(data: bytes) -> Directory:
    """The first directory of a file that begins as a TIFF; without entries if there is none at its place."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == _BIG
    try:
        start = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]
    except struct.error:
        return Directory(order=order, big=big, following=0, cut=True)
    return read_at(data, start, order=order, big=big)


def read_at(data: bytes, start: int, *, order: str, big: bool) -> Directory:
    """The directory at a place of the file."""
    head, entry_bytes, link = (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
    at = start + struct.calcsize(head)
    if at > len(data):
        return Directory(order=order, big=big, following=0, cut=True)
    listed = struct.unpack_from(head, data, start)[0]
    count = min(listed, (len(data) - at) // entry_bytes)
    entries: dict[int, Entry] = {}
    for index in range(count):
        tag, entry = _entry(data, at + index * entry_bytes, order=order, big=big)
        if entry is not None:
            entries.setdefault(tag, entry)
    end = at + count * entry_bytes
    has_link = count == listed and end + struct.calcsize(link) <= len(data)
    following = struct.unpack_from(link, data, end)[0] if has_link else 0
    if following == start or following >= len(data):  # a loop, or nowhere
        following = 0
    return Directory(order=order, big=big, following=following, entries=entries, cut=count < listed)


def _entry(data: bytes, at: int, *, order: str, big: bool) -> tuple[int, Entry | None]:
    """The tag at a place, and its value; None for a type that is not known."""
    tag, kind, count = struct.unpack_from(f"{order}HHQ" if big else f"{order}HHI", data, at)
    at += 12 if big else 8
    inline_bytes = 8 if big else 4
    if kind not in _TYPE_BYTES:
        return tag, None
    size = count * _TYPE_BYTES[kind]
    place = at if size <= inline_bytes else struct.unpack_from(f"{order}Q" if big else f"{order}I", data, at)[0]
    return tag, Entry(kind, count, data[place : place + size])


def longs(order: str, values: Iterable[int]) -> Entry:
    """An entry of 32-bit numbers."""
    return _packed(_LONG, "I", order, values)


def shorts(order: str, values: Iterable[int]) -> Entry:
    """An entry of 16-bit numbers."""
    return _packed(_SHORT, "H", order, values)


def _packed(kind: int, code: str, order: str, values: Iterable[int]) -> Entry:
    numbers = tuple(values)
    return Entry(kind, len(numbers), struct.pack(f"{order}{len(numbers)}{code}", *numbers))


def can_be_copied(entry: Entry) -> bool:
    """Whether an entry may go into another directory as it is: complete, and of a type that TIFF 6.0 has."""
    return entry.type in _CLASSIC_TYPES and entry.is_whole()


def with_directory(data: bytes, order: str, entries: Mapping[int, Entry], following: int = 0) -> bytes:
    """The file with another first directory, as a TIFF that is no BigTIFF; all other places in it stay the same.

    A file that needs more than the 32 bits of such places is larger than any that is read.
    """
    start = len(data) + len(data) % 2
    values_at = start + 2 + 12 * len(entries) + 4
    rows, values = [], []
    for tag, entry in sorted(entries.items()):
        inline = len(entry.raw) <= 4  # noqa: PLR2004 - what fits into the entry itself
        value = entry.raw.ljust(4, b"\0") if inline else struct.pack(f"{order}I", values_at)
        rows.append(struct.pack(f"{order}HHI", tag, entry.type, entry.count) + value)
        if not inline:
            padded = entry.raw + b"\0" * (len(entry.raw) % 2)
            values.append(padded)
            values_at += len(padded)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(f"{order}I", start)
    link = struct.pack(f"{order}I", min(following, 2**32 - 1))
    body = struct.pack(f"{order}H", len(rows)) + b"".join(rows) + link + b"".join(values)
    return b"".join((head, memoryview(data)[8:], b"\0" * (len(data) % 2), body))
