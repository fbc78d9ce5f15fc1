"""Retry state of a download."""

import threading
import time
from dataclasses import dataclass, field, replace

from downloader.download.segments import SegmentedTransfer
from downloader.http.cookies import ChainCookies
from downloader.http.headers import Checksum
from downloader.http.request_context import MAX_SPANS
from downloader.model.items import Item, Part
from downloader.model.spans import Phase, Span
from downloader.scheduling.interface import HostFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAfter:
    """A host asked for a pause. `blocked`: it is longer than any item would wait."""

    seconds: float
    blocked: bool
    http_status: int


@dataclass(slots=True, kw_only=True)
class FetchTask:
    """An item, or one segment of it, and the state that its attempts share."""

    item: Item
    attempts: int = 0
    attempts_without_progress: int = 0
    """Attempts since the last one that brought a fair amount of bytes."""
    source: int = 0
    """Which of its URLs is requested: the listed one, then its mirrors."""
    deadline_s: float = 0.0
    """Monotonic; set with the first attempt."""
    chain: list[str] = field(default_factory=list)
    """The URLs requested in this attempt: the first one, and those it redirected to."""
    set_cookies: ChainCookies = field(default_factory=ChainCookies)
    """What the redirects of this attempt have set."""
    spans: list[Span] = field(default_factory=list)
    """The phases of all attempts; segments of a file share the list."""
    part: Part = field(default_factory=Part)
    """What there is of the file, unless it is fetched in segments."""
    started_over: bool = False
    """A response did not fit the part, which was dropped."""
    in_one: bool = False
    """Fetching it in segments has failed."""
    transfer: SegmentedTransfer | None = None
    """Shared with the tasks of the other segments."""
    index: int = 0
    """Number of the segment."""
    server_name: str | None = None
    """The server's name for the file: hostile text."""
    retry_after: RetryAfter | None = None
    """What the last response asked for."""
    host_failure: HostFailure | None = None
    """Why the last attempt failed, if that was for reasons of its host."""

    @property
    def urls(self) -> tuple[str, ...]:
        """Where its bytes are: the listed URL, then mirrors."""
        request = self.item.request
        return (self.item.source, *(request.mirrors if request else ()))

    @property
    def url(self) -> str:
        """The URL that is requested now."""
        return self.urls[self.source]

    @property
    def has_mirror(self) -> bool:
        """Whether there is a URL that was not requested yet."""
        return self.source + 1 < len(self.urls)

    @property
    def all_attempts(self) -> int:
        """Attempts of the item, those of other segments included."""
        return self.transfer.attempts if self.transfer else self.attempts

    @property
    def bytes_held(self) -> int:
        """Bytes that this task has fetched so far."""
        return self.transfer.segment(self.index).at if self.transfer else self.part.bytes

    @property
    def is_superseded(self) -> bool:
        """Whether the file of this segment needs nothing any more."""
        return self.transfer is not None and self.transfer.is_over

    def begin_attempt(self) -> None:
        """Count an attempt."""
        self.set_cookies = ChainCookies()
        self.attempts += 1
        self.attempts_without_progress += 1
        if self.transfer:
            self.transfer.count_attempt()
        self.retry_after = None
        self.host_failure = None

    def record_body(self, start_s: float) -> None:
        """Record that a body was received from `start_s` (monotonic) until now."""
        if len(self.spans) < MAX_SPANS:
            self.spans.append(Span(Phase.BODY, start_s, time.monotonic(), threading.current_thread().name))

    def claim_report(self) -> bool:
        """Claim the right to report the outcome; true once for all segments of a file."""
        return self.transfer is None or self.transfer.finish()

    def in_segments(self, part: Part, sent: list[Checksum]) -> "tuple[FetchTask, ...]":
        """The tasks that together fetch what is missing of a file in segments."""
        transfer = SegmentedTransfer(part, sent, self.attempts)
        fresh = replace(self, attempts=0, attempts_without_progress=0, part=Part(), transfer=transfer)
        return tuple(
            replace(fresh, chain=[], index=index)
            for index, segment in enumerate(part.segments)
            if segment.at < segment.stop
        )

    def restarted_in_one(self, source: int) -> "FetchTask":
        """The task that fetches the whole file anew, over one connection."""
        return replace(
            self,
            attempts=self.all_attempts,
            attempts_without_progress=0,
            source=source,
            part=Part(),
            transfer=None,
            in_one=True,
            started_over=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reschedule:
    """An item is continued by these tasks, after a delay."""

    delay_s: float
    tasks: tuple[FetchTask, ...]
