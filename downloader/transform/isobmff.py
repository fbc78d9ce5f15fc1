"""AVIF and HEIC as a structure of boxes (ISO/IEC 14496-12, 23008-12): colours and transformations of the picture. Pure.

The decoders give the stored pixels of an AVIF: what of them is visible, and how they are turned, is said by properties
of the item. The EXIF block repeats the turn at most, and does not count (ISO/IEC 23000-22, 7.3.6.7).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from downloader.model.failures import Warn
from downloader.transform import colorspace
from downloader.transform.readable import Box, Readable

_MAX_BOXES = 20_000
"""Real files have a few dozen; grids of tiles up to some thousand."""


class _Span(NamedTuple):
    kind: bytes
    start: int  # of the content
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """What the properties of the primary item say."""

    visible: Box | None = None
    turn: int = 1
    space: colorspace.ColorSpace | None = None


def inspect(name: str, data: bytes) -> Readable:
    """Read what the container says of its primary picture.

    A container that is not understood says nothing; its decoder decides.
    """
    try:
        picture = _picture([_property(data, span) for span in _properties(data)])
    except (struct.error, IndexError, ZeroDivisionError):
        picture = None
    if picture is None:
        return Readable(data=data)
    space = picture.space
    info: dict[str | tuple[int, int], Any] = {} if space is None else {"icc_profile": colorspace.profile(space)}
    warnings = (Warn.HDR_GAINMAP_DROPPED,) if space is not None and space.hdr else ()
    if name == "heif":  # libheif crops and turns by itself
        return Readable(data=data, info=info, warnings=warnings)
    return Readable(data=data, info=info, visible=picture.visible, turn=picture.turn, warnings=warnings)


def without_exif(data: bytes) -> bytes:
    """The file with its EXIF items under another name, so that no decoder looks at them."""
    meta = _child(data, 0, len(data), b"meta")
    items = _child(data, meta.start + 4, meta.end, b"iinf") if meta else None
    if items is None:
        return data
    changed = bytearray(data)
    start = items.start + (6 if data[items.start] == 0 else 8)
    for entry in _boxes(data, start, items.end):
        kind = entry.start + (8 if data[entry.start] == 2 else 10)  # noqa: PLR2004 - version; a longer id from 3 on
        if changed[kind : kind + 4] == b"Exif":
            changed[kind : kind + 4] = b"skip"
    return bytes(changed)


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Span]:
    """The boxes between two offsets, as far as they fit."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            head, size = 16, int.from_bytes(data[start + 8 : start + 16], "big")
        if size == 0:  # until the end
            size = end - start
        if size < head or start + size > end:
            return
        yield _Span(kind, start + head, start + size)
        start += size


def _child(data: bytes, start: int, end: int, kind: bytes) -> _Span | None:
    return next((span for span in _boxes(data, start, end) if span.kind == kind), None)


def _properties(data: bytes) -> list[_Span]:
    """The properties of the primary item, in the order in which they apply."""
    meta = _child(data, 0, len(data), b"meta")
    if meta is None:
        return []
    within = (meta.start + 4, meta.end)
    primary, properties = _child(data, *within, b"pitm"), _child(data, *within, b"iprp")
    if primary is None or properties is None:
        return []
    wide = data[primary.start] > 0
    item = int.from_bytes(data[primary.start + 4 : primary.start + (8 if wide else 6)], "big")
    container = _child(data, properties.start, properties.end, b"ipco")
    known = list(_boxes(data, container.start, container.end)) if container else []
    indices = (
        index
        for span in _boxes(data, properties.start, properties.end)
        if span.kind == b"ipma"
        for index in _associated(data, span, item)
    )
    return [known[index - 1] for index in indices if 1 <= index <= len(known)]


def _associated(data: bytes, span: _Span, item: int) -> list[int]:
    """The numbers of the properties that an association box gives an item (ISO/IEC 23008-12, 9.3.1)."""
    version, flags = data[span.start], data[span.start + 3]
    count = int.from_bytes(data[span.start + 4 : span.start + 8], "big")
    id_bytes, index_bytes = (4 if version else 2), (2 if flags & 1 else 1)
    at = span.start + 8
    for _ in range(min(count, _MAX_BOXES)):
        if at + id_bytes + 1 > span.end:
            break
        owner, number = int.from_bytes(data[at : at + id_bytes], "big"), data[at + id_bytes]
        at += id_bytes + 1
        end = at + number * index_bytes
        if owner == item and end <= span.end:
            mask = 0x7FFF if index_bytes == 2 else 0x7F  # noqa: PLR2004 - the first bit says "essential"
            return [int.from_bytes(data[i : i + index_bytes], "big") & mask for i in range(at, end, index_bytes)]
        at = end
    return []


def _property(data: bytes, span: _Span) -> tuple[bytes, bytes]:
    return span.kind, data[span.start : min(span.end, span.start + 64)]


def _picture(properties: list[tuple[bytes, bytes]]) -> _Picture | None:
    """The primary picture; None if its size is not declared, as in a sequence without a still image."""
    declared = next((content for kind, content in properties if kind == b"ispe"), None)
    if declared is None:
        return None
    size = struct.unpack_from(">II", declared, 4)
    turn, visible = 1, None
    for kind, content in properties:
        if kind == b"clap" and turn == 1 and visible is None:  # always before the others (ISO/IEC 23000-22, 7.3.6.7)
            visible = _aperture(content, size)
        elif kind == b"irot":
            turn = _TURNED[content[0] & 3][turn]
        elif kind == b"imir":
            turn = _MIRRORED[content[0] & 1][turn]
    colours = [content for kind, content in properties if kind == b"colr"]
    return _Picture(visible=visible, turn=turn, space=_space(colours))


_QUARTER = {1: 8, 8: 3, 3: 6, 6: 1, 2: 5, 5: 4, 4: 7, 7: 2}
"""EXIF orientations after one more quarter turn anti-clockwise."""

_TURNED = [
    {turn: turn for turn in _QUARTER},
    _QUARTER,
    {turn: _QUARTER[_QUARTER[turn]] for turn in _QUARTER},
    {turn: _QUARTER[_QUARTER[_QUARTER[turn]]] for turn in _QUARTER},
]
"""By the angle of `irot`, in quarter turns anti-clockwise (6.5.10)."""

_SIDES = {1: 2, 2: 1, 3: 4, 4: 3, 5: 6, 6: 5, 7: 8, 8: 7}
_MIRRORED = [{turn: _TURNED[2][_SIDES[turn]] for turn in _SIDES}, _SIDES]
"""By the axis of `imir`: top and bottom, or left and right, change places (6.5.12)."""


def _aperture(content: bytes, size: tuple[int, int]) -> Box | None:
    """The clean aperture (ISO/IEC 14496-12, 12.1.4), to whole pixels; None if it does not lie within the picture."""
    numbers = struct.unpack_from(">IIIIiIiI", content)
    wide, high, right_by, down_by = (Fraction(a, b) for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    left = right_by + Fraction(size[0] - 1, 2) - (wide - 1) / 2
    top = down_by + Fraction(size[1] - 1, 2) - (high - 1) / 2
    box = (round(left), round(top), round(left) + round(wide), round(top) + round(high))
    inside = 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]
    return box if inside else None


def _space(colours: list[bytes]) -> colorspace.ColorSpace | None:
    """The colour space by code points (`nclx`); None if there is an ICC profile, which comes first."""
    if any(content[:4] in {b"prof", b"rICC"} for content in colours):
        return None
    signalled = next((content for content in colours if content[:4] == b"nclx"), None)
    if signalled is None:
        return None
    primaries, transfer = struct.unpack_from(">HH", signalled, 4)
    return colorspace.of_code_points(primaries, transfer)  # the decoder widens video levels
