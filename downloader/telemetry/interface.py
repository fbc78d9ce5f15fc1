"""The protocol of an observer: told what happens in a run, changes nothing in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple, Protocol

from downloader.model.hosts import HostWait
from downloader.model.items import Fact


class ProcessUsage(NamedTuple):
    """What processes of one kind have used: CPU time since the run began, and resident memory now."""

    cpu_s: float = 0.0
    rss_bytes: int = 0

    def plus(self, other: "ProcessUsage") -> "ProcessUsage":
        """That of both together."""
        return ProcessUsage(self.cpu_s + other.cpu_s, self.rss_bytes + other.rss_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a run looked like at one moment.

    `at_s` is monotonic. `listed` counts the rows known so far, final once `planned`; `finished_before` of them had
    their outcome from an earlier run. `queue_depth` of `queue_size` messages wait for a transform process; both 0
    without a transform stage. `worker_rss_bytes` is the largest resident size of a transform process now.
    `received_bytes` came from servers so far, those of incomplete bodies too. `waits` are the hosts that are asked
    nothing for now. `in_hand` items are being downloaded or transformed; `is_stopping` says that no more will be.
    `parent`, `shards` and `workers` say what this process, the shards and the transform processes use.
    """

    at_s: float
    listed: int
    planned: bool
    finished_before: int
    queue_depth: int = 0
    queue_size: int = 0
    worker_rss_bytes: int | None = None
    received_bytes: int = 0
    waits: Sequence[HostWait] = ()
    in_hand: int = 0
    is_stopping: bool = False
    parent: ProcessUsage = ProcessUsage()
    shards: ProcessUsage = ProcessUsage()
    workers: ProcessUsage = ProcessUsage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """What stages show of themselves at one moment.

    `queue_depth` of `queue_size` messages wait for a transform process; both 0 without a transform stage. `in_hand`
    items are being downloaded or transformed, and `received_bytes` came from servers so far. `waited_s` is the time
    that threads have waited at that queue, together. `worker_rss_bytes` is the largest resident size of a transform
    process. `rebuilds` counts worker pools that were replaced, `threads` the downloads that there may be at a time.
    With `--threads auto`, `pace` gives the reason for that number. `transport` is the package that speaks HTTP.
    `shards` counts the processes that they are in, and `pids` are those of the processes that they have started.
    `shards_usage` says what these processes use, where there are shards, `workers` what the transform processes do.
    """

    queue_depth: int = 0
    queue_size: int = 0
    in_hand: int = 0
    received_bytes: int = 0
    waited_s: float = 0.0
    worker_rss_bytes: int | None = None
    rebuilds: int = 0
    threads: int = 0
    pace: str | None = None
    transport: str | None = None
    shards: int = 1
    pids: tuple[int, ...] = ()
    shards_usage: ProcessUsage = ProcessUsage()
    workers: ProcessUsage = ProcessUsage()

    def sample(
        self,
        *,
        at_s: float,
        listed: int,
        planned: bool,
        finished_before: int,
        waits: Sequence[HostWait],
        is_stopping: bool,
        parent: ProcessUsage,
    ) -> Sample:
        """A sample of the run with these gauges, and what else it is made of."""
        return Sample(
            at_s=at_s,
            listed=listed,
            planned=planned,
            finished_before=finished_before,
            queue_depth=self.queue_depth,
            queue_size=self.queue_size,
            worker_rss_bytes=self.worker_rss_bytes,
            received_bytes=self.received_bytes,
            waits=waits,
            in_hand=self.in_hand,
            is_stopping=is_stopping,
            parent=parent,
            shards=self.shards_usage,
            workers=self.workers,
        )


def together(every: Sequence[Gauges]) -> Gauges:
    """The gauges of several groups of stages as those of one."""
    sizes = [each.worker_rss_bytes for each in every if each.worker_rss_bytes is not None]
    return Gauges(
        queue_depth=sum(each.queue_depth for each in every),
        queue_size=sum(each.queue_size for each in every),
        in_hand=sum(each.in_hand for each in every),
        received_bytes=sum(each.received_bytes for each in every),
        waited_s=sum(each.waited_s for each in every),
        worker_rss_bytes=max(sizes, default=None),
        rebuilds=sum(each.rebuilds for each in every),
        threads=sum(each.threads for each in every),
        pace=next((each.pace for each in every if each.pace), None),
        transport=next((each.transport for each in every if each.transport), None),
        shards=sum(each.shards for each in every),
        shards_usage=reduce(ProcessUsage.plus, (each.shards_usage for each in every), ProcessUsage()),
        workers=reduce(ProcessUsage.plus, (each.workers for each in every), ProcessUsage()),
    )


class Observer(Protocol):
    """Hears every durable fact, from the writer thread, and a sample ten times a second, from the main thread."""

    def facts(self, facts: Sequence[Fact]) -> None:
        """A batch of facts has been recorded."""

    def sample(self, sample: Sample) -> None:
        """A moment has passed."""

    def close(self) -> None:
        """The run has ended."""


class Observers:
    """Tells several observers, in order; itself one."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)

    def facts(self, facts: Sequence[Fact]) -> None:
        """Pass a batch on."""
        for observer in self._observers:
            observer.facts(facts)

    def sample(self, sample: Sample) -> None:
        """Pass a sample on."""
        for observer in self._observers:
            observer.sample(sample)

    def close(self) -> None:
        """Pass the end on."""
        for observer in self._observers:
            observer.close()
