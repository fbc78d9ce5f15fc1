"""The journal as one object, which threads share."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from downloader.journal import bodies, excerpts, facts, groups, planning, schema, shape, views
from downloader.journal.database import Database
from downloader.journal.excerpts import StoredItem
from downloader.journal.planning import NameOptions, Namer, OverwritePolicy, Plan, RetryFilter
from downloader.journal.shape import ItemShape
from downloader.journal.views import CommonFailure, Written
from downloader.model.counts import Counts, FailureGroup
from downloader.model.groups import Extent, GroupState, RecordedRow
from downloader.model.items import Fact, Fetched, Item, Row
from downloader.model.states import TERMINAL, State


class Journal:
    """The items of one output folder.

    With `read_only` nothing is changed, neither the file nor what lies beside it; `in_use` then says that a run has it
    open. Raises JournalError wherever the file cannot be opened, read or written.
    """

    def __init__(self, path: Path, *, read_only: bool = False, in_use: bool = False) -> None:
        self._database = Database(path, read_only=read_only, in_use=in_use)
        try:
            self._plan = Plan(self._database)
        except BaseException:
            self._database.close()
            raise
        self._tracks_bodies = False

    def close(self) -> None:
        """Close the file; committed batches are in it."""
        self._database.close()

    def meta(self, name: str) -> str | None:
        """A remembered text, or None."""
        return self._database.meta(name)

    def set_meta(self, name: str, value: str) -> None:
        """Remember a text."""
        self._database.set_meta(name, value)

    # -- the planner writes --------------------------------------------------------------------------------------------

    def begin_plan(self, *, track_bodies: bool = False) -> None:
        """Start a new plan: only rows that are planned from here on belong to this run.

        `track_bodies`: remember which item had which bytes first, for `find_duplicate`.
        """
        self._tracks_bodies = track_bodies
        self._plan.begin()

    def plan_rows(
        self, rows: Sequence[Row], first_index: int, names: Namer, *, overwrite: OverwritePolicy = "never"
    ) -> int:
        """Enter a batch of rows into the plan, in one transaction; returns how many have their outcome already.

        A row that an earlier run planned keeps its name and its outcome, unless `overwrite` says otherwise. The n-th
        listing of one source is an item of its own. Names are claimed in the order of the rows, whatever the timing.
        """
        return self._plan.enter(rows, first_index, names, overwrite)

    def plan_again(self, wanted: RetryFilter, *, batch: int = 1000) -> Iterator[int]:
        """Enter into the plan what failed and is wanted, and what has no outcome; yields the size of each batch.

        No source is read: the rows of all runs on this output are examined. A part of a body stays with its item.
        """
        return self._plan.enter_again(wanted, batch)

    # -- the writer writes ---------------------------------------------------------------------------------------------

    def record(self, batch: Sequence[Fact]) -> None:
        """Make a batch of facts durable, in order, all or none.

        Raises:
            IllegalTransition: a fact does not fit the state of its item; nothing of the batch is kept.
        """
        if batch:
            with self._database.transaction() as connection:
                facts.record(connection, batch, track_bodies=self._tracks_bodies)

    def rename(self, item: Item, names: NameOptions) -> Item:
        """Give a pending item the first of the names that no other item owns; returns the item with its new name."""
        with self._database.transaction() as connection:
            return planning.rename(connection, item, names)

    def requeue(self, ids: Sequence[int], state: State = State.STORED) -> None:
        """Have items that are in this state done again, by the next run that lists them or by `plan_again`."""
        with self._database.transaction() as connection:
            facts.requeue(connection, state, ids)

    def index_hosts(self) -> None:
        """Make `open_urls_of_host` fast, if it is not yet; takes about a second for a million rows."""
        with self._database.transaction() as connection:
            connection.execute(schema.HOST_INDEX)

    # -- groups of results ---------------------------------------------------------------------------------------------

    def groups(self, state: GroupState) -> list[int]:
        """The numbers of the groups in this state, in order."""
        return groups.in_state(self._database, state)

    def next_group(self) -> int:
        """The number after the last one that a group ever had."""
        return groups.next_number(self._database)

    def group_extent(self, number: int) -> Extent:
        """How many rows a group has that is not sealed, and how long its file is with them."""
        return groups.extent(self._database, number)

    def group_rows(self, number: int) -> Iterator[RecordedRow]:
        """The rows of a group that is not sealed, in order, one at a time."""
        return groups.rows(self._database, number)

    def columns_of(self, ids: Sequence[int]) -> dict[int, dict[str, str]]:
        """The columns of those of the items that have any."""
        return groups.columns_of(self._database, ids)

    def begin_sealing(self, number: int) -> None:
        """Let a group take no more rows; on return this and all rows survive a power cut too."""
        groups.begin_sealing(self._database, number)

    def end_sealing(self, number: int) -> None:
        """Remember that the files of a group are complete, and forget its rows."""
        with self._database.transaction() as connection:
            groups.close(connection, number, GroupState.SEALED)

    def abandon_group(self, number: int) -> None:
        """Give up a group of which the file is lost: its items are to be done again."""
        with self._database.transaction() as connection:
            for state in TERMINAL:
                facts.requeue(connection, state, groups.items(connection, number, state))
            groups.close(connection, number, GroupState.ABANDONED)

    # -- all read ------------------------------------------------------------------------------------------------------

    def open_urls(self, after: int, limit: int) -> list[tuple[int, Item]]:
        """The next pending URLs of this run, in order, with their sequence numbers; `after` 0 is before all."""
        return views.open_urls(self._database, self._plan, after, limit)

    def open_urls_of_host(self, host: str, first: int, last: int, limit: int) -> list[tuple[int, Item]]:
        """The same of one host, between two sequence numbers of this run, both included."""
        return views.open_urls_of_host(self._database, self._plan, host, first, last, limit)

    def open_local(self, after: int, limit: int) -> list[tuple[int, Item | Fetched]]:
        """The next items of this run that are open and need no download, in order, with their sequence numbers.

        These are files, rows that cannot be used, and bytes that an earlier run has fetched.
        """
        return views.open_local(self._database, self._plan, after, limit)

    def fetched(self) -> list[Fetched]:
        """Every item of any run whose last durable fact is `Fetched`, for the look at staged files after a crash."""
        return views.fetched(self._database, self._plan)

    def parts(self) -> list[str]:
        """The names of the staged files that hold a part of an item which is not done."""
        return views.part_names(self._database)

    def find_duplicate(self, item: Item, sha256: str) -> str | None:
        """The source of another item that had these very bytes first; None where there is none.

        The first one owns the bytes, in all runs on this output, until it fails or its own bytes change.
        """
        return bodies.find_duplicate(self._database, item, sha256)

    def counts(self) -> Counts:
        """How many items stand where, over all runs on this output."""
        return views.counts(self._database)

    def unaccounted(self) -> int:
        """How many items of this plan have no outcome."""
        return views.unaccounted(self._database, self._plan)

    def common_failure(self) -> CommonFailure | None:
        """What the failures of this plan have in common; None without failures."""
        return views.common_failure(self._database, self._plan)

    def written(self, after_id: int, limit: int) -> list[Written]:
        """The next items that have results, after an id, with the files they own."""
        return views.written(self._database, after_id, limit)

    def unowned(self, paths: Sequence[str]) -> list[str]:
        """Those of the paths (relative to the output folder) that belong to no item."""
        return views.unowned(self._database, paths)

    def snapshot(self) -> AbstractContextManager[None]:
        """Within the block this thread reads one moment of the journal, also during a run; it may not write."""
        return self._database.snapshot()

    def shape(self) -> ItemShape:
        """What the items hold: types of kept columns, and variants of files; reads all of them."""
        return shape.shape(self._database)

    def records(self, *, state: str | None = None, kind: str | None = None) -> Iterator[dict[str, Any]]:
        """The items as `status --items` shows them, in list order, one at a time."""
        return views.records(self._database, state, kind)

    # -- for the report ------------------------------------------------------------------------------------------------

    def failure_groups(self, limit: int) -> tuple[list[FailureGroup], int]:
        """The largest groups of failures, over all runs, and how many groups there are."""
        return excerpts.failure_groups(self._database, limit)

    def sources(self, ids: Iterable[int]) -> dict[int, str]:
        """The masked sources of items."""
        return excerpts.sources(self._database, ids)

    def stored_samples(self, number: int) -> list[StoredItem]:
        """Up to so many items that succeeded, from evenly spread places of the list."""
        return excerpts.stored_samples(self._database, number)

    def timings(self, number: int) -> list[dict[str, float]]:
        """Seconds by phase of up to so many items, from evenly spread places of the list."""
        return excerpts.timings(self._database, number)
