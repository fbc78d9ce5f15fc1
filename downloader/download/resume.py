"""Whether bytes we have and bytes we are sent belong together. Pure.

    range_headers(part)              what to ask for, having a part
    decide(part, reply)              what to do with the answer: one of the five decisions
    split(total, ...)                the segments of a file that is fetched in several
    segment_headers, decide_segment  the same two for a segment
    fit(start, total, known, reply)  whether a 206 is what was asked for, of a part or of a segment
    worth_keeping(part)              whether a part is kept for another run

Bytes of two versions are never joined. A part is gone on with where a strong validator vouches for it (RFC 9110, 8.8.1;
sent as If-Range, 13.1.5), or a checksum will find out at the end. What the server then sends is taken only where it
begins at our end, counts as many bytes in total as before, and does not name another version. Numbers are bytes.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from downloader.download.headers import (
    ContentRange,
    Raw,
    Unsatisfied,
    accepts_ranges,
    contradicts,
    if_range,
    same_representation,
)
from downloader.download.policy import status_text
from downloader.model.failures import FailureKind
from downloader.model.items import Part, Segment, Validator

SMALLEST_SEGMENT_BYTES: Final = 4 * 1024**2
"""A segment shorter than this costs more in requests than it gains."""
_CHECKPOINT_S: Final = 2.0
KEPT_FROM_BYTES: Final = 1024**2
"""A part shorter than this is fetched again sooner than it is looked after: a second on a line of 8 Mbit/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered, as `download.headers` reads it."""

    status: int
    content_range: ContentRange | Unsatisfied | None = None
    content_length: int | None = None
    media_type: str | None = None
    validator: Validator = field(default_factory=Validator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Write the body from byte `at` on; it reaches up to `stop`, which need not be the `total`: ask again for more."""

    at: int
    stop: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """The body is the whole thing: truncate and write from the beginning.

    `total` may be known from before, where the same version is sent without a length. `range_ignored`: the very
    version we have part of was sent from its beginning, so this server cannot be asked to go on.
    """

    total: int | None
    range_ignored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """We have all of it already; there is no body to read."""

    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOver:
    """The answer does not fit what we have: close, and ask again for the whole thing, without Range."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The answer is of no use, and asking for the whole thing would not help, or has not helped."""

    kind: FailureKind
    message: str


Decision = Append | Restart | Complete | StartOver | Refuse


def may_resume(part: Part, *, checksum_known: bool = False) -> bool:
    """Whether it is safe to ask for the rest only."""
    return part.bytes > 0 and (checksum_known or if_range(part.validator) is not None)


def range_headers(part: Part, *, checksum_known: bool = False) -> list[tuple[str, str]]:
    """The headers that ask for the rest of a part (14.2); none where it is not safe, or nothing is there yet."""
    if not may_resume(part, checksum_known=checksum_known):
        return []
    condition = if_range(part.validator)
    return [
        ("Range", f"bytes={part.bytes}-"),
        *([("If-Range", condition)] if condition else []),
        ("Cache-Control", "no-transform"),
    ]


def decide(part: Part, reply: Reply, *, checksum_known: bool = False, started_over: bool = False) -> Decision:
    """What to do with the answer to a request that carried `range_headers(part)`.

    `started_over` says that an answer did not fit before: a server that does it twice is refused.
    """
    asked = may_resume(part, checksum_known=checksum_known)
    match reply.status:
        case 200 | 203:
            return _whole(part, reply, asked=asked)
        case 206 if asked:
            decision: Decision = fit(part.bytes, part.total, part.validator, reply)
        case 206:
            return Refuse(kind=FailureKind.PROTOCOL, message="the server sent a part of what was asked for as a whole")
        case 416 if asked:
            decision = _nothing_left(part, reply)
        case _:
            return Refuse(kind=FailureKind.HTTP_STATUS, message=f"the server answered {status_text(reply.status)}")
    if started_over and isinstance(decision, StartOver):
        return Refuse(kind=FailureKind.PROTOCOL, message=f"cannot be resumed: {decision.why}")
    return decision


def fit(start: int, total: int | None, known: Validator, reply: Reply) -> Append | StartOver:
    """Whether a 206 (15.3.7) holds the bytes from `start` on, of `total` bytes, of the `known` version.

    It may end before the end: a server need not send all of a range at once. A part that does not say how long the
    whole is would leave nothing to tell the end by.
    """
    sent = reply.content_range
    if reply.media_type == "multipart/byteranges":
        return StartOver(why="the server sent several parts for one range")
    if not isinstance(sent, ContentRange) or sent.total is None:
        return StartOver(why="the server does not say which part it sent")
    if sent.start != start:
        return StartOver(why=f"the server sent from byte {sent.start} on, not from {start}")
    if total not in {None, sent.total}:
        return StartOver(why=f"it has {sent.total} bytes now, not {total}")
    if reply.content_length not in {None, sent.stop - sent.start}:
        return StartOver(why="the server says two different lengths of the part it sent")
    if contradicts(known, reply.validator):
        return StartOver(why="it has changed on the server")
    return Append(at=start, stop=sent.stop, total=sent.total)


def split(total: int | None, accept_ranges: Raw | None, known: Validator, segments: int) -> tuple[Segment, ...]:
    """The segments of a file, in order, each of `SMALLEST_SEGMENT_BYTES` or more, nothing of them there yet.

    Empty where it is not to be split: the server does not promise ranges (14.3), nothing vouches that all of them will
    be of one version, or the file is too small for two.
    """
    if total is None or not accepts_ranges(accept_ranges) or if_range(known) is None:
        return ()
    count = min(segments, total // SMALLEST_SEGMENT_BYTES)
    if count < 2:  # noqa: PLR2004 - one segment is no split
        return ()
    edges = [total * index // count for index in range(count + 1)]
    return tuple(Segment(start=start, at=start, stop=stop) for start, stop in pairwise(edges))


def segment_headers(segment: Segment, known: Validator) -> list[tuple[str, str]]:
    """The headers that ask for the rest of a segment (14.2) of the known version, which must be a strong one."""
    condition = if_range(known)
    if condition is None:
        raise ValueError("only a strong validator holds segments together")
    return [
        ("Range", f"bytes={segment.at}-{segment.stop - 1}"),
        ("If-Range", condition),
        ("Cache-Control", "no-transform"),
    ]


def decide_segment(segment: Segment, total: int, known: Validator, reply: Reply) -> Append | StartOver | Refuse:
    """What to do with the answer to a request that carried `segment_headers(segment, known)`.

    `StartOver` is meant for the whole file, without segments: the server has another version now, or does not do what
    it promised. What comes behind the segment's end is not ours to write, though a server may send it.
    """
    match reply.status:
        case 206:
            return fit(segment.at, total, known, reply)
        case 200 | 203 | 416:
            return StartOver(why="it has changed on the server, or ranges are not served after all")
    return Refuse(kind=FailureKind.HTTP_STATUS, message=f"the server answered {status_text(reply.status)}")


@dataclass(slots=True)
class Checkpoints:
    """When a body on its way is to be made durable.

    At most every two seconds, and not for less than is worth keeping: so a run that is killed loses at most two seconds
    of a body, or a megabyte, and short bodies cost nothing. `size` in bytes; times are monotonic.
    """

    size: int
    at_s: float

    def due(self, size: int, now_s: float) -> bool:
        """Whether now is the time, with `size` bytes written; if so, it counts as done."""
        if size - self.size < KEPT_FROM_BYTES or now_s - self.at_s < _CHECKPOINT_S:
            return False
        self.size, self.at_s = size, now_s
        return True


def worth_keeping(part: Part) -> bool:
    """Whether a part saves a later run more than it costs to keep."""
    held_bytes = sum(segment.at - segment.start for segment in part.segments) or part.bytes
    return held_bytes >= KEPT_FROM_BYTES


def _whole(part: Part, reply: Reply, *, asked: bool) -> Restart:
    """A 200: the server does no ranges, or has another version now."""
    same = part.bytes > 0 and same_representation(part.validator, reply.validator)
    total = part.total if reply.content_length is None and same else reply.content_length
    return Restart(total=total, range_ignored=same and asked)


def _nothing_left(part: Part, reply: Reply) -> Complete | StartOver:
    """A 416 (15.5.17): right where we have all of it, else it has changed or the part is wrong."""
    told = reply.content_range
    if not isinstance(told, Unsatisfied):
        return StartOver(why="the server says that there is no more, but not how much there is")
    if told.total != part.bytes or part.total not in {None, told.total} or contradicts(part.validator, reply.validator):
        return StartOver(why=f"it has {told.total} bytes now, and the {part.bytes} here are of an earlier version")
    return Complete(total=told.total)
