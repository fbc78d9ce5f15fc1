"""What a response says, and whether its body is what it should be."""

import hashlib
import sys
from typing import BinaryIO

import httpx  # noqa: TID251 - with client.py the home of HTTP

from downloader.download import headers, resume
from downloader.download.problem import Problem
from downloader.model.failures import FailureKind
from downloader.model.items import Item, Validator
from downloader.model.urls import last_segment

_READ_BYTES = 256 * 1024


class Sums:
    """Hashes of a body, taken as it comes: its sha256, and whatever it can be held against."""

    def __init__(self, listed: headers.Checksum | None, sent: list[headers.Checksum]) -> None:
        self._expected = [*([listed] if listed else []), *sent[:1]]
        names = {"sha256", *(checksum.name for checksum in self._expected)}
        self._hashes = {name: hashlib.new(name) for name in names}

    def update(self, data: bytes) -> None:
        """The next bytes of the body."""
        for digest in self._hashes.values():
            digest.update(data)

    def take_in(self, body: BinaryIO, size: int | None = None) -> None:
        """Hash what is in a file already, or its first `size` bytes, and stand behind them."""
        left = sys.maxsize if size is None else size
        while data := body.read(min(_READ_BYTES, left)):
            self.update(data)
            left -= len(data)

    def sha256(self) -> str:
        """In hexadecimal, of what has come so far."""
        return self._hashes["sha256"].hexdigest()

    def wrong(self) -> str | None:
        """The algorithm of the first checksum that does not hold."""
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


def sent_digests(response: httpx.Response) -> list[headers.Checksum]:
    """What the server says of the body; it speaks of the coded bytes, so a coded body is not held against it."""
    if coding_of(response):
        return []
    get = response.headers.get
    return headers.digests(get("repr-digest"), get("digest"), get("content-md5"))


def server_name_of(chain: list[str], response: httpx.Response) -> str | None:
    """What the server calls it: by Content-Disposition, else by the URL that it redirected to."""
    raw = {name.lower(): value for name, value in response.headers.raw}
    if named := headers.disposition_name(raw.get(b"content-disposition")):
        return named
    return last_segment(chain[-1]) if len(chain) > 1 else None


def coding_of(response: httpx.Response) -> str:
    """The content coding; empty for none."""
    text = str(response.headers.get("content-encoding", "")).strip().lower()
    return "" if text == "identity" else text


def version_of(response: httpx.Response) -> Validator:
    """Which version of the thing the response speaks of."""
    get = response.headers.get
    return headers.validator(get("etag"), get("last-modified"), get("date"))


def reply_of(response: httpx.Response) -> resume.Reply:
    """What decides whether its body fits what we have; raises Problem where it contradicts itself."""
    length = headers.content_length(response.headers.get_list("content-length"))
    if length == "conflict":
        raise Problem(FailureKind.PROTOCOL, "the server says two different lengths", response.status_code)
    return resume.Reply(
        status=response.status_code,
        content_range=headers.content_range(response.headers.get("content-range")),
        content_length=None if coding_of(response) else length,
        media_type=headers.media_type(response.headers.get("content-type")),
        validator=version_of(response),
    )
