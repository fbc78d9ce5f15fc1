"""The plan of a run: rows of sources, named and entered into the journal; and the rules against mixing results."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from downloader.config.load import each_section
from downloader.config.settings import Settings
from downloader.errors import ConfigError
from downloader.journal import Journal, Namer, OverwritePolicy, RetryFilter
from downloader.model.items import Row
from downloader.stop import Stop

_FIRST_BATCH_ROWS, _MAX_BATCH_ROWS = 1000, 4000
"""Rows entered into the journal at once: few at first, for a quick start; more later, since that costs less a row."""

Batches = Iterator[tuple[int, int]]
"""For each batch that was entered: its rows, and how many of them had their outcome already."""


class Planner:
    """Enters a plan, batch by batch, in a thread of its own.

    Args:
        batches: enters the next batch each time it is asked.
        grew: called after each batch, and `complete` after the last, or when planning ends for another reason.
        stop: ends planning early.

    Attributes:
        listed: rows entered so far.
        finished_before: those of them that had their outcome from an earlier run.
        is_complete: whether no more rows will come.
    """

    def __init__(self, batches: Batches, *, grew: Callable[[], None], complete: Callable[[], None], stop: Stop) -> None:
        self._batches = batches
        self._grew = grew
        self._complete = complete
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
                self._grew()
                if self._stop.draining.is_set():
                    break
        finally:
            self.is_complete = True
            self._complete()


def plan_sources(journal: Journal, rows: Iterator[Row], names: Namer, overwrite: OverwritePolicy) -> Batches:
    """Enter the rows of sources."""
    listed = 0
    size = _FIRST_BATCH_ROWS
    while batch := list(islice(rows, size)):
        finished = journal.plan_rows(batch, listed, names, overwrite=overwrite)
        listed += len(batch)
        size = min(2 * size, _MAX_BATCH_ROWS)
        yield len(batch), finished


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
    root = Path(settings.output.output)
    if keeps_originals(earlier) != keeps_originals(settings):
        how = "with" if keeps_originals(earlier) else "without"
        raise ConfigError(
            f"{root}: made by an earlier run {how} --keep-originals, on which names of results depend; "
            "name another output with -o"
        )
    if settings.output.overwrite == "always":
        return
    old, new = _results(earlier), _results(settings)
    if different := [name for name in new if old[name] != new[name]]:
        raise ConfigError(
            f"{root}: made by an earlier run with another {', '.join(different)}; name another output "
            "with -o, or let --overwrite always make everything anew"
        )


def keeps_originals(settings: Settings) -> bool:
    """Whether originals are kept beside the results; the results of `fetch` are originals themselves."""
    return settings.output.keep_originals and settings.makes_images


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
