"""How many downloads at a time, found by hill climbing. Pure; counts and time come in as arguments.

More threads help while each waits for a server, and harm once the processor, the network or the next stage is the
limit. So the limit rises by half while that brings a tenth more throughput, goes back by one step when it does not, and
is tried again now and then. Errors of servers, and a next stage that is behind, lower it.
"""

import math
from dataclasses import dataclass

INITIAL_LIMIT = 8
MAX_LIMIT = 64
"""At 64 threads a loopback server is long past its best, and one 200 ms away brings 320 files a second."""
_MIN_LIMIT = 2
_WINDOW_S = 1.0
_MAX_WINDOW_S = 5.0
_HOLD_WINDOWS = 15
"""Windows for which a limit that was found is kept before another one is tried."""
_GAIN = 1.10
_STEP = 1.5
_REQUEST_BYTES = 16 * 1024
"""What a request counts beside the bytes it brings, so that many small files are work as well."""
_ERROR_SHARE = 0.1
_WAITING_SHARE = 0.5
"""Where threads wait half of their time for the next stage, half as many are enough; a step down leaves two thirds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the stage has done since it began.

    Items and bytes that arrived, transient errors, seconds that its threads waited for the next stage, and how often
    one was held back by the limit alone.
    """

    items: int = 0
    bytes: int = 0
    errors: int = 0
    waited_s: float = 0.0
    held_back: int = 0


class ConcurrencyLimiter:
    """The number of downloads at a time, and the reason for it."""

    def __init__(self, now_s: float) -> None:
        self.limit = INITIAL_LIMIT
        self.why = "the run was too short to try more"
        self._since_s = now_s
        self._before = Totals()
        self._best: float | None = None
        """Work a second at the limit before the last step up; None before the first step."""
        self._fallback = INITIAL_LIMIT
        self._hold_windows = 0

    def look(self, now_s: float, totals: Totals) -> int:
        """The limit from now on, given what has been done by now."""
        span_s = now_s - self._since_s
        items = totals.items - self._before.items
        if span_s < _WINDOW_S or (items < self.limit and span_s < _MAX_WINDOW_S):
            return self.limit
        errors = totals.errors - self._before.errors
        waited_s = totals.waited_s - self._before.waited_s
        held_back = totals.held_back > self._before.held_back
        work = (totals.bytes - self._before.bytes + _REQUEST_BYTES * items) / span_s
        self._since_s, self._before = now_s, totals
        if errors > _ERROR_SHARE * (items + errors):
            self._settle(math.floor(self.limit / _STEP), "servers could not keep up with more")
        elif waited_s > _WAITING_SHARE * span_s * self.limit:
            self._settle(math.floor(self.limit / _STEP), "transforms are the limit")
        elif not held_back and self.limit < MAX_LIMIT:
            self._settle(self.limit, "there was no use for more")
        else:
            self._climb(work)
        return self.limit

    def _climb(self, work: float) -> None:
        if self._hold_windows:
            self._hold_windows -= 1
            return
        if self._best is not None and work < self._best * _GAIN:
            self._settle(self._fallback, "more brought no gain")
        elif self.limit == MAX_LIMIT:
            self._settle(MAX_LIMIT, "the largest number that is tried")
        else:
            self._best, self._fallback = work, self.limit
            higher = math.ceil(self.limit * _STEP)
            self.limit = higher if higher * _GAIN < MAX_LIMIT else MAX_LIMIT  # the last step is a step as well
            self.why = "it was still rising"

    def _settle(self, limit: int, why: str) -> None:
        self.limit, self.why = max(limit, _MIN_LIMIT), why
        self._best, self._hold_windows = None, _HOLD_WINDOWS
