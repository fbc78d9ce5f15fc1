"""The strips and tiles of a damaged TIFF: why they cannot be decoded, and what is left of them. Pure.

Slow compared with libtiff, which tells neither. Only called once libtiff has failed.
"""

import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from downloader.transform import tiff_layout
from downloader.transform.picture import ImageError
from downloader.transform.readable import ends_early
from downloader.transform.tiff_layout import Block, Layout

_REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_LZW_CLEAR, _LZW_END = 256, 257
_LZW_MAX_BITS = 12
_PACKBITS_NOTHING = 128
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


def failure(data: bytes, layout: Layout) -> ImageError:
    """Why the pixels of an image could not be decoded, by its strips and tiles."""
    if end_before_pixels(data, layout):
        return ends_early("tiff")
    unpack = _UNPACKERS.get(layout.compression)
    if unpack is None:
        return tiff_layout.damaged("its compressed pixels cannot be decoded")
    for block in layout.blocks:
        size = layout.block_bytes(block.rows)
        pixels, is_valid = unpack(_packed(data, layout, block), size)
        if not is_valid:
            return tiff_layout.damaged("its compressed pixels cannot be decoded")
        if len(pixels) < size:
            return ends_early("tiff")
    return tiff_layout.damaged("its tags contradict each other")


def lack_blocks(layout: Layout) -> bool:
    """Whether the file lists fewer strips or tiles than the image needs."""
    planes = layout.channels if layout.planar else 1
    return 0 < len(layout.blocks) < layout.blocks_of_plane * planes


def end_before_pixels(data: bytes, layout: Layout) -> bool:
    """Whether strips or tiles are missing, or reach beyond the end of the file."""
    if lack_blocks(layout) or any(_end(layout, block) > len(data) or not block.size for block in layout.blocks):
        return True
    return layout.compression == tiff_layout.JPEG and not all(_has_jpeg_end(data, block) for block in layout.blocks)


def _end(layout: Layout, block: Block) -> int:
    """Where a strip or tile ends; the size that the file says is not needed of uncompressed ones."""
    uncompressed = layout.compression == tiff_layout.UNCOMPRESSED
    return block.offset + (layout.block_bytes(block.rows) if uncompressed else block.size)


def _has_jpeg_end(data: bytes, block: Block) -> bool:
    """Whether a strip or tile ends as a JPEG does: without it, libjpeg makes up what is missing."""
    end = block.offset + block.size
    return data.rfind(_JPEG_END, block.offset, end) > data.rfind(_JPEG_SCAN, block.offset, end)


def repaired(data: bytes, layout: Layout) -> tuple[bytes, Layout]:
    """The file with strips and tiles that a decoder accepts: what can be decoded, then zeros, compressed anew."""
    out, at = [data], len(data)
    blocks = []
    for block in _all_blocks(layout):
        packed = _repacked(data, layout, block)
        blocks.append(Block(at, len(packed), block.rows))
        out.append(packed)
        at += len(packed)
    whole = replace(layout, blocks=tuple(blocks))
    if layout.compression in _UNPACKERS:
        whole = replace(whole, compression=tiff_layout.DEFLATE, fill_order=1)
    return b"".join(out), whole


def _all_blocks(layout: Layout) -> Iterator[Block]:
    """The strips or tiles, with empty ones in place of those that the file does not list."""
    planes = layout.channels if layout.planar else 1
    yield from layout.blocks
    for index in range(len(layout.blocks), layout.blocks_of_plane * planes):
        yield Block(0, 0, layout.rows_of_block(index))


def _packed(data: bytes, layout: Layout, block: Block) -> bytes:
    """The bytes of a strip or tile, with the most significant bit first."""
    packed = data[block.offset : _end(layout, block)]
    return packed.translate(_REVERSED_BITS) if layout.fill_order == 2 else packed  # noqa: PLR2004 - TIFF 6.0, page 32


def _repacked(data: bytes, layout: Layout, block: Block) -> bytes:
    unpack = _UNPACKERS.get(layout.compression)
    if unpack is None:
        return data[block.offset : block.offset + block.size] + (
            _JPEG_END if layout.compression == tiff_layout.JPEG else b""
        )
    size = layout.block_bytes(block.rows)
    pixels, _ = unpack(_packed(data, layout, block), size)
    return zlib.compress(pixels[:size].ljust(size, b"\0"), 1)


def _stored(packed: bytes, size: int) -> tuple[bytes, bool]:
    return packed[:size], True


def _inflated(packed: bytes, size: int) -> tuple[bytes, bool]:
    """What of a zlib stream can be decoded, and whether it is valid as far as it goes."""
    stream = zlib.decompressobj()
    out = bytearray()
    try:
        for at in range(0, len(packed), 512):  # in pieces: where an error is, what came before it is lost
            out += stream.decompress(packed[at : at + 512], max(size - len(out), 1))
            if len(out) >= size or stream.eof:
                break
    except zlib.error:
        return bytes(out), False
    return bytes(out), True


def _from_lzma(packed: bytes, size: int) -> tuple[bytes, bool]:
    stream = lzma.LZMADecompressor(memlimit=2**28)
    try:
        return stream.decompress(packed, size), True
    except lzma.LZMAError:
        return b"", False


def _from_packbits(packed: bytes, size: int) -> tuple[bytes, bool]:
    """PackBits (TIFF 6.0 section 9): a byte that counts, then bytes to copy or one to repeat."""
    out = bytearray()
    at = 0
    while at + 1 < len(packed) and len(out) < size:
        count = packed[at]
        if count < _PACKBITS_NOTHING:
            out += packed[at + 1 : at + 2 + count]
            at += 2 + count
        elif count > _PACKBITS_NOTHING:
            out += packed[at + 1 : at + 2] * (257 - count)
            at += 2
        else:
            at += 1
    return bytes(out), True


def _from_lzw(packed: bytes, size: int) -> tuple[bytes, bool]:
    """LZW (TIFF 6.0 section 13): codes of 9 to 12 bits, each one longer one code early."""
    table = [bytes((value,)) for value in range(256)] + [b"", b""]
    out = bytearray()
    bits, held, width, last = 0, 0, 9, b""
    for byte in packed:
        held, bits = (held << 8 | byte) & 0xFFFFFF, bits + 8
        if bits < width:
            continue
        bits -= width
        code = held >> bits & ((1 << width) - 1)
        if code == _LZW_END or len(out) >= size:
            break
        if code == _LZW_CLEAR:
            del table[258:]
            width, last = 9, b""
            continue
        if code > len(table) or (code == len(table) and not last):
            return bytes(out), False
        entry = table[code] if code < len(table) else last + last[:1]
        out += entry
        if last:
            table.append(last + entry[:1])
        last = entry
        width = min(max(9, (len(table) + 1).bit_length()), _LZW_MAX_BITS)
    return bytes(out), True


_UNPACKERS: dict[int, Callable[[bytes, int], tuple[bytes, bool]]] = {
    tiff_layout.UNCOMPRESSED: _stored,
    **dict.fromkeys(tiff_layout.DEFLATES, _inflated),
    tiff_layout.LZW: _from_lzw,
    tiff_layout.PACKBITS: _from_packbits,
    tiff_layout.LZMA: _from_lzma,
}
"""Returns what can be decoded, as many bytes as are asked for at most, and whether no error was found in it."""
