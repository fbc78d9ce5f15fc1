"""WebP as a structure of chunks (RFC 9649): mends lengths and leaves out metadata that its decoder fails on. Pure."""

import struct
from collections.abc import Iterator

_PIXELS = frozenset((b"ALPH", b"VP8 ", b"VP8L", b"ANMF"))
_KEPT = _PIXELS | {b"VP8X", b"ANIM", b"ICCP", b"EXIF", b"XMP "}
_START = 12
_MAX_CHUNKS = 1_000_000


def repaired(data: bytes) -> bytes | None:
    """The file with lengths that are right, of the chunks it has in full; None if any of its pixels are missing."""
    chunks = list(_chunks(data))
    kinds = {kind for kind, _, _ in chunks}
    cut = {kind for kind, _, end in chunks if end > len(data)}
    promised = int.from_bytes(data[4:8], "little") + 8
    unseen = promised > len(data) + 1 and b"ANIM" in kinds  # frames that may not have begun
    if unseen or cut & _PIXELS or not kinds & (_PIXELS - {b"ALPH"}):
        return None
    body = b"".join(_chunk(kind, data[start:end]) for kind, start, end in chunks if kind in _KEPT and end <= len(data))
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk's content, with the padding of odd ones or without."""
    at = _START
    for _ in range(_MAX_CHUNKS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length
        yield kind, at + 8, end
        unpadded = data[end : end + 4] in _KEPT
        at = end if unpadded else end + length % 2
