"""The connection to a journal's file: opened, locked, in transactions."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from downloader.errors import JournalError
from downloader.journal import schema


class Database:
    """One SQLite connection behind one lock, which threads share.

    Statements are short, and a second writer on a SQLite file would only wait for the first.

    WAL with `synchronous=NORMAL`: after a kill -9 every committed batch is there; after a power cut the last ones may
    be missing, which costs work done again but never a wrong outcome, since outputs are made durable before their rows
    (see `sinks.files`).

    Raises JournalError where the file cannot be opened, read or written.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        if read_only and not path.is_file():
            raise JournalError(f"{path.parent.parent}: no run has written here yet (there is no {path})")
        self._path = path
        self._lock = threading.RLock()
        mode = "ro" if read_only else "rwc"
        with self.errors():
            self._connection = _connect(f"{path.absolute().as_uri()}?mode={mode}")
            try:
                self._prepare(read_only=read_only)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, *, read_only: bool) -> None:
        version = schema.version_of(self._connection)
        if version > schema.SCHEMA_VERSION:
            raise JournalError(
                f"{self._path}: written by a newer version of downloader "
                f"(journal {version}, known: {schema.SCHEMA_VERSION})"
            )
        if not read_only:
            _tune(self._connection)
            schema.upgrade(self._connection)
        elif 0 < version < schema.SCHEMA_VERSION:
            self._connection = _upgraded_copy(self._connection)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns errors of SQLite into JournalError."""
        try:
            yield
        except (sqlite3.Error, OverflowError) as problem:
            raise JournalError(f"{self._path}: the journal cannot be used: {problem}") from problem

    @contextmanager
    def locked(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone."""
        with self._lock, self.errors():
            yield self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone, in a transaction that an exception rolls back."""
        with self.locked() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def query(self, sql: str, /, **parameters: object) -> list[sqlite3.Row]:
        """All rows that a SELECT finds."""
        with self.locked() as connection:
            return connection.execute(sql, parameters).fetchall()

    def meta(self, name: str) -> str | None:
        """A remembered text, or None."""
        if not self.query("SELECT 1 FROM sqlite_master WHERE name = 'meta'"):
            return None  # an empty file, opened for reading
        rows = self.query("SELECT value FROM meta WHERE name = :name", name=name)
        return rows[0]["value"] if rows else None

    def set_meta(self, name: str, value: str) -> None:
        """Remember a text, within the transaction that this thread has begun, or in one of its own."""
        with self.locked() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (:name, :value)", {"name": name, "value": value})

    def close(self) -> None:
        """Close the file; committed transactions are in it."""
        with self._lock:
            self._connection.close()


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


def _tune(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    # 16 MiB of page cache: the key index of a few hundred thousand rows; memory stays flat beyond it.
    connection.execute("PRAGMA cache_size = -16384")
    # Keys are spread over their whole index, so that each batch of new rows touches most of its pages: brought from the
    # log into the file every 32 MiB instead of every 4, each is written far less often.
    connection.execute("PRAGMA wal_autocheckpoint = 8192")


def _upgraded_copy(old: sqlite3.Connection) -> sqlite3.Connection:
    """A temporary copy of a journal of an older version, for looking at it without changing it."""
    copy = _connect("")  # a file without a name, which is gone when it is closed
    try:
        old.backup(copy)
        schema.upgrade(copy)
    except BaseException:
        copy.close()
        raise
    old.close()
    return copy
