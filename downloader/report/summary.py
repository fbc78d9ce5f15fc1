"""The summary of a run: plain numbers in, one value out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_LIMITED_SHARE = 0.5
"""A queue that is full (or empty) more than half of the time says which side is slower."""
_BUSY_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFigures:
    """How a stage did: the shares of its workers' time that went into items, and into waiting for the next stage."""

    workers: int
    busy_share: float | None
    wait_share: float | None
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFigures:
    """How full the hand-off queue was, over many looks during the run."""

    size: int
    mean_depth: float | None
    full_share: float | None
    empty_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What an output holds (counts and bytes, over all runs on it) and how the last run went (the rest)."""

    total: int
    succeeded: int
    failed: int
    skipped: int
    pending: int
    failures: Mapping[str, int] = field(default_factory=dict)
    skips: Mapping[str, int] = field(default_factory=dict)
    bytes_downloaded: int = 0
    bytes_written: int = 0
    duration_s: float = 0.0
    succeeded_per_s: float | None = None
    attempted_per_s: float | None = None
    download: StageFigures | None = None
    transform: StageFigures | None = None
    queue: QueueFigures | None = None
    bottleneck: str | None = None
    advice: Sequence[str] = ()
    peak_rss_parent_bytes: int = 0
    peak_rss_worker_bytes: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    new: int = 0
    """Items that got their outcome in this run."""
    unchanged: int = 0
    """Those of them whose source had nothing new."""
    pace: str | None = None
    """Where the number of downloads at a time was to be found out: what it came to, and why."""
    cautions: Sequence[str] = ()
    """What the user should know of how the run was done."""
    left_alone: int = 0
    """Files of input folders that were not images by their names."""
    rebuilds: int = 0
    """How often the transform processes had to be replaced."""
    interrupted: bool = False
    gave_up: str | None = None
    """Why the run stopped before its end by itself."""

    def to_json(self) -> dict[str, Any]:
        """The keys that users script against."""
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
            "succeeded_per_s": _rounded(self.succeeded_per_s),
            "attempted_per_s": _rounded(self.attempted_per_s),
            "stages": {
                "download": _stage_json(self.download, "threads"),
                "transform": _stage_json(self.transform, "processes"),
            },
            "queue": {k: _rounded(v) for k, v in asdict(self.queue).items()} if self.queue else None,
            "bottleneck": self.bottleneck,
            "advice": list(self.advice),
            "peak_rss_bytes": {"parent": self.peak_rss_parent_bytes, "worker_max": self.peak_rss_worker_bytes},
            "versions": dict(self.versions),
            "new": self.new,
            "unchanged": self.unchanged,
            "pace": self.pace,
            "cautions": list(self.cautions),
            "left_alone": self.left_alone,
            "rebuilds": self.rebuilds,
            "interrupted": self.interrupted,
            "gave_up": self.gave_up,
        }


def _stage_json(stage: StageFigures | None, workers: str) -> dict[str, Any] | None:
    if stage is None:
        return None
    values = {name: _rounded(value) for name, value in asdict(stage).items()}
    return {workers: values.pop("workers"), **values}


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, 4)


def share(part_s: float, whole_s: float) -> float | None:
    """A share of time between 0 and 1; None where there was no time."""
    return min(max(part_s / whole_s, 0.0), 1.0) if whole_s > 0 else None


def bottleneck(
    download: StageFigures | None,
    transform: StageFigures | None,
    queue: QueueFigures | None,
    writer_share: float | None,
) -> str | None:
    """Which stage the others waited for: `download`, `transform`, `output`, or `none`."""
    if writer_share is not None and writer_share > _BUSY_SHARE:
        return "output"
    if queue is not None and transform is not None:
        if (queue.full_share or 0) > _LIMITED_SHARE:
            return "transform"
        if (transform.busy_share or 0) > _BUSY_SHARE:
            return "transform"
    if download is not None and (download.busy_share or 0) > _BUSY_SHARE:
        return "download"
    return "none"


def advise(limit: str | None, failures: Mapping[str, int], total: int, *, all_processors_used: bool) -> list[str]:
    """What would make the next run faster or more complete, most useful first."""
    advice = []
    if limit == "download":
        advice.append("downloads are the limit: more --threads may help, if the servers allow it")
    if limit == "transform" and not all_processors_used:
        advice.append("transforms are the limit: more --processes would help")
    if limit == "output":
        advice.append("writing is the limit: a faster disk for the output would help")
    if failures and total:
        kind, number = max(failures.items(), key=lambda entry: entry[1])
        if number * 10 >= total:
            advice.append(f"{number} of {total} items failed as {kind}: `status --items --kind {kind}` lists them")
    return advice
