"""PNG as a structure of chunks (PNG 3rd edition): which of them the decoder is given, and what the others say. Pure.

Pillow fails on defects of chunks that no pixel depends on, and takes settings for its decoder from the names of text
chunks. So it gets only the chunks that make pixels; colours and metadata are read here, where a defect of them costs
no more than themselves.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from downloader.model.failures import Warn
from downloader.transform import colorspace
from downloader.transform.readable import Readable, damaged, ends_early, unsupported

_SIGNATURE_BYTES, _HEADER_BYTES, _PALETTE_ENTRIES = 8, 13, 256
_PIECE_BYTES = 1024**2
_MAX_CHUNKS = 200_000
"""A file of 1.5 GB in chunks of 8 KiB, which are usual, has as many."""

_TEXT_LIMIT_BYTES = 64 * 1024**2
"""All texts of a file together, unpacked."""

_BOMB_RATIO = 100
"""What unpacks to more than 1 MiB at more than this ratio is no text and no profile. Text deflates 3 to 20 to 1."""

_PROFILE_BYTES = 4 * 1024**2 + 1
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Left, top and steps of each pass of an interlaced image (section 8.1)."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
_PALETTE, _GREYS = 3, frozenset((0, 4))
_ANIMATION = frozenset((b"acTL", b"fcTL", b"fdAT"))
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
_COLOURS = frozenset((b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf"))
_XMP, _RAW_EXIF = "XML:com.adobe.xmp", "Raw profile type exif"


Info = dict[str | tuple[int, int], Any]
"""As of an image of Pillow."""


class _Chunk(NamedTuple):
    kind: bytes
    start: int  # of its length
    end: int  # behind its checksum; beyond the file if the file ends within it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """IHDR (section 11.2.1)."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    def passes(self) -> Iterator[tuple[int, int]]:
        """Width and height of each pass; the whole image if it is not interlaced."""
        if not self.interlaced:
            yield self.width, self.height
            return
        for left, top, across, down in _ADAM7:
            yield -(-(self.width - left) // across), -(-(self.height - top) // down)

    def pixel_bytes(self, size: tuple[int, int] | None = None) -> int:
        """The length of all rows with their filter bytes; `size` is that of a frame if it is another one."""
        bits = self.depth * _CHANNELS[self.colour]
        shape = (
            self
            if size is None
            else _Header(
                width=size[0], height=size[1], depth=self.depth, colour=self.colour, interlaced=self.interlaced
            )
        )
        return sum((1 + (width * bits + 7) // 8) * height for width, height in shape.passes() if width > 0 < height)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks up to IEND; fewer where the chain is broken or the file ends."""
    at = _SIGNATURE_BYTES
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if not (kind.isalpha() and kind.isascii()):
            return
        yield _Chunk(kind, at, at + 12 + length)
        if kind == b"IEND":
            return
        at += 12 + length


def _body(data: bytes, chunk: _Chunk) -> bytes:
    return data[chunk.start + 8 : chunk.end - 4]


def _intact(data: bytes, chunk: _Chunk) -> bool:
    """Whether a chunk is complete and matches its checksum."""
    if chunk.end > len(data):
        return False
    checksum = zlib.crc32(memoryview(data)[chunk.start + 4 : chunk.end - 4])
    return checksum == int.from_bytes(data[chunk.end - 4 : chunk.end], "big")


def _header(data: bytes) -> _Header:
    chunk = next(_chunks(data), None)
    if chunk is None or chunk.end > len(data):
        cut = len(data) < _SIGNATURE_BYTES + 12 + _HEADER_BYTES
        raise ends_early("png") if cut else damaged("png", "it has no header")
    if chunk.kind == b"CgBI":
        raise unsupported("a PNG in the form of iOS apps (CgBI)")
    body = _body(data, chunk)
    if chunk.kind != b"IHDR" or len(body) != _HEADER_BYTES:
        raise damaged("png", "it does not begin with its header")
    if not _intact(data, chunk):
        raise damaged("png", "bad header checksum")
    width, height, depth, colour, compression, filters, interlace = struct.unpack(">IIBBBBB", body)
    if not width or not height or depth not in _DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise damaged("png", "its header holds values that PNG does not define")
    return _Header(width=width, height=height, depth=depth, colour=colour, interlaced=bool(interlace))


def inspect(data: bytes) -> Readable:
    """Read the structure; raises `ImageError` for a file that can be no image, whatever its pixels are."""
    found = _Inspection(data=data, header=_header(data))
    for number, chunk in enumerate(_chunks(data)):
        found.see(chunk)
        if number == _MAX_CHUNKS:
            raise damaged("png", "it has more than 200,000 parts")
    return found.result()


@dataclass(slots=True)
class _Texts:
    """The texts of a file: those that are wanted, and how much all of them unpack to."""

    wanted: Info = field(default_factory=dict)
    unpacked_bytes: int = 0

    def see(self, kind: bytes, body: bytes) -> None:
        """Take a text if it is XMP or EXIF in hexadecimal; raises `ImageError` for a bomb."""
        keyword, _, rest = body.partition(b"\0")
        name = keyword.decode("latin-1")
        text = self._unpacked(kind, rest)
        if name == _XMP and text:
            self.wanted["xmp"] = text
        elif name == _RAW_EXIF and text:
            self.wanted[_RAW_EXIF] = text.decode("latin-1")

    def _unpacked(self, kind: bytes, rest: bytes) -> bytes:
        packed = kind == b"zTXt"
        if packed:
            method, rest = rest[:1], rest[1:]
        elif kind == b"iTXt":
            packed, method = rest[:1] == b"\1", rest[1:2]
            rest = rest[2:].split(b"\0", 2)[-1]
        if not packed:
            return rest
        text = _inflated(rest, _PIECE_BYTES) if method == b"\0" else b""
        self.unpacked_bytes += len(text)
        if self.unpacked_bytes > _TEXT_LIMIT_BYTES:
            raise damaged("png", "its texts unpack to more than 64 MiB")
        return text


@dataclass(slots=True, kw_only=True)
class _Inspection:
    """What has been seen of a file's chunks."""

    data: bytes
    header: _Header
    kept: list[_Chunk] = field(default_factory=list)
    pixels: bool = False  # whether the pixels have begun
    ended: bool = False
    end: int = _SIGNATURE_BYTES  # of what has been seen
    palette: int = 0  # entries
    said: dict[bytes, bytes] = field(default_factory=dict)  # chunks about colours and EXIF
    texts: _Texts = field(default_factory=_Texts)

    def see(self, chunk: _Chunk) -> None:
        """Take the next chunk; raises `ImageError` if no image can follow from it."""
        kind, self.end = chunk.kind, chunk.end
        if kind == b"IDAT":
            self.pixels = True
        elif kind == b"IEND":
            self.ended = True
        elif kind[:1].isupper():
            self._critical(chunk)
            return
        elif kind == b"tRNS":
            if self._clear_fits(chunk):
                self.kept.append(chunk)
            return
        elif kind not in _ANIMATION:
            self._ancillary(chunk)
            return
        self.kept.append(chunk)

    def _critical(self, chunk: _Chunk) -> None:
        """A chunk without which the pixels cannot be understood; behind them, none can change them any more."""
        if self.pixels:
            return
        name = chunk.kind.decode("ascii")
        if not _intact(self.data, chunk):
            raise ends_early("png") if chunk.end > len(self.data) else damaged("png", f"bad checksum of {name}")
        if chunk.kind == b"PLTE":
            self._palette(chunk)
        elif chunk.kind != b"IHDR":
            raise unsupported(f"a PNG with a part that is not in the standard ({name})")
        elif self.kept:
            raise damaged("png", "it has two headers")
        self.kept.append(chunk)

    def _palette(self, chunk: _Chunk) -> None:
        """A palette must fit where pixels are indices; elsewhere it is advice (section 11.2.2)."""
        entries, rest = divmod(chunk.end - chunk.start - 12, 3)
        if self.header.colour == _PALETTE and (rest or not 1 <= entries <= _PALETTE_ENTRIES or self.palette):
            raise damaged("png", "its palette is malformed")
        self.palette = entries

    def _clear_fits(self, chunk: _Chunk) -> bool:
        """Whether a tRNS chunk has the length that it must have (section 11.3.1.1); libpng ignores others too."""
        length = chunk.end - chunk.start - 12
        wanted = {0: range(2, 3), 2: range(6, 7), _PALETTE: range(1, self.palette + 1)}.get(self.header.colour)
        return not self.pixels and wanted is not None and length in wanted and _intact(self.data, chunk)

    def _ancillary(self, chunk: _Chunk) -> None:
        if chunk.kind in _TEXTS:
            if _intact(self.data, chunk):
                self.texts.see(chunk.kind, _body(self.data, chunk))
        elif chunk.kind in _COLOURS and (chunk.kind == b"eXIf" or not self.pixels):
            self.said.setdefault(chunk.kind, _body(self.data, chunk) if _intact(self.data, chunk) else b"")

    def result(self) -> Readable:
        """What all of the chunks come to; raises `ImageError` if they are no image."""
        if not self.pixels:
            cut = not self.ended and self.end + 8 > len(self.data)
            raise ends_early("png") if cut else damaged("png", "it has no pixels")
        if self.header.colour == _PALETTE and not self.palette:
            raise damaged("png", "it has no palette")
        kept = self.kept
        if not _is_animation(self.data, self.header, kept, ended=self.ended):
            kept = [chunk for chunk in kept if chunk.kind not in _ANIMATION]
        info, warnings = _colours(self.said, grey=self.header.colour in _GREYS)
        if self.said.get(b"eXIf"):
            info["exif"] = b"Exif\0\0" + self.said[b"eXIf"]
        frames = (Warn.FRAMES_DROPPED,) if len(kept) < len(self.kept) else ()
        return Readable(data=_joined(self.data, kept), info=info | self.texts.wanted, warnings=(*warnings, *frames))


def _joined(data: bytes, chunks: list[_Chunk]) -> bytes:
    """A PNG of these chunks; the data itself if there are no others."""
    runs = [[0, _SIGNATURE_BYTES]]
    for chunk in chunks:
        if chunk.start == runs[-1][1]:
            runs[-1][1] = chunk.end
        else:
            runs.append([chunk.start, chunk.end])
    return data if len(runs) == 1 and runs[0][1] >= len(data) else b"".join(data[start:end] for start, end in runs)


def _inflated(packed: bytes, limit: int) -> bytes:
    """The beginning of a zlib stream, as much as can be read; raises `ImageError` for a bomb."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(packed, limit)
    except zlib.error:
        return b""
    if stream.unconsumed_tail and (len(packed) - len(stream.unconsumed_tail)) * _BOMB_RATIO < len(plain):
        raise damaged("png", "a text or profile in it unpacks to an unreasonable size")
    return plain


def _colours(said: dict[bytes, bytes], *, grey: bool) -> tuple[Info, tuple[Warn, ...]]:
    """The ICC profile to use, in order of precedence (section 4.3), and what could not be followed."""
    warnings: tuple[Warn, ...] = ()
    space = None
    code_points = said.get(b"cICP", b"")
    if len(code_points) == 4 and code_points[2] == 0:  # noqa: PLR2004 - section 11.3.2.6; the matrix of RGB is 0
        primaries, transfer, _, full = code_points
        space = colorspace.of_code_points(primaries, transfer, full_range=bool(full))
    elif b"iCCP" in said and (embedded := _profile(said[b"iCCP"])):
        return {"icc_profile": embedded}, ()
    else:
        warnings = (Warn.ICC_IGNORED,) if b"iCCP" in said else ()
        if len(said.get(b"sRGB", b"")) != 1:
            space = _by_gamma(said.get(b"gAMA", b""), said.get(b"cHRM", b""))
    if space is None:
        return {}, warnings
    hdr = (Warn.HDR_GAINMAP_DROPPED,) if space.hdr else ()
    return {"icc_profile": colorspace.profile(space, grey=grey)}, (*warnings, *hdr)


def _by_gamma(gamma: bytes, chromaticities: bytes) -> colorspace.ColorSpace | None:
    exponent = int.from_bytes(gamma, "big") / 100_000 if len(gamma) == 4 else None  # noqa: PLR2004 - section 11.3.2.2
    primaries = None
    if len(chromaticities) == 32:  # noqa: PLR2004 - section 11.3.2.1
        x0, y0, *rest = (v / 100_000 for v in struct.unpack(">8I", chromaticities))
        rx, ry, gx, gy, bx, by = rest
        primaries = colorspace.Primaries(white=(x0, y0), red=(rx, ry), green=(gx, gy), blue=(bx, by))
    return colorspace.of_gamma(exponent, primaries)


def _profile(body: bytes) -> bytes:
    """The profile in an iCCP chunk; empty if it cannot be unpacked."""
    _, _, rest = body.partition(b"\0")
    return _inflated(rest[1:], _PROFILE_BYTES) if rest[:1] == b"\0" else b""


def _is_animation(data: bytes, header: _Header, chunks: list[_Chunk], *, ended: bool) -> bool:
    """Whether the animation is well-formed (section 4.9); a file whose animation is not shows its still image."""
    whole = [chunk for chunk in chunks if chunk.end <= len(data)]
    controls = [chunk for chunk in whole if chunk.kind == b"acTL"]
    frames = [chunk for chunk in whole if chunk.kind == b"fcTL"]
    numbers = [_body(data, chunk)[:4] for chunk in whole if chunk.kind in {b"fcTL", b"fdAT"}]
    parts = [chunk.kind for chunk in whole if chunk.kind in {b"fcTL", b"fdAT", b"IDAT"}]
    pixels = next(chunk.start for chunk in chunks if chunk.kind == b"IDAT")
    if len(controls) != 1 or controls[0].start > pixels or not _is_count(_body(data, controls[0])):
        return False
    if numbers != [struct.pack(">I", number) for number in range(len(numbers))]:
        return False
    if any(one == other == b"fcTL" for one, other in pairwise(parts)):
        return False
    if ended and len(frames) < int.from_bytes(_body(data, controls[0])[:4], "big"):
        return False
    return all(_is_frame(_body(data, frame), header, still=frame.start < pixels) for frame in frames)


def _is_count(body: bytes) -> bool:
    """Whether an acTL chunk has its length and names a number of frames."""
    return len(body) == 8 and 1 <= int.from_bytes(body[:4], "big") <= 2**31  # noqa: PLR2004 - section 11.3.6.1


def _is_frame(body: bytes, header: _Header, *, still: bool) -> bool:
    """Whether an fcTL chunk has its length and lies on the canvas; that of the still image must fill it."""
    if len(body) != 26:  # noqa: PLR2004 - section 11.3.6.2
        return False
    width, height, left, top = (int(number) for number in struct.unpack_from(">4I", body, 4))
    if still:
        return (left, top, width, height) == (0, 0, header.width, header.height)
    return width > 0 < height and left + width <= header.width and top + height <= header.height


def check_pixels(data: bytes) -> None:
    """Raise `ImageError` if the stored pixels do not match their checksum.

    A wrong checksum of a chunk counts only where that of the zlib stream inside does not hold either: then it is the
    checksum that is damaged, not the pixels.
    """
    run = list(_pixel_chunks(data))
    if all(chunk.end > len(data) or _intact(data, chunk) for chunk in run):
        return
    stream = zlib.decompressobj()
    left = _header(data).pixel_bytes() + _PIECE_BYTES
    try:
        for chunk in run:
            left -= _count(stream, _body(data, chunk), left)
    except zlib.error:
        left = 0
    if not stream.eof or left <= 0:
        raise damaged("png", "its pixels do not match their checksum")


def without_sum(data: bytes) -> bytes | None:
    """The file without the checksum inside its zlib stream, if that is all that is wrong with it; otherwise None.

    A decoder that meets a wrong one fails, although the checksums of the chunks show that the pixels are right.
    """
    run = list(_pixel_chunks(data))
    if not all(_intact(data, chunk) for chunk in run):
        return None
    body = b"".join(_body(data, chunk) for chunk in run)
    wanted = _header(data).pixel_bytes()
    stream = zlib.decompressobj(-zlib.MAX_WBITS)  # without header and checksum (RFC 1950)
    try:
        total = _count(stream, body[2:], wanted + _PIECE_BYTES)
    except zlib.error:
        return None
    if total < wanted or not stream.eof:
        return None
    kept = b"IDAT" + body[: len(body) - len(stream.unused_data)]
    chunk = struct.pack(">I", len(kept) - 4) + kept + struct.pack(">I", zlib.crc32(kept))
    return data[: run[0].start] + chunk + data[run[-1].end :]


def has_all_rows(data: bytes) -> bool:
    """Whether the zlib stream of the still image holds all of its rows."""
    wanted = _header(data).pixel_bytes()
    stream = zlib.decompressobj()
    try:
        for chunk in _pixel_chunks(data):
            wanted -= _count(stream, _body(data, chunk), wanted)
            if wanted <= 0:
                return True
    except zlib.error:
        pass
    return False


def _pixel_chunks(data: bytes) -> Iterator[_Chunk]:
    """The IDAT chunks that follow each other."""
    begun = False
    for chunk in _chunks(data):
        if chunk.kind == b"IDAT":
            begun = True
            yield chunk
        elif begun:
            return


def _count(stream: "zlib._Decompress", packed: bytes, most: int) -> int:
    """How many bytes these are unpacked, up to `most`, without keeping them."""
    total = 0
    while packed and total < most and not stream.eof:
        total += len(stream.decompress(packed, min(most - total, _PIECE_BYTES)))
        packed = stream.unconsumed_tail
    return total


def palette_entries(data: bytes) -> bytes:
    """The palette with black for the entries that it does not have, as libpng and browsers show them."""
    found = next((_body(data, chunk) for chunk in _chunks(data) if chunk.kind == b"PLTE"), b"")
    return found.ljust(3 * _PALETTE_ENTRIES, b"\0")


def last_row(data: bytes) -> int:
    """The row that is decoded last."""
    header = _header(data)
    last = header.height - 1
    return last - 1 if header.interlaced and last and last % 2 == 0 else last  # the last pass holds the odd rows


def check_frames(data: bytes) -> None:
    """Raise `ImageError` if the pixels of a frame do not match their checksum, or lack rows."""
    header = _header(data)
    wanted = 0
    stream = zlib.decompressobj()
    for chunk in _chunks(data):
        if chunk.kind in {b"fcTL", b"IEND"}:
            if wanted > 0:
                raise ends_early("png")
        elif chunk.end <= len(data) and chunk.kind in {b"IDAT", b"fdAT"} and not _intact(data, chunk):
            raise damaged("png", "the pixels of a frame do not match their checksum")
        body = _body(data, chunk)
        if chunk.kind == b"fcTL":
            width, height = struct.unpack_from(">II", body, 4)
            wanted, stream = header.pixel_bytes((width, height)), zlib.decompressobj()
        elif chunk.kind in {b"IDAT", b"fdAT"} and wanted > 0:
            with suppress(zlib.error):  # told by the decoder
                wanted -= _count(stream, body if chunk.kind == b"IDAT" else body[4:], wanted)
