"""Parsers of response header fields. Pure.

A field is passed raw (bytes or text; None if it was not sent) and returned as a value. One that violates its grammar
counts as not sent: no function here raises for what a server sent. Section numbers are those of RFC 9110 unless another
document is named; numbers are bytes or seconds.

    retry_after_s                                 how long to leave the server alone
    content_length, content_range, media_type     what follows
    validator, if_range, same_representation      which version of a resource it is
    conditional_headers                           requesting another version only
    digests                                       what the whole representation must hash to
"""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from downloader.model.items import Validator

RawField = bytes | str
"""A field value as received; bytes are preferred, since text may have been decoded by a guess."""

TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the grammar's token, 5.6.2
_NUMBER = r"[0-9]{1,18}"
"""Digits of a size: larger numbers fit no file system."""
_LENGTH = re.compile(_NUMBER)
_MEDIA_TYPE = re.compile(rf"{TOKEN}/{TOKEN}")


def field_text(value: RawField | None) -> str:
    """The value as text, one character a byte (5.5), without surrounding white space."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value or ""
    return text.strip(" \t")


def field_elements(value: RawField | None) -> list[str]:
    """The non-empty elements of a comma-separated list (5.6.1.2)."""
    return [element for part in field_text(value).split(",") if (element := part.strip(" \t"))]


# --- dates and waiting ------------------------------------------------------------------------------------------------

_FIXDATE_LENGTH = len("Sun, 06 Nov 1994 08:49:37 GMT")

_MAX_DATE_CHARS = 100
MAX_WAIT_S: Final = 1e9
"""Longer waits count as this one: some 30 years."""


def retry_after_s(value: RawField | None, now: datetime) -> float | None:
    """Seconds that Retry-After asks to wait (10.2.3): 0 for a date in the past, at most `MAX_WAIT_S`.

    `now` must be aware of its time zone. Signs and fractions are not delay-seconds, so they count as not sent.
    """
    text = field_text(value)
    if re.fullmatch(r"[0-9]+", text):
        return min(float(text), MAX_WAIT_S)
    date = _date(text)
    return None if date is None else min(max((date - now).total_seconds(), 0.0), MAX_WAIT_S)


def _date(text: str) -> datetime | None:
    """A date in one of the three formats of 5.6.7, or nearly so; UTC unless it says otherwise."""
    try:
        date = parsedate_to_datetime(text)
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):  # all of them occur
        return None


def cookie_date(text: str | None) -> datetime | None:
    """The date in the attribute Expires of a cookie (RFC 6265, 5.1.1); None if it is none."""
    return _date(text) if text and len(text) <= _MAX_DATE_CHARS else None


@lru_cache(256)  # all responses of a second have one Date
def _fixdate(text: str) -> datetime | None:
    """A date in the only format that a sender may generate (5.6.7); validators must be sent back unchanged."""
    return _date(text) if len(text) == _FIXDATE_LENGTH and text.endswith(" GMT") else None


# --- what is coming ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRange:
    """The bytes in a 206: `start` to `end`, both included; `total` is the size of the whole, None if not given."""

    start: int
    end: int
    total: int | None

    @property
    def stop(self) -> int:
        """The first byte after the range."""
        return self.end + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsatisfiedRange:
    """The range of a 416: none of the requested bytes exists, since there are `total`."""

    total: int


_CONTENT_RANGE = re.compile(
    rf"bytes[ :=][ \t]*(?:(?P<start>{_NUMBER})-(?P<end>{_NUMBER})/(?P<total>\*|{_NUMBER})|\*/(?P<none_of>{_NUMBER}))",
    re.IGNORECASE,
)


def content_range(value: RawField | None) -> ContentRange | UnsatisfiedRange | None:
    """Content-Range in bytes (14.4); None as well if its numbers contradict each other.

    Some servers put another character after the unit (`bytes=0-1/2`, `bytes: 0-1/2`), as curl knows.
    """
    match = _CONTENT_RANGE.fullmatch(field_text(value))
    if not match:
        return None
    if match["none_of"]:
        return UnsatisfiedRange(total=int(match["none_of"]))
    start, end = int(match["start"]), int(match["end"])
    total = None if match["total"] == "*" else int(match["total"])
    if start > end or (total is not None and end >= total):
        return None
    return ContentRange(start=start, end=end, total=total)


def accepts_ranges(value: RawField | None) -> bool:
    """Whether Accept-Ranges names bytes (14.3)."""
    return "bytes" in map(str.lower, field_elements(value))


def content_length(values: Iterable[RawField]) -> int | Literal["conflict"] | None:
    """The length that all Content-Length fields of a response agree on (8.6): `conflict` if they do not.

    A proxy may have joined equal lengths ("42, 42"). None: not sent, or not a number.
    """
    values = list(values)
    if len(values) == 1 and _LENGTH.fullmatch(text := field_text(values[0])):
        return int(text)  # nearly always
    numbers = {int(text) if _LENGTH.fullmatch(text) else None for value in values for text in field_elements(value)}
    if len(numbers) > 1:
        return "conflict"
    return numbers.pop() if numbers else None


def media_type(value: RawField | None) -> str | None:
    """`type/subtype` of Content-Type in lower case, without parameters (8.3.1)."""
    text = field_text(value).partition(";")[0].rstrip(" \t").lower()
    return text if _MEDIA_TYPE.fullmatch(text) else None


# --- validators -------------------------------------------------------------------------------------------------------

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
"""An entity tag (8.8.3) in ASCII: any other could not be sent back."""
_SETTLED = timedelta(seconds=60)
"""How far Last-Modified must lie before Date to be a strong validator. 8.8.2.2 asks for one second and "enough
difference" between two clocks; 60 s is what its predecessor asked for (RFC 7232, 2.2.2)."""


def validator(etag: RawField | None, last_modified: RawField | None, date: RawField | None) -> Validator:
    """The validator in the fields ETag, Last-Modified and Date of a response."""
    tag, modified_text = field_text(etag), field_text(last_modified)
    modified, sent = _fixdate(modified_text), _fixdate(field_text(date))
    return Validator(
        etag=tag if _ETAG.fullmatch(tag) else None,
        last_modified=modified_text if modified else None,
        settled=modified is not None and sent is not None and sent - modified >= _SETTLED,
    )


def if_range(known: Validator) -> str | None:
    """The value for If-Range (13.1.5): a strong tag, or a strong date if there is no tag at all; else None."""
    if known.etag is not None:
        return None if known.weak else known.etag
    return known.last_modified if known.settled else None


def conditional_headers(known: Validator) -> list[tuple[str, str]]:
    """Conditional-request headers for a known version (13.1.2, 13.1.3): the response is a 304 if it is the same."""
    tag = [("If-None-Match", known.etag)] if known.etag else []
    date = [("If-Modified-Since", known.last_modified)] if known.last_modified else []
    return tag + date


def same_representation(old: Validator, new: Validator) -> bool:
    """Whether both are certainly the same bytes: strong comparison (8.8.3.2), of dates if a tag is missing."""
    if old.etag is not None and new.etag is not None:
        return old.etag == new.etag and not old.weak
    return old.last_modified is not None and old.last_modified == new.last_modified and old.settled and new.settled


def contradicts(old: Validator, new: Validator) -> bool:
    """Whether both are certainly different: their tags differ, or their dates if a tag is missing.

    Neither the same nor contradicting: nothing comparable was sent, since a 206 may omit Last-Modified (15.3.7).
    """
    if old.etag is not None and new.etag is not None:
        return old.etag != new.etag
    return None not in {old.last_modified, new.last_modified} and old.last_modified != new.last_modified


# --- digests ----------------------------------------------------------------------------------------------------------


class Checksum(NamedTuple):
    """A digest, and the name of its algorithm in hashlib."""

    name: str
    digest: bytes


_ALGORITHMS: Final = {"sha-512": "sha512", "sha-256": "sha256", "sha": "sha1", "md5": "md5"}
"""Cryptographic names of the IANA digest registries (RFC 9530, 7.2; RFC 5843), strongest first."""
_DIGEST_BYTES: Final = {"sha512": 64, "sha256": 32, "sha1": 20, "md5": 16}
_DICTIONARY_MEMBER = re.compile(r"(?P<name>[a-z*][a-z0-9_.*-]*)=:(?P<base64>[A-Za-z0-9+/=]*):(?:[ \t]*;.*)?")
"""A byte sequence in a dictionary (RFC 8941, 3.2 and 3.3.5)."""
_INSTANCE_DIGEST = re.compile(rf"(?P<name>{TOKEN})=(?P<base64>[A-Za-z0-9+/=]*)")


def digests(repr_digest: RawField | None, digest: RawField | None, content_md5: RawField | None) -> list[Checksum]:
    """The digests of the whole representation: strongest algorithm first, then the most modern field.

    Read from Repr-Digest (RFC 9530, 3), Digest (RFC 3230, 4.3.2) and Content-MD5 (RFC 1864, 2). They are of the bytes
    with content coding. Content-MD5 of a 206 is that of its part: omit it there. Unknown algorithms and digests of the
    wrong length are left out.
    """
    if repr_digest is None and digest is None and content_md5 is None:
        return []  # nearly always
    found = [
        *_matches(_DICTIONARY_MEMBER, field_elements(repr_digest)),
        *_matches(_INSTANCE_DIGEST, field_elements(digest)),
        ("md5", field_text(content_md5)),
    ]
    checksums = [checksum for name, text in found if (checksum := _checksum(name, text))]
    return sorted(dict.fromkeys(checksums), key=lambda checksum: -len(checksum.digest))


def _matches(form: re.Pattern[str], elements: list[str]) -> Iterator[tuple[str, str]]:
    for element in elements:
        if match := form.fullmatch(element):
            yield match["name"].lower(), match["base64"]


def _checksum(algorithm: str, text: str) -> Checksum | None:
    name = _ALGORITHMS.get(algorithm)
    if name is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return Checksum(name, digest) if len(digest) == _DIGEST_BYTES[name] else None
