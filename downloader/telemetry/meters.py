"""Measuring in constant memory: how durations are spread, how busy a stage is, how full a queue is. Mergeable."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from downloader.model.items import Fact, Failed, Fetched, Skipped, Transformed, Unchanged
from downloader.model.spans import Phase, Spans
from downloader.telemetry.interface import Sample

DOWNLOAD_PHASES = frozenset({Phase.DNS, Phase.CONNECT, Phase.TLS, Phase.FIRST_BYTE, Phase.BODY})
TRANSFORM_PHASES = frozenset({Phase.DECODE, Phase.RESIZE, Phase.ENCODE})

_TIMED = (Fetched, Transformed, Failed, Skipped, Unchanged)

_PER_OCTAVE = 8
"""Buckets per doubling: a percentile is off by at most 2 ** (1 / 16) - 1 = 4.4 %."""
_SMALLEST_S = 1e-5


@dataclass(slots=True)
class Histogram:
    """How durations are spread. `buckets` counts them by the whole part of 8 x log2(seconds)."""

    buckets: "Counter[int]" = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        """Count one duration; those below 10 us count as 10 us."""
        self.buckets[math.floor(math.log2(max(seconds, _SMALLEST_S)) * _PER_OCTAVE)] += 1

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return self.buckets.total()

    def percentile_s(self, share: float) -> float | None:
        """The seconds within which this share of the durations lies; None without any."""
        remaining = share * self.total
        for bucket in sorted(self.buckets):
            remaining -= self.buckets[bucket]
            if remaining <= 0:
                return float(2 ** ((bucket + 0.5) / _PER_OCTAVE))
        return None

    def merged(self, other: Self) -> "Histogram":
        """The durations of both."""
        return Histogram(self.buckets + other.buckets)


@dataclass(slots=True)
class StageMeter:
    """How long the items of one stage took: seconds in total, and how they are spread."""

    busy_s: float = 0.0
    durations: Histogram = field(default_factory=Histogram)

    def add(self, seconds: float) -> None:
        """Count an item."""
        self.busy_s += seconds
        self.durations.add(seconds)


class StageMeters:
    """An observer: the download and the transform stage, from the spans of facts."""

    def __init__(self) -> None:
        self.download = StageMeter()
        self.transform = StageMeter()

    def facts(self, facts: Sequence[Fact]) -> None:
        """Count the items of a batch, each in the stages that its spans belong to."""
        for fact in facts:
            if isinstance(fact, _TIMED) and fact.spans:
                self._count(fact.spans)

    def _count(self, spans: Spans) -> None:
        download_s = transform_s = None
        for phase, start_s, end_s, _ in spans:
            if phase in DOWNLOAD_PHASES:
                download_s = (download_s or 0.0) + end_s - start_s
            elif phase in TRANSFORM_PHASES:
                transform_s = (transform_s or 0.0) + end_s - start_s
        if download_s is not None:
            self.download.add(download_s)
        if transform_s is not None:
            self.transform.add(transform_s)

    def sample(self, sample: Sample) -> None:
        """Nothing is measured by samples here."""

    def close(self) -> None:
        """There is nothing to release."""


@dataclass(slots=True)
class QueueMeter:
    """An observer: how full the hand-off queue is, and the largest transform process, from samples."""

    samples: int = 0
    depths: int = 0
    full: int = 0
    empty: int = 0
    peak_worker_rss_bytes: int | None = None

    def facts(self, facts: Sequence[Fact]) -> None:
        """Nothing is measured by facts here."""

    def sample(self, sample: Sample) -> None:
        """Look at the queue and at the processes."""
        if sample.queue_size:
            self.samples += 1
            self.depths += sample.queue_depth
            self.full += sample.queue_depth >= sample.queue_size
            self.empty += sample.queue_depth == 0
        if sample.worker_rss_bytes is not None:
            self.peak_worker_rss_bytes = max(self.peak_worker_rss_bytes or 0, sample.worker_rss_bytes)

    def close(self) -> None:
        """There is nothing to release."""
