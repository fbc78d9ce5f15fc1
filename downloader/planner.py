"""The plan of a run: rows of sources, named and entered into the journal; and the rules against mixing results."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar

from downloader.config.load import each_section
from downloader.config.settings import Settings
from downloader.errors import ConfigError, SourceError
from downloader.journal import Journal, Namer, OverwritePolicy, RetryFilter
from downloader.model.items import Item, Row
from downloader.model.urls import host_of
from downloader.scheduling.scheduler import Entry
from downloader.stop import Stop

Task = TypeVar("Task")

_FIRST_BATCH_ROWS, _MAX_BATCH_ROWS = 1000, 4000
"""Rows entered into the journal at once: few at first, for a quick start; more later, since that costs less a row."""

Batches = Iterator[tuple[int, int]]
"""For each batch that was entered: its rows, and how many of them had their outcome already; 0 if none have come."""


class PlanReader(Protocol):
    """A reader of the plan, told of its growth."""

    def plan_grew(self) -> None:
        """Rows were added to the plan."""

    def plan_complete(self) -> None:
        """No more rows will be added to the plan."""


class Planner:
    """Enters a plan, batch by batch, in a thread of its own.

    Args:
        batches: enters the next batch each time it is asked.
        readers: who reads the plan meanwhile.
        stop: ends planning early.

    Attributes:
        listed: rows entered so far.
        finished_before: those of them that had their outcome from an earlier run.
        is_complete: whether no more rows will come.
    """

    def __init__(self, batches: Batches, readers: Sequence[PlanReader], stop: Stop) -> None:
        self._batches = batches
        self._readers = readers
        self._stop = stop
        self.listed = 0
        self.finished_before = 0
        self.is_complete = False

    def run(self) -> None:
        """Plan until there is nothing more, or the run stops."""
        try:
            for rows, finished in self._batches:
                self.listed += rows
                self.finished_before += finished
                for reader in self._readers if rows else ():
                    reader.plan_grew()
                if self._stop.draining.is_set():
                    break
        finally:
            self.is_complete = True
            for reader in self._readers:
                reader.plan_complete()


class UrlRows(Generic[Task]):
    """The URLs of a plan, for the scheduler.

    Args:
        journal: holds the plan.
        call: runs something in the thread that writes to the journal.
        task_of: what is to be done with an item.
    """

    def __init__(
        self, journal: Journal, call: Callable[[Callable[[], None]], None], task_of: Callable[[Item], Task]
    ) -> None:
        self._journal = journal
        self._call = call
        self._task_of = task_of
        self._is_indexed = False

    def following(self, sequence: int, limit: int) -> list[Entry[Task]]:
        """The next pending URLs after a sequence number."""
        return self._entries(self._journal.open_urls(sequence, limit))

    def of_host(self, host: str, first: int, last: int, limit: int) -> list[Entry[Task]]:
        """The next pending URLs of a host, between two sequence numbers, both included."""
        if not self._is_indexed:
            self._call(self._journal.index_hosts)
            self._is_indexed = True
        return self._entries(self._journal.open_urls_of_host(host, first, last, limit))

    def _entries(self, rows: Sequence[tuple[int, Item]]) -> list[Entry[Task]]:
        return [Entry(number, host_of(item.source), self._task_of(item)) for number, item in rows]


def plan_sources(journal: Journal, rows: Iterator[Row | None], names: Namer, overwrite: OverwritePolicy) -> Batches:
    """Enter the rows of sources; None says that no other row has come yet, and those before need not wait for it.

    Where a source breaks off, those before are entered before that ends the run.
    """
    listed = 0
    size = _FIRST_BATCH_ROWS
    while True:
        batch, end = _next_rows(rows, size)
        finished = journal.plan_rows(batch, listed, names, overwrite=overwrite) if batch else 0
        listed += len(batch)
        size = min(2 * size, _MAX_BATCH_ROWS)
        yield len(batch), finished
        if isinstance(end, SourceError):
            raise end
        if end:
            return


def _next_rows(rows: Iterator[Row | None], size: int) -> tuple[list[Row], SourceError | bool]:
    """At most so many rows, fewer if no more have come; whether these are the last, or why there will be no more."""
    batch: list[Row] = []
    try:
        for row in islice(rows, size):
            if row is None:
                return batch, False
            batch.append(row)
    except SourceError as problem:
        return batch, problem
    return batch, len(batch) < size


def plan_retry(journal: Journal, wanted: RetryFilter) -> Batches:
    """Enter what failed and is wanted again, and what has no outcome; no source is read."""
    return ((rows, 0) for rows in journal.plan_again(wanted))


def check_same_results(earlier: Settings | None, settings: Settings) -> None:
    """Refuse to mix two kinds of results in one output.

    Raises:
        ConfigError: an earlier run made other results there; names the difference.
    """
    if earlier is None:
        return
    root = settings.output.output
    if earlier.keeps_originals != settings.keeps_originals:
        how = "with" if earlier.keeps_originals else "without"
        raise ConfigError(
            f"{root}: made by an earlier run {how} --keep-originals, on which names of results depend; "
            "name another output with -o"
        )
    if earlier.source.bbox_column != settings.source.bbox_column:
        raise ConfigError(
            f"{root}: made by an earlier run with another --bbox-column; known items keep the boxes that they had, so "
            "some would not be blurred; name another output with -o"
        )
    if packing := _packing_differs(earlier, settings):
        raise ConfigError(f"{root}: made by an earlier run with another {packing}; name another output with -o")
    if settings.output.overwrite == "always":
        return
    old, new = _results(earlier), _results(settings)
    if different := [name for name in new if old[name] != new[name]]:
        raise ConfigError(
            f"{root}: made by an earlier run with another {', '.join(different)}; name another output "
            "with -o, or let --overwrite always make everything anew"
        )


def _packing_differs(earlier: Settings, settings: Settings) -> str:
    """The options on which packing depends and that differ: one output is one dataset, with the same columns."""
    if earlier.output.sink != settings.output.sink:
        return "--sink"
    if not settings.makes_groups:
        return ""
    old, new = (
        {
            "--shard-size": each.output.shard_size,
            "--image-column": each.output.image_column if each.output.sink == "parquet" else None,
            "--caption-column": each.source.caption_column,
            "--keep-columns": each.source.keep_columns,
        }
        for each in (earlier, settings)
    )
    return ", ".join(name for name in new if old[name] != new[name])


def _results(settings: Settings) -> dict[str, object]:
    """The settings on which results depend: they must not change between runs on one output."""
    limits = {"item_timeout", "worker_memory", "max_pixels"}
    values = {
        f"{table}.{name}".removeprefix("transform."): getattr(section, name) if settings.makes_images else None
        for table, section in each_section(settings)
        if table.partition(".")[0] == "transform"
        for name in section.options()
        if name not in limits
    }
    return {"kind of result": "images" if settings.makes_images else "bytes", **values}
