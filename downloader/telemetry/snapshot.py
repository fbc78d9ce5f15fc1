"""How far a run has come, as the views show it. Pure: made of samples and counters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from downloader.model.hosts import HostWait
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Sample
from downloader.telemetry.rates import RecentRate, RecentShare

RATE_WINDOW_S = 5.0
"""Seconds over which rates are taken: short enough to follow what happens, long enough to be read."""
REMAINING_WINDOW_S = 30.0
"""Seconds over which the rate is taken that the remaining time follows from, so that it does not jump."""
_MAX_WAITS = 3
_LEAST_S = 1e-3

Limit = Literal["download", "transform"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a run has come.

    `total` counts the rows known so far; it is final once `total_known`. `done_before` of them had their outcome from
    an earlier run. Of the others `downloaded` have their bytes, and `not_downloaded` had their outcome without any:
    they failed on the way, were skipped, or are unchanged. `transformed` have been through the transform stage,
    whatever came of it. The three rates are those of the last seconds; `bytes_per_s` counts what comes of files that
    are not complete yet, too. `remaining_s` is None while there is no telling. `failures` are by kind, `statuses` by
    HTTP status. `limit` is the stage that the other waits for now. `waits` are the hosts that are asked nothing now.
    """

    total: int
    total_known: bool
    done_before: int
    downloaded: int
    not_downloaded: int
    transformed: int
    failed: int
    queue_depth: int
    queue_size: int
    bytes_downloaded: int
    elapsed_s: float
    downloads_per_s: float = 0.0
    transforms_per_s: float = 0.0
    bytes_per_s: float = 0.0
    remaining_s: float | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    statuses: Mapping[int, int] = field(default_factory=dict)
    limit: Limit | None = None
    waits: Sequence[HostWait] = ()

    @property
    def download(self) -> tuple[int, int]:
        """How many items have their bytes, and how many get them: those that failed on the way are no longer among."""
        return self.done_before + self.downloaded, self.total - self.not_downloaded

    @property
    def transform(self) -> tuple[int, int]:
        """The same of the transform stage: items without bytes never come to it."""
        return self.done_before + self.transformed, self.total - self.not_downloaded


class Speedometer:
    """Makes snapshots of one run; `started_s` is when it began, monotonic."""

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._downloads = RecentRate(RATE_WINDOW_S)
        self._transforms = RecentRate(RATE_WINDOW_S)
        self._bytes = RecentRate(RATE_WINDOW_S)
        self._outcomes = RecentRate(REMAINING_WINDOW_S)
        self._full = RecentShare(RATE_WINDOW_S)
        self._empty = RecentShare(RATE_WINDOW_S)

    def last(self, snapshot: Snapshot) -> Snapshot:
        """The end of the run, with the rates of all of it."""
        elapsed_s = max(snapshot.elapsed_s, _LEAST_S)
        return replace(
            snapshot,
            downloads_per_s=snapshot.downloaded / elapsed_s,
            transforms_per_s=snapshot.transformed / elapsed_s,
            bytes_per_s=snapshot.bytes_downloaded / elapsed_s,
            remaining_s=None,
            limit=None,
            waits=(),
        )

    def snapshot(self, sample: Sample, counters: RunCounters) -> Snapshot:
        """The run as it stands now."""
        transformed = counters.done - counters.ended_before_transform
        return Snapshot(
            total=sample.listed,
            total_known=sample.planned,
            done_before=sample.finished_before,
            downloaded=counters.fetched,
            not_downloaded=counters.ended_before_transform,
            transformed=transformed,
            failed=counters.failures,
            queue_depth=sample.queue_depth,
            queue_size=sample.queue_size,
            bytes_downloaded=counters.bytes_downloaded,
            elapsed_s=sample.at_s - self._started_s,
            downloads_per_s=self._downloads.look(sample.at_s, counters.fetched),
            transforms_per_s=self._transforms.look(sample.at_s, transformed),
            bytes_per_s=self._bytes.look(sample.at_s, max(sample.received_bytes, counters.bytes_downloaded)),
            remaining_s=self._remaining_s(sample, counters.done),
            failures=dict(counters.failed),
            statuses=dict(counters.statuses),
            limit=self._limit(sample),
            waits=tuple(sample.waits[:_MAX_WAITS]),
        )

    def _remaining_s(self, sample: Sample, done: int) -> float | None:
        per_s = self._outcomes.look(sample.at_s, done)
        left = sample.listed - sample.finished_before - done
        return left / per_s if sample.planned and per_s > 0 else None

    def _limit(self, sample: Sample) -> Limit | None:
        """A queue that is full most of the time says that transforms are slower; an empty one, that downloads are."""
        full = self._full.look(sample.at_s, sample.queue_depth >= sample.queue_size > 0)
        empty = self._empty.look(sample.at_s, sample.queue_depth == 0 < sample.queue_size)
        return "transform" if full > 0.5 else "download" if empty > 0.5 else None  # noqa: PLR2004 - most of the time
