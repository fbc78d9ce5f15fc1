import base64
import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.http.headers import (
    MAX_WAIT_S,
    Checksum,
    ContentRange,
    UnsatisfiedRange,
    accepts_ranges,
    content_length,
    content_range,
    contradicts,
    digests,
    if_range,
    media_type,
    retry_after_s,
    same_representation,
    validator,
)
from downloader.model.items import Validator

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
SIZE = st.integers(0, 10**18 - 1)
HOSTILE = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60),
    st.text("0123456789 ,;:=/*\"'\\-%bytesWmd()\t\r\n", max_size=60),
)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_field_raises(a: bytes | str, b: bytes | str, c: bytes | str) -> None:
    """Law: a bad header is an absent one; whatever a server sends, nothing raises, and nothing hostile comes out."""
    wait_s = retry_after_s(a, NOW)
    assert wait_s is None or 0 <= wait_s <= MAX_WAIT_S
    content_range(a)
    content_length([a, b])
    media_type(a)
    accepts_ranges(a)
    known = validator(a, b, c)
    assert (if_range(known) or "").isprintable()
    digests(a, b, c)


@pytest.mark.parametrize(
    "value",
    ["", " ", "-1", "+1", "1.5", "1e3", "NaN", "inf", "0x10", "soon", "1 2", "1,2", "1;2", "²", "\u0661", "120s",
     "2026-11-20",
     "Fri, 32 Nov 2026 12:01:00 GMT", "Sat, 30 Feb 2026 12:01:00 GMT", "Fri, 20 Nov 2026 24:00:00 GMT",
     "Fri, 20 Now 2026 12:01:00 GMT", "Fri, 20 Nov 2026 12:60:00 GMT", b"\xff"],
)  # fmt: skip
def test_nonsense_asks_for_no_wait(value: str | bytes) -> None:
    """RFC 9110, 10.2.3 and 5.6.7: what is neither delay-seconds nor an HTTP-date counts as not sent."""
    assert retry_after_s(value, NOW) is None


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [("0", 0), ("120", 120), (b" 120\t", 120), ("007", 7), ("9" * 10_000, MAX_WAIT_S),
     ("Fri, 20 Nov 2026 12:01:00 GMT", 60), ("Friday, 20-Nov-26 12:01:00 GMT", 60), ("Fri Nov 20 12:01:00 2026", 60),
     ("Sun Nov  6 08:49:37 1994", 0), ("Sunday, 06-Nov-94 08:49:37 GMT", 0), ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
     ("Fri, 20 Nov 2026 12:01:00", 60), ("fri, 20 nov 2026 12:01:00 gmt", 60), ("Fri, 20 Nov 2026 13:01:00 +0100", 60),
     ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_S)],
)  # fmt: skip
def test_waits_in_seconds_and_in_all_three_dates(value: str | bytes, wait_s: float) -> None:
    """RFC 9110, 10.2.3 and 5.6.7: seconds, or a date in nearly any format; the past is 0, the huge is finite."""
    assert retry_after_s(value, NOW) == wait_s


@given(st.datetimes(datetime(1970, 1, 1), datetime(2076, 1, 1)))  # noqa: DTZ001 - hypothesis wants them naive
def test_every_form_of_a_date_means_the_same(moment: datetime) -> None:
    """Law: the three formats of one moment ask for the same wait; two-digit years end with 2068."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    waits = {
        retry_after_s(format_datetime(moment, usegmt=True), NOW),
        retry_after_s(f"{moment:%a %b} {moment.day:2} {moment:%H:%M:%S %Y}", NOW),
    }
    if moment.year <= 2068:
        waits.add(retry_after_s(f"{moment:%A, %d-%b-%y %H:%M:%S} GMT", NOW))
    assert waits == {min(max((moment - NOW).total_seconds(), 0.0), MAX_WAIT_S)}


@given(st.text("0123456789", min_size=1, max_size=5000))
def test_every_number_of_seconds_is_a_finite_wait(digits: str) -> None:
    """Law: no number is too long, and none overflows."""
    wait_s = retry_after_s(digits, NOW)
    assert wait_s is not None
    assert isfinite(wait_s)


@given(SIZE, SIZE, SIZE)
def test_a_range_is_read_if_its_numbers_agree(start: int, end: int, total: int) -> None:
    """RFC 9110, 14.4: first <= last < total, or the whole field says nothing."""
    expected = ContentRange(start=start, end=end, total=total) if start <= end < total else None
    assert content_range(f"bytes {start}-{end}/{total}") == expected
    assert content_range(f"bytes */{total}".encode()) == UnsatisfiedRange(total=total)
    unknown = ContentRange(start=start, end=end, total=None) if start <= end else None
    assert content_range(f"BYTES {start}-{end}/*") == unknown


@pytest.mark.parametrize("value", ["bytes=0-9/10", "bytes: 0-9/10", "bytes:0-9/10", "bytes \t0-9/10 "])
def test_ranges_with_another_separator(value: str) -> None:
    """Some servers write the unit as in Range, or as a field; curl reads that as well."""
    assert content_range(value) == ContentRange(start=0, end=9, total=10)


def test_a_range_knows_where_it_stops() -> None:
    """The header counts the last byte in; `stop` does not."""
    sent = content_range("bytes 100-199/200")
    assert isinstance(sent, ContentRange)
    assert sent.stop - sent.start == 100


@pytest.mark.parametrize(
    "value",
    ["", "bytes", "bytes */*", "bytes 0-9",
     "bytes0-9/10", "bytes==0-9/10", "bytes 0-9/10, bytes 0-9/10", "bytes -9/10", "bytes 0-/10",
     "bytes 0-9/-10", "items 0-9/10", "bytes 0 - 9/10", "bytes 0-9/9", "bytes 5-4/10", "bytes 0-9/1" + "0" * 18,
     "bytes \u0660-9/10"],
)  # fmt: skip
def test_a_malformed_range_says_nothing(value: str) -> None:
    """RFC 9110, 14.4: other units, missing or contradictory numbers."""
    assert content_range(value) is None


@pytest.mark.parametrize(
    ("values", "length"),
    [([], None), (["42"], 42), ([b"42", "42"], 42), (["42, 42"], 42), (["042", "42"], 42), (["0"], 0),
     (["42", "43"], "conflict"), (["42, 43"], "conflict"), (["42", "x"], "conflict"),
     (["x"], None), (["-1"], None), (["+1"], None), (["4 2"], None), (["1" + "0" * 18], None), ([""], None)],
)  # fmt: skip
def test_lengths_must_agree(values: list[bytes | str], length: int | str | None) -> None:
    """RFC 9110, 8.6: a length repeated is a length; two different ones are a conflict, which no one may ignore."""
    assert content_length(values) == length


@pytest.mark.parametrize(
    ("value", "expected"),
    [("image/jpeg", "image/jpeg"), (b" Image/JPEG ; q=1", "image/jpeg"), ("image/svg+xml;a=b", "image/svg+xml"),
     ("image", None), ("image/", None), ("/jpeg", None), ("image/jpeg/x", None), ("image / jpeg", None), ("", None),
     ("image/jpeg, image/png", None), ("image/\x1b[0m", None), (None, None), ("im\u00e4ge/x", None)],
)  # fmt: skip
def test_media_types(value: str | bytes | None, expected: str | None) -> None:
    """RFC 9110, 8.3.1: two tokens and a slash, without parameters, in small letters."""
    assert media_type(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("bytes", True), ("Bytes", True), ("none", False), ("", False), (None, False), ("items, bytes", True)],
)
def test_accepts_ranges(value: str | None, expected: bool) -> None:
    """RFC 9110, 14.3: a list of units."""
    assert accepts_ranges(value) is expected


DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
LONG_AGO = "Fri, 20 Nov 2026 11:59:00 GMT"
JUST_NOW = "Fri, 20 Nov 2026 11:59:01 GMT"


@pytest.mark.parametrize(
    ("etag", "modified", "date", "condition"),
    [
        ('"a"', None, None, '"a"'),
        ('""', None, None, '""'),
        ('"a"', LONG_AGO, DATE, '"a"'),
        ('W/"a"', LONG_AGO, DATE, None),  # 13.1.5: no date where there is any tag
        ('w/"a"', LONG_AGO, DATE, LONG_AGO),  # no tag at all: W/ is a capital
        ("a", LONG_AGO, DATE, LONG_AGO),
        ('"a', LONG_AGO, DATE, LONG_AGO),
        ('"a"b"', None, None, None),
        ('"a\u00e9"', None, None, None),
        ('"a b"', None, None, None),
        (None, LONG_AGO, DATE, LONG_AGO),
        (None, JUST_NOW, DATE, None),
        (None, LONG_AGO, None, None),
        (None, LONG_AGO, "today", None),
        (None, DATE, LONG_AGO, None),
        (None, "Friday, 20-Nov-26 11:00:00 GMT", DATE, None),  # a sender may write IMF-fixdate only
        (None, None, DATE, None),
    ],
)
def test_only_strong_validators_vouch(etag: str | None, modified: str | None, date: str | None, condition: str) -> None:
    """RFC 9110, 8.8 and 13.1.5: If-Range takes a strong tag, or a date 60 s before Date where there is no tag."""
    assert if_range(validator(etag, modified, date)) == condition


@pytest.mark.parametrize(
    ("old", "new", "same", "contradicting"),
    [
        (('"a"', None), ('"a"', None), True, False),
        (('"a"', None), ('"b"', None), False, True),
        (('"a"', None), ('W/"a"', None), False, True),
        (('W/"a"', None), ('W/"a"', None), False, False),
        (('"a"', LONG_AGO), ('"a"', JUST_NOW), True, False),  # the tag goes before the date
        (('"a"', LONG_AGO), (None, LONG_AGO), True, False),
        (('"a"', LONG_AGO), (None, JUST_NOW), False, True),
        ((None, LONG_AGO), (None, LONG_AGO), True, False),
        ((None, JUST_NOW), (None, JUST_NOW), False, False),
        (('"a"', None), (None, LONG_AGO), False, False),
        ((None, None), (None, None), False, False),
        (('"a"', LONG_AGO), (None, None), False, False),
    ],
)
def test_comparing(
    old: tuple[str | None, str | None], new: tuple[str | None, str | None], same: bool, contradicting: bool
) -> None:
    """RFC 9110, 8.8.3.2: strong comparison; and nothing comparable is neither the same nor another version."""
    a, b = validator(*old, DATE), validator(*new, DATE)
    assert same_representation(a, b) is same
    assert contradicts(a, b) is contradicting


validators = st.builds(
    Validator,
    etag=st.sampled_from([None, '"a"', '"b"', 'W/"a"']),
    last_modified=st.sampled_from([None, LONG_AGO, JUST_NOW]),
    settled=st.booleans(),
)


@given(validators, validators)
def test_laws_of_comparing(a: Validator, b: Validator) -> None:
    """Law: both comparisons are symmetric, exclude each other, and nothing contradicts itself."""
    assert same_representation(a, b) == same_representation(b, a)
    assert contradicts(a, b) == contradicts(b, a)
    assert not (same_representation(a, b) and contradicts(a, b))
    assert not contradicts(a, a)
    assert same_representation(a, a) or not if_range(a)


@given(st.integers(0, 300))
def test_a_date_settles_after_a_minute(age_s: int) -> None:
    """RFC 9110, 8.8.2.2 with the margin of RFC 7232, 2.2.2: 60 s between Last-Modified and Date."""
    modified = format_datetime(NOW - timedelta(seconds=age_s), usegmt=True)
    assert validator(None, modified, format_datetime(NOW, usegmt=True)).settled == (age_s >= 60)


def b64(name: str) -> str:
    return base64.b64encode(hashlib.new(name, b"x").digest()).decode()


def checksum(name: str) -> Checksum:
    return Checksum(name, hashlib.new(name, b"x").digest())


def test_digests_come_strongest_first() -> None:
    """RFC 9530, RFC 3230, Content-MD5: the strongest algorithm leads, wherever it stood; one digest stands once."""
    got = digests(
        f"md5=:{b64('md5')}:, sha-256=:{b64('sha256')}:",
        f"SHA-512={b64('sha512')},sha={b64('sha1')}",
        b64("md5").encode(),
    )
    assert got == [checksum("sha512"), checksum("sha256"), checksum("sha1"), checksum("md5")]


def test_the_most_modern_field_leads_among_equals() -> None:
    """Repr-Digest before Digest before Content-MD5, where both know the algorithm and disagree."""
    other = base64.b64encode(hashlib.sha256(b"y").digest()).decode()
    first, second = digests(f"sha-256=:{b64('sha256')}:", f"SHA-256={other}", None)
    assert first == checksum("sha256")
    assert second.name == "sha256"


@pytest.mark.parametrize(
    ("repr_digest", "digest", "content_md5"),
    [
        (None, None, None),
        ("sha-256=abc", "SHA-256=abc", "abc"),
        (f"sha-256={b64('sha256')}", None, None),  # a dictionary wants the colons
        (f"SHA-256=:{b64('sha256')}:", None, None),  # and small letters
        (f"sha-256=:{b64('md5')}:", f"md5={b64('sha256')}", b64("sha1")),  # wrong lengths
        ("unixsum=:AA==:, crc32c=:AAAAAA==:, sha-256, ,", "UNIXsum=30637, id-sha-256=x", "====="),
        ("\u00e9", "=", "\u00e9"),
    ],
)
def test_bad_and_unknown_digests_are_left_out(
    repr_digest: str | None, digest: str | None, content_md5: str | None
) -> None:
    """Unknown algorithms, invalid base64 and wrong lengths promise nothing."""
    assert digests(repr_digest, digest, content_md5) == []


def test_parameters_of_a_digest_do_not_matter() -> None:
    """RFC 8941, 3.1.2: a member may carry parameters."""
    assert digests(f"sha-256=:{b64('sha256')}:;a=1", None, None) == [checksum("sha256")]
