"""Recording when each phase of an item's work began and ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from downloader.model.spans import Phase, Span, Spans

MAX_SPANS = 64
"""Spans of one item that are kept one by one. A still image has about five; an animation alternates between decoding
and resizing, once a frame, and may have a hundred thousand frames."""


class SpanRecorder:
    """Collects the spans of one item in one lane. What was reached is kept, however a phase ends."""

    def __init__(self, lane: str) -> None:
        self._lane = lane
        self._spans: list[Span] = []
        self._more: dict[Phase, float] = {}
        """Seconds by phase beyond `MAX_SPANS`."""

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Record the time spent in the block."""
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.add(phase, started_s, time.monotonic())

    def add(self, phase: Phase, start_s: float, end_s: float) -> None:
        """Record one span. One that directly follows another of its phase continues it."""
        last = self._spans[-1] if self._spans else None
        if self._more or len(self._spans) == MAX_SPANS:
            self._more[phase] = self._more.get(phase, 0.0) + end_s - start_s
        elif last is not None and last.phase is phase:
            self._spans[-1] = last._replace(end_s=end_s)
        else:
            self._spans.append(Span(phase, start_s, end_s, self._lane))

    def spans(self) -> Spans:
        """Everything recorded; beyond `MAX_SPANS`, one span for all of each phase, one after another."""
        spans = list(self._spans)
        for phase, seconds in self._more.items():
            start_s = spans[-1].end_s
            spans.append(Span(phase, start_s, start_s + seconds, self._lane))
        return tuple(spans)
