"""Counting what a run has done so far."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Fact, Failed, Fetched, Skipped, Stored, Transformed, Unchanged, Url
from downloader.telemetry.interface import Sample

_BEFORE_TRANSFORM = frozenset({Stage.SOURCE, Stage.DOWNLOAD})


@dataclass(slots=True)
class RunCounters:
    """An observer; only the writer thread changes it, others may read."""

    fetched: int = 0
    transformed: int = 0
    succeeded: int = 0
    skipped: int = 0
    unchanged: int = 0
    changed: int = 0
    """Of those that succeeded, the ones whose source has another version than before."""
    ended_before_transform: int = 0
    """Items whose outcome came without bytes: failed, skipped or found unchanged while being fetched."""
    failed: "Counter[str]" = field(default_factory=Counter)
    """By failure kind."""
    statuses: "Counter[int]" = field(default_factory=Counter)
    """Failures with an HTTP status that says why, by that status."""
    bytes_downloaded: int = 0
    bytes_written: int = 0

    @property
    def failures(self) -> int:
        """Items that failed, whatever the kind."""
        return self.failed.total()

    @property
    def done(self) -> int:
        """Items with an outcome."""
        return self.succeeded + self.unchanged + self.skipped + self.failures

    def facts(self, facts: Sequence[Fact]) -> None:
        """Count a batch."""
        for fact in facts:
            self._count(fact)

    def _count(self, fact: Fact) -> None:
        match fact:
            case Fetched():
                self.fetched += 1
                if isinstance(fact.item.what, Url):
                    self.bytes_downloaded += fact.bytes
            case Transformed():
                self.transformed += 1
            case Stored():
                self.succeeded += 1
                self.changed += fact.item.previous is not None
                self.bytes_written += sum(output.bytes for output in fact.outputs)
            case Unchanged():
                self.unchanged += 1
                self.ended_before_transform += 1
            case Failed():
                self.failed[fact.kind] += 1
                if fact.kind is FailureKind.HTTP_STATUS and fact.http_status:
                    self.statuses[fact.http_status] += 1
                self.ended_before_transform += fact.stage in _BEFORE_TRANSFORM
            case Skipped():
                self.skipped += 1
                self.ended_before_transform += fact.stage in _BEFORE_TRANSFORM

    def sample(self, sample: Sample) -> None:
        """Nothing is counted by samples."""

    def close(self) -> None:
        """There is nothing to release."""
