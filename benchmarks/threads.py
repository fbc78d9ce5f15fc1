"""Our command with its CPU split by thread: `python -m benchmarks.threads REPORT ARGUMENTS...`.

Python 3.11 does not pass thread names to the system, so this runs the command in its own process and lets each thread
read its own CPU clock as it ends (`time.thread_time`, exact, one call per thread). Threads still alive when the command
has ended are read then. The report is JSON: seconds by group of threads; `download-0` and `download-1` are one group.
Light to import, because worker processes import the main module again.
"""

import json
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

_NUMBER = re.compile(r"[-_ ]*\d.*$")

START = "start-up"
"""The main thread before the command begins: the interpreter and this module."""
REST = "threads not started by Python"


class Split:
    """Collects the CPU time of threads."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._start_s = time.thread_time()

    def watch(self) -> None:
        """Count every thread that starts from now on when it ends."""
        start, timed = threading.Thread.start, self._timed

        def started(self: threading.Thread) -> None:
            self.run = timed(self.name, self.run)  # type: ignore[method-assign]
            start(self)

        threading.Thread.start = started  # type: ignore[method-assign]

    def _timed(self, name: str, run: Callable[[], None]) -> Callable[[], None]:
        def timed() -> None:
            try:
                run()
            finally:
                self._add(name, time.thread_time())

        return timed

    def _add(self, name: str, seconds: float) -> None:
        with self._lock:
            self._seconds[group(name)] += seconds

    def total(self) -> dict[str, float]:
        """Seconds by group; call it in the main thread, at the end."""
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.ident is not None:
                self._add(thread.name, time.clock_gettime(time.pthread_getcpuclockid(thread.ident)))
        self._seconds[START] = self._start_s
        self._seconds["main"] = time.thread_time() - self._start_s
        self._seconds[REST] = max(time.process_time() - sum(self._seconds.values()), 0.0)
        return dict(self._seconds)


def group(name: str) -> str:
    """The name of a thread without its number."""
    return _NUMBER.sub("", name)


if __name__ == "__main__":
    split = Split()
    split.watch()
    from downloader.cli.app import main

    report = Path(sys.argv[1])
    sys.argv = ["downloader", *sys.argv[2:]]
    try:
        main()
    finally:
        report.write_text(json.dumps(split.total()))
