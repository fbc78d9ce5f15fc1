"""What the first line of a list tells: how its text is written, or that it is no list at all.

A list is UTF-8 with line feeds. UTF-16 and UTF-32 with a byte order mark (PowerShell and Excel write them) and lines
that end in carriage returns alone (classic Mac) are read as well. What certainly is something else (an image, a web
page, JSON) is refused as a whole: hundreds of failed rows would say less.
"""

import codecs
import re
from io import BufferedReader, IncrementalNewlineDecoder, RawIOBase
from typing import TYPE_CHECKING, BinaryIO, Final, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MARKS: Final[tuple[tuple[bytes, str, int], ...]] = (
    (codecs.BOM_UTF32_LE, "utf-32", 4),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32", 4),
    (codecs.BOM_UTF16_LE, "utf-16", 2),
    (codecs.BOM_UTF16_BE, "utf-16", 2),
)
"""Byte order marks, the encodings that they announce, and the bytes of a character there."""
_IMAGE = "an image; give the file the name of one (.jpg) to have it processed"
_SHEET = "a ZIP archive or a spreadsheet; save the sheet as CSV"
_PACKED = "compressed; unpack it, or name a gzip file .gz and a zstd file .zst"
_MAGIC: Final = (
    (b"\xff\xd8\xff", _IMAGE),
    (b"\x89PNG\r\n", _IMAGE),
    (b"GIF8", _IMAGE),
    (b"RIFF", _IMAGE),
    (b"II*\x00", _IMAGE),
    (b"MM\x00*", _IMAGE),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", _SHEET),
    (b"\xd0\xcf\x11\xe0", _SHEET),
    (b"PAR1", "a Parquet table; name it .parquet"),
    (b"\x1f\x8b", _PACKED),
    (b"\x28\xb5\x2f\xfd", _PACKED),
    (b"BZh", _PACKED),
    (b"\xfd7zXZ", _PACKED),
)
_MARKUP = re.compile(rb"\s*<(?:!doctype|\?xml|html|head|body|svg|rss|urlset)\b", re.IGNORECASE)
_URL = re.compile(rb"https?://", re.IGNORECASE)
_JSON = re.compile(r"""[\[{]\s*(?:["{\[\]}]|\Z)""")
_SEPARATORS = re.compile(r"[,;|\t]")
_EXAMINED_BYTES = 400
_CHUNK_BYTES = 8192


def readable(first: bytes, rest: BinaryIO) -> BinaryIO | None:
    """A list as UTF-8 with line feeds, from its first line on; None where it is that already."""
    _, encoding, char_bytes = next((entry for entry in _MARKS if first.startswith(entry[0])), (b"", "", 1))
    if encoding:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
    elif b"\r" in first.rstrip(b"\r") and b"\n" not in first:
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    else:
        return None
    recoded = _Recoded(first, rest, IncrementalNewlineDecoder(decoder, translate=True), char_bytes)
    return cast("BinaryIO", BufferedReader(recoded, _CHUNK_BYTES))


def no_list(line: bytes) -> str | None:
    """What a list whose first line this is certainly is instead; None for a list, as far as can be told."""
    if (label := next((label for magic, label in _MAGIC if line.startswith(magic)), None)) is not None:
        return f"not a list but {label}"
    if _MARKUP.match(line):
        return "not a list but a web page or XML; save the list itself"
    if b"\x00" not in line or _URL.match(line):
        return None
    if _is_wide(line):
        return "UTF-16 or UTF-32 without a byte order mark; save the list as UTF-8"
    return "not a list but binary data"


def _is_wide(line: bytes) -> bool:
    """Whether every second byte is zero, or three of four: text of two or four bytes a character."""
    head = line[: min(len(line), _EXAMINED_BYTES) // 4 * 4] or line[:2]
    places = [head[start::4] for start in range(4)]
    empty = [not any(place) for place in places]
    return empty in (
        [False, True, False, True],
        [True, False, True, False],
        [False, True, True, True],
        [True, True, True, False],
    )


def no_url_list(line: str) -> str | None:
    """The same for a list of one URL a line: what the format of its first line that holds anything is instead."""
    if _JSON.match(line):
        return "JSON, not one URL a line; objects of one line each are read with --input-format jsonl"
    cells = [cell.strip(" \"'").lower() for cell in _SEPARATORS.split(line)]
    if len(cells) > 1 and "url" in cells:
        separator = "tsv" if "\t" in line else "csv"
        return f"a table, not one URL a line: it begins with names of columns; read it with --input-format {separator}"
    return None


class _Recoded(RawIOBase):
    """Bytes of a list as UTF-8, decoded line by line, so that a list that is being typed is read as it comes."""

    def __init__(self, first: bytes, rest: BinaryIO, decoder: IncrementalNewlineDecoder, char_bytes: int) -> None:
        self._first = first
        self._char_bytes = char_bytes
        self._rest = rest
        self._decoder = decoder
        self._ready = b""

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Give the next bytes; none at the end."""
        view = memoryview(buffer)
        chunk = b"-"
        while chunk and not self._ready:
            chunk, self._first = self._first or self._rest.readline(_CHUNK_BYTES), b""
            chunk += self._rest.read(-len(chunk) % self._char_bytes)  # the character that ends the line
            self._ready = self._decoder.decode(chunk, final=not chunk).encode(errors="surrogateescape")
        size = min(len(view), len(self._ready))
        view[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size
