"""A response with lazily parsed headers."""

from collections.abc import Iterable
from datetime import datetime

from downloader.http import headers
from downloader.http.coding import codings
from downloader.http.disposition import disposition_name
from downloader.http.robots import opt_out
from downloader.model.items import Validator


class Response:
    """A response: its status, its headers, each parsed when it is asked for, and its body.

    Args:
        status: of the response.
        raw_headers: as received, in any case.
        body: the bytes as they are received, still with their content coding.
    """

    def __init__(
        self, status: int, raw_headers: Iterable[tuple[bytes, bytes]] = (), body: Iterable[bytes] = ()
    ) -> None:
        self.status = status
        self.body = body
        self._fields: dict[bytes, list[bytes]] = {}
        self._validator: Validator | None = None
        for name, value in raw_headers:
            self._fields.setdefault(name.lower(), []).append(value)
        coding = self.field(b"content-encoding")
        self.coding = ", ".join(codings(coding.decode("latin-1"))) if coding else ""
        """The content codings; empty for none. Emptied by `keep_coding`."""
        self._length = headers.content_length(self._fields.get(b"content-length", ()))

    def field(self, name: bytes) -> bytes | None:
        """The value of a field (name in lower case), several values as one list (RFC 9110, 5.3); None if not sent."""
        values = self._fields.get(name)
        return b", ".join(values) if values else None

    def agreed(self, name: bytes) -> bytes | None:
        """The value of a field that has one value (name in lower case); None as well if it has several."""
        values = self._fields.get(name)
        return values[0] if values and values.count(values[0]) == len(values) else None

    def keep_coding(self) -> None:
        """The body counts as not coded: its content coding is the compression of the file."""
        self.coding = ""

    @property
    def location(self) -> str | None:
        """The target of a redirect; bytes that are not UTF-8 are kept as surrogate escapes."""
        raw = self.agreed(b"location")
        return None if raw is None else raw.decode(errors="surrogateescape")

    @property
    def has_several_locations(self) -> bool:
        """Whether the server gave different targets of a redirect."""
        return b"location" in self._fields and self.agreed(b"location") is None

    @property
    def set_cookies(self) -> list[bytes]:
        """The values of Set-Cookie, which is no list (RFC 6265, 3)."""
        return self._fields.get(b"set-cookie", [])

    @property
    def validator(self) -> Validator:
        """The version of the resource that the response is about."""
        if self._validator is None:  # `cached_property` takes a lock in Python 3.11
            self._validator = headers.validator(
                self.agreed(b"etag"), self.agreed(b"last-modified"), self.agreed(b"date")
            )
        return self._validator

    @property
    def media_type(self) -> str | None:
        """What the server says it is."""
        return headers.media_type(self._fields.get(b"content-type", [None])[-1])

    @property
    def content_range(self) -> headers.ContentRange | headers.UnsatisfiedRange | None:
        """The range that the body is, or why there is none."""
        return headers.content_range(self.agreed(b"content-range"))

    @property
    def content_length(self) -> int | None:
        """The size of the body; None if it is not known, as with a content coding."""
        return None if self.coding or self._length == "conflict" else self._length

    @property
    def has_conflicting_lengths(self) -> bool:
        """Whether the server gave two different sizes of the body."""
        return self._length == "conflict"

    @property
    def accepts_ranges(self) -> bool:
        """Whether the server promises to serve byte ranges."""
        return headers.accepts_ranges(self.field(b"accept-ranges"))

    @property
    def digests(self) -> list[headers.Checksum]:
        """Digests of the body, strongest first; none for a coded body, since they are of the coded bytes."""
        if self.coding:
            return []
        return headers.digests(self.field(b"repr-digest"), self.field(b"digest"), self.field(b"content-md5"))

    @property
    def disposition_name(self) -> str | None:
        """The file name in Content-Disposition: hostile text."""
        return disposition_name(self._fields.get(b"content-disposition", [None])[0])

    def opt_out(self, robot: str) -> str | None:
        """The directive by which the owner opts out for a robot, if there is one."""
        return opt_out(self._fields.get(b"x-robots-tag", ()), robot)

    def retry_after_s(self, now: datetime) -> float | None:
        """Seconds that the server asks to wait."""
        return headers.retry_after_s(self.agreed(b"retry-after"), now)
