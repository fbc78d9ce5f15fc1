"""JPEG as a structure of segments (ITU-T T.81): what its decoder can do without, and whether pixels are missing. Pure.

Pillow fails on application segments that are shorter than they should be; libjpeg and browsers pass over them. Here
they are taken out, which changes nothing: libjpeg takes no colours from a segment that is too short.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

_SOI, _EOI, _SOS, _COM, _TEM, _SOF0 = 0xD8, 0xD9, 0xDA, 0xFE, 0x01, 0xC0
_FILL = 0xFF
"""Stands before every marker, any number of times."""

_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_BARE = frozenset((_SOI, _EOI, _TEM, *range(0xD0, 0xD8)))
"""Markers that begin no segment: these and the restart markers."""

_APPLICATIONS = frozenset((*range(0xE0, 0xF0), _COM))
_JPEG_LS = 0xF7  # ITU-T T.87
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS}
"""Start-of-frame markers; the three exceptions are tables (table B.1)."""

_PROGRESSIVE = frozenset((0xC2, 0xCA))
_RARE = {
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "hierarchical lossless",
    0xCB: "lossless arithmetic-coded",
    0xCD: "hierarchical arithmetic-coded",
    0xCE: "hierarchical arithmetic-coded",
    0xCF: "hierarchical lossless arithmetic-coded",
}

END = b"\xff\xd9"
NOISE = bytes.fromhex("5a96c33ca5695ac3961e2d4b8778b4d2e1f03c69")
"""Entropy-coded data that belongs to no image: where it changes the pixels, the image lacked some."""


_MAX_SEGMENTS = 100_000
"""Real files have up to a few hundred, of a profile or a panorama in pieces of 64 KiB."""


class _Segment(NamedTuple):
    marker: int
    start: int  # of the bytes 0xFF before the marker
    content: int
    end: int


class Frame(NamedTuple):
    """A frame header (B.2.2)."""

    marker: int
    bits: int
    height: int
    width: int
    components: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A JPEG without what its decoder stumbles over; `profile_lost` if that was an ICC profile."""

    data: bytes
    profile_lost: bool


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments up to the first scan, found as libjpeg finds them: what is no marker is passed over."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        start = at = data.find(b"\xff", at)
        if at < 0:
            return
        while at < len(data) and data[at] == _FILL:
            at += 1
        if at + 3 > len(data):
            return
        marker, content = data[at], at + 1
        if marker == 0:  # 0xFF as data
            at += 1
            continue
        if marker not in _BARE:
            content += 2
            length = int.from_bytes(data[at + 1 : at + 3], "big")
            at += 1 + max(2, length)
        else:
            at += 1
        yield _Segment(marker, start, content, at)
        if marker == _SOS:
            return


def frame(data: bytes) -> Frame | None:
    """The frame header; None if there is none, or only part of it."""
    at = _frame_quickly(data)
    if at is None:
        at = next((segment.content - 3 for segment in _segments(data) if segment.marker in _FRAMES), None)
    if at is None or at + 9 > len(data):
        return None
    return Frame(data[at], *struct.unpack_from(">BHHB", data, at + 3))


def _frame_quickly(data: bytes) -> int | None:
    """The offset of the marker of a frame header; None if anything stands between the segments before it."""
    at, end = 2, len(data) - 10
    while at < end and data[at] == _FILL:
        marker = data[at + 1]
        if marker in _FRAMES:
            return at + 1
        if not _SOF0 <= marker < _FILL or marker in _BARE:
            return None
        at += 2 + (data[at + 2] << 8) + data[at + 3]
    return None


def scalable(data: bytes) -> bool:
    """Whether the image can be decoded at a smaller scale: not if it is lossless, without a DCT."""
    found = frame(data)
    return found is not None and "lossless" not in _RARE.get(found.marker, "")


def rare_kind(data: bytes) -> str | None:
    """The kind of an intact JPEG that is not decoded here, such as "a lossless JPEG"; None for the usual ones."""
    found = frame(data)
    if found is None:
        return None
    if found.marker == _JPEG_LS:
        return "a JPEG-LS image"
    if found.marker in _RARE:
        return f"a {_RARE[found.marker]} JPEG"
    if found.bits in {12, 16}:
        return f"a {found.bits}-bit JPEG"
    if found.bits == 8 and found.width and not found.height:  # noqa: PLR2004
        return "a JPEG that tells its height only behind its pixels (DNL)"
    if found.bits == 8 and found.components not in {1, 3, 4}:  # noqa: PLR2004
        return f"a JPEG of {found.components} components"
    return None


def repairs(data: bytes) -> Iterator[Repair]:
    """The file without malformed segments; then without all metadata."""
    segments = list(_segments(data))
    for fits in (_fits, _colours_only):
        kept = [data[:2]]
        lost = False
        for segment in segments:
            content = data[segment.content : segment.end]
            if fits(segment.marker, content):
                kept.append(data[segment.start : segment.end])
            else:
                lost = lost or (segment.marker == _APP2 and content.startswith(b"ICC_PROFILE"))
        if segments:
            kept.append(data[segments[-1].end :])
        yield Repair(data=b"".join(kept), profile_lost=lost)


def _fits(marker: int, content: bytes) -> bool:
    """Whether a segment is needed, or is metadata in its proper form."""
    return _colours_only(marker, content) or marker in {_APP1, _COM}


def _colours_only(marker: int, content: bytes) -> bool:
    """Whether a segment is needed, or says how colours are to be understood."""
    if marker == _APP0:
        return content.startswith(b"JFIF\0") and len(content) >= 14  # noqa: PLR2004 - ITU-T T.871, 10.1
    if marker == _APP14:
        return content.startswith(b"Adobe") and len(content) >= 12  # noqa: PLR2004 - Adobe TN 5116
    if marker == _APP2:  # ICC.1:2022, B.4
        return content.startswith(b"ICC_PROFILE\0") and len(content) > 14 and 1 <= content[12] <= content[13]  # noqa: PLR2004
    return marker not in _APPLICATIONS and marker != _TEM


_SCAN = re.compile(rb"\xff\xda")


def scans_cover_all(data: bytes) -> bool:
    """Whether the scans that the file begins would give every coefficient of every component in full."""
    found = frame(data)
    if found is None:
        return False
    missing: dict[int, set[int]] = {}
    for match in islice(_SCAN.finditer(data), _MAX_SEGMENTS):
        head = data[match.end() : match.end() + 2 + 1 + 2 * 4 + 3]
        number = head[2] if len(head) > 2 else 0  # noqa: PLR2004 - behind the length
        fields = head[3 : 3 + 2 * number + 3]
        if not 1 <= number <= 4 or len(fields) != 2 * number + 3:  # noqa: PLR2004 - B.2.3
            continue
        first, last, approximation = fields[-3:]
        if found.marker not in _PROGRESSIVE:
            first, last, approximation = 0, 63, 0
        for component in fields[: 2 * number : 2]:
            bands = missing.setdefault(component, set(range(64)))
            if approximation & 15 == 0:
                bands -= set(range(first, last + 1))
    return len(missing) == found.components and not any(missing.values())
