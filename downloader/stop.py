"""How a run is told to end: drain (finish the items in hand) or abort."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that stop a run; Windows has no SIGHUP."""
_HANG_UP = getattr(signal, "SIGHUP", None)


def handle(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Call `handler` at every signal that stops a run; returns the handlers that were there before.

    SIGHUP stays ignored where it was ignored: that is what `nohup` asks for.
    """
    before = {}
    for number in _NUMBERS:
        if number in {signal.SIGINT, signal.SIGTERM} or signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    return before


def restore(handlers: dict[int, Any]) -> None:
    """Put back the handlers that `handle` returned."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


def exit_code(number: int) -> int:
    """The exit code of a command that a signal has stopped: 130 after Ctrl-C, 143 after SIGTERM or SIGHUP."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


class Stop:
    """Two events that every stage checks, and the signal behind them, if any.

    `signalled` may be called in a signal handler: it only assigns plain attributes, since taking a lock there could
    deadlock with the interrupted code. The main loop calls `poll` to turn signals into events.
    """

    def __init__(self) -> None:
        self.draining = threading.Event()
        """Take no new items; finish those in hand."""
        self.aborted = threading.Event()
        """Abandon the items in hand; the journal keeps their last durable state."""
        self.signal: int | None = None
        self._signals = 0

    def signalled(self, number: int) -> None:
        """Note a signal: the first drains, the second aborts, unless it is SIGHUP.

        Of a terminal that is closed, shell and kernel both send one; so does systemd after its SIGTERM.
        """
        self.signal = self.signal or number
        if self._signals == 0 or number != _HANG_UP:
            self._signals += 1

    def poll(self) -> None:
        """Set the events that the signals received so far ask for."""
        if self._signals > 0:
            self.draining.set()
        if self._signals > 1:
            self.aborted.set()

    def abort(self) -> None:
        """End now, whatever is in hand."""
        self.draining.set()
        self.aborted.set()


class DeferredSignals:
    """A signal handler that records signals until the program can act on them.

    An exception raised in the middle of an import may be swallowed by the imported module.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Record a signal."""
        self.numbers.append(number)
