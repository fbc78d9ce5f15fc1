"""How many downloads at a time, found by trying. Pure; counts and time come in as arguments.

More threads help while each waits for a server, and harm once the processor, the line or the next stage is the limit.
So their number climbs by half while that brings a tenth more, goes back by one step when it does not, and is questioned
again now and then. Trouble with servers, and a next stage that is behind, bring it down.
"""

import math
from dataclasses import dataclass

FIRST = 8
MOST = 64
"""At 64 threads a loopback server is long past its best, and one 200 ms away brings 320 files a second."""
_LEAST = 2
_WINDOW_S = 1.0
_LONGEST_WINDOW_S = 5.0
_SETTLED_WINDOWS = 15
"""Windows that pass before a limit that was found is questioned."""
_GAIN = 1.10
_STEP = 1.5
_REQUEST_BYTES = 16 * 1024
"""What a request counts beside the bytes it brings, so that many small files are work as well."""
_TROUBLED_SHARE = 0.1
_HELD_UP_SHARE = 0.5
"""Where threads wait half of their time for the next stage, half as many would do; a step down leaves two thirds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the stage has done since it began.

    Items and bytes that came, attempts that went wrong for a passing reason, seconds that its threads waited for the
    next stage, and how often one was kept back by the limit alone.
    """

    items: int = 0
    bytes: int = 0
    troubles: int = 0
    waited_s: float = 0.0
    kept_back: int = 0


class ConcurrencyLimiter:
    """The limit on downloads at a time, and why it is what it is."""

    def __init__(self, now_s: float) -> None:
        self.limit = FIRST
        self.why = "nothing was learned in so short a time"
        self._since_s = now_s
        self._before = Totals()
        self._best: float | None = None
        """Work a second at the limit before the last step up; None where no step was taken yet."""
        self._fallback = FIRST
        self._settled = 0

    def look(self, now_s: float, totals: Totals) -> int:
        """The limit from now on, given what has been done by now."""
        span_s = now_s - self._since_s
        items = totals.items - self._before.items
        if span_s < _WINDOW_S or (items < self.limit and span_s < _LONGEST_WINDOW_S):
            return self.limit
        troubles = totals.troubles - self._before.troubles
        waited_s = totals.waited_s - self._before.waited_s
        kept_back = totals.kept_back > self._before.kept_back
        work = (totals.bytes - self._before.bytes + _REQUEST_BYTES * items) / span_s
        self._since_s, self._before = now_s, totals
        if troubles > _TROUBLED_SHARE * (items + troubles):
            self._settle(math.floor(self.limit / _STEP), "servers could not keep up with more")
        elif waited_s > _HELD_UP_SHARE * span_s * self.limit:
            self._settle(math.floor(self.limit / _STEP), "the transforms are the limit")
        elif not kept_back and self.limit < MOST:
            self._settle(self.limit, "no more could be used at a time")
        else:
            self._climb(work)
        return self.limit

    def _climb(self, work: float) -> None:
        if self._settled:
            self._settled -= 1
            return
        if self._best is not None and work < self._best * _GAIN:
            self._settle(self._fallback, "more brought nothing")
        elif self.limit == MOST:
            self._settle(MOST, "this is the most that is tried")
        else:
            self._best, self._fallback = work, self.limit
            higher = math.ceil(self.limit * _STEP)
            self.limit = higher if higher * _GAIN < MOST else MOST  # the last step is a step as well
            self.why = "it was still being raised"

    def _settle(self, limit: int, why: str) -> None:
        self.limit, self.why = max(limit, _LEAST), why
        self._best, self._settled = None, _SETTLED_WINDOWS
