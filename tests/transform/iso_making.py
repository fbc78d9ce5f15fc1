"""AVIF and HEIC files with more properties than an encoder here writes."""

import struct
from collections.abc import Iterator


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield kind, start, start + size
        start += size


def clap(width: float, height: float, right: float = 0, down: float = 0) -> bytes:
    """A clean aperture whose centre lies this far from that of the image."""
    numbers = (part for value in (width, height, right, down) for part in (round(value * 2), 2))
    return box(b"clap", struct.pack(">IIIIiIiI", *numbers))


def irot(quarters: int) -> bytes:
    return box(b"irot", bytes([quarters]))


def imir(axis: int) -> bytes:
    return box(b"imir", bytes([axis]))


def with_properties(data: bytes, *properties: bytes) -> bytes:
    """The file with more properties of its first item; the places of its pixels are moved along."""
    meta = next(each for each in boxes(data, 0, len(data)) if each[0] == b"meta")
    inner = {kind: (start, end) for kind, start, end in boxes(data, meta[1] + 12, meta[2])}
    start, end = inner[b"iprp"]
    (_, ipco, _), (_, ipma, ipma_end) = boxes(data, start + 8, end)
    known = len(list(boxes(data, ipco + 8, ipma)))
    head, number = data[ipma + 8 : ipma + 18], data[ipma + 18]
    numbers = bytes(0x80 | known + 1 + i for i in range(len(properties)))
    old = data[ipma + 19 : ipma + 19 + number]
    rest = data[ipma + 19 + number : ipma_end]
    owners = box(b"ipma", head + bytes([number + len(numbers)]) + old + numbers + rest)
    container = box(b"ipco", data[ipco + 8 : ipma] + b"".join(properties))
    whole = box(b"iprp", container + owners)
    grown = len(whole) - (end - start)
    places = moved(data[slice(*inner[b"iloc"])], grown)
    result = data.replace(data[slice(*inner[b"iloc"])], places).replace(data[start:end], whole)
    return result[: meta[1]] + struct.pack(">I", meta[2] - meta[1] + grown) + result[meta[1] + 4 :]


def moved(iloc: bytes, by: int) -> bytes:
    """A location box (version 0, 4 bytes an offset, a common base of 0 if any) with larger offsets."""
    out = bytearray(iloc)
    base_bytes = iloc[13] >> 4
    at = 16
    for _ in range(int.from_bytes(iloc[14:16], "big")):
        at += 4 + base_bytes
        extents = int.from_bytes(iloc[at : at + 2], "big")
        at += 2
        for _ in range(extents):
            out[at : at + 4] = (int.from_bytes(out[at : at + 4], "big") + by).to_bytes(4, "big")
            at += 8
    return bytes(out)
