"""How fast something moves now, rather than since its beginning. Pure; time comes in as an argument."""

from collections import deque
from itertools import pairwise

_SPACING_S = 0.25
"""Seconds between two points that are remembered: a window of 30 s needs 120."""


class RecentRate:
    """How much a number grows in a second: over the last `window_s` seconds, or since the first look."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, float]] = deque()

    def look(self, now_s: float, value: float) -> float:
        """Note the number as it is now, and return its growth a second; 0 at the first look."""
        while len(self._points) > 1 and self._points[1][0] <= now_s - self._window_s:
            self._points.popleft()
        if not self._points or now_s - self._points[-1][0] >= _SPACING_S:
            self._points.append((now_s, value))
        since_s, before = self._points[0]
        return (value - before) / (now_s - since_s) if now_s > since_s else 0.0


class RecentShare:
    """For what share of the last `window_s` seconds something was true."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._points: deque[tuple[float, bool]] = deque()

    def look(self, now_s: float, value: bool) -> float:
        """Note what is true now, and return the share, of the time since the first look if that is less."""
        while len(self._points) > 1 and self._points[1][0] <= now_s - self._window_s:
            self._points.popleft()
        self._points.append((now_s, value))
        span_s = now_s - self._points[0][0]
        if span_s <= 0:
            return float(value)
        true_s = sum(after[0] - before[0] for before, after in pairwise(self._points) if before[1])
        return true_s / span_s
