"""What servers say in header fields, read strictly. Pure.

A field comes in raw (bytes or text; None where it was not sent) and goes out as a value. Servers send anything, so a
field that breaks its grammar counts as not sent: no function here raises for what a server sent. Sections are those of
RFC 9110 unless another document is named; numbers are bytes or seconds.

    retry_after_s                                how long to leave the server alone
    content_length, content_range, media_type    what is coming
    validator, if_range, same_representation     which version of a thing it is
    unless_same                                  asking for another version only
    digests, parse_checksum                      what the whole of it must hash to
    disposition_name                             what the server would call it
    opt_out                                      whether its owner wants it left alone
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from downloader.model.items import Validator

Raw = bytes | str
"""A field value as it came in; bytes are preferred, since text may have been decoded by a guess."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the grammar's token, 5.6.2
_NUMBER = r"[0-9]{1,18}"
"""Digits of a size: what has more of them fits no file system."""
_LENGTH = re.compile(_NUMBER)
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}")


def _text(value: Raw | None) -> str:
    """The value as text, one character a byte (5.5), without the white space around it."""
    text = value.decode("latin-1") if isinstance(value, bytes) else value or ""
    return text.strip(" \t")


def _elements(value: Raw | None) -> list[str]:
    """The elements of a comma-separated list, empty ones left out (5.6.1.2)."""
    return [element for part in _text(value).split(",") if (element := part.strip(" \t"))]


# --- dates and waiting ------------------------------------------------------------------------------------------------

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_FULL_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_IMF_FIXDATE = re.compile(rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT")
_FIXDATE_LENGTH = len("Sun, 06 Nov 1994 08:49:37 GMT")
_RFC850_DATE = re.compile(rf"{_FULL_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT")
_ASCTIME_DATE = re.compile(rf"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})")
_YEARS_AHEAD = 50
"""A two-digit year that seems further ahead than this lies in the past (5.6.7)."""

LONGEST_WAIT_S: Final = 1e9
"""What a wait without bounds is read as: some 30 years."""


def retry_after_s(value: Raw | None, now: datetime) -> float | None:
    """Seconds that Retry-After asks to wait (10.2.3): 0 for a date in the past, at most `LONGEST_WAIT_S`.

    `now` must be aware of its time zone. Signs, fractions and words are no delay-seconds, so they say nothing.
    """
    text = _text(value)
    if re.fullmatch(r"[0-9]+", text):
        return min(float(text), LONGEST_WAIT_S)
    date = _http_date(text, now)
    return None if date is None else min(max((date - now).total_seconds(), 0.0), LONGEST_WAIT_S)


def _http_date(text: str, now: datetime) -> datetime | None:
    """An HTTP-date in any of its three formats (5.6.7); the name of the day is not checked against the date."""
    for form in (_IMF_FIXDATE, _RFC850_DATE, _ASCTIME_DATE):
        if match := form.fullmatch(text):
            year = int(match["year"])
            return _moment(match, _full_year(year, now) if form is _RFC850_DATE else year)
    return None


def _fixdate(text: str) -> datetime | None:
    """The one format of an HTTP-date that a sender may write today."""
    return _read_fixdate(text) if len(text) == _FIXDATE_LENGTH else None


@lru_cache(256)  # all answers of a second have one Date
def _read_fixdate(text: str) -> datetime | None:
    match = _IMF_FIXDATE.fullmatch(text)
    return _moment(match, int(match["year"])) if match else None


def _full_year(two_digits: int, now: datetime) -> int:
    year = now.year - now.year % 100 + two_digits
    return year - 100 if year > now.year + _YEARS_AHEAD else year


def _moment(match: re.Match[str], year: int) -> datetime | None:
    """The moment a matched date names; None where the calendar has no such day. A leap second is the second before."""
    month = _MONTHS.index(match["month"]) + 1
    second = min(int(match["second"]), 59)
    try:
        return datetime(year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), second, tzinfo=UTC)
    except ValueError:
        return None


# --- what is coming ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRange:
    """The bytes a 206 carries: `start` to `end`, both included; `total` of the whole, None where it is not told."""

    start: int
    end: int
    total: int | None

    @property
    def stop(self) -> int:
        """The first byte after the range."""
        return self.end + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsatisfied:
    """What a 416 tells: no byte of the range exists, since there are `total`."""

    total: int


_CONTENT_RANGE = re.compile(
    rf"bytes (?:(?P<start>{_NUMBER})-(?P<end>{_NUMBER})/(?P<total>\*|{_NUMBER})|\*/(?P<none_of>{_NUMBER}))",
    re.IGNORECASE,
)


def content_range(value: Raw | None) -> ContentRange | Unsatisfied | None:
    """Content-Range in bytes (14.4); None as well where its numbers contradict each other."""
    match = _CONTENT_RANGE.fullmatch(_text(value))
    if not match:
        return None
    if match["none_of"]:
        return Unsatisfied(total=int(match["none_of"]))
    start, end = int(match["start"]), int(match["end"])
    total = None if match["total"] == "*" else int(match["total"])
    if start > end or (total is not None and end >= total):
        return None
    return ContentRange(start=start, end=end, total=total)


def accepts_ranges(value: Raw | None) -> bool:
    """Whether Accept-Ranges names bytes (14.3)."""
    return "bytes" in map(str.lower, _elements(value))


def content_length(values: Iterable[Raw]) -> int | Literal["conflict"] | None:
    """The length that all the Content-Length fields of a reply agree on (8.6): `conflict` where they do not.

    A proxy may have joined equal lengths ("42, 42"). None: not sent, or not a number.
    """
    values = list(values)
    if len(values) == 1 and _LENGTH.fullmatch(text := _text(values[0])):
        return int(text)  # as nearly always
    numbers = {int(text) if _LENGTH.fullmatch(text) else None for value in values for text in _elements(value)}
    if len(numbers) > 1:
        return "conflict"
    return numbers.pop() if numbers else None


def media_type(value: Raw | None) -> str | None:
    """`type/subtype` of Content-Type in small letters, without parameters (8.3.1)."""
    text = _text(value).partition(";")[0].rstrip(" \t").lower()
    return text if _MEDIA_TYPE.fullmatch(text) else None


# --- validators -------------------------------------------------------------------------------------------------------

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"')
"""An entity tag (8.8.3) in ASCII: another one could not be sent back."""
_SETTLED = timedelta(seconds=60)
"""How far Last-Modified must lie before Date to be a strong validator. 8.8.2.2 asks for one second and "enough
difference" between two clocks; 60 s is what its predecessor asked for (RFC 7232, 2.2.2)."""


def validator(etag: Raw | None, last_modified: Raw | None, date: Raw | None) -> Validator:
    """The validator in the fields ETag, Last-Modified and Date of one reply."""
    tag, modified_text = _text(etag), _text(last_modified)
    modified, sent = _fixdate(modified_text), _fixdate(_text(date))
    return Validator(
        etag=tag if _ETAG.fullmatch(tag) else None,
        last_modified=modified_text if modified else None,
        settled=modified is not None and sent is not None and sent - modified >= _SETTLED,
    )


def if_range(known: Validator) -> str | None:
    """The value for If-Range (13.1.5): a strong tag, or a strong date where there is no tag at all; else None."""
    if known.etag is not None:
        return None if known.weak else known.etag
    return known.last_modified if known.settled else None


def unless_same(known: Validator) -> list[tuple[str, str]]:
    """The headers that ask for a thing unless it is the known version (13.1.2, 13.1.3): a 304 says that it is."""
    tag = [("If-None-Match", known.etag)] if known.etag else []
    date = [("If-Modified-Since", known.last_modified)] if known.last_modified else []
    return tag + date


def same_representation(old: Validator, new: Validator) -> bool:
    """Whether both are certainly the same bytes: strong comparison (8.8.3.2), of dates where a tag is missing."""
    if old.etag is not None and new.etag is not None:
        return old.etag == new.etag and not old.weak
    return old.last_modified is not None and old.last_modified == new.last_modified and old.settled and new.settled


def contradicts(old: Validator, new: Validator) -> bool:
    """Whether both are certainly different: their tags differ, or their dates where a tag is missing.

    Neither same nor contradicting: nothing comparable was sent, as a 206 may leave Last-Modified out (15.3.7).
    """
    if old.etag is not None and new.etag is not None:
        return old.etag != new.etag
    return None not in {old.last_modified, new.last_modified} and old.last_modified != new.last_modified


# --- checksums --------------------------------------------------------------------------------------------------------


class Checksum(NamedTuple):
    """A digest and the name hashlib knows its algorithm by."""

    name: str
    digest: bytes


_ALGORITHMS: Final = {"sha-512": "sha512", "sha-256": "sha256", "sha": "sha1", "md5": "md5"}
"""Cryptographic names of the IANA digest registries (RFC 9530, 7.2; RFC 5843), strongest first."""
_DIGEST_BYTES: Final = {"sha512": 64, "sha256": 32, "sha1": 20, "md5": 16}
_DICTIONARY_MEMBER = re.compile(r"(?P<name>[a-z*][a-z0-9_.*-]*)=:(?P<base64>[A-Za-z0-9+/=]*):(?:[ \t]*;.*)?")
"""A byte sequence in a dictionary (RFC 8941, 3.2 and 3.3.5)."""
_INSTANCE_DIGEST = re.compile(rf"(?P<name>{_TOKEN})=(?P<base64>[A-Za-z0-9+/=]*)")


def digests(repr_digest: Raw | None, digest: Raw | None, content_md5: Raw | None) -> list[Checksum]:
    """What the whole representation hashes to: strongest algorithm first, then the most modern field.

    Read from Repr-Digest (RFC 9530, 3), Digest (RFC 3230, 4.3.2) and Content-MD5 (RFC 1864, 2). They count bytes with
    the content coding on. Content-MD5 of a 206 is that of its part: leave it out there. Unknown algorithms and digests
    of the wrong length are left out.
    """
    if repr_digest is None and digest is None and content_md5 is None:
        return []  # as nearly always
    found = [
        *_matches(_DICTIONARY_MEMBER, _elements(repr_digest)),
        *_matches(_INSTANCE_DIGEST, _elements(digest)),
        ("md5", _text(content_md5)),
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


_USER_CHECKSUM = re.compile(r"(?P<name>[A-Za-z0-9_/-]+)[:=](?P<hex>[0-9A-Fa-f]+)")


def parse_checksum(text: str) -> Checksum:
    """A checksum as users write it: `sha256:HEX`, `sha-256=HEX` (aria2), `md5:HEX`; any fixed-length hash of hashlib.

    Raises:
        ValueError: it is none; says why.
    """
    match = _USER_CHECKSUM.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text[:100]!r} is not a checksum; write for example sha256:HEX or md5:HEX")
    name, size_bytes = _hash_named(match["name"])
    if len(match["hex"]) != 2 * size_bytes:
        raise ValueError(f"a {name} checksum has {2 * size_bytes} hex digits, not {len(match['hex'])}")
    return Checksum(name, bytes.fromhex(match["hex"]))


def _hash_named(text: str) -> tuple[str, int]:
    """The algorithm as hashlib calls it, and the bytes of its digest: `SHA-256`, `sha3-256`, `sha512/256` are found."""
    asked = text.lower()
    for name in (asked, asked.replace("-", ""), re.sub("[-/]", "_", asked)):
        if name in hashlib.algorithms_available:
            try:
                size_bytes = hashlib.new(name, usedforsecurity=False).digest_size
            except ValueError:  # listed, but switched off by the system's policy
                continue
            if size_bytes:  # the shake family has no length of its own
                return name, size_bytes
    raise ValueError(f"{text[:100]!r} is not a hash known here; write for example sha256:HEX or md5:HEX")


# --- names ------------------------------------------------------------------------------------------------------------

_PARAMETER = re.compile(
    rf"[ \t]*;[ \t]*(?:(?P<name>{_TOKEN})[ \t]*=[ \t]*"
    rf'(?P<value>{_TOKEN}|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\U0010ffff]|\\[\t \x21-\x7e\x80-\U0010ffff])*"))?'
)
"""One parameter or none (5.6.6), with the white space around `=` that RFC 6266 inherits from RFC 2616, 2.1."""
_EXTENDED = re.compile(
    r"(?P<charset>utf-8|iso-8859-1)'[A-Za-z0-9-]*'(?P<chars>(?:%[0-9A-Fa-f]{2}|[!#$&+.^_`|~0-9A-Za-z-])*)",
    re.IGNORECASE,
)
"""An ext-value (RFC 8187, 3.2.1)."""


def disposition_name(value: Raw | None) -> str | None:
    r"""The file name in Content-Disposition (RFC 6266), whatever the disposition; hostile still, so sanitise it.

    `filename*` goes before `filename`, which steps in where the other is malformed. A header that breaks the grammar,
    or has a parameter twice, names nothing. Of a path, of either kind (`a/b`, `a\b`), the last component counts; a name
    that holds control characters, or only dots and spaces, is none. Bytes of a plain `filename` are UTF-8 where they
    can be, as all browsers read them, else ISO-8859-1 (RFC 6266, 4.3).
    """
    parameters = _parameters(_readable(value))
    if parameters is None:
        return None
    extended, plain = parameters.get("filename*", ""), parameters.get("filename", "")
    return _base_name(_extended(extended)) or _base_name(_unquoted(plain))


def _readable(value: Raw | None) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return value or ""


def _parameters(text: str) -> dict[str, str] | None:
    """The parameters as written, by name in small letters; None where the field breaks its grammar."""
    text = text.strip(" \t")
    kind = re.match(_TOKEN, text)
    if not kind:
        return None
    position = kind.end()
    found: dict[str, str] = {}
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if not match:
            return None
        position = match.end()
        if match["name"]:
            name = match["name"].lower()
            if name in found:
                return None
            found[name] = match["value"]
    return found


def _unquoted(value: str) -> str:
    """A token as it is, a quoted-string without its quotes and escapes (5.6.4)."""
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _extended(value: str) -> str:
    """The text of an ext-value; empty where it is none: quoted, badly encoded, or in another character set."""
    match = _EXTENDED.fullmatch(value)
    if not match:
        return ""
    try:
        return unquote_to_bytes(match["chars"]).decode(match["charset"])
    except UnicodeDecodeError:
        return ""


def _base_name(text: str) -> str | None:
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        return None
    name = re.split(r"[/\\]", text)[-1]
    return name if name.strip(" .") else None


# --- opting out -------------------------------------------------------------------------------------------------------

_OPT_OUT: Final = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Directives that ask to be left alone. `none` is Google's short form of `noindex, nofollow`."""
_VALUED: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
"""Directives with a value after a colon: they name no robot."""
_ROBOT = re.compile(r"\*|[a-z_][a-z0-9_.-]*")
"""The name of a robot before a colon, never beginning with a digit as the parts of a date do."""


def opt_out(values: Iterable[Raw], token: str) -> str | None:
    """The first directive of the X-Robots-Tag fields that asks everybody, or the robot `token`, to stay away.

    A field is a list of directives; `name:` before one limits it and the rest of the field to that robot, until the
    next name (Google, "Robots meta tag, data-nosnippet, and X-Robots-Tag specifications"). Case does not count. Dates
    of `unavailable_after` hold commas and colons, and are passed over.
    """
    ours = {"*", token.lower()}
    for value in values:
        for robot, directive in _directives(_text(value).lower()):
            if directive in _OPT_OUT and robot in ours:
                return directive
    return None


def _directives(text: str) -> Iterator[tuple[str, str]]:
    """Each directive of one field, with the robot it is for; `*` is everybody."""
    robot = "*"
    for element in text.split(","):
        head, colon, rest = (part.strip() for part in element.partition(":"))
        if not colon:
            yield robot, head
        elif head not in _VALUED and _ROBOT.fullmatch(head):
            robot = head
            yield robot, rest
