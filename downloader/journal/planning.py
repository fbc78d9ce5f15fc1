"""Rows into the plan: each becomes an item, new or known from an earlier run, under an output name of its own.

A batch of rows is planned in one transaction and in three steps: look up what the journal has of all of them, decide
row by row, write all. The names are those that one row after the other would get.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from downloader.errors import JournalError
from downloader.journal import facts
from downloader.journal.columns import encode_text, encode_what
from downloader.journal.database import Database
from downloader.journal.keys import hash_of, make_key
from downloader.journal.schema import OTHER_OPEN
from downloader.model.failures import FailureKind
from downloader.model.items import Item, OutputName, Row, Url
from downloader.model.states import TERMINAL, State
from downloader.model.urls import host_of

OverwritePolicy = Literal["never", "changed", "always"]
"""Which items that have an outcome are done again. `changed` are those that were stored, and may differ now."""
RetryFilter = Callable[[FailureKind, int | None], bool]
"""Whether an item that failed with this kind and HTTP status is done again."""
NameOptions = Iterator[tuple[str, OutputName]]
"""Output names to try in order, each with its folded form. The last ones hold the whole key, so one of them is free."""
Namer = Callable[[Row, int, str], NameOptions]
"""The names for a row, given its index in the list and its key."""

_MAX_VALUES = 900
"""Values looked up by one statement; older SQLite takes 999."""


# Parameters by place in what is done for every row of a plan: by name they take 1 us more, of 16 us a row.
_INSERT = f"""
INSERT INTO items (hash, key, source, what, detail, host, fold, stem, extension, columns, request, sequence, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{State.PENDING}')
"""  # noqa: S608 - constant
_SET_SEQUENCE = "UPDATE items SET sequence = ?, repeats = 0 WHERE id = ?"
_SET_REPEATS = "UPDATE items SET repeats = :repeats WHERE hash = :hash AND key = :key"
_OPEN_OR_FAILED = """
SELECT id, state, kind, http_status FROM items
WHERE id > :after AND state IN ('pending', 'fetched', 'transformed', 'failed') ORDER BY id LIMIT :limit
"""
_RENAME = """
UPDATE items SET fold = :fold, stem = :stem, extension = :extension
WHERE id = :id AND state = 'pending' AND NOT EXISTS (
    SELECT 1 FROM items
    WHERE fold = :fold AND id != :id AND (extension IS NULL OR :extension IS NULL OR extension = :extension))
"""
_STAGED_BEFORE = f"""
CREATE TEMP TABLE IF NOT EXISTS staged_before (id INTEGER PRIMARY KEY);
DELETE FROM temp.staged_before;
INSERT INTO temp.staged_before
    SELECT id FROM items INDEXED BY items_other_open WHERE {OTHER_OPEN} AND what = 'url';
"""  # noqa: S608 - constant
"""Items whose bytes were downloaded before this run: only they are ready for the next stage without being fetched."""


class Plan:
    """The rows that this run has listed, as a range of sequence numbers; before it are those of earlier runs.

    Attributes:
        first_sequence: of the rows of this run, or of the last one before a run begins.
        last_known_id: of the items of earlier runs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sequence = int(database.meta("sequence") or 0)
        """Of the row that was listed last."""
        self.first_sequence = int(database.meta("first_sequence") or 1)
        self.last_known_id = 0

    def begin(self) -> None:
        """Start a new plan, empty at first."""
        self.first_sequence = self._sequence + 1
        self._database.set_meta("first_sequence", str(self.first_sequence))
        self.last_known_id = self._database.query("SELECT coalesce(max(id), 0) AS id FROM items")[0]["id"]
        with self._database.locked() as connection:
            connection.executescript(_STAGED_BEFORE)

    def enter(self, rows: Sequence[Row], first_index: int, names: Namer, overwrite: OverwritePolicy) -> int:
        """Plan a batch of rows, in one transaction; returns how many of them have their outcome already."""
        with self._database.transaction() as connection:
            batch = _Batch(connection, self.first_sequence, self._sequence + 1)
            batch.identify(rows, first_index)
            batch.choose_names(names)
            finished = batch.apply(overwrite)
            batch.write()
            self._store_sequence(self._sequence + len(rows))
        return finished

    def enter_again(self, wanted: RetryFilter, batch: int) -> Iterator[int]:
        """Plan what has no outcome, and of what failed that which is wanted again; yields the size of each batch."""
        last_id = 0
        while True:
            with self._database.transaction() as connection:
                rows = connection.execute(_OPEN_OR_FAILED, {"after": last_id, "limit": batch}).fetchall()
                failed = [row for row in rows if row["state"] == State.FAILED]
                unwanted = {row["id"] for row in failed if not wanted(FailureKind(row["kind"]), row["http_status"])}
                facts.requeue(connection, State.FAILED, [row["id"] for row in failed if row["id"] not in unwanted])
                chosen = [row["id"] for row in rows if row["id"] not in unwanted]
                _set_sequences(connection, enumerate(chosen, self._sequence + 1))
                self._store_sequence(self._sequence + len(chosen))
            if not rows:
                return
            last_id = rows[-1]["id"]
            yield len(chosen)

    def _store_sequence(self, sequence: int) -> None:
        # If the transaction fails after all, some numbers are never used.
        self._database.set_meta("sequence", str(sequence))
        self._sequence = sequence


@dataclass(slots=True)
class _Known:
    """What the journal has of a row. `listings` is how often this run has listed its source so far."""

    id: int
    state: State
    listings: int


class _Entry:
    """A row on its way into the plan.

    Attributes:
        row: as the source read it; `index` is its place in the list.
        key: identifies its item; `hash` is what the item is looked up by.
        known: what the journal has of the item; None for a new one.
        fold, name: the output name of a new item; `options` are the names to try after it.
    """

    __slots__ = ("fold", "hash", "index", "key", "known", "name", "options", "row")
    fold: str
    name: OutputName
    options: NameOptions

    def __init__(self, row: Row, index: int) -> None:
        self.row = row
        self.index = index
        self.key = make_key(row, 0)
        self.hash = hash_of(self.key)
        self.known: _Known | None = None

    def repeat(self, occurrence: int) -> None:
        """Identify another item: the source was listed before."""
        self.key = make_key(self.row, occurrence)
        self.hash = hash_of(self.key)

    def propose(self, names: Namer) -> None:
        """Take the first name as a proposal."""
        self.options = names(self.row, self.index, self.key.hex())
        self.fold, self.name = next(self.options)

    def propose_next(self) -> None:
        """Take the next name as a proposal."""
        option = next(self.options, None)
        if option is None:
            raise JournalError(f"{self.row.source}: no free output name")
        self.fold, self.name = option


class _Batch:
    """Rows that are planned together, within one transaction. Its methods are called once each, in this order."""

    def __init__(self, connection: sqlite3.Connection, run_starts_at: int, sequence: int) -> None:
        self._connection = connection
        self._run_starts_at = run_starts_at
        self._sequence = sequence
        """Of the first row of the batch."""
        self._entries: list[_Entry] = []
        self._repeats: dict[bytes, int] = {}
        """How often this run has listed a source again, by the key of its first listing, where this batch did so."""

    def identify(self, rows: Sequence[Row], first_index: int) -> None:
        """Find out which item each row is: the n-th listing of a source in this run is an item of its own."""
        self._entries = entries = [_Entry(row, index) for index, row in enumerate(rows, first_index)]
        known = self._look_up(entries)
        listings = {key: found.listings for key, found in known.items()}
        repeated = []
        for entry in entries:
            occurrence = listings.get(entry.key, 0)
            listings[entry.key] = occurrence + 1
            if occurrence:
                self._repeats[entry.key] = occurrence
                entry.repeat(occurrence)
                repeated.append(entry)
        known |= self._look_up(repeated)
        if known:
            for entry in entries:
                entry.known = known.get(entry.key)

    def _look_up(self, entries: Sequence[_Entry]) -> dict[bytes, _Known]:
        sql = "SELECT key, id, state, sequence, repeats FROM items WHERE hash"
        return {
            key: _Known(item_id, State(state), repeats + 1 if sequence >= self._run_starts_at else 0)
            for key, item_id, state, sequence, repeats in _select_among(
                self._connection, sql, [entry.hash for entry in entries]
            )
        }

    def choose_names(self, names: Namer) -> None:
        """Give each new item the first of its names that no other item owns."""
        new = [entry for entry in self._entries if entry.known is None]
        for entry in new:
            entry.propose(names)
        owned = _OwnedNames(self._connection, [entry.fold for entry in new])
        for entry in new:
            while not owned.claim(entry.fold, entry.name.extension):
                entry.propose_next()

    def apply(self, overwrite: OverwritePolicy) -> int:
        """Requeue or recheck items that have an outcome, as the policy says; returns how many keep theirs."""
        known = [entry.known for entry in self._entries if entry.known is not None]
        finished = [item for item in known if item.state in TERMINAL]
        if overwrite == "always":
            for state in TERMINAL:
                facts.requeue(self._connection, state, [item.id for item in finished if item.state is state])
            return 0
        if overwrite == "changed":
            stored = [item.id for item in finished if item.state is State.STORED]
            facts.recheck(self._connection, stored)
            return len(finished) - len(stored)
        return len(finished)

    def write(self) -> None:
        """Enter new items, and the place in the plan of those that are known."""
        places = list(enumerate(self._entries, self._sequence))
        _set_sequences(self._connection, ((place, entry.known.id) for place, entry in places if entry.known))
        self._connection.executemany(_INSERT, [_new_item(entry, place) for place, entry in places if not entry.known])
        repeats = [{"repeats": n, "hash": hash_of(key), "key": key} for key, n in self._repeats.items()]
        self._connection.executemany(_SET_REPEATS, repeats)


class _OwnedNames:
    """Which output names items own, as far as it was looked up."""

    def __init__(self, connection: sqlite3.Connection, folds: Sequence[str]) -> None:
        self._connection = connection
        self._extensions: dict[str, list[str | None]] = {}
        """By folded stem, in lower case; None stands for all extensions."""
        self._look_up(folds)

    def _look_up(self, folds: Sequence[str]) -> None:
        self._extensions.update((fold, []) for fold in folds)
        for fold, extension in _select_among(self._connection, "SELECT fold, extension FROM items WHERE fold", folds):
            self._extensions[fold].append(extension and extension.lower())

    def claim(self, fold: str, extension: str | None) -> bool:
        """Own a name from now on; false where it is owned already."""
        if fold not in self._extensions:
            self._look_up([fold])
        owned = self._extensions[fold]
        extension = extension and extension.lower()
        if owned and (extension is None or None in owned or extension in owned):
            return False
        owned.append(extension)
        return True


def _set_sequences(connection: sqlite3.Connection, places: Iterable[tuple[int, int]]) -> None:
    connection.executemany(_SET_SEQUENCE, places)


def _new_item(entry: _Entry, sequence: int) -> tuple[object, ...]:
    """The parameters of `_INSERT`."""
    row, name = entry.row, entry.name
    host = encode_text(host_of(row.what.url)) if isinstance(row.what, Url) else ""
    columns = json.dumps(dict(row.columns)) if row.columns else None
    request = json.dumps(asdict(row.request)) if row.request else None
    return (
        entry.hash,
        entry.key,
        encode_text(row.source),
        *encode_what(row.what),
        host,
        entry.fold,
        name.stem,
        name.extension,
        columns,
        request,
        sequence,
    )


def _select_among(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
    """The rows of a SELECT that ends in a column, where it has one of the values; tuples, since there are many."""
    cursor = connection.cursor()
    cursor.row_factory = None
    for start in range(0, len(values), _MAX_VALUES):
        some = values[start : start + _MAX_VALUES]
        yield from cursor.execute(f"{sql} IN ({','.join('?' * len(some))})", some)


def rename(connection: sqlite3.Connection, item: Item, names: NameOptions) -> Item:
    """Give a pending item the first of the names that no other item owns."""
    for fold, name in names:
        values = {"fold": fold, "stem": name.stem, "extension": name.extension, "id": item.id}
        if connection.execute(_RENAME, values).rowcount == 1:
            return replace(item, name=name)
    raise JournalError(f"{item.source}: no free output name")
