"""Limits on speed: a maximum for all downloads together, a minimum for each. Time is an argument."""

import threading

SLOW_WINDOW_S = 30.0
"""Seconds over which the minimum speed is measured; curl's --speed-time has the same default."""


class ByteRate:
    """A limit on the bytes that all threads together receive in a second. Thread-safe; it may be changed."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at_s = 0.0

    def delay_s(self, size_bytes: int, now_s: float) -> float:
        """Seconds to wait until `size_bytes`, just received, are within the rate."""
        with self._lock:
            self._free_at_s = max(self._free_at_s, now_s) + size_bytes / self.bytes_per_s
            return self._free_at_s - now_s


class MinimumSpeed:
    """Checks that a body keeps a minimum speed, window by window."""

    def __init__(self, bytes_per_s: int, now_s: float) -> None:
        self._minimum_bytes = bytes_per_s * SLOW_WINDOW_S
        self._since_s = now_s
        self._bytes = 0

    def too_slow(self, size_bytes: int, now_s: float) -> bool:
        """Count received bytes; true if a whole window brought too few."""
        self._bytes += size_bytes
        if now_s - self._since_s < SLOW_WINDOW_S:
            return False
        slow = self._bytes < self._minimum_bytes
        self._since_s, self._bytes = now_s, 0
        return slow

    def waited(self, seconds: float) -> None:
        """Exclude time in which `ByteRate` held the download back."""
        self._since_s += seconds
