"""Numbers over time in constant memory: buckets of equal width, which doubles when there are too many. Pure."""

from array import array
from collections.abc import Callable
from operator import add

MAX_BUCKETS = 600
"""More than a chart has pixels for on a laptop."""
FIRST_WIDTH_S = 0.2
"""Seconds of a bucket at first: two samples."""


class Series:
    """One number for each bucket; those that were never set are 0.

    `merge` makes one bucket of two: a sum for what is counted, the larger for what is looked at.
    """

    __slots__ = ("_merge", "values")

    def __init__(self, merge: Callable[[float, float], float] = add) -> None:
        self.values = array("d")
        self._merge = merge

    def put(self, bucket: int, value: float) -> None:
        """Merge a value into a bucket."""
        values = self.values
        if bucket >= len(values):
            values.extend([0.0] * (bucket + 1 - len(values)))
        values[bucket] = self._merge(values[bucket], value)

    def halve(self) -> None:
        """Make one bucket of each two."""
        values = self.values
        if len(values) % 2:
            values.append(0.0)
        self.values = array("d", map(self._merge, values[::2], values[1::2]))


class Grid:
    """The buckets that several series share. Times are seconds since the beginning of the run."""

    def __init__(self) -> None:
        self.width_s = FIRST_WIDTH_S
        self._series: list[Series] = []

    def series(self, merge: Callable[[float, float], float] = add) -> Series:
        """One more series on this grid."""
        made = Series(merge)
        self._series.append(made)
        return made

    def bucket(self, at_s: float) -> int:
        """The bucket of a time; there is room for it on return."""
        while at_s >= self.width_s * MAX_BUCKETS:
            self.width_s *= 2
            for series in self._series:
                series.halve()
        return max(int(at_s / self.width_s), 0)

    def spread(self, series: Series, start_s: float, end_s: float, amount: float) -> None:
        """Divide an amount among the buckets from a start to an end, by how much of each lies between them."""
        last = self.bucket(end_s)  # first: it may change the width
        first = self.bucket(start_s)
        if first >= last:
            series.put(last, amount)
            return
        per_s, width_s = amount / (end_s - start_s), self.width_s
        series.put(first, ((first + 1) * width_s - start_s) * per_s)
        for bucket in range(first + 1, last):
            series.put(bucket, width_s * per_s)
        series.put(last, (end_s - last * width_s) * per_s)
