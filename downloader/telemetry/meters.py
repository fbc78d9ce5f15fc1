"""Measuring a stage while it runs: how long items take, and how long its workers work and wait."""

import math
import threading

_PER_OCTAVE = 8
"""Buckets per doubling: a percentile is off by at most 2 ** (1 / 16) - 1 = 4.4 %."""
_SMALLEST_S = 1e-5


class Meter:
    """Seconds of work and of waiting, and how seconds per item are spread, in constant memory. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[int, int] = {}
        self._items = 0
        self.busy_s = 0.0
        self.wait_s = 0.0

    def worked(self, seconds: float) -> None:
        """One item took so long."""
        bucket = math.floor(math.log2(max(seconds, _SMALLEST_S)) * _PER_OCTAVE)
        with self._lock:
            self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
            self._items += 1
            self.busy_s += seconds

    def waited(self, seconds: float) -> None:
        """A worker waited so long for the next stage to take what it made."""
        with self._lock:
            self.wait_s += seconds

    def percentile_s(self, share: float) -> float | None:
        """The seconds within which this share of the items was done; None without items."""
        with self._lock:
            remaining = share * self._items
            for bucket in sorted(self._buckets):
                remaining -= self._buckets[bucket]
                if remaining <= 0:
                    return float(2 ** ((bucket + 0.5) / _PER_OCTAVE))
        return None
