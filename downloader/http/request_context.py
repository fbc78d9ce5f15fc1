"""Deadline, limits and timings of the current request."""

import math
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from downloader.clock import active_clock
from downloader.http.abort import AbortSignal
from downloader.http.errors import DeadlineExceeded, HeaderFlood
from downloader.model.spans import Phase, Span

HEADER_LIMIT_BYTES = 256 * 1024
"""Maximum size of all response headers of a request, interim responses and the proxy's response included: about curl's
limit of 300 KiB (lib/http.h, MAX_HTTP_RESP_HEADER_SIZE)."""
MAX_LINE_BYTES = 96 * 1024
"""Of a single header field; curl allows 100 KiB (lib/http.h, CURL_MAX_HTTP_HEADER), h11 as much for all together."""
MAX_FIELDS = 4999
"""Header fields of a response; curl refuses the 5,000th (lib/http.h, MAX_HTTP_RESP_HEADER_COUNT)."""
MAX_SPANS = 1000
"""Spans recorded for an item. An ordinary one has five; one that a server sends byte by byte could have any number."""


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """Deadline, limits and timings of the current request; one for each thread, shared by its connections.

    The client sets `deadline_s` and `spans` before a request; the transport resets the rest by `begin`.
    """

    abort: AbortSignal
    """Of the run."""
    lane: str = ""
    """The thread's name, for spans."""
    deadline_s: float = math.inf
    """By the active clock."""
    spans: list[Span] = field(default_factory=list)
    """Gets the phases as they end."""
    headers_done: bool = True
    """The response's headers have been received: what is read from now on is the body."""
    bytes_read: int = 0
    """Since the request began."""
    has_connected: bool = False
    """A connection was opened since the request began."""
    has_sent: bool = False
    """Something was sent since the request began."""

    def begin(self) -> None:
        """A request is about to be sent."""
        self.headers_done = False
        self.bytes_read = 0
        self.has_connected = False
        self.has_sent = False

    def time_left_s(self, timeout_s: float | None) -> float:
        """Seconds that the next step may take: the timeout, but not beyond the deadline.

        Raises:
            Interrupted: the run is being aborted.
            DeadlineExceeded: no time is left.
        """
        self.abort.check()
        left_s = self.deadline_s - active_clock()
        if left_s <= 0:
            raise DeadlineExceeded
        return left_s if timeout_s is None else min(timeout_s, left_s)

    def received(self, size_bytes: int) -> None:
        """Count bytes that were read; raises HeaderFlood."""
        self.bytes_read += size_bytes
        if not self.headers_done and self.bytes_read > HEADER_LIMIT_BYTES:
            raise HeaderFlood(f"sends headers of more than {HEADER_LIMIT_BYTES // 1024} KiB")

    def record(self, phase: Phase, start_s: float) -> None:
        """Record a phase that began at `start_s` (monotonic) and ends now."""
        if len(self.spans) < MAX_SPANS:
            self.spans.append(Span(phase, start_s, time.monotonic(), self.lane))


def check_head(lines: Collection[bytes]) -> None:
    """Raise HeaderFlood if a head has too many lines, or one that is too long."""
    if len(lines) > MAX_FIELDS:
        raise HeaderFlood(f"sends more than {MAX_FIELDS:,} header fields")
    if max(map(len, lines), default=0) > MAX_LINE_BYTES:
        raise HeaderFlood(f"sends a header line of more than {MAX_LINE_BYTES // 1024} KiB")
