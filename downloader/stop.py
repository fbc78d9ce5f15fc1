"""How a run is told to end: drain (finish the items in hand) or abort."""

import threading
from types import FrameType


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

    def signalled(self, signal: int) -> None:
        """Note a signal: the first drains, the second aborts."""
        self.signal = self.signal or signal
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
