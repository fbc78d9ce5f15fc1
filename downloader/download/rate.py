"""Limits on speed: not too fast for the user's line, not so slow that it never ends. Time comes in as an argument."""

import threading

SLOW_WINDOW_S = 30.0
"""Seconds over which a body must keep the least speed; curl's --speed-time has the same default."""


class ByteRate:
    """How many bytes a second all threads together may take. Threads may share it."""

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at_s = 0.0

    def delay_s(self, size_bytes: int, now_s: float) -> float:
        """Seconds to wait before so many bytes, just received, are in keeping with the rate."""
        with self._lock:
            self._free_at_s = max(self._free_at_s, now_s) + size_bytes / self._bytes_per_s
            return self._free_at_s - now_s


class LeastSpeed:
    """Watches that one body keeps a least speed, window by window."""

    def __init__(self, bytes_per_s: int, now_s: float) -> None:
        self._least_bytes = bytes_per_s * SLOW_WINDOW_S
        self._since_s = now_s
        self._bytes = 0

    def too_slow(self, size_bytes: int, now_s: float) -> bool:
        """Count what came; true where a whole window brought too little."""
        self._bytes += size_bytes
        if now_s - self._since_s < SLOW_WINDOW_S:
            return False
        slow = self._bytes < self._least_bytes
        self._since_s, self._bytes = now_s, 0
        return slow

    def waited(self, seconds: float) -> None:
        """Time that we ourselves held back does not count."""
        self._since_s += seconds
