"""How a run is told to end: softly (finish what is in hand) or now."""

import threading
from types import FrameType


class Stop:
    """Two flags that every stage looks at, and the reason for them.

    `signalled` may be called in a signal handler: it only assigns plain attributes, since taking a lock there could
    deadlock with the code that was interrupted. The main loop calls `look` to turn that into events.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        """Take no new items; finish what is in hand."""
        self.now = threading.Event()
        """Leave everything as it is."""
        self.signal: int | None = None
        self._signals = 0

    def signalled(self, signal: int) -> None:
        """A signal came: the first asks, the second insists."""
        self.signal = self.signal or signal
        self._signals += 1

    def look(self) -> None:
        """Lease signals into events."""
        if self._signals > 0:
            self.asked.set()
        if self._signals > 1:
            self.now.set()

    def at_once(self) -> None:
        """End now, whatever is in hand."""
        self.asked.set()
        self.now.set()


class Held:
    """A handler that keeps signals until somebody can do something about them.

    An exception would come out of the midst of an import, and not all that is imported lets it through.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """A signal came."""
        self.numbers.append(number)
