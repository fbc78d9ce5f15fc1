"""A file that is fetched in several segments at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from downloader.http.headers import Checksum
from downloader.model.items import Part, Segment


class SegmentedTransfer:
    """Shared state of the tasks that fetch the segments of a file. Thread-safe.

    Args:
        part: what there is of the file, with its segments.
        sent: the digests that the server sent for the whole.
        attempts: made for the item so far.
    """

    def __init__(self, part: Part, sent: list[Checksum], attempts: int) -> None:
        self.sent = sent
        self.attempts = attempts
        self.start_s = time.monotonic()
        self.is_over = False
        """The file is complete, or its segments have been given up."""
        self._part = part
        self._at = [segment.at for segment in part.segments]
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The staged file."""
        return self._part.name

    @property
    def part(self) -> Part:
        """What there is by now."""
        segments = tuple(self.segment(index) for index in range(len(self._at)))
        return replace(self._part, segments=segments)

    def segment(self, index: int) -> Segment:
        """A segment, as far as it has been fetched."""
        return replace(self._part.segments[index], at=self._at[index])

    def count_attempt(self) -> None:
        """Count an attempt of one of the tasks."""
        with self._lock:
            self.attempts += 1

    def advance(self, index: int, at: int) -> None:
        """The bytes of a segment up to `at` have been written."""
        self._at[index] = at

    @contextmanager
    def while_running(self) -> Iterator[bool]:
        """Whether it is not over, which does not change within the block."""
        with self._lock:
            yield not self.is_over

    def finish(self, *, complete: bool = False) -> bool:
        """End it, for good or because it is complete; true for the one task that does so."""
        with self._lock:
            if self.is_over or (complete and any(segment.at < segment.stop for segment in self.part.segments)):
                return False
            self.is_over = True
            return True
