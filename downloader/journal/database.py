"""The connection to a journal's file: locked, in transactions."""

import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from downloader.errors import JournalError
from downloader.journal import schema
from downloader.journal.connections import connect_to_look, connect_to_write, upgraded_copy


class Database:
    """One SQLite connection behind one lock, which threads share.

    Statements are short, and a second writer on a SQLite file would only wait for the first.

    WAL with `synchronous=NORMAL`: after a kill -9 every committed batch is there; after a power cut the last ones may
    be missing, which costs work done again but never a wrong outcome, since outputs are made durable before their rows
    (see `sinks.files`).

    Raises JournalError where the file cannot be opened, read or written.
    """

    def __init__(self, path: Path, *, read_only: bool, in_use: bool = False) -> None:
        if read_only and not _is_file(path) and not path.parent.is_dir():
            raise JournalError(f"{path.parent.parent}: no run has written here yet (there is no {path})")
        self._path = path
        self._lock = threading.RLock()
        with self.errors():
            self._connection = connect_to_look(path, in_use=in_use) if read_only else connect_to_write(path)
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
        elif version < schema.SCHEMA_VERSION:
            self._connection = upgraded_copy(self._connection)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns errors of SQLite into JournalError."""
        try:
            yield
        except (sqlite3.Error, OverflowError, OSError) as problem:
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

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within the block this thread reads the journal of one moment; it may not write.

        Other errors than those of the journal pass through.
        """
        with self._lock:
            with self.errors():
                self._connection.execute("BEGIN")
            try:
                yield
            finally:
                with self.errors():
                    if self._connection.in_transaction:  # some errors of SQLite end it
                        self._connection.execute("ROLLBACK")

    def query(self, sql: str, /, **parameters: object) -> list[sqlite3.Row]:
        """All rows that a SELECT finds."""
        with self.locked() as connection:
            return connection.execute(sql, parameters).fetchall()

    def meta(self, name: str) -> str | None:
        """A remembered text, or None."""
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


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as problem:
        raise JournalError(f"{path}: the journal cannot be used: {problem.strerror}") from problem


def _tune(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    # 16 MiB of page cache: the key index of a few hundred thousand rows; memory stays flat beyond it.
    connection.execute("PRAGMA cache_size = -16384")
    # Keys are spread over their whole index, so that each batch of new rows touches most of its pages: brought from the
    # log into the file every 32 MiB instead of every 4, each is written far less often.
    connection.execute("PRAGMA wal_autocheckpoint = 8192")
