"""A sample of the spans of a run, in constant memory. Pure.

Time is cut into slices of a quarter of a second, and every n-th slice is kept whole: each span that touches it is
there, in every lane. So what is drawn of a kept slice is what happened, threads and processes side by side, as a share
of all items, drawn without their neighbours, would not be. While there is room, every slice is kept.
"""

import math
from array import array
from collections.abc import Sequence

MAX_SPANS = 100_000
SLICE_S = 0.25
"""At 5,000 items a second with ten spans each, an eighth of what there is room for."""


class SpanSample:
    """Spans in columns: as tuples they would take five times the memory.

    Attributes:
        stride: every how many slices one is kept.
        seen: how many spans there were.
    """

    def __init__(self, limit: int = MAX_SPANS) -> None:
        self._limit = limit
        self.stride = 1
        self.seen = 0
        self.starts_s = array("d")
        self.ends_s = array("d")
        self.lanes = array("H")
        self.phases = array("B")
        self.items = array("Q")

    def __len__(self) -> int:
        """How many spans are kept."""
        return len(self.starts_s)

    def add(self, start_s: float, end_s: float, lane: int, phase: int, item: int) -> None:
        """See a span, with the numbers of its lane, its phase and its item."""
        self.seen += 1
        if self.stride > 1 and not touches(start_s, end_s, self.stride):
            return
        self.starts_s.append(start_s)
        self.ends_s.append(end_s)
        self.lanes.append(lane)
        self.phases.append(phase)
        self.items.append(item)
        if len(self.starts_s) > self._limit:
            self._thin()

    def _thin(self) -> None:
        """Keep fewer slices: half of them, until that makes room."""
        kept: Sequence[int] = range(len(self))
        while len(kept) > self._limit and self.stride < _MAX_STRIDE:
            self.stride *= 2
            kept = [at for at in kept if touches(self.starts_s[at], self.ends_s[at], self.stride)]
        kept = kept[: self._limit]  # slices that are fuller than any machine makes them
        for name in ("starts_s", "ends_s", "lanes", "phases", "items"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, [column[at] for at in kept]))


_MAX_STRIDE = 2**24
"""48 days."""


def touches(start_s: float, end_s: float, stride: int) -> bool:
    """Whether a span lies in a slice that is kept, in part at least."""
    first, last = math.floor(start_s / SLICE_S), math.floor(end_s / SLICE_S)
    return first + -first % stride <= last
