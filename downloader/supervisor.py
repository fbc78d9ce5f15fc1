"""The threads of a run: started, watched and ended by the main thread; the first problem of any of them is kept."""

import threading
from collections.abc import Callable, Iterable

from downloader.clock import active_clock
from downloader.errors import CannotGoOn, DownloaderError
from downloader.stop import Stop

TICK_S = 0.1
"""Seconds between looks at signals, queue depth and progress."""
GRACE_S = 10.0
"""Seconds that items in flight get to finish after the first Ctrl-C, and threads to end after an abort."""


class Supervisor:
    """Runs the threads of a run.

    `stop` is set when one of them fails, and `abort` called when threads that wait for I/O have to be woken.
    """

    def __init__(self, stop: Stop, abort: Callable[[], None]) -> None:
        self._stop = stop
        self._abort = abort
        self.problem: BaseException | None = None
        """What ended a thread first."""

    def start(self, name: str, work: Callable[[], None], then: Callable[[], None] | None = None) -> threading.Thread:
        """Start a thread that does `work`, and `then` whatever came of it."""
        thread = threading.Thread(target=self._guarded, args=(work, then), name=name, daemon=True)
        thread.start()
        return thread

    def _guarded(self, work: Callable[[], None], then: Callable[[], None] | None) -> None:
        try:
            work()
        except BaseException as problem:  # noqa: BLE001 - the main thread raises it
            self.problem = self.problem or problem
            if isinstance(problem, CannotGoOn) or not isinstance(problem, DownloaderError):
                self._stop.abort()
            else:
                self._stop.draining.set()
        finally:
            if then is not None:
                then()

    def watch(self, threads: Iterable[threading.Thread], tick: Callable[[], None]) -> None:
        """Return once all threads have ended, or could not be made to; call `tick` every tenth of a second."""
        threads = list(threads)
        draining_since_s: float | None = None
        while alive := [thread for thread in threads if thread.is_alive()]:
            alive[0].join(TICK_S)
            active_clock.beat()
            self._stop.poll()
            if self._stop.draining.is_set() and draining_since_s is None:
                draining_since_s = active_clock()
            if draining_since_s is not None and active_clock() - draining_since_s > GRACE_S:
                self._stop.abort()
            if self._stop.aborted.is_set():
                self._abort()
                for thread in alive:
                    thread.join(GRACE_S)  # a thread that does not wake is left behind; its item stays as it was
                return
            tick()

    def raise_problem(self) -> None:
        """Raise what ended a thread, if anything did."""
        if self.problem is not None:
            raise self.problem
