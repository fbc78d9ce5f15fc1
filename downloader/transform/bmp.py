"""Reading BMP, of Windows and OS/2: every layout of bits, RLE with jumps, palettes of any length.

Pillow reads the usual layouts only, loses empty lines of RLE, and calls other files damaged. Its unpackers are used for
rows of the usual layouts. Names are those of Microsoft's documentation (BITMAPFILEHEADER to BITMAPV5HEADER).
"""

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image, ImageFile

from downloader.transform import readable, samples
from downloader.transform.picture import ImageError

_FILE_HEADER_BYTES = 14
_CORE, _INFO, _V2, _V3, _V4, _V5 = 12, 40, 52, 56, 108, 124
"""Sizes of the headers of Windows; OS/2 has `_CORE` and others from 16 to 64 bytes."""

_RGB, _RLE8, _RLE4, _BIT_FIELDS, _ALPHA_BIT_FIELDS = 0, 1, 2, 3, 6
_UNSUPPORTED = {4: "an embedded JPEG image", 5: "an embedded PNG image", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_UNSUPPORTED_OS2 = {3: "Huffman compression (OS/2)", 4: "RLE24 compression (OS/2)"}
_DEPTHS = frozenset((1, 2, 4, 8, 16, 24, 32))
_MAX_PALETTE_BITS = 8
_RLE_DEPTHS = {_RLE8: 8, _RLE4: 4}
_USUAL_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 24: (0xFF0000, 0xFF00, 0xFF, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}
_UNPACKED_BY_PILLOW = {
    (16, (0x7C00, 0x3E0, 0x1F, 0)): "BGR;15",
    (16, (0xF800, 0x7E0, 0x1F, 0)): "BGR;16",
    (24, (0xFF0000, 0xFF00, 0xFF, 0)): "BGR",
    (32, (0xFF0000, 0xFF00, 0xFF, 0)): "BGRX",
}
_PROFILE_EMBEDDED = b"DEBM"
"""The value "MBED" of bV5CSType, in the byte order of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What the headers say. `masks` are those of red, green, blue and alpha, 0 where there is none."""

    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    masks: tuple[int, int, int, int]
    palette: bytes
    pixels_at: int

    @property
    def row_bytes(self) -> int:
        """Bytes from one row to the next: whole groups of 4."""
        return (self.width * self.bits + 31) // 32 * 4


class BmpFile(ImageFile.ImageFile):
    """A BMP that is decoded on `load`."""

    format = "BMP"
    format_description = "Windows Bitmap"

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._header = _header(data)
        self._is_loaded = False
        super().__init__(BytesIO(data))

    def _open(self) -> None:
        self._size = (self._header.width, self._header.height)
        self._mode = "RGB"
        if profile := _profile(self._data):
            self.info["icc_profile"] = profile

    def load(self) -> Any:  # noqa: ANN401 - a private type of Pillow
        """Decode the pixels; of a file that ends early those that are there, and raise `ImageError`."""
        if not self._is_loaded:
            self._is_loaded = True
            picture, is_complete = _picture(self._data, self._header)
            self._mode, self.im, self.palette = picture.mode, picture.im, picture.palette
            if not is_complete:
                raise readable.ends_early("bmp")
        return super().load()


def _damaged(reason: str) -> ImageError:
    return readable.damaged("bmp", reason)


def _unsupported(what: str) -> ImageError:
    return readable.unsupported(f"a BMP with {what}")


def _header(data: bytes) -> _Header:
    """Read the headers; raises `ImageError` for a form that is not read."""
    size = int.from_bytes(data[14:18], "little")
    if len(data) < _FILE_HEADER_BYTES + size:
        raise readable.ends_early("bmp")
    fields = data[_FILE_HEADER_BYTES : _FILE_HEADER_BYTES + size]
    if size == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", fields, 4)
        compression = colours = 0
    else:
        width, height, _, bits, compression, _, _, _, colours = struct.unpack_from(
            "<iiHHIIiiI", fields.ljust(40, b"\0"), 4
        )
    if width <= 0 or not height or height == -(2**31):
        raise _damaged(f"its size is {width} x {height}")
    _refuse_unsupported(size, bits, compression)
    masks_at = _FILE_HEADER_BYTES + _INFO
    masks_bytes = 0
    masks = _USUAL_MASKS.get(bits, (0, 0, 0, 0))
    if compression in {_BIT_FIELDS, _ALPHA_BIT_FIELDS}:
        count = 4 if size >= _V3 or compression == _ALPHA_BIT_FIELDS else 3
        masks_bytes = 4 * count if size == _INFO else 0
        masks = _masks(data[masks_at : masks_at + 4 * count], bits)
    palette_at = _FILE_HEADER_BYTES + size + masks_bytes
    entry = 3 if size == _CORE else 4
    palette, palette_end = b"", palette_at
    pixels_at = int.from_bytes(data[10:14], "little")
    if bits <= _MAX_PALETTE_BITS:
        palette_end = palette_at + entry * (colours or 1 << bits)
        end = min(palette_end, pixels_at) if pixels_at > palette_at else palette_end
        palette = _palette(data[palette_at:end], entry, bits)
    return _Header(
        width=width,
        height=abs(height),
        top_down=height < 0,
        bits=bits,
        compression=compression,
        masks=masks,
        palette=palette,
        pixels_at=pixels_at if pixels_at >= palette_at else palette_end,
    )


def _refuse_unsupported(size: int, bits: int, compression: int) -> None:
    is_os2 = size not in {_CORE, _INFO, _V2, _V3, _V4, _V5}
    unsupported = _UNSUPPORTED_OS2 if is_os2 else _UNSUPPORTED
    if compression in unsupported:
        raise _unsupported(unsupported[compression])
    if compression not in {_RGB, _RLE8, _RLE4, _BIT_FIELDS, _ALPHA_BIT_FIELDS}:
        raise _unsupported(f"an unknown compression (number {compression})")
    if bits not in _DEPTHS:
        raise _unsupported(f"{bits} bits a pixel")
    if compression in _RLE_DEPTHS and bits != _RLE_DEPTHS[compression]:
        raise _damaged(f"its compression is not for {bits} bits a pixel")
    if compression in {_BIT_FIELDS, _ALPHA_BIT_FIELDS} and bits not in _USUAL_MASKS:
        raise _damaged(f"bit fields in {bits} bits a pixel")


def _masks(raw: bytes, bits: int) -> tuple[int, int, int, int]:
    """The bit masks of red, green, blue and alpha; the usual ones if the file leaves them empty."""
    values = [value & ((1 << bits) - 1) for value in struct.unpack(f"<{len(raw) // 4}I", raw[: len(raw) // 4 * 4])]
    red, green, blue, alpha = (*values, 0, 0, 0, 0)[:4]
    if not red and not green and not blue:
        return _USUAL_MASKS[bits]
    for mask in (red, green, blue, alpha):
        if mask & (mask + (mask & -mask)):
            raise _unsupported(f"bit fields with gaps ({mask:#x})")
    return red, green, blue, alpha


def _palette(raw: bytes, entry: int, bits: int) -> bytes:
    """Red, green and blue of each colour; black for those that the file does not list."""
    whole = raw[: len(raw) // entry * entry]
    out = bytearray(3 << bits)
    for channel in range(3):
        values = whole[2 - channel :: entry][: 1 << bits]
        out[channel : 3 * len(values) : 3] = values
    return bytes(out)


def _profile(data: bytes) -> bytes | None:
    """The ICC profile that a BITMAPV5HEADER may have."""
    if int.from_bytes(data[14:18], "little") != _V5 or data[70:74] != _PROFILE_EMBEDDED:
        return None
    at, size = struct.unpack_from("<II", data, _FILE_HEADER_BYTES + 112)
    return data[_FILE_HEADER_BYTES + at : _FILE_HEADER_BYTES + at + size] or None


def _picture(data: bytes, header: _Header) -> tuple[Image.Image, bool]:
    """The pixels, and whether the file has all of them."""
    size, direction = (header.width, header.height), 1 if header.top_down else -1
    if header.compression in _RLE_DEPTHS:
        indices, is_complete = _unpacked_rle(data, header)
        return _coloured(Image.frombytes("P", size, indices, "raw", "P", 0, direction), header), is_complete
    rows, is_complete = _rows(data, header)
    if header.bits <= _MAX_PALETTE_BITS:
        packing = {1: "P;1", 2: "P;2", 4: "P;4", 8: "P"}[header.bits]
        return _coloured(
            Image.frombytes("P", size, rows, "raw", packing, header.row_bytes, direction), header
        ), is_complete
    packing = _UNPACKED_BY_PILLOW.get((header.bits, header.masks), "")
    if packing:
        return Image.frombytes("RGB", size, rows, "raw", packing, header.row_bytes, direction), is_complete
    return _from_fields(rows, header), is_complete


def _coloured(image: Image.Image, header: _Header) -> Image.Image:
    """The indices with their colours; as grey if all of these are grey."""
    reds, greens, blues = (header.palette[channel::3] for channel in range(3))
    if reds == greens == blues:
        return Image.frombytes("L", image.size, image.tobytes().translate(reds.ljust(256, b"\0")))
    image.putpalette(header.palette)
    return image


def _rows(data: bytes, header: _Header) -> tuple[bytes, bool]:
    """Uncompressed rows, with zeros in place of missing ones; padding may be missing from the last."""
    whole = header.row_bytes * header.height
    needed = whole - header.row_bytes + (header.width * header.bits + 7) // 8
    rows = data[header.pixels_at : header.pixels_at + whole]
    return rows.ljust(whole, b"\0"), len(rows) >= needed


def _from_fields(rows: bytes, header: _Header) -> Image.Image:
    """Pixels whose colours lie in any bits of a word of 2, 3 or 4 bytes."""
    size, word = (header.width, header.height), header.bits // 8
    padded = Image.frombytes("L", (header.row_bytes, header.height), rows)
    words = padded.crop((0, 0, header.width * word, header.height)).tobytes()[
        ::-1
    ]  # upper bytes first, pixels backwards
    channels = []
    for mask in header.masks[: 4 if header.masks[3] else 3]:
        first_bit = header.bits - mask.bit_length()
        field = samples.bit_field(words, word, first_bit, mask.bit_count()) if mask else bytes(len(words) // word)
        channels.append(Image.frombytes("L", size, field[::-1]))
    image = Image.merge("RGBA" if len(channels) == 4 else "RGB", channels)  # noqa: PLR2004 - red, green, blue, alpha
    return image if header.top_down else image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)


def _unpacked_rle(data: bytes, header: _Header) -> tuple[bytes, bool]:
    """Palette indices in rows as stored, and whether the data reach their end; pixels that are skipped are 0."""
    width, height = header.width, header.height
    out = bytearray(width * height)
    x = y = 0
    at, half = header.pixels_at, header.compression == _RLE4
    while at + 1 < len(data) and y < height:
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            run = bytes((value >> 4, value & 15)) * ((count + 1) // 2) if half else bytes((value,)) * count
        elif value == 0:
            x, y = 0, y + 1
            continue
        elif value == 1:
            return bytes(out), True
        elif value == 2:  # noqa: PLR2004 - a jump to the right and up
            x, y = x + int.from_bytes(data[at : at + 1]), y + int.from_bytes(data[at + 1 : at + 2])
            at += 2
            continue
        else:
            count, length = value, (value + 1) // 2 if half else value
            run = _nibbles(data[at : at + length]) if half else data[at : at + length]
            at += length + length % 2
        piece = run[: max(min(count, width - x), 0)]
        out[y * width + x : y * width + x + len(piece)] = piece
        x += count
    return bytes(out), y >= height or (y == height - 1 and x >= width)


def _nibbles(packed: bytes) -> bytes:
    """Each half of the bytes, the upper one first."""
    out = bytearray(2 * len(packed))
    out[::2] = packed.translate(bytes(value >> 4 for value in range(256)))
    out[1::2] = packed.translate(bytes(value & 15 for value in range(256)))
    return bytes(out)
