"""What a run changes in its own process: signals, the garbage collector, logging.

Only the command line calls this: `run` as a library leaves its host process as it is.
"""

import gc
import logging
from types import FrameType

from downloader.stop import DeferredSignals, Stop, handle

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""Instead of Python's 700 to 2,000; at some 100 bytes each, 5 MB that may wait to be found."""
_CHATTY = ("httpx", "httpcore")
"""Loggers that tell every request at INFO, with its whole URL."""


def set_up(stop: Stop, log_level: str) -> None:
    """Prepare this process for one run, after which it exits."""
    _handle_signals(stop)
    _log_to_stderr(getattr(logging, log_level.upper()))
    _collect_rarely()


def _handle_signals(stop: Stop) -> None:
    """Let the first signal drain the run and the second abort it; those that came while the program loaded count."""

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.signalled(number)

    for before in {*handle(on_signal).values()}:
        if isinstance(before, DeferredSignals):
            for early in before.numbers:
                stop.signalled(early)


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _collect_rarely() -> None:
    """Let Python look for reference cycles less often: a run makes many objects and hardly a cycle.

    Existing objects, imported modules most of all, are no longer looked at. Planning 200,000 rows takes 12 % less time
    (50,500 rows a second instead of 44,700), with the same memory.
    """
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
