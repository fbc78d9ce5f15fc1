"""Lists in the manner of aria2 (aria2c(1), "Input File"): mirrors, and options for each download.

    http://a/x.jpg<TAB>http://b/x.jpg
      out=first.jpg
      header=X-Key: 1
      checksum=sha-256=HEX
    # a remark
    http://a/y.jpg

A line holds the URLs of one file, separated by tabs: the first is the row's source, the others are its mirrors. Lines
after it that begin with white space are its options, one a line: `out`; `dir`, put before the name, which is the last
segment of the URL where there is no `out`; `checksum`; `referer` (`*` is the URL itself); `user-agent`; and `header`,
as often as wanted. Of the others the last of each counts.

Every other option is counted and ignored, since most are about aria2 itself. So is a broken one (no value, a control
character, an over-long line), a `dir` that is absolute, and a header that cannot be sent or is not the list's to set.
The row stays. What a list says of names is carried as it is, `..` and all; `sinks.layout` makes names safe.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final
from urllib.parse import unquote

from downloader.config.values import parse_header
from downloader.model.items import Request, Row, Url
from downloader.sources.folder import SourceCounters
from downloader.sources.text import lines, remark

HEADERS_LIMIT_BYTES: Final = 64 * 1024
"""As much as the headers of one entry may take in memory; servers refuse far less."""
_OURS: Final = frozenset(
    "accept-encoding connection content-length expect if-range keep-alive proxy-connection range te trailer "  # noqa: SIM905
    "transfer-encoding upgrade".split()
)
"""Headers, in small letters, that frame messages or decide which bytes come."""
_SENDABLE = re.compile(r"[\t\x20-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
"""How an absolute path begins, on POSIX or Windows."""
_SEPARATORS = "/\\"
_LAST_SEGMENT = re.compile(r"https?://[^/?#]*/(?:[^?#]*/)?([^/?#]+)(?=[?#]|\Z)", re.IGNORECASE)
_USER_INFO = re.compile(r"(?<=://)[^/?#]*@")


def read_stream(stream: BinaryIO, name: str, tally: SourceCounters | None = None) -> Iterator[Row]:
    """The rows of an open list, each as soon as its last option is there; `name` is what `Row.where` calls the list.

    Lines are bounded, and bytes that are not UTF-8 survive, as in `sources.text`. `tally` counts ignored options.

    Raises:
        SourceError: reading failed half-way; names the line.
    """
    tally = tally or SourceCounters()
    entry: _Entry | None = None
    for number, line, whole in lines(stream, name):
        text = line.strip()
        if text.startswith(b"#") or (whole and not text):
            continue
        if line.startswith((b" ", b"\t")):
            tally.options_ignored += not (entry and whole and entry.take(_decoded(text)))
            continue
        if entry:
            yield entry.row()
        entry = _Entry(_urls(text) if whole else [remark(text)], f"{name}:{number}")
    if entry:
        yield entry.row()


def _decoded(text: bytes) -> str:
    return text.decode(errors="surrogateescape")


def _urls(line: bytes) -> list[str]:
    return [_decoded(url) for part in line.split(b"\t") if (url := part.strip())]


class _Entry:
    """One file of the list, while its options are being read."""

    def __init__(self, urls: list[str], where: str) -> None:
        self._urls = urls
        self._where = where
        self._options: dict[str, str] = {}
        self._headers: list[str] = []
        self._headers_bytes = 0

    def take(self, line: str) -> bool:
        """Take an option; False where it is ignored."""
        name, _, value = (part.strip() for part in line.partition("="))
        if not value or _CONTROL.search(value):
            return False
        match name:
            case "header":
                return self._take_header(value)
            case "out" | "checksum":
                taken = True
            case "dir":
                taken = not _ABSOLUTE.match(value)
            case "referer" | "user-agent":
                taken = _sendable(f"{name}: {value}") is not None
            case _:
                taken = False
        if taken:
            self._options[name] = value
        return taken

    def _take_header(self, value: str) -> bool:
        header = _sendable(value)
        if header is None or self._headers_bytes + len(header) > HEADERS_LIMIT_BYTES:
            return False
        self._headers_bytes += len(header)
        self._headers.append(header)
        return True

    def row(self) -> Row:
        """The row with all that was taken."""
        source, *mirrors = self._urls
        request = Request(
            mirrors=tuple(mirrors),
            headers=(*self._headers, *self._named_headers()),
            checksum=self._options.get("checksum"),
            name=self._name(),
        )
        plain = request == Request()
        return Row(source=source, what=Url(source), where=self._where, request=None if plain else request)

    def _named_headers(self) -> Iterator[str]:
        """The headers that have options of their own."""
        if referer := self._options.get("referer"):
            own = _USER_INFO.sub("", self._urls[0].partition("#")[0], count=1)  # RFC 9110, 10.1.3: without these two
            if header := _sendable(f"Referer: {own if referer == '*' else referer}"):
                yield header
        if user_agent := self._options.get("user-agent"):
            yield f"User-Agent: {user_agent}"

    def _name(self) -> str | None:
        """The path wanted for the result: `dir/out`, or `dir/` and the last segment of the URL, or `out`."""
        folder, name = self._options.get("dir"), self._options.get("out")
        if name is None and folder is not None and (segment := _LAST_SEGMENT.match(self._urls[0])):
            name = re.sub(r"[/\\]", "_", unquote(segment[1]))  # decoded after splitting: adds no folder
        return f"{folder.rstrip(_SEPARATORS)}/{name}" if folder is not None and name is not None else name


def _sendable(text: str) -> str | None:
    """A header as `Name: value`; None where it is none, is not ASCII, or is not the list's to set."""
    try:
        header = parse_header(text)
    except ValueError:
        return None
    is_ours = header.partition(":")[0].lower() in _OURS
    return header if _SENDABLE.fullmatch(header) and not is_ours else None
