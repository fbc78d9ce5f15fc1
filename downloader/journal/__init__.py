"""The durable memory of a run: one SQLite file that says where every item stands.

The only user of sqlite3, and the only caller of `advance`. Facts come from one writer in batches, each batch one
transaction; rows come from one planner. One connection behind one lock serves both and the readers: statements are
short, and a second writer on a SQLite file would only wait for the first.

WAL with `synchronous=NORMAL`: after a kill -9 every committed batch is there; after a power cut the last ones may be
missing, which costs work done again but never a wrong outcome, since outputs are made durable before their rows (see
`sinks.files`).
"""

import json
import sqlite3  # noqa: TID251 - its home
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from downloader.errors import JournalError
from downloader.model.counts import Counts
from downloader.model.failures import FailureKind
from downloader.model.items import (
    Fact,
    Failed,
    Fetched,
    File,
    FileSpan,
    Invalid,
    Item,
    Location,
    Output,
    OutputName,
    Part,
    Partial,
    PreviousResult,
    RecheckRequested,
    Request,
    Requeued,
    Row,
    Segment,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
    Url,
    Validator,
)
from downloader.model.spans import Spans, seconds_by_phase
from downloader.model.states import TERMINAL, State, advance
from downloader.model.urls import host_of, masked

SCHEMA_VERSION = 5
FILE_NAME = "journal.sqlite3"

_ITEMS = """
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    hash INTEGER NOT NULL,         -- the first 64 bits of the key: rows are found by it, as a small index is a fast one
    key BLOB NOT NULL,             -- sha256 of source and occurrence; no two rows have the same
    source TEXT NOT NULL,
    what TEXT NOT NULL,            -- url, file, span (of a file) or invalid
    detail TEXT,                   -- span: JSON array of path, offset, length; invalid: why
    host TEXT NOT NULL,            -- of a URL; empty for files
    fold TEXT NOT NULL,            -- claimed output name, folded for case-insensitive file systems
    stem TEXT NOT NULL,
    extension TEXT COLLATE NOCASE, -- NULL: the item owns the stem with every extension
    columns TEXT,                  -- JSON object
    request TEXT,                  -- JSON object: mirrors, headers, checksum
    sequence INTEGER NOT NULL,         -- place among all rows that were listed, in all runs; of the last time it was
    repeats INTEGER NOT NULL DEFAULT 0,  -- how often that run listed the same source again
    state TEXT NOT NULL,
    stage TEXT, kind TEXT, message TEXT,
    http_status INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
    final_url TEXT, media_type TEXT, bytes INTEGER, sha256 TEXT,
    path TEXT, staged INTEGER,     -- where fetched bytes lie, while they do
    width INTEGER, height INTEGER,
    bytes_written INTEGER NOT NULL DEFAULT 0,
    outputs TEXT, warnings TEXT, timings TEXT,  -- JSON
    part TEXT,                     -- JSON object: how much of the bytes a staged file holds, of which version
    version TEXT                   -- JSON object: which version of the source was fetched last
);
"""
_OPEN = "(state = 'pending' OR state = 'fetched' OR state = 'transformed')"
"""What has no outcome yet. In an index, `IN` with more than two values costs far more: SQLite would build a table of
them for every row that is entered, a tenth of the time of planning."""
_LIVE_INDEX = f"CREATE INDEX items_live ON items (sequence) WHERE {_OPEN};"
_INDEXES = f"""
CREATE INDEX items_hash ON items (hash);
CREATE INDEX items_fold ON items (fold);
{_LIVE_INDEX}
CREATE INDEX items_part ON items (id) WHERE part IS NOT NULL;
"""
_SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE bodies (sha256 TEXT PRIMARY KEY, item INTEGER NOT NULL) WITHOUT ROWID;  -- whose bytes they were first
{_ITEMS}{_INDEXES}
"""
_HOST_INDEX = f"CREATE INDEX IF NOT EXISTS items_host ON items (host, sequence) WHERE {_OPEN}"
"""Made when it is first asked for: with many hosts it takes a third of the time of planning, and is needed rarely."""

_ITEMS_3 = """
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    hash INTEGER NOT NULL,
    key BLOB NOT NULL,
    source TEXT NOT NULL,
    origin TEXT NOT NULL,
    host TEXT NOT NULL,
    fold TEXT NOT NULL,
    stem TEXT NOT NULL,
    extension TEXT COLLATE NOCASE,
    columns TEXT,
    request TEXT,
    turn INTEGER NOT NULL,
    repeats INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    stage TEXT, kind TEXT, message TEXT,
    http_status INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
    final_url TEXT, media_type TEXT, bytes INTEGER, sha256 TEXT,
    path TEXT, staged INTEGER,
    width INTEGER, height INTEGER,
    bytes_written INTEGER NOT NULL DEFAULT 0,
    outputs TEXT, warnings TEXT, timings TEXT,
    part TEXT,
    version TEXT
);
"""
"""The table of version 3, for the migration to it."""
_MIGRATIONS = {
    1: """
CREATE TABLE bodies (sha256 TEXT PRIMARY KEY, item INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE items ADD COLUMN part TEXT;
ALTER TABLE items ADD COLUMN version TEXT;
CREATE INDEX items_part ON items (id) WHERE part IS NOT NULL;
""",
    2: f"""
DROP INDEX items_fold; DROP INDEX items_live; DROP INDEX items_host; DROP INDEX items_part;
ALTER TABLE items RENAME TO old;
{_ITEMS_3}
INSERT INTO items SELECT id, hash_of(key), key, source, origin, host, fold, stem, extension, columns, request, id,
    repeats, state, stage, kind, message, http_status, attempts, final_url, media_type, bytes, sha256, path, staged,
    width, height, bytes_written, outputs, warnings, timings, part, version FROM old;
DROP TABLE old;
INSERT OR REPLACE INTO meta SELECT 'turn', coalesce(max(id), 0) FROM items;
CREATE INDEX items_hash ON items (hash);
CREATE INDEX items_fold ON items (fold);
CREATE INDEX items_live ON items (turn) WHERE {_OPEN};
CREATE INDEX items_part ON items (id) WHERE part IS NOT NULL;
""",  # noqa: S608 - constants
    3: f"""
DROP INDEX items_live; DROP INDEX IF EXISTS items_host; CREATE INDEX items_live ON items (turn) WHERE {_OPEN};
""",
    4: """
ALTER TABLE items RENAME COLUMN origin TO what;
ALTER TABLE items RENAME COLUMN turn TO sequence;
ALTER TABLE items ADD COLUMN detail TEXT;
UPDATE items SET what = 'invalid', detail = json_extract(request, '$.fault')
    WHERE json_extract(request, '$.fault') IS NOT NULL;
UPDATE items SET request = json_remove(request, '$.fault') WHERE request IS NOT NULL;
UPDATE meta SET name = 'sequence' WHERE name = 'turn';
UPDATE meta SET name = 'first_sequence' WHERE name = 'first_turn';
""",
}
"""What brings a journal of an older version to the next one."""

_INSERT = """
INSERT INTO items (hash, key, source, what, detail, host, fold, stem, extension, columns, request, sequence, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_PENDING = str(State.PENDING)
"""As plain text: sqlite3 looks for an adapter for every value of a class of its own, which costs 1 us a value."""
_HASH_BYTES = 8
"""Of a key; SQLite's integers hold eight. Rows with the same hash are told apart by their keys."""
_SOME = 900
"""Values looked up by one statement; older SQLite takes 999."""
_LISTED = "UPDATE items SET sequence = ?, repeats = 0 WHERE id = ?"
_FETCHED = """
UPDATE items SET state = ?, path = ?, staged = ?, bytes = ?, sha256 = ?, media_type = ?, final_url = ?, http_status = ?,
    attempts = ?, timings = ?, version = ?, part = NULL WHERE id = ?
"""
_PARTIAL = "UPDATE items SET state = ?, part = ? WHERE id = ?"
_REOPENED = "UPDATE items SET state = ?, attempts = 0 WHERE id = ?"
_UNCHANGED = "UPDATE items SET state = ?, attempts = ?, http_status = coalesce(?, http_status) WHERE id = ?"
_TRANSFORMED = """
UPDATE items SET state = ?, width = ?, height = ?, sha256 = ?, warnings = ?,
    timings = json_patch(coalesce(timings, '{}'), ?) WHERE id = ?
"""
_STORED = """
UPDATE items SET state = ?, outputs = ?, bytes_written = ?, path = NULL, staged = NULL,
    timings = json_patch(coalesce(timings, '{}'), ?) WHERE id = ?
"""
_FAILED = """
UPDATE items SET state = ?, stage = ?, kind = ?, message = ?, http_status = coalesce(?, http_status),
    attempts = max(?, attempts), final_url = coalesce(?, final_url), path = NULL, staged = NULL,
    timings = json_patch(coalesce(timings, '{}'), ?) WHERE id = ?
"""
_SKIPPED = """
UPDATE items SET state = ?, stage = ?, kind = ?, message = ?, path = NULL, staged = NULL,
    timings = json_patch(coalesce(timings, '{}'), ?) WHERE id = ?
"""
# What earlier runs wrote stays known until something else is stored: those files are still there, and still ours.
_REQUEUE = """
UPDATE items SET state = ?, stage = NULL, kind = NULL, message = NULL, http_status = NULL, attempts = 0,
    final_url = NULL, media_type = NULL, bytes = NULL, sha256 = NULL, path = NULL, staged = NULL, width = NULL,
    height = NULL, warnings = NULL, timings = NULL, version = NULL WHERE id = ?
"""
_OPEN_OR_FAILED = """
SELECT id, state, kind, http_status FROM items
WHERE id > ? AND state IN ('pending', 'fetched', 'transformed', 'failed') ORDER BY id LIMIT ?
"""

_OWNER = """
SELECT bodies.item, items.sha256, items.source FROM bodies JOIN items ON items.id = bodies.item
WHERE bodies.sha256 = ? AND items.state != 'failed'
"""
_OWN = """
INSERT OR REPLACE INTO bodies SELECT ?, ? WHERE NOT EXISTS (
    SELECT 1 FROM bodies JOIN items ON items.id = bodies.item
    WHERE bodies.sha256 = ? AND items.state != 'failed' AND (items.sha256 IS NULL OR items.sha256 = bodies.sha256))
"""
_OWNED = """
CREATE TEMP TABLE owned (path TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO owned
SELECT json_extract(output.value, '$.path') FROM items, json_each(items.outputs) AS output
WHERE items.outputs IS NOT NULL;
"""
_RENAME = """
UPDATE items SET fold = ?, stem = ?, extension = ? WHERE id = ? AND state = 'pending' AND NOT EXISTS (
    SELECT 1 FROM items WHERE fold = ? AND id != ? AND (extension IS NULL OR ? IS NULL OR extension = ?))
"""

_LIVE_COLUMNS = (
    "id, key, source, what, detail, stem, extension, state, path, bytes, staged, sha256, media_type, final_url,"
    " http_status, attempts, request, part, version, outputs, sequence"
)

_LIVE_NAMES = tuple(_LIVE_COLUMNS.split(", "))

_ALL_FETCHED = f"SELECT {_LIVE_COLUMNS} FROM items WHERE state IN ('fetched', 'transformed')"  # noqa: S608 - constant

_OPEN_URLS = (
    f"SELECT {_LIVE_COLUMNS} FROM items INDEXED BY items_live"  # noqa: S608 - constant
    f" WHERE {_OPEN} AND state = 'pending' AND what = 'url' AND sequence > ? ORDER BY sequence LIMIT ?"
)
_OPEN_LOCAL = (
    f"SELECT {_LIVE_COLUMNS} FROM items INDEXED BY items_live"  # noqa: S608 - constant
    f" WHERE {_OPEN} AND (state != 'pending' OR what != 'url') AND sequence > ? ORDER BY sequence LIMIT ?"
)
_LIVE_OF_HOST = (
    f"SELECT {_LIVE_COLUMNS} FROM items INDEXED BY items_host"  # noqa: S608 - constant
    f" WHERE {_OPEN} AND state = 'pending' AND host = ? AND sequence BETWEEN ? AND ?"
    " ORDER BY sequence LIMIT ?"
)

OverwritePolicy = Literal["never", "changed", "always"]
"""Of the rows that have their outcome: which are done again. `changed` are those that were stored, and may differ."""
RetryFilter = Callable[[FailureKind, int | None], bool]
"""Whether an item that failed so, with this HTTP status, is to be done again."""
Namer = Callable[[Row, int, str], Iterator[tuple[str, OutputName]]]
"""For a row, its index and its key: the names to try in sequence, each with its folded form."""


def make_key(row: Row, occurrence: int) -> bytes:
    """The stable identity of a row: sha256 over its source and how many times the list named that source before."""
    return sha256(f"{row.source}\0{occurrence}".encode("utf-8", "surrogatepass")).digest()


def _hash(key: bytes) -> int:
    return int.from_bytes(key[:_HASH_BYTES], "big", signed=True)


class Journal:
    """The items of one output folder. Threads may share it.

    Raises JournalError wherever the file cannot be opened, read or written.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._lock = threading.RLock()
        self._path = path
        if read_only and not path.is_file():
            raise JournalError(f"{path.parent.parent}: no run has written here yet (there is no {path})")
        mode = "ro" if read_only else "rwc"
        with self._errors():
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=30,
            )
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            self._db.close()
            raise JournalError(
                f"{path}: written by a newer version of downloader (journal {version}, known: {SCHEMA_VERSION})"
            )
        if not read_only:
            self._prepare(version)
        self._last_known_id = 0
        self._sequence = int(self.meta("sequence") or 0)
        """Of the row that was listed last."""
        self._first_sequence = int(self.meta("first_sequence") or 1)
        """Of the rows of this run, or of the last."""
        self._track_bodies = False

    def _prepare(self, version: int) -> None:
        with self._errors():
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            # 16 MiB of page cache: the key index of a few hundred thousand rows; memory stays flat beyond it.
            self._db.execute("PRAGMA cache_size = -16384")
            # Keys are spread over their whole index, so that each batch of new rows touches most of its pages: brought
            # from the log into the file every 32 MiB instead of every 4, each is written far less often.
            self._db.execute("PRAGMA wal_autocheckpoint = 8192")
            if version == 0:
                self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            self._db.create_function("hash_of", 1, _hash, deterministic=True)  # for migrations
            for older in range(version or SCHEMA_VERSION, SCHEMA_VERSION):
                self._db.executescript(f"BEGIN; {_MIGRATIONS[older]} PRAGMA user_version = {older + 1}; COMMIT;")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OverflowError) as problem:
            raise JournalError(f"{self._path}: the journal cannot be used: {problem}") from problem

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self._lock, self._errors():
            return self._db.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Close the file; committed batches are in it."""
        with self._lock:
            self._db.close()

    # -- what a run remembers about itself ---------------------------------------------------------------------------

    def meta(self, name: str) -> str | None:
        """A remembered text, or None."""
        rows = self._query("SELECT value FROM meta WHERE name = ?", name) if self._has_tables() else []
        return rows[0][0] if rows else None

    def set_meta(self, name: str, value: str) -> None:
        """Remember a text."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _has_tables(self) -> bool:
        return bool(self._query("SELECT 1 FROM sqlite_master WHERE name = 'meta'"))

    # -- planning ----------------------------------------------------------------------------------------------------

    def begin_plan(self, *, track_bodies: bool = False) -> None:
        """Start a new plan: from here on only rows that `plan_rows` sees belong to this run.

        `track_bodies`: remember which item had which bytes first, for `find_duplicate`.
        """
        self._track_bodies = track_bodies
        self._first_sequence = self._sequence + 1
        self.set_meta("first_sequence", str(self._first_sequence))
        self._last_known_id = self._query("SELECT coalesce(max(id), 0) FROM items")[0][0]

    def plan_rows(
        self, rows: Sequence[Row], first_index: int, names: Namer, *, overwrite: OverwritePolicy = "never"
    ) -> int:
        """Enter a batch of rows into the plan, in one transaction; returns how many have their outcome already.

        A row that an earlier run planned keeps its name and its outcome, unless `overwrite` says otherwise. The n-th
        listing of one source is an item of its own. Names are claimed in the order of the rows, whatever the timing.
        """
        with self._transaction() as db:
            batch = _Batch(db, self._first_sequence, self._sequence, overwrite)
            done = batch.enter(rows, first_index, names)
            self._remember_sequence(db, batch.sequence)
        return done

    def _remember_sequence(self, db: sqlite3.Connection, sequence: int) -> None:
        # Should the transaction fail after all, some turns are never used.
        db.execute("INSERT OR REPLACE INTO meta VALUES ('sequence', ?)", (str(sequence),))
        self._sequence = sequence

    def plan_again(self, wanted: RetryFilter, *, batch: int = 1000) -> Iterator[int]:
        """Enter into the plan what failed and is wanted again, and what has no outcome; the size of each batch.

        No source is read: the rows of all runs on this output are looked through. A part of a body stays with its item.
        """
        last_id = 0
        while True:
            with self._transaction() as db:
                rows = db.execute(_OPEN_OR_FAILED, (last_id, batch)).fetchall()
                chosen = []
                sequence = self._sequence
                for item_id, state, kind, http_status in rows:
                    if state == State.FAILED:
                        if not wanted(FailureKind(kind), http_status):
                            continue
                        db.execute(_REQUEUE, (advance(State.FAILED, Requeued), item_id))
                    sequence += 1
                    chosen.append((sequence, item_id))
                db.executemany(_LISTED, chosen)
                self._remember_sequence(db, sequence)
            if not rows:
                return
            last_id = rows[-1][0]
            yield len(chosen)

    # -- reading the plan --------------------------------------------------------------------------------------------

    def open_urls(self, after_sequence: int, limit: int) -> list[tuple[int, Item]]:
        """The next pending items of this run that are URLs, in order, after a sequence number; 0 is before all."""
        rows = self._query(_OPEN_URLS, max(after_sequence, self._first_sequence - 1), limit)
        return [(row[-1], self._item(row)) for row in rows]

    def open_urls_of_host(self, host: str, start: int, stop: int, limit: int) -> list[tuple[int, Item]]:
        """The same of one host, from one sequence number of this run to another, both included."""
        rows = self._query(_LIVE_OF_HOST, _storable(host), start, stop, limit)
        return [(row[-1], self._item(row)) for row in rows]

    def open_local(self, after_sequence: int, limit: int) -> list[tuple[int, Item | Fetched]]:
        """The next items of this run without an outcome that need no network, in order.

        These are files, rows that cannot be used, and whatever an earlier run has fetched already.
        """
        rows = self._query(_OPEN_LOCAL, max(after_sequence, self._first_sequence - 1), limit)
        return [(row[-1], self._live(row)) for row in rows]

    def index_hosts(self) -> None:
        """Make `open_urls_of_host` quick. It takes a third of the time of planning, so it is made when it is needed."""
        with self._transaction() as db:
            db.execute(_HOST_INDEX)

    def _item(self, row: tuple[Any, ...]) -> Item:
        values = dict(zip(_LIVE_NAMES, row, strict=True))
        source = _restored(values["source"])
        return Item(
            id=values["id"],
            key=values["key"].hex(),
            source=source,
            what=_what(values["what"], values["detail"], source),
            name=OutputName(stem=values["stem"], extension=values["extension"]),
            renewed=values["id"] <= self._last_known_id,
            request=_request(values["request"]),
            part=_part(values["part"]),
            previous=_previous(values["version"], values["sha256"], values["outputs"]),
        )

    def _live(self, row: tuple[Any, ...]) -> Item | Fetched:
        item = self._item(row)
        values = dict(zip(_LIVE_NAMES, row, strict=True))
        if values["state"] == State.PENDING:
            return item
        return Fetched(
            item=item,
            path=_restored(values["path"]),
            bytes=values["bytes"],
            staged=bool(values["staged"]),
            offset=item.what.offset if isinstance(item.what, FileSpan) else 0,
            sha256=values["sha256"],
            media_type=values["media_type"],
            final_url=values["final_url"],
            http_status=values["http_status"],
            attempts=values["attempts"],
            validator=_version(values["version"]),
        )

    def fetched(self) -> Iterator[Fetched]:
        """Every item of any run whose last durable fact is `Fetched`, for the look at staged files after a crash."""
        rows = self._query(_ALL_FETCHED)
        return (fetched for fetched in map(self._live, rows) if isinstance(fetched, Fetched))

    def rename(self, item: Item, names: Iterator[tuple[str, OutputName]]) -> Item:
        """Give a pending item the first of `names` that nobody else owns; returns the item with its new claim."""
        with self._transaction() as db:
            for fold, claim in names:
                values = (fold, claim.stem, claim.extension, item.id, fold, item.id, claim.extension, claim.extension)
                if db.execute(_RENAME, values).rowcount == 1:
                    return replace(item, name=claim)
        raise JournalError(f"{item.source}: no free output name")  # the last name tried holds the whole key

    def find_duplicate(self, item: Item, sha256: str) -> str | None:
        """The source of another item that had these very bytes first; None where there is none.

        The first item that was fetched with these bytes owns them, in all runs on this output, until it fails or its
        own bytes change.
        """
        rows = self._query(_OWNER, sha256)
        if not rows or rows[0][1] not in {None, sha256} or rows[0][0] == item.id:
            return None
        return _restored(rows[0][2])

    def parts(self) -> Iterator[str]:
        """The names of the staged files that hold a part of an item which is not done."""
        rows = self._query("SELECT part FROM items WHERE part IS NOT NULL AND state IN ('pending', 'failed')")
        return (json.loads(text)["name"] for (text,) in rows)

    # -- facts -------------------------------------------------------------------------------------------------------

    def record(self, facts: Sequence[Fact]) -> None:
        """Make a batch of facts durable, in order, all or none.

        Raises:
            IllegalTransition: where a fact does not fit its item's state; nothing of the batch is kept.
            JournalError: the file cannot be written.
        """
        if not facts:
            return
        with self._transaction() as db:
            states = self._states(db, {fact.item.id for fact in facts})
            for fact in facts:
                state = states[fact.item.id] = advance(states[fact.item.id], type(fact))
                db.execute(*_update(state, fact))
                if self._track_bodies and isinstance(fact, Fetched) and fact.sha256:
                    db.execute(_OWN, (fact.sha256, fact.item.id, fact.sha256))

    @staticmethod
    def _states(db: sqlite3.Connection, ids: set[int]) -> dict[int, State]:
        marks = ",".join("?" * len(ids))
        rows = db.execute(f"SELECT id, state FROM items WHERE id IN ({marks})", tuple(ids))  # noqa: S608 - marks only
        return {item_id: State(state) for item_id, state in rows}

    # -- looking back ------------------------------------------------------------------------------------------------

    def counts(self) -> Counts:
        """How many items stand where, over all runs on this output."""
        rows = self._query(
            "SELECT state, kind, count(*), total(CASE what WHEN 'url' THEN bytes END), total(bytes_written)"
            " FROM items GROUP BY state, kind"
        )
        by_state = dict.fromkeys(State, 0)
        failures: dict[str, int] = {}
        skips: dict[str, int] = {}
        for state, kind, number, _, _ in rows:
            by_state[State(state)] += number
            if state in {State.FAILED, State.SKIPPED}:
                (failures if state == State.FAILED else skips)[kind] = number
        return Counts(
            by_state=by_state,
            failures=failures,
            skips=skips,
            bytes_downloaded=int(sum(row[3] for row in rows)),
            bytes_written=int(sum(row[4] for row in rows)),
        )

    def unaccounted(self) -> int:
        """How many items of this plan have no outcome."""
        number: int = self._query(
            f"SELECT count(*) FROM items INDEXED BY items_live WHERE {_OPEN} AND sequence >= ?",  # noqa: S608 - constant
            self._first_sequence,
        )[0][0]
        return number

    def most_failures(self) -> tuple[int, str, int, str, int] | None:
        """Of this plan: how many failed, the most frequent kind, how many are of it, of these the most frequent host.

        And how many are of that host. None where nothing failed.
        """
        failed = "FROM items WHERE state = 'failed' AND sequence >= ?"
        total = self._query(f"SELECT count(*) {failed}", self._first_sequence)[0][0]
        if not total:
            return None
        kind = self._query(
            f"SELECT kind, count(*) AS n {failed} GROUP BY kind ORDER BY n DESC LIMIT 1", self._first_sequence
        )[0]
        host = self._query(
            f"SELECT host, count(*) AS n {failed} AND kind = ? GROUP BY host ORDER BY n DESC LIMIT 1",
            self._first_sequence,
            kind[0],
        )[0]
        return (total, *kind, *host)

    def written(self, after_id: int, limit: int) -> list["Written"]:
        """The next items that succeeded, behind `after_id`, with the files they own."""
        rows = self._query(
            "SELECT id, outputs FROM items WHERE state = 'succeeded' AND id > ? ORDER BY id LIMIT ?", after_id, limit
        )
        return [
            Written(
                item_id=item_id,
                files=tuple(
                    WrittenFile(path=output["path"], bytes=output["bytes"], sha256=output["sha256"])
                    for output in json.loads(outputs)
                ),
            )
            for item_id, outputs in rows
        ]

    def requeue(self, ids: Sequence[int]) -> None:
        """Items that succeeded are to be done again by the next run that lists them, and by `plan_again`."""
        with self._transaction() as db:
            db.executemany(_REQUEUE, [(advance(State.STORED, Requeued), item_id) for item_id in ids])

    def unowned(self, paths: Sequence[str]) -> list[str]:
        """Those of the paths (relative to the output folder) that are no item's."""
        with self._lock, self._errors():
            if not self._db.execute("SELECT 1 FROM temp.sqlite_master WHERE name = 'owned'").fetchone():
                self._db.executescript(_OWNED)  # on disk, unlike a set: memory stays flat
            find = "SELECT 1 FROM temp.owned WHERE path = ?"
            return [path for path in paths if not self._db.execute(find, (_storable(path),)).fetchone()]

    def records(self, *, state: str | None = None, kind: str | None = None) -> Iterator[dict[str, Any]]:
        """The items as `status --items` shows them, in list order, one at a time."""
        last_id = 0
        while rows := self._query(
            f"SELECT id, {', '.join(_RECORD_COLUMNS)} FROM items WHERE id > ? AND (? IS NULL OR state IN (?, ?))"  # noqa: S608 - constant names
            " AND (? IS NULL OR kind = ?) ORDER BY id LIMIT 1000",
            last_id,
            state,
            state,
            State.TRANSFORMED if state == State.FETCHED else state,
            kind,
            kind,
        ):
            last_id = rows[-1][0]
            yield from (_record(dict(zip(_RECORD_COLUMNS, row[1:], strict=True))) for row in rows)


@dataclass(slots=True)
class _Known:
    """What the journal has of a row: `listed` is how often this plan has listed its source so far."""

    id: int
    state: State
    listed: int


class _Batch:
    """A batch of rows on its way into the plan, within one transaction.

    All rows are looked up together and written together. What happens in between happens here in the order of the list,
    on dictionaries of what the journal has, so names are those that one row after the other would get.
    `sequence` is that of the last row; `first_sequence` is the run's first, before which are other runs.
    """

    def __init__(self, db: sqlite3.Connection, first_sequence: int, sequence: int, redo: OverwritePolicy) -> None:
        self._db = db
        self._first_sequence = first_sequence
        self.sequence = sequence
        self._redo = redo
        self._taken: dict[str, list[str | None]] = {}
        """By folded stem the extensions that are owned, None for all of them."""

    def enter(self, rows: Sequence[Row], first_index: int, names: Namer) -> int:
        """Plan the rows; how many of them have their outcome already."""
        keys = [make_key(row, 0) for row in rows]
        hashes = [_hash(key) for key in keys]
        known = self._known(hashes)
        listed = {key: found.listed for key, found in known.items() if found.listed}
        before = dict(listed)
        wishes: list[tuple[Iterator[tuple[str, OutputName]], tuple[str, OutputName]] | None] = []
        for index, (row, key) in enumerate(zip(rows, keys, strict=True), first_index):
            options = names(row, index, key.hex())
            wishes.append(None if key in known else (options, next(options)))
        self._look_up_names([wish[1][0] for wish in wishes if wish])
        done, new, seen = 0, [], []
        for index, (row, first, hashed, wish) in enumerate(zip(rows, keys, hashes, wishes, strict=True), first_index):
            self.sequence += 1
            occurrence = listed.get(first, 0)
            listed[first] = occurrence + 1
            if not occurrence:
                key, hash_, found = first, hashed, known.get(first)
            else:
                key = make_key(row, occurrence)
                hash_ = _hash(key)
                found = self._known([hash_]).get(key)
            if found:
                state = self._again(found)
                done += state in TERMINAL
                seen.append((self.sequence, found.id))
            else:
                options = names(row, index, key.hex()) if occurrence or not wish else chain([wish[1]], wish[0])
                new.append(self._new(row, key, hash_, *self._claim(row, options)))
        self._db.executemany(_LISTED, seen)
        self._db.executemany(_INSERT, new)
        repeats = [
            (number - 1, _hash(key), key) for key, number in listed.items() if number > max(before.get(key, 0), 1)
        ]
        self._db.executemany("UPDATE items SET repeats = ? WHERE hash = ? AND key = ?", repeats)
        return done

    def _known(self, hashes: Sequence[int]) -> dict[bytes, _Known]:
        rows = self._among("SELECT key, id, state, sequence, repeats FROM items WHERE hash IN", hashes)
        return {
            key: _Known(item_id, State(state), repeats + 1 if sequence >= self._first_sequence else 0)
            for key, item_id, state, sequence, repeats in rows
        }

    def _look_up_names(self, folds: Sequence[str]) -> None:
        self._taken.update((fold, []) for fold in folds)
        for fold, extension in self._among("SELECT fold, extension FROM items WHERE fold IN", folds):
            self._taken[fold].append(extension and extension.lower())

    def _among(self, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(values), _SOME):
            some = values[start : start + _SOME]
            yield from self._db.execute(f"{sql} ({','.join('?' * len(some))})", some)

    def _again(self, found: _Known) -> State:
        """The state of a row that is there, after the wish to do it again, where there is one."""
        if self._redo == "always" and found.state in TERMINAL:
            found.state = advance(found.state, Requeued)
            self._db.execute(_REQUEUE, (found.state, found.id))
        elif self._redo == "changed" and found.state is State.STORED:
            found.state = advance(found.state, RecheckRequested)
            self._db.execute(_REOPENED, (found.state, found.id))
        return found.state

    def _claim(self, row: Row, options: Iterable[tuple[str, OutputName]]) -> tuple[str, OutputName]:
        """The first name that nobody owns; from now on it is owned."""
        for fold, claim in options:
            if fold not in self._taken:
                self._look_up_names([fold])
            owned = self._taken[fold]
            extension = claim.extension and claim.extension.lower()
            if not owned or not (extension is None or None in owned or extension in owned):
                owned.append(extension)
                return fold, claim
        raise JournalError(f"{row.source}: no free output name")  # the last name tried holds the whole key

    def _new(self, row: Row, key: bytes, hash_: int, fold: str, claim: OutputName) -> tuple[object, ...]:
        return (
            hash_,
            key,
            _storable(row.source),
            *_stored_what(row.what),
            _storable(host_of(row.what.url)) if isinstance(row.what, Url) else "",
            fold,
            claim.stem,
            claim.extension,
            json.dumps(dict(row.columns)) if row.columns else None,
            json.dumps(asdict(row.request)) if row.request else None,
            self.sequence,
            _PENDING,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file as it was written; `path` is relative to the output folder."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files of an item that succeeded."""

    item_id: int
    files: tuple[WrittenFile, ...]


_RECORD_COLUMNS = (
    "key",
    "source",
    "state",
    "stage",
    "kind",
    "message",
    "http_status",
    "attempts",
    "final_url",
    "media_type",
    "bytes",
    "sha256",
    "width",
    "height",
    "outputs",
    "warnings",
    "timings",
    "columns",
)


def _record(row: dict[str, Any]) -> dict[str, Any]:
    for name, empty in (("outputs", "[]"), ("warnings", "[]"), ("timings", "{}"), ("columns", "{}")):
        row[name] = json.loads(row[name] or empty)
    row["key"] = row["key"].hex()
    row["source"] = masked(_restored(row["source"]))
    row["timings_s"] = row.pop("timings")
    if row["state"] == State.TRANSFORMED:
        row["state"] = str(State.FETCHED)
    return row


def _update(state: State, fact: Fact) -> tuple[str, tuple[object, ...]]:
    """The statement that makes one fact durable."""
    item_id = fact.item.id
    match fact:
        case Fetched():
            return _FETCHED, (
                state,
                _storable(fact.path),
                fact.staged,
                fact.bytes,
                fact.sha256,
                fact.media_type,
                fact.final_url,
                fact.http_status,
                fact.attempts,
                _timings(fact.spans),
                json.dumps(_flat(fact.validator)) if fact.validator != Validator() else None,
                item_id,
            )
        case Partial():
            return _PARTIAL, (state, json.dumps(asdict(fact.part)), item_id)
        case Transformed():
            warnings = json.dumps(fact.warnings) if fact.warnings else None
            sides = (fact.width, fact.height)
            return _TRANSFORMED, (state, *sides, fact.sha256, warnings, _timings(fact.spans), item_id)
        case Stored():
            outputs = json.dumps([_flat(output) for output in fact.outputs])
            written = sum(output.bytes for output in fact.outputs)
            return _STORED, (state, outputs, written, _timings(fact.spans), item_id)
        case Failed():
            reply = (fact.http_status, fact.attempts, fact.final_url)
            return _FAILED, (state, fact.stage, fact.kind, fact.message, *reply, _timings(fact.spans), item_id)
        case Skipped():
            return _SKIPPED, (state, fact.stage, fact.reason, fact.message, _timings(fact.spans), item_id)
        case Requeued():
            return _REQUEUE, (state, item_id)
        case RecheckRequested():
            return _REOPENED, (state, item_id)
        case Unchanged():
            return _UNCHANGED, (state, fact.attempts, fact.http_status, item_id)


def _flat(values: Output | Validator) -> dict[str, Any]:
    """What `asdict` gives, which copies every value."""
    return {name: getattr(values, name) for name in values.__slots__}


def _timings(spans: Spans) -> str:
    return json.dumps({phase: round(seconds, 6) for phase, seconds in seconds_by_phase(spans).items()})


def _stored_what(what: Location | Invalid) -> tuple[str, str | bytes | None]:
    """The columns `what` and `detail`; the path or URL itself is the source of its row."""
    match what:
        case Url():
            return "url", None
        case File():
            return "file", None
        case FileSpan():
            return "span", json.dumps(what)
        case Invalid(reason):
            return "invalid", _storable(reason)


def _what(what: str, detail: str | bytes | None, source: str) -> Location | Invalid:
    match what:
        case "url":
            return Url(source)
        case "file":
            return File(source)
        case "span":
            return FileSpan(*json.loads(detail or ""))
        case _:
            return Invalid(_restored(detail or ""))


def _request(text: str | None) -> Request | None:
    if text is None:
        return None
    stored = json.loads(text)
    return Request(**{**stored, "mirrors": tuple(stored["mirrors"]), "headers": tuple(stored["headers"])})


def _part(text: str | None) -> Part | None:
    if text is None:
        return None
    stored = json.loads(text)
    segments = tuple(Segment(**segment) for segment in stored["segments"])
    return Part(**{**stored, "segments": segments, "validator": Validator(**stored["validator"])})


def _version(text: str | None) -> Validator:
    return Validator(**json.loads(text or "{}"))


def _previous(version: str | None, sha256: str | None, outputs: str | None) -> PreviousResult | None:
    if not outputs:
        return None
    made = tuple((output["path"], output["bytes"]) for output in json.loads(outputs))
    return PreviousResult(validator=_version(version), sha256=sha256, outputs=made)


def _storable(text: str) -> str | bytes:
    """SQLite text is UTF-8: a file name that is not goes in as the bytes it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def _restored(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogateescape")
