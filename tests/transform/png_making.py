"""PNG files made chunk by chunk, and their pixels worked out without any library."""

import struct
import zlib
from collections.abc import Sequence
from random import Random

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Where each pass of an interlaced PNG starts, and its steps (PNG 3rd edition, 8.1)."""

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
KINDS += [(4, 8), (4, 16), (6, 8), (6, 16)]
"""Colour type and depth."""

Pixel = tuple[int, ...]


def chunk(kind: bytes, body: bytes = b"", checksum: int | None = None) -> bytes:
    number = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", number)


def header(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + chunk(b"IEND")


def simple(*before: bytes, rows: int = 16, colour: Pixel = (200, 100, 50), behind: bytes = b"") -> bytes:
    """16 x 16 pixels of one RGB colour; `before` are chunks before the pixels, `behind` is what follows them."""
    pixels = zlib.compress((b"\0" + bytes(colour) * 16) * rows)
    return png(header(16, 16), *before, chunk(b"IDAT", pixels), behind)


def random_samples(random: Random, width: int, height: int, depth: int, colour: int) -> list[list[Pixel]]:
    top = 2**depth
    return [
        [tuple(random.randrange(top) for _ in range(CHANNELS[colour])) for _ in range(width)] for _ in range(height)
    ]


def packed(rows: Sequence[Sequence[Pixel]], depth: int) -> bytes:
    """Rows without a filter (section 7)."""
    out = b""
    for row in rows:
        bits = "".join(f"{sample:0{depth}b}" for pixel in row for sample in pixel)
        bits += "0" * (-len(bits) % 8)
        out += b"\0" + (int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b"")
    return out


def raw(samples: list[list[Pixel]], depth: int, *, interlaced: bool) -> bytes:
    if not interlaced:
        return packed(samples, depth)
    out = b""
    for left, top, across, down in ADAM7:
        part = [row[left::across] for row in samples[top::down]]
        out += packed(part, depth) if part and part[0] else b""
    return out


def shown_as(pixel: Pixel, depth: int, colour: int, palette: list[Pixel], clear: Pixel | bytes | None) -> Pixel:
    """The RGBA value in 8 bits of a pixel as stored."""
    if colour == 3:
        (index,) = pixel
        rgb = palette[index] if index < len(palette) else (0, 0, 0)
        alpha = clear[index] if isinstance(clear, bytes) and index < len(clear) else 255
        return (*rgb, alpha)
    scale = {1: 255, 2: 85, 4: 17, 8: 1}.get(depth)
    levels = [sample * scale if scale else sample >> 8 for sample in pixel]
    alpha = levels.pop() if colour in {4, 6} else 0 if pixel == clear else 255
    return (*(levels * 3 if len(levels) == 1 else levels), alpha)
