"""The summary of a run: plain numbers in, one value out; summaries of parts of a job can be merged. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from downloader.model.counts import Counts
from downloader.model.states import State
from downloader.report.advice import Evidence, advise, bottleneck, reason
from downloader.scheduling.circuit_breaker import SetAside
from downloader.telemetry.meters import Histogram

_MAX_HOSTS_SHOWN = 100
"""Hosts set aside that the JSON names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFigures:
    """How a stage did.

    `available_s` is the time that its workers had, together: their number x the seconds of the run. `busy_s` of it went
    into items, `wait_s` into waiting for the next stage. `durations` are the seconds of each item.
    """

    workers: int
    available_s: float
    busy_s: float
    wait_s: float = 0.0
    durations: Histogram = field(default_factory=Histogram)

    @property
    def busy_share(self) -> float | None:
        """Share of the workers' time that went into items."""
        return share(self.busy_s, self.available_s)

    def merged(self, other: "StageFigures") -> "StageFigures":
        """Both as one stage."""
        return StageFigures(
            workers=self.workers + other.workers,
            available_s=self.available_s + other.available_s,
            busy_s=self.busy_s + other.busy_s,
            wait_s=self.wait_s + other.wait_s,
            durations=self.durations.merged(other.durations),
        )

    def to_json(self, workers: str) -> dict[str, Any]:
        """The keys that users script against; `workers` is what the workers are called."""
        return {
            workers: self.workers,
            "busy_share": _rounded(self.busy_share),
            "wait_share": _rounded(share(self.wait_s, self.available_s)),
            "p50_s": _rounded(self.durations.percentile_s(0.5)),
            "p99_s": _rounded(self.durations.percentile_s(0.99)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """How full the hand-off queue was: over `samples`, the sum of depths, and how often it was full or empty."""

    size: int
    samples: int = 0
    depths: int = 0
    full: int = 0
    empty: int = 0

    @property
    def full_share(self) -> float | None:
        """Share of the samples in which the queue was full."""
        return share(self.full, self.samples)

    def merged(self, other: "QueueFigures") -> "QueueFigures":
        """Both, sample by sample."""
        return QueueFigures(
            size=max(self.size, other.size),
            samples=self.samples + other.samples,
            depths=self.depths + other.depths,
            full=self.full + other.full,
            empty=self.empty + other.empty,
        )

    def to_json(self) -> dict[str, Any]:
        """The keys that users script against."""
        return {
            "size": self.size,
            "mean_depth": _rounded(self.depths / self.samples) if self.samples else None,
            "full_share": _rounded(self.full_share),
            "empty_share": _rounded(share(self.empty, self.samples)),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an output holds (counts and bytes, over all runs on it) and how the last run went (the rest)."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    pending: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    skips: Mapping[str, int] = field(default_factory=dict)
    statuses: Mapping[int, int] = field(default_factory=dict)
    """Failures with an HTTP status as their reason, by that status."""
    failing_hosts: Sequence[tuple[str, int]] = ()
    """Hosts and their failures, the most first, no more than a few."""
    bytes_downloaded: int = 0
    bytes_written: int = 0
    duration_s: float = 0.0
    new: int = 0
    """Items that got their outcome in this run."""
    new_succeeded: int = 0
    """Those of them that succeeded."""
    changed: int = 0
    """Those whose source has another version than before."""
    unchanged: int = 0
    """Those of them whose source had nothing new."""
    download: StageFigures | None = None
    transform: StageFigures | None = None
    queue: QueueFigures | None = None
    writer_busy_s: float = 0.0
    parent_cpu_s: float = 0.0
    """CPU time of the process that leads the run."""
    cpus: int = 0
    """CPUs that the run might use."""
    peak_rss_parent_bytes: int = 0
    peak_rss_worker_bytes: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    pace: str | None = None
    """With `--threads auto`: the number of downloads at a time in the end, and the reason for it."""
    cautions: Sequence[str] = ()
    """What the user should know of how the run was done."""
    left_alone: int = 0
    """Files of input folders that were not images by their names."""
    set_aside: Sequence[SetAside] = ()
    """Hosts of which items were set aside, those with the most first."""
    groups: Sequence[int] = ()
    """The numbers of the groups of results that were completed, in order."""
    shards: int = 1
    """Processes that the threads and transform processes were in."""
    rebuilds: int = 0
    """How often the transform processes had to be replaced."""
    interrupted: bool = False
    gave_up: str | None = None
    """Why the run stopped before its end by itself."""

    @property
    def bottleneck(self) -> str | None:
        """Which stage the others waited for: `download`, `transform`, `output`, `none`; None without new items."""
        return bottleneck(self._evidence()) if self.new else None

    @property
    def bottleneck_reason(self) -> str | None:
        """How that is known; None where no stage is the limit."""
        return reason(self._evidence()) if self.new else None

    @property
    def advice(self) -> list[str]:
        """What would make the next run faster or more complete, most useful first."""
        return advise(self._evidence())

    def _evidence(self) -> Evidence:
        """What is known of the output, and, if the last run had anything to do, of its stages."""
        counted = Evidence(
            total=self.total,
            succeeded=self.succeeded,
            failures=self.failures,
            failing_hosts=self.failing_hosts,
            set_aside=self.set_aside,
        )
        if not self.new:
            return counted
        return replace(
            counted,
            download_busy=self.download.busy_share if self.download else None,
            transform_busy=self.transform.busy_share if self.transform else None,
            queue_full=self.queue.full_share if self.queue else None,
            writer_busy=share(self.writer_busy_s, self.duration_s),
            parent_cpu=share(self.parent_cpu_s, self.duration_s),
            processes=self.transform.workers if self.transform else 0,
            cpus=self.cpus,
            shards=self.shards,
        )

    def to_json(self) -> dict[str, Any]:
        """The keys that users script against."""
        has_run = self.duration_s > 0
        return {
            "total": self.total,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
            "pending": self.pending,
            "failures": dict(self.failures),
            "skips": dict(self.skips),
            "bytes_downloaded": self.bytes_downloaded,
            "bytes_written": self.bytes_written,
            "duration_s": round(self.duration_s, 3),
            "succeeded_per_s": _rounded(self.new_succeeded / self.duration_s) if has_run else None,
            "attempted_per_s": _rounded(self.new / self.duration_s) if has_run else None,
            "stages": {
                "download": self.download and self.download.to_json("threads"),
                "transform": self.transform and self.transform.to_json("processes"),
            },
            "queue": self.queue and self.queue.to_json(),
            "bottleneck": self.bottleneck,
            "advice": self.advice,
            "peak_rss_bytes": {"parent": self.peak_rss_parent_bytes, "worker_max": self.peak_rss_worker_bytes},
            "versions": dict(self.versions),
            "new": self.new,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "statuses": {str(status): number for status, number in sorted(self.statuses.items())},
            "failing_hosts": [{"host": host, "items": items} for host, items in self.failing_hosts],
            "bottleneck_reason": self.bottleneck_reason,
            "parent_cpu_s": round(self.parent_cpu_s, 3),
            "pace": self.pace,
            "cautions": list(self.cautions),
            "left_alone": self.left_alone,
            "set_aside": [asdict(entry) for entry in self.set_aside[:_MAX_HOSTS_SHOWN]],
            "groups": {"new": len(self.groups), "first": self.groups[0], "last": self.groups[-1]}
            if self.groups
            else None,
            "shards": self.shards,
            "rebuilds": self.rebuilds,
            "interrupted": self.interrupted,
            "gave_up": self.gave_up,
        }


def merge(a: Summary, b: Summary) -> Summary:
    """The summary of two disjoint parts of a job, done at the same time. Associative; `Summary()` is neutral."""
    return Summary(
        total=a.total + b.total,
        succeeded=a.succeeded + b.succeeded,
        failed=a.failed + b.failed,
        skipped=a.skipped + b.skipped,
        pending=a.pending + b.pending,
        failures=_added(a.failures, b.failures),
        skips=_added(a.skips, b.skips),
        statuses=dict(Counter(a.statuses) + Counter(b.statuses)),
        failing_hosts=_merged_failing(a.failing_hosts, b.failing_hosts),
        bytes_downloaded=a.bytes_downloaded + b.bytes_downloaded,
        bytes_written=a.bytes_written + b.bytes_written,
        duration_s=max(a.duration_s, b.duration_s),
        new=a.new + b.new,
        new_succeeded=a.new_succeeded + b.new_succeeded,
        changed=a.changed + b.changed,
        unchanged=a.unchanged + b.unchanged,
        download=a.download.merged(b.download) if a.download and b.download else a.download or b.download,
        transform=a.transform.merged(b.transform) if a.transform and b.transform else a.transform or b.transform,
        queue=a.queue.merged(b.queue) if a.queue and b.queue else a.queue or b.queue,
        writer_busy_s=max(a.writer_busy_s, b.writer_busy_s),
        parent_cpu_s=max(a.parent_cpu_s, b.parent_cpu_s),
        cpus=a.cpus + b.cpus,
        peak_rss_parent_bytes=max(a.peak_rss_parent_bytes, b.peak_rss_parent_bytes),
        peak_rss_worker_bytes=max(
            (size for size in (a.peak_rss_worker_bytes, b.peak_rss_worker_bytes) if size is not None), default=None
        ),
        versions={**b.versions, **a.versions},
        pace=a.pace or b.pace,
        cautions=tuple(dict.fromkeys((*a.cautions, *b.cautions))),
        left_alone=a.left_alone + b.left_alone,
        set_aside=_merged_hosts(a.set_aside, b.set_aside),
        groups=(*a.groups, *b.groups),
        shards=max(a.shards, b.shards),
        rebuilds=a.rebuilds + b.rebuilds,
        interrupted=a.interrupted or b.interrupted,
        gave_up=a.gave_up or b.gave_up,
    )


def summary_of(counts: Counts) -> Summary:
    """The counts of a journal as a summary, without the figures of a run."""
    by_state = counts.by_state
    return Summary(
        total=sum(by_state.values()),
        succeeded=by_state[State.STORED],
        failed=by_state[State.FAILED],
        skipped=by_state[State.SKIPPED],
        pending=by_state[State.PENDING] + by_state[State.FETCHED] + by_state[State.TRANSFORMED],
        failures=counts.failures,
        skips=counts.skips,
        statuses=counts.statuses,
        failing_hosts=counts.failing_hosts,
        bytes_downloaded=counts.bytes_downloaded,
        bytes_written=counts.bytes_written,
    )


def share(part: float, whole: float) -> float | None:
    """A share between 0 and 1; None of nothing."""
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else None


def _added(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(a) + Counter(b))


def _merged_failing(a: Sequence[tuple[str, int]], b: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    merged = Counter(dict(a)) + Counter(dict(b))
    return tuple(sorted(merged.items(), key=lambda entry: (-entry[1], entry[0])))


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, 4)


def _merged_hosts(a: Sequence[SetAside], b: Sequence[SetAside]) -> tuple[SetAside, ...]:
    items = Counter({entry.host: entry.items for entry in a}) + Counter({entry.host: entry.items for entry in b})
    reasons = {entry.host: entry.reason for entry in (*b, *a)}
    merged = (SetAside(host=host, items=number, reason=reasons[host]) for host, number in items.items())
    return tuple(sorted(merged, key=lambda entry: (-entry.items, entry.host)))
