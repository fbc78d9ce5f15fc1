"""Samples of any width as 8-bit ones, with nothing but slices, tables and large integers. Pure.

Each step handles a whole image at once in C code of Python, so that 10 million samples take a fraction of a second.
"""

import sys
from array import array
from functools import cache
from itertools import accumulate
from math import lcm
from struct import unpack

_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}


def group_bytes(bits: int) -> int:
    """The fewest bytes that hold a whole number of samples of `bits` bits."""
    return lcm(bits, 8) // 8


def eight_bit(packed: bytes, bits: int, order: str, *, scaled: bool = True) -> bytes:
    """Unsigned samples as 8-bit ones: the upper 8 bits of wider ones; narrower ones scaled, or as they are.

    Samples lie next to each other, the most significant bit first; those of 2 and more whole bytes in the byte order
    `order`. The length is a multiple of `group_bytes`.
    """
    if bits % 8 == 0:
        size = bits // 8
        return packed[(size - 1 if order == "<" else 0) :: size]
    stride = group_bytes(bits)
    per_group = stride * 8 // bits
    out = bytearray(len(packed) // stride * per_group)
    for index in range(per_group):
        out[index::per_group] = bit_field(packed, stride, index * bits, bits, scaled=scaled)
    return bytes(out)


def bit_field(packed: bytes, stride: int, first_bit: int, bits: int, *, scaled: bool = True) -> bytes:
    """A field of each word of `stride` bytes as 8-bit samples; bits are counted from the most significant one."""
    index, shift = divmod(first_bit, 8)
    upper = packed[index::stride]
    if shift:
        upper = upper.translate(_shifted(shift))
        if shift + bits > 8:  # noqa: PLR2004 - the field goes on in the next byte
            upper = _or(upper, packed[index + 1 :: stride].translate(_shifted(shift - 8)))
    return upper if bits >= 8 else upper.translate(_narrow(bits, scaled=scaled))  # noqa: PLR2004 - bits of a byte


@cache
def _shifted(places: int) -> bytes:
    """A table that shifts to the left, or to the right if negative."""
    return bytes((v << places) & 255 if places > 0 else v >> -places for v in range(256))


@cache
def _narrow(bits: int, *, scaled: bool) -> bytes:
    """A table that takes the upper `bits` bits, and scales them to the range of a byte."""
    top = (1 << bits) - 1
    values = (v >> (8 - bits) for v in range(256))
    return bytes((2 * v * 255 + top) // (2 * top) if scaled else v for v in values)


def _or(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") | int.from_bytes(other, "little")).to_bytes(len(one), "little")


def numbers(code: str, packed: bytes, order: str) -> "array[float] | array[int]":
    """Samples of whole bytes as an array of this type code."""
    values = array(code, packed)
    if (order == "<") != (sys.byteorder == "little"):
        values.byteswap()
    return values


def as_floats(packed: bytes, bits: int, order: str, kind: str) -> "array[float]":
    """Samples of 1, 2, 3, 4 or 8 whole bytes as 32-bit floating-point numbers; `kind` is unsigned, signed or float."""
    if bits == 24:  # noqa: PLR2004 - no type has so many
        wide = bytearray(len(packed) // 3 * 4)
        for index in range(3):
            wide[index + (order == ">") :: 4] = packed[index::3]
        return array("f", numbers("I", bytes(wide), order))
    if kind == "float" and bits == 16:  # noqa: PLR2004 - no type code of `array`
        return array("f", unpack(f"{order}{len(packed) // 2}e", packed))
    code = {32: "f", 64: "d"}[bits] if kind == "float" else _UNSIGNED[bits // 8]
    return array("f", numbers(code.lower() if kind == "signed" else code, packed, order))


def undo_differences(packed: bytes, row_bytes: int, channels: int, size: int, order: str) -> bytes:
    """Rows whose samples of `size` bytes are the differences to their left neighbours (TIFF 6.0 section 14)."""
    out = bytearray(len(packed))
    step = channels * size
    for start in range(0, len(packed) - row_bytes + 1, row_bytes):
        row = numbers(_UNSIGNED[size], packed[start : start + row_bytes // size * size], order)
        for channel in range(channels):
            sums = array("Q", accumulate(row[channel::channels]))  # 2**32 samples fit
            if sys.byteorder == "big":
                sums.byteswap()
            whole = sums.tobytes()
            for index in range(size):
                place = channel * size + (index if order == "<" else size - 1 - index)
                out[start + place : start + len(row) * size : step] = whole[index::8]
    return bytes(out)


def undo_float_differences(packed: bytes, row_bytes: int, channels: int, size: int) -> bytes:
    """Rows of floating-point samples as TIFF's predictor 3 stores them; the result has the upper byte first.

    A row holds the upper bytes of all its samples, then the next ones, and each byte is the difference to the one
    `channels` before it (Adobe Photoshop TIFF Technical Note 3).
    """
    out = bytearray(len(packed))
    values = row_bytes // size
    for start in range(0, len(packed) - row_bytes + 1, row_bytes):
        row = undo_differences(packed[start : start + row_bytes], row_bytes, channels, 1, "<")
        for index in range(size):
            out[start + index : start + row_bytes : size] = row[index * values : (index + 1) * values]
    return bytes(out)
