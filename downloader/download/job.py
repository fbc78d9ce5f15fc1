"""An item on its way through its attempts, and a file that several jobs fetch together."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from downloader.download.headers import Checksum
from downloader.model.items import Item, Part, Segment
from downloader.model.spans import Phase, Span, Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The host of an item asks for less: no request for so long. `shut`: longer than any item would wait."""

    seconds: float
    shut: bool
    http_status: int


class Whole:
    """A file that is fetched in segments, a job for each; jobs of several threads share it.

    Args:
        part: what there is of it, with its segments.
        sent: the digests that the server gave for the whole.
        attempts: made for the item so far.
    """

    def __init__(self, part: Part, sent: list[Checksum], attempts: int) -> None:
        self.sent = sent
        self.attempts = attempts
        self.started_s = time.monotonic()
        self.over = False
        """Nothing more is to be done: it is complete, or has been given up."""
        self._part = part
        self._at = [segment.at for segment in part.segments]
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The staged file."""
        return self._part.name

    def segment(self, index: int) -> Segment:
        """A segment as far as it has come."""
        return replace(self._part.segments[index], at=self._at[index])

    def attempted(self) -> None:
        """Count one more attempt."""
        with self._lock:
            self.attempts += 1

    def advance(self, index: int, at: int) -> None:
        """The bytes of a segment up to `at` have been given to the system."""
        self._at[index] = at

    def held(self) -> Part:
        """What there is by now."""
        segments = tuple(self.segment(index) for index in range(len(self._at)))
        return replace(self._part, segments=segments)

    @contextmanager
    def while_open(self) -> Iterator[bool]:
        """Whether it is not over, which does not change within the block."""
        with self._lock:
            yield not self.over

    def end(self, *, complete: bool = False) -> bool:
        """Say that it is over, for good or because it is complete; true for the first to say so."""
        with self._lock:
            if self.over or (complete and any(segment.at < segment.stop for segment in self.held().segments)):
                return False
            self.over = True
            return True


@dataclass(slots=True, kw_only=True)
class Job:
    """An item, or one segment of it, over all its attempts."""

    item: Item
    attempts: int = 0
    spent: int = 0
    """Attempts since the last one that brought something."""
    source: int = 0
    """Which of its URLs is asked: the listed one, then its mirrors."""
    deadline_s: float = 0.0
    """Monotonic; set with the first attempt."""
    chain: list[str] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)
    part: Part = field(default_factory=Part)
    started_over: bool = False
    in_one: bool = False
    """It has been tried in segments, which did not go well."""
    whole: Whole | None = None
    index: int = 0
    """Number of the segment, where it is one."""
    server_name: str | None = None
    """What the server calls it, as it came."""
    hold: Hold | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Where its bytes are: the listed URL, then mirrors."""
        request = self.item.request
        return (self.item.source, *(request.mirrors if request else ()))

    def spans(self) -> Spans:
        """The phases so far; their sums end now."""
        now_s = time.monotonic()
        lane = threading.current_thread().name
        return tuple(Span(Phase(name), now_s - value, now_s, lane) for name, value in self.timings_s.items())

    def ends(self) -> bool:
        """Whether this job is the one that may tell how its item ended; of the segments of a file, the first is."""
        return self.whole is None or self.whole.end()

    def in_segments(self, part: Part, sent: list[Checksum]) -> "tuple[Job, ...]":
        """The jobs that together fetch what is missing of a file in segments."""
        whole = Whole(part, sent, self.attempts)
        return tuple(
            replace(
                self, attempts=0, spent=0, chain=[], timings_s=dict(self.timings_s), part=Part(), whole=whole, index=n
            )
            for n, segment in enumerate(part.segments)
            if segment.at < segment.stop
        )

    def over_again(self, source: int) -> "Job":
        """The job that fetches all of it anew, in one."""
        return replace(self, spent=0, source=source, part=Part(), whole=None, in_one=True, started_over=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reschedule:
    """These jobs, all of one item, are to be taken up after `delay_s`."""

    delay_s: float
    jobs: tuple[Job, ...]
