"""Lists in the input format of aria2 (aria2c(1), "Input File"): mirrors, and options for each download.

    http://a/x.jpg<TAB>http://b/x.jpg
      out=first.jpg
      header=X-Key: 1
      checksum=sha-256=HEX
    # a comment
    http://a/y.jpg

A line holds the URLs of one file, separated by tabs: the first is the row's source, the others are its mirrors. Lines
after it that begin with white space are its options, one a line: `out`; `dir`, put before the name, which is the last
segment of the URL where there is no `out`; `checksum`; `referer` (`*` means the URL itself); `user-agent`; and
`header`, any number of times. Of the others the last of each counts.

Every other option is counted and ignored, since most are about aria2 itself. So is a malformed one (no value, a control
character, an over-long line), a `dir` that is absolute, and a header that cannot be sent or is not for the list to set.
The row stays. Names are passed on as the list has them, `..` and all; `naming` makes them safe.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final
from urllib.parse import unquote

from downloader.config.values import parse_header
from downloader.model.items import Invalid, Request, Row, Url
from downloader.sources.counters import SourceCounters
from downloader.sources.lists import MAX_LINE_BYTES, lines
from downloader.sources.rows import location_of, overlong_row

MAX_HEADERS_BYTES: Final = 64 * 1024
"""The memory that the headers of one entry may take; servers refuse far less."""
_RESERVED_HEADERS: Final = frozenset(
    "accept-encoding connection content-length expect if-range keep-alive proxy-connection range te trailer "  # noqa: SIM905
    "transfer-encoding upgrade".split()
)
"""Headers, in lower case, that frame messages or decide which bytes are sent: we set them."""
_SENDABLE = re.compile(r"[\t\x20-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
"""The beginning of an absolute path, on POSIX or Windows."""
_SEPARATORS = "/\\"
_LAST_SEGMENT = re.compile(r"https?://[^/?#]*/(?:[^?#]*/)?([^/?#]+)(?=[?#]|\Z)", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/?#]*@")


def parse_aria2(stream: BinaryIO, name: str, counters: SourceCounters) -> Iterator[Row]:
    """The rows of an open list, each as soon as its last option has been read; `name` is what `Row.where` calls it.

    Lines are bounded, and bytes that are not UTF-8 are kept as surrogates, as in `text`. `counters` count ignored
    options.

    Raises:
        SourceError: reading failed halfway; names the line.
    """
    entry: _Entry | None = None
    for number, line, is_whole in lines(stream, name):
        text = line.strip()
        if text.startswith(b"#") or (is_whole and not text):
            continue
        if line.startswith((b" ", b"\t")):
            counters.options_ignored += not (entry and is_whole and entry.set(_decode(text)))
            continue
        if entry:
            yield entry.row()
        where = f"{name}:{number}"
        entry = _Entry(_listed(text, where) if is_whole else overlong_row(text, MAX_LINE_BYTES, where))
    if entry:
        yield entry.row()


def _decode(text: bytes) -> str:
    return text.decode(errors="surrogateescape")


def _listed(line: bytes, where: str) -> Row:
    """The row of a line of URLs, before its options.

    It is invalid if all of them are bad. A bad URL beside good ones fails only when the download comes to it.
    """
    source, *mirrors = (_decode(url) for part in line.split(b"\t") if (url := part.strip()))
    what = location_of(source, where)
    if isinstance(what, Invalid) and any(isinstance(location_of(mirror, where), Url) for mirror in mirrors):
        what = Url(source)
    return Row(source=source, what=what, where=where, request=Request(mirrors=tuple(mirrors)))


class _Entry:
    """One file of the list, while its options are being read."""

    def __init__(self, listed: Row) -> None:
        self._listed = listed
        self._options: dict[str, str] = {}
        self._headers: list[str] = []
        self._headers_bytes = 0

    def set(self, line: str) -> bool:
        """Set an option; False if it is ignored."""
        name, _, value = (part.strip() for part in line.partition("="))
        if not value or _CONTROL.search(value):
            return False
        match name:
            case "header":
                return self._add_header(value)
            case "out" | "checksum":
                is_usable = True
            case "dir":
                is_usable = not _ABSOLUTE.match(value)
            case "referer" | "user-agent":
                is_usable = _sendable(f"{name}: {value}") is not None
            case _:
                is_usable = False
        if is_usable:
            self._options[name] = value
        return is_usable

    def _add_header(self, value: str) -> bool:
        header = _sendable(value)
        if header is None or self._headers_bytes + len(header) > MAX_HEADERS_BYTES:
            return False
        self._headers_bytes += len(header)
        self._headers.append(header)
        return True

    def row(self) -> Row:
        """The row, with its options."""
        request = Request(
            mirrors=self._listed.request.mirrors if self._listed.request else (),
            headers=(*self._headers, *self._named_headers()),
            checksum=self._options.get("checksum"),
            name=self._name(),
        )
        return self._listed._replace(request=None if request == Request() else request)

    def _named_headers(self) -> Iterator[str]:
        """The headers that have options of their own."""
        if referer := self._options.get("referer"):
            # RFC 9110, 10.1.3: a referer has neither user name nor fragment.
            itself = _USER_INFO.sub("", self._listed.source.partition("#")[0], count=1)
            if header := _sendable(f"Referer: {itself if referer == '*' else referer}"):
                yield header
        if user_agent := self._options.get("user-agent"):
            yield f"User-Agent: {user_agent}"

    def _name(self) -> str | None:
        """The path wanted for the result: `dir/out`, or `dir/` and the last segment of the URL, or `out`."""
        folder, name = self._options.get("dir"), self._options.get("out")
        if name is None and folder is not None and (segment := _LAST_SEGMENT.match(self._listed.source)):
            name = re.sub(r"[/\\]", "_", unquote(segment[1]))  # decoded after splitting: adds no folder
        return f"{folder.rstrip(_SEPARATORS)}/{name}" if folder is not None and name is not None else name


def _sendable(text: str) -> str | None:
    """A header as `Name: value`; None if it is malformed, is not ASCII, or is not for the list to set."""
    try:
        header = parse_header(text)
    except ValueError:
        return None
    is_reserved = header.partition(":")[0].lower() in _RESERVED_HEADERS
    return header if _SENDABLE.fullmatch(header) and not is_reserved else None
