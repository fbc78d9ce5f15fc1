"""What a response says, and whether its body is what it should be."""

import hashlib
import sys
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import BinaryIO

import httpx  # noqa: TID251 - with client.py the home of HTTP

from downloader.download import headers, resume
from downloader.download.problem import Problem
from downloader.model.failures import FailureKind
from downloader.model.items import Item, Validator
from downloader.model.urls import last_segment

_READ_BYTES = 256 * 1024
_ASIDE_FROM_BYTES = 8 * 1024**2
"""Of a body that is longer, the rest is hashed in a thread of its own, while its next bytes come and are written."""
_SHARE_BYTES = 256 * 1024
_SHARES_AHEAD = 2
"""Bytes given to that thread at once, and how many such shares may wait for it: 0.75 MiB a download, at most."""


class Sums:
    """Hashes of a body, taken as it comes: its sha256, and whatever it can be held against."""

    def __init__(self, listed: headers.Checksum | None, sent: list[headers.Checksum]) -> None:
        self._expected = [*([listed] if listed else []), *sent[:1]]
        names = {"sha256", *(checksum.name for checksum in self._expected)}
        self._hashes = {name: hashlib.new(name) for name in names}
        self._size = 0
        self._aside: ThreadPoolExecutor | None = None
        self._share: list[bytes] = []
        self._share_bytes = 0
        self._waiting: deque[Future[None]] = deque()

    def update(self, data: bytes) -> None:
        """The next bytes of the body."""
        self._size += len(data)
        if self._size <= _ASIDE_FROM_BYTES:
            self._hash([data])
            return
        self._share.append(data)
        self._share_bytes += sys.getsizeof(data)  # a server may send single bytes
        if self._share_bytes >= _SHARE_BYTES:
            self._hash_aside()

    def _hash(self, pieces: list[bytes]) -> None:
        for digest in self._hashes.values():
            for data in pieces:
                digest.update(data)

    def _hash_aside(self) -> None:
        """Hand the share over; its thread ends with `_settle`, or with this object where a download breaks off."""
        if self._aside is None:
            self._aside = ThreadPoolExecutor(1, thread_name_prefix="hash")
        if len(self._waiting) == _SHARES_AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._aside.submit(self._hash, self._share))
        self._share, self._share_bytes = [], 0

    def _settle(self) -> None:
        """Wait until all that has come is hashed."""
        if self._aside is not None:
            self._aside.shutdown()
            self._aside = None
            while self._waiting:
                self._waiting.popleft().result()
        self._hash(self._share)
        self._share, self._share_bytes = [], 0

    def take_in(self, body: BinaryIO, size: int | None = None) -> None:
        """Hash what is in a file already, or its first `size` bytes, and stand behind them."""
        left = sys.maxsize if size is None else size
        while data := body.read(min(_READ_BYTES, left)):
            self.update(data)
            left -= len(data)

    def sha256(self) -> str:
        """In hexadecimal, of what has come so far."""
        self._settle()
        return self._hashes["sha256"].hexdigest()

    def wrong(self) -> str | None:
        """The algorithm of the first checksum that does not hold."""
        self._settle()
        for checksum in self._expected:
            if self._hashes[checksum.name].digest() != checksum.digest:
                return checksum.name
        return None


def checksum_is_listed(item: Item) -> bool:
    """Whether the list says what the bytes must hash to."""
    return item.request is not None and item.request.checksum is not None


def listed_checksum(item: Item) -> headers.Checksum | None:
    """The checksum that the list gives; a bad one was refused when the list was read."""
    if item.request is None or item.request.checksum is None:
        return None
    try:
        return headers.parse_checksum(item.request.checksum)
    except ValueError as problem:
        raise Problem(FailureKind.CHECKSUM, f"the checksum in the list cannot be used: {problem}", final=True) from None


class Answer:
    """The answer to a request: its head, read once and understood as far as somebody asks, and its body."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self._response = response
        self._fields: dict[bytes, list[bytes]] = {}
        for name, value in response.headers.raw:
            self._fields.setdefault(name.lower(), []).append(value)

    def fields(self, name: bytes) -> list[bytes]:
        """Every value sent under a name (in small letters)."""
        return self._fields.get(name, [])

    def field(self, name: bytes) -> bytes | None:
        """What was sent under a name, several values as one list (RFC 9110, 5.3); None for nothing."""
        values = self._fields.get(name)
        return b", ".join(values) if values else None

    @property
    def body(self) -> Iterable[bytes]:
        """The bytes as they come, not decoded."""
        assert isinstance(self._response.stream, httpx.SyncByteStream)
        return self._response.stream

    @property
    def location(self) -> str | None:
        """Where a redirect leads, in UTF-8 as all browsers read it, else ISO-8859-1."""
        raw = self.field(b"location")
        if raw is None:
            return None
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    @cached_property
    def coding(self) -> str:
        """The content coding; empty for none."""
        text = (self.field(b"content-encoding") or b"").strip().lower().decode("latin-1")
        return "" if text == "identity" else text

    @cached_property
    def version(self) -> Validator:
        """Which version of the thing it speaks of."""
        return headers.validator(self.field(b"etag"), self.field(b"last-modified"), self.field(b"date"))

    @cached_property
    def media_type(self) -> str | None:
        """What the server says it is."""
        return headers.media_type(self.field(b"content-type"))

    @cached_property
    def reply(self) -> resume.Reply:
        """What decides whether its body fits what we have; raises Problem where it contradicts itself."""
        length = headers.content_length(self.fields(b"content-length"))
        if length == "conflict":
            raise Problem(FailureKind.PROTOCOL, "the server says two different lengths", self.status)
        return resume.Reply(
            status=self.status,
            content_range=headers.content_range(self.field(b"content-range")),
            content_length=None if self.coding else length,
            media_type=self.media_type,
            validator=self.version,
        )

    @property
    def digests(self) -> list[headers.Checksum]:
        """What the server says of the body; it speaks of the coded bytes, so a coded body is not held against it."""
        if self.coding:
            return []
        return headers.digests(self.field(b"repr-digest"), self.field(b"digest"), self.field(b"content-md5"))

    def name(self, chain: list[str]) -> str | None:
        """What the server calls it: by Content-Disposition, else by the URL that it redirected to."""
        if named := headers.disposition_name(self.field(b"content-disposition")):
            return named
        return last_segment(chain[-1]) if len(chain) > 1 else None
