"""Whether bytes on disk and bytes in a response belong together. Pure.

    range_headers(part)                 what to request, given a part
    decide(part, response)              what to do with the response: one of five decisions
    split(total, ...)                   the segments of a file that is fetched in several
    segment_headers, decide_segment     the same two for a segment
    fit(start, total, known, response)  whether a 206 is what was requested, of a part or of a segment
    worth_keeping(part)                 whether a part is kept for another run

Bytes of two versions are never joined. A part is resumed if a strong validator guarantees its version (RFC 9110, 8.8.1;
sent as If-Range, 13.1.5), or a checksum will be compared at the end. The response is then accepted only if it begins at
the part's end, gives the same total as before, and does not name another version. Numbers are bytes.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from downloader.download.policy import status_text
from downloader.http.headers import ContentRange, UnsatisfiedRange, contradicts, if_range, same_representation
from downloader.http.response import Response
from downloader.model.failures import FailureKind
from downloader.model.items import Part, Segment, Validator

MIN_SEGMENT_BYTES: Final = 4 * 1024**2
"""A shorter segment costs more in requests than it gains."""
_CHECKPOINT_S: Final = 2.0
_MULTIPART: Final = "multipart/byteranges"
MIN_KEPT_BYTES: Final = 1024**2
"""A shorter part is fetched again, which takes a second on a line of 8 Mbit/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Write the body from byte `at` on; it ends before `stop`, which need not be the `total`: request the rest then."""

    at: int
    stop: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The body is the whole representation: truncate, and write from the beginning.

    `total` may be known from before, if the same version is sent without a length. `range_ignored`: the version of the
    part was sent from its beginning, so this server does not resume.
    """

    total: int | None
    range_ignored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """All of it is on disk already; there is no body to read."""

    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOver:
    """The response does not fit the part: close it, and request the whole representation, without Range."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The response cannot be used, and requesting the whole representation would not help, or has not helped."""

    kind: FailureKind
    message: str


Decision = Append | Restart | Complete | StartOver | Refuse

_CONFLICT = Refuse(kind=FailureKind.PROTOCOL, message="the server says two different lengths")


def may_resume(part: Part, *, checksum_known: bool = False) -> bool:
    """Whether it is safe to request only the rest."""
    return part.bytes > 0 and (checksum_known or if_range(part.validator) is not None)


def range_headers(part: Part, *, checksum_known: bool = False) -> list[tuple[str, str]]:
    """The headers that request the rest of a part (14.2); none if that is not safe, or there is no part."""
    if not may_resume(part, checksum_known=checksum_known):
        return []
    condition = if_range(part.validator)
    return [
        ("Range", f"bytes={part.bytes}-"),
        *([("If-Range", condition)] if condition else []),
        ("Cache-Control", "no-transform"),
    ]


def decide(part: Part, response: Response, *, checksum_known: bool = False, started_over: bool = False) -> Decision:
    """What to do with the response to a request with `range_headers(part)`.

    `started_over`: a response did not fit before; the second time it is refused.
    """
    if response.has_conflicting_lengths:
        return _CONFLICT
    asked = may_resume(part, checksum_known=checksum_known)
    match response.status:
        case 200 | 203:
            return _whole(part, response, asked=asked)
        case 206 if asked:
            decision: Decision = fit(part.bytes, part.total, part.validator, response)
        case 206 if (total := _all_of(response)) is not None:
            return Restart(total=total)
        case 206:
            return Refuse(kind=FailureKind.PROTOCOL, message="the server sent a part of what was asked for as a whole")
        case 416 if asked:
            decision = _nothing_left(part, response)
        case _:
            return Refuse(kind=FailureKind.HTTP_STATUS, message=f"the server answered {status_text(response.status)}")
    if started_over and isinstance(decision, StartOver):
        return Refuse(kind=FailureKind.PROTOCOL, message=f"cannot be resumed: {decision.why}")
    return decision


def fit(start: int, total: int | None, known: Validator, response: Response) -> Append | StartOver:
    """Whether a 206 (15.3.7) has the bytes from `start` on, of `total` bytes, of the `known` version.

    It may end early: a server need not send all of a range at once. It must give the total, or the end could not be
    recognised.
    """
    sent = response.content_range
    if response.media_type == _MULTIPART:
        return StartOver(why="the server sent several parts for one range")
    if not isinstance(sent, ContentRange) or sent.total is None:
        return StartOver(why="the server does not say which part it sent")
    if sent.start != start:
        return StartOver(why=f"the server sent from byte {sent.start} on, not from {start}")
    if total not in {None, sent.total}:
        return StartOver(why=f"it has {sent.total} bytes now, not {total}")
    if response.content_length not in {None, sent.stop - sent.start}:
        return StartOver(why="the server says two different lengths of the part it sent")
    if contradicts(known, response.validator):
        return StartOver(why="it has changed on the server")
    return Append(at=start, stop=sent.stop, total=sent.total)


def may_split(total: int | None, segments: int) -> bool:
    """Whether a file is large enough for two segments, and two are wanted; quick, since it is asked for every file."""
    return total is not None and segments > 1 and total >= 2 * MIN_SEGMENT_BYTES


def split(total: int | None, accepts_ranges: bool, known: Validator, segments: int) -> tuple[Segment, ...]:
    """The segments of a file, in order, each at least `MIN_SEGMENT_BYTES` long, all empty yet.

    There are none if it is not to be split: the server does not promise ranges (14.3), nothing guarantees that all of
    them will be of one version, or the file is too small for two.
    """
    if total is None or not may_split(total, segments) or not accepts_ranges or if_range(known) is None:
        return ()
    count = min(segments, total // MIN_SEGMENT_BYTES)
    edges = [total * index // count for index in range(count + 1)]
    return tuple(Segment(start=start, at=start, stop=stop) for start, stop in pairwise(edges))


def segment_headers(segment: Segment, known: Validator) -> list[tuple[str, str]]:
    """The headers that request the rest of a segment (14.2) of the known version, whose validator must be strong."""
    condition = if_range(known)
    if condition is None:
        raise ValueError("segments need a strong validator")
    return [
        ("Range", f"bytes={segment.at}-{segment.stop - 1}"),
        ("If-Range", condition),
        ("Cache-Control", "no-transform"),
    ]


def decide_segment(segment: Segment, total: int, known: Validator, response: Response) -> Append | StartOver | Refuse:
    """What to do with the response to a request with `segment_headers(segment, known)`.

    `StartOver` is about the whole file, without segments: the server has another version now, or does not do what it
    promised. A server may send more than the segment; bytes beyond its end must not be written.
    """
    if response.has_conflicting_lengths:
        return _CONFLICT
    match response.status:
        case 206:
            return fit(segment.at, total, known, response)
        case 200 | 203 | 416:
            return StartOver(why="it has changed on the server, or ranges are not served after all")
    return Refuse(kind=FailureKind.HTTP_STATUS, message=f"the server answered {status_text(response.status)}")


@dataclass(slots=True)
class Checkpoints:
    """Decides when a body that is being received is made durable.

    At most every two seconds, and not for less than is worth keeping: so a run that is killed loses at most two seconds
    of a body, or a megabyte, and short bodies cost nothing. `size` in bytes; times are monotonic.
    """

    size: int
    at_s: float

    def due(self, size: int, now_s: float) -> bool:
        """Whether it is due, with `size` bytes written; if so, it counts as done."""
        if size - self.size < MIN_KEPT_BYTES or now_s - self.at_s < _CHECKPOINT_S:
            return False
        self.size, self.at_s = size, now_s
        return True


def worth_keeping(part: Part) -> bool:
    """Whether a part saves a later run more than it costs to keep."""
    held_bytes = sum(segment.at - segment.start for segment in part.segments) or part.bytes
    return held_bytes >= MIN_KEPT_BYTES


def _whole(part: Part, response: Response, *, asked: bool) -> Restart:
    """A 200: the server does not serve ranges, or has another version now."""
    same = part.bytes > 0 and same_representation(part.validator, response.validator)
    total = part.total if response.content_length is None and same else response.content_length
    return Restart(total=total, range_ignored=same and asked)


def _all_of(response: Response) -> int | None:
    """The total of a 206 that has the whole representation, as some servers answer every request; else None."""
    sent = response.content_range
    if response.media_type == _MULTIPART or not isinstance(sent, ContentRange) or sent.start or sent.stop != sent.total:
        return None
    return sent.total if response.content_length in {None, sent.total} else None


def _nothing_left(part: Part, response: Response) -> Complete | StartOver:
    """A 416 (15.5.17): all of it is on disk already; otherwise it has changed, or the part is wrong."""
    told = response.content_range
    if not isinstance(told, UnsatisfiedRange):
        return StartOver(why="the server says that there is no more, but not how much there is")
    if (
        told.total != part.bytes
        or part.total not in {None, told.total}
        or contradicts(part.validator, response.validator)
    ):
        return StartOver(why=f"it has {told.total} bytes now, and the {part.bytes} here are of an earlier version")
    return Complete(total=told.total)
