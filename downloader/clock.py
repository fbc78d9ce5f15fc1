"""A clock that stands still while this process does not run: what every timeout is measured with."""

import threading
import time
from collections.abc import Callable

MAX_STEP_S = 1.0
"""The most that counts of the time between two readings. More has passed when the process was stopped (Ctrl-Z), its
machine suspended, or its cgroup frozen; a run reads the clock ten times a second."""


class ActiveClock:
    """Monotonic seconds, of which at most `MAX_STEP_S` count between two readings that are kept.

    A timeout says how long something may take, and nothing can happen while the process is stopped: measured by the
    time of the machine, every download and every image would fail when a stopped run is continued.

    `beat` keeps a reading, and so has to be called regularly; a run does it in its main thread. Where nothing calls it,
    readings more than `MAX_STEP_S` apart make timeouts longer, never shorter. Threads may share a clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last_s = clock()
        self._lost_s = 0.0

    def __call__(self) -> float:
        """The seconds now; their differences are durations."""
        while True:
            lost_s = self._lost_s
            now_s = self._clock()
            if now_s - self._last_s > MAX_STEP_S:
                self.beat()
            elif lost_s == self._lost_s:  # otherwise another thread has found a gap between these two lines
                return now_s - lost_s

    def beat(self) -> None:
        """Keep a reading: what has passed since the last one counts, up to `MAX_STEP_S`."""
        with self._lock:
            now_s = self._clock()
            self._lost_s += max(now_s - self._last_s - MAX_STEP_S, 0.0)
            self._last_s = now_s


active_clock = ActiveClock()
"""The clock of this process."""
