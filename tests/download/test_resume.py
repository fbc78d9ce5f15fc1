import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.download.resume import (
    MIN_SEGMENT_BYTES,
    Append,
    Checkpoints,
    Complete,
    Decision,
    Refuse,
    Restart,
    StartOver,
    decide,
    decide_segment,
    fit,
    may_resume,
    range_headers,
    segment_headers,
    split,
    worth_keeping,
)
from downloader.http.headers import ContentRange, UnsatisfiedRange, contradicts, if_range
from downloader.http.response import Response
from downloader.model.failures import FailureKind
from downloader.model.items import Part, Segment, Validator

A, B, WEAK, NONE = Validator(etag='"a"'), Validator(etag='"b"'), Validator(etag='W/"a"'), Validator()
DAY = "Fri, 20 Nov 2026 11:00:00 GMT"
DATED = Validator(last_modified=DAY, settled=True)
FRESH = Validator(last_modified=DAY)
PART = Part(bytes=100, total=1000, validator=A)
NO_TRANSFORM = ("Cache-Control", "no-transform")

LONG_AFTER = "Sun, 22 Nov 2026 11:00:00 GMT"


def response(
    status: int,
    content_range: ContentRange | UnsatisfiedRange | None = None,
    content_length: int | None = None,
    media_type: str | None = None,
    validator: Validator = NONE,
) -> Response:
    """A response with these fields."""
    total = "*" if content_range is None or content_range.total is None else content_range.total
    sent_range: str | None
    match content_range:
        case ContentRange():
            sent_range = f"bytes {content_range.start}-{content_range.end}/{total}"
        case UnsatisfiedRange():
            sent_range = f"bytes */{total}"
        case None:
            sent_range = None
    fields = {
        "content-range": sent_range,
        "content-length": content_length,
        "content-type": media_type,
        "etag": validator.etag,
        "last-modified": validator.last_modified,
        "date": LONG_AFTER if validator.settled else validator.last_modified,
    }
    sent = [(name.encode(), str(value).encode()) for name, value in fields.items() if value is not None]
    return Response(status, sent)


small = st.integers(0, 6)
validators = st.builds(
    Validator,
    etag=st.sampled_from([None, '"a"', '"b"', 'W/"a"']),
    last_modified=st.sampled_from([None, DAY, "Sat, 21 Nov 2026 11:00:00 GMT"]),
    settled=st.booleans(),
).filter(lambda known: known.last_modified is not None or not known.settled)
parts = st.builds(Part, bytes=small, total=st.none() | small, validator=validators)
ranges = st.builds(
    lambda start, length, rest: ContentRange(
        start=start, end=start + length, total=None if rest is None else start + length + 1 + rest
    ),
    small,
    small,
    st.none() | small,
)
responses = st.builds(
    response,
    status=st.sampled_from([200, 203, 206, 416, 404, 500, 304]),
    content_range=st.none() | ranges | st.builds(UnsatisfiedRange, total=small),
    content_length=st.none() | small,
    media_type=st.sampled_from([None, "image/jpeg", "multipart/byteranges"]),
    validator=validators,
)


def rest(start: int = 100, end: int = 999, total: int | None = 1000, **more: object) -> Response:
    """A 206 of the rest of PART, unless told otherwise."""
    return response(status=206, content_range=ContentRange(start=start, end=end, total=total), **more)  # type: ignore[arg-type]


@given(parts, responses, st.booleans(), st.booleans())
def test_bytes_are_appended_only_where_they_belong(part: Part, answer: Response, checked: bool, again: bool) -> None:
    """Law: never appended unless asked for, from our end on, of an equal total, and not of another version."""
    decision = decide(part, answer, checksum_known=checked, started_over=again)
    if isinstance(decision, Append):
        sent = answer.content_range
        assert isinstance(sent, ContentRange)
        assert answer.status == 206
        assert answer.media_type != "multipart/byteranges"
        assert decision.at == sent.start == part.bytes > 0
        assert decision.total == sent.total
        assert part.total in {None, sent.total}
        assert decision.at < decision.stop <= decision.total
        assert answer.content_length in {None, decision.stop - decision.at}
        assert not contradicts(part.validator, answer.validator)
        assert checked or if_range(part.validator)


@given(parts, responses, st.booleans(), st.booleans())
def test_complete_means_all_of_it(part: Part, answer: Response, checked: bool, again: bool) -> None:
    """Law: a part is called complete only by a 416 that counts exactly our bytes, and a version that is vouched for."""
    decision = decide(part, answer, checksum_known=checked, started_over=again)
    if isinstance(decision, Complete):
        assert answer.status == 416
        assert answer.content_range == UnsatisfiedRange(total=part.bytes)
        assert part.total in {None, part.bytes}
        assert decision.total == part.bytes > 0
        assert not contradicts(part.validator, answer.validator)
        assert checked or if_range(part.validator)


@given(parts, responses, st.booleans(), st.booleans())
def test_a_whole_body_always_restarts(part: Part, answer: Response, checked: bool, again: bool) -> None:
    """Law: 200 and 203 truncate whatever is there, and nothing else does."""
    decision = decide(part, answer, checksum_known=checked, started_over=again)
    assert isinstance(decision, Restart) == (answer.status in {200, 203})


@given(parts, responses, st.booleans())
def test_nobody_starts_over_twice(part: Part, answer: Response, checked: bool) -> None:
    """Law: what does not fit once is asked for anew, what does not fit twice is refused; so it ends."""
    first = decide(part, answer, checksum_known=checked)
    second = decide(part, answer, checksum_known=checked, started_over=True)
    assert not isinstance(second, StartOver)
    if isinstance(first, StartOver):
        assert isinstance(second, Refuse)
        assert second.kind is FailureKind.PROTOCOL
    else:
        assert first == second


@given(parts, responses)
def test_starting_over_is_for_those_who_asked(part: Part, answer: Response) -> None:
    """Law: without a Range in the request there is nothing to leave out of it the next time."""
    if isinstance(decide(part, answer), StartOver):
        assert range_headers(part)


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (rest(), Append(at=100, stop=1000, total=1000)),
        (rest(validator=A, content_length=900, media_type="image/jpeg"), Append(at=100, stop=1000, total=1000)),
        (rest(end=199), Append(at=100, stop=200, total=1000)),  # the rest comes in parts
        (response(status=200, content_length=1000, validator=B), Restart(total=1000)),
        (response(status=200, validator=B), Restart(total=None)),
        (response(status=200, validator=A), Restart(total=1000, range_ignored=True)),  # the known length is kept
        (response(status=203, content_length=7, validator=A), Restart(total=7, range_ignored=True)),
    ],
)
def test_answers_that_are_taken(answer: Response, decision: Decision) -> None:
    """RFC 9110, 15.3.7 and 13.1.5: the rest from our end on, or the whole of the version of today."""
    assert decide(PART, answer) == decision


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (rest(start=0), "from byte 0 on, not from 100"),
        (rest(start=99), "from byte 99"),
        (rest(start=101), "from byte 101"),
        (rest(total=1001), "1001 bytes now, not 1000"),
        (rest(total=None), "which part"),
        (rest(content_length=899), "two different lengths"),
        (rest(validator=B), "changed"),
        (rest(validator=WEAK), "changed"),
        (rest(media_type="multipart/byteranges"), "several parts"),
        (response(status=206), "which part"),
        (response(status=206, content_range=UnsatisfiedRange(total=100)), "which part"),
        (response(status=416), "not how much"),
        (response(status=416, content_range=UnsatisfiedRange(total=100)), "100 bytes now"),  # we were told 1000
        (response(status=416, content_range=UnsatisfiedRange(total=50)), "50 bytes now"),
    ],
)
def test_answers_that_do_not_fit(answer: Response, why: str) -> None:
    """A lying 206 or a stale part: ask for the whole thing once, then refuse the server with the same words."""
    decision = decide(PART, answer)
    assert isinstance(decision, StartOver)
    assert why in decision.why
    refused = decide(PART, answer, started_over=True)
    assert isinstance(refused, Refuse)
    assert refused.kind is FailureKind.PROTOCOL
    assert why in refused.message


def test_a_416_on_all_of_it_is_success() -> None:
    """RFC 9110, 15.5.17: there is no more, because we have it all (yt-dlp #12994, rustup #1854)."""
    answer = response(status=416, content_range=UnsatisfiedRange(total=100))
    assert decide(Part(bytes=100, total=100, validator=A), answer) == Complete(total=100)
    assert decide(Part(bytes=100, validator=A), answer) == Complete(total=100)
    changed = response(status=416, content_range=UnsatisfiedRange(total=100), validator=B)
    assert isinstance(decide(Part(bytes=100, total=100, validator=A), changed), StartOver)


def test_two_lengths_are_refused() -> None:
    """RFC 9110, 8.6: a message whose length is not certain is not used, of a file or of a segment."""
    conflict = Response(200, [(b"Content-Length", b"5"), (b"content-length", b"6")])
    for decision in (decide(PART, conflict), decide_segment(SEGMENT, 1000, A, conflict)):
        assert isinstance(decision, Refuse)
        assert decision.kind is FailureKind.PROTOCOL


@pytest.mark.parametrize("status", [201, 204, 301, 304, 404, 412, 416, 429, 500])
def test_other_statuses_are_failures_of_their_own(status: int) -> None:
    """Nothing but 200, 203, 206 and a 416 that we asked for is decided here; the message names the status."""
    decision = decide(Part(), response(status=status))
    assert isinstance(decision, Refuse)
    assert decision.kind is FailureKind.HTTP_STATUS
    assert str(status) in decision.message


def test_a_206_that_nobody_asked_for_is_refused() -> None:
    """RFC 9110, 15.3.7: a 206 answers a Range; without one even a fitting range is not what it seems."""
    for part in (Part(bytes=100, total=1000), Part(bytes=100, total=1000, validator=WEAK)):
        decision = decide(part, rest(start=part.bytes))
        assert isinstance(decision, Refuse)
        assert decision.kind is FailureKind.PROTOCOL


@pytest.mark.parametrize(
    ("part", "checked", "expected"),
    [
        (Part(), False, []),
        (Part(), True, []),
        (Part(validator=A), True, []),
        (Part(bytes=5), False, []),
        (Part(bytes=5, validator=WEAK), False, []),
        (Part(bytes=5, validator=FRESH), False, []),
        (Part(bytes=5, validator=A), False, [("Range", "bytes=5-"), ("If-Range", '"a"'), NO_TRANSFORM]),
        (Part(bytes=5, validator=DATED), False, [("Range", "bytes=5-"), ("If-Range", DAY), NO_TRANSFORM]),
        (Part(bytes=5, validator=A), True, [("Range", "bytes=5-"), ("If-Range", '"a"'), NO_TRANSFORM]),
        (Part(bytes=5, validator=WEAK), True, [("Range", "bytes=5-"), NO_TRANSFORM]),
        (Part(bytes=5), True, [("Range", "bytes=5-"), NO_TRANSFORM]),
    ],
)
def test_a_rest_is_asked_for_only_where_something_vouches(
    part: Part, checked: bool, expected: list[tuple[str, str]]
) -> None:
    """RFC 9110, 13.1.5 and 14.2: a strong validator goes along as If-Range; without one a checksum must be known."""
    assert range_headers(part, checksum_known=checked) == expected
    assert may_resume(part, checksum_known=checked) is bool(expected)


def test_a_checksum_stands_in_for_a_validator() -> None:
    """Weak tags agree by meaning only, so the checksum decides in the end; yet another tag is another version."""
    part = Part(bytes=100, total=1000, validator=WEAK)
    assert isinstance(decide(part, rest(validator=WEAK), checksum_known=True), Append)
    assert isinstance(decide(part, rest(validator=A), checksum_known=True), StartOver)
    assert isinstance(decide(part, rest(), checksum_known=True), Append)


def test_a_segment_fits_by_the_same_rules() -> None:
    """`--segments`: a 206 is checked against where the segment begins, which may be 0."""
    assert fit(0, 1000, A, rest(start=0, end=499)) == Append(at=0, stop=500, total=1000)
    assert fit(500, 1000, A, rest(start=500, validator=A)) == Append(at=500, stop=1000, total=1000)
    assert isinstance(fit(500, 1000, A, rest(start=500, validator=B)), StartOver)
    assert isinstance(fit(500, 1000, A, rest(start=0)), StartOver)


@given(st.integers(0, 10**12), st.integers(1, 64))
def test_segments_cover_the_file_once(total: int, segments: int) -> None:
    """Law: the ranges follow each other from 0 to the end, none below 4 MiB, at most as many as wanted, about equal."""
    made = split(total, True, A, segments)
    if not made:
        assert segments == 1 or total < 2 * MIN_SEGMENT_BYTES
        return
    assert 2 <= len(made) <= segments
    assert [segment.start for segment in made] == [0, *(segment.stop for segment in made[:-1])]
    assert made[-1].stop == total
    sizes = [segment.stop - segment.start for segment in made]
    assert min(sizes) >= MIN_SEGMENT_BYTES
    assert max(sizes) - min(sizes) <= 1
    assert all(segment.at == segment.start for segment in made)


@pytest.mark.parametrize(
    ("total", "accepts_ranges", "known"),
    [(None, True, A), (10**9, False, A), (10**9, True, NONE), (10**9, True, WEAK), (10**9, True, FRESH), (0, True, A)],
)  # fmt: skip
def test_a_file_is_not_split_without_a_promise(total: int | None, accepts_ranges: bool, known: Validator) -> None:
    """RFC 9110, 14.3: ranges must be promised, the length known, and a strong validator vouch for one version."""
    assert split(total, accepts_ranges, known, 8) == ()


SEGMENT = Segment(start=100, at=150, stop=300)


def test_a_segment_asks_for_its_rest_of_that_version_only() -> None:
    """Range up to the last byte of the segment, under If-Range; without a strong validator there are no segments."""
    assert segment_headers(SEGMENT, A) == [("Range", "bytes=150-299"), ("If-Range", '"a"'), NO_TRANSFORM]
    with pytest.raises(ValueError, match="strong validator"):
        segment_headers(SEGMENT, WEAK)


@given(st.builds(Segment, start=small, at=small, stop=small), small, validators, responses)
def test_a_segment_takes_its_own_bytes_only(segment: Segment, total: int, known: Validator, answer: Response) -> None:
    """Law: what is appended is a 206 from where the segment is, of the same total, of no other version."""
    decision = decide_segment(segment, total, known, answer)
    if isinstance(decision, Append):
        assert answer.status == 206
        assert isinstance(answer.content_range, ContentRange)
        assert (answer.content_range.start, answer.content_range.total) == (segment.at, total)
        assert not contradicts(known, answer.validator)
    elif isinstance(decision, StartOver):
        assert answer.status in {200, 203, 206, 416}
    else:
        assert decision.kind is FailureKind.HTTP_STATUS


def test_little_is_not_worth_keeping() -> None:
    """Less than a megabyte, in one or in segments together, is fetched again sooner than looked after."""
    mebi = 1024**2
    assert not worth_keeping(Part(bytes=mebi - 1))
    assert worth_keeping(Part(bytes=mebi))
    halves = (Segment(start=0, at=mebi // 2, stop=mebi), Segment(start=mebi, at=mebi + mebi // 2, stop=2 * mebi))
    assert worth_keeping(Part(segments=halves))
    assert not worth_keeping(Part(segments=halves[:1]))


@given(st.lists(st.tuples(st.integers(0, 3 * 1024**2), st.floats(0, 3)), max_size=40))
def test_checkpoints_keep_their_distance(steps: list[tuple[int, float]]) -> None:
    """Law: between two checkpoints lie at least two seconds and a megabyte, and no more is waited than that."""
    checkpoints = Checkpoints(0, 0.0)
    size, now_s, last = 0, 0.0, (0, 0.0)
    for more, later_s in steps:
        size, now_s = size + more, now_s + later_s
        due = size - last[0] >= 1024**2 and now_s - last[1] >= 2.0
        assert checkpoints.due(size, now_s) is due
        last = (size, now_s) if due else last


def whole(**more: object) -> Response:
    """A 206 that has all 1,000 bytes, unless told otherwise."""
    return rest(**{"start": 0, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "total"),
    [
        (whole(), 1000),
        (whole(content_length=1000), 1000),
        (whole(end=0, total=1, content_length=1), 1),
        (whole(start=1), None),
        (whole(end=998), None),
        (whole(total=None), None),
        (whole(content_length=999), None),
        (whole(media_type="multipart/byteranges"), None),
        (response(status=206), None),
        (response(status=206, content_range=UnsatisfiedRange(total=1000)), None),
    ],
)
def test_a_206_that_nobody_asked_for_may_have_all_of_it(answer: Response, total: int | None) -> None:
    """Some servers answer every request with a range: all of it is taken, a part never."""
    decision = decide(Part(), answer)
    if total is not None:
        assert decision == Restart(total=total)
    else:
        assert isinstance(decision, Refuse)
        assert decision.kind is FailureKind.PROTOCOL
