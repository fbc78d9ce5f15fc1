"""Connections to the file of a journal: to write it, or to look at it without changing anything beside it.

SQLite in WAL mode keeps its last transactions in a log beside the file, and readers share an index of that log in a
third file. Opened for reading the plain way, a journal whose run was killed would have its log recovered, which writes;
on a read-only medium, or in a folder without write permission, it could not be opened at all. So a look takes one of
three ways:

- a run works on it: the index is there already, and reading takes part in it;
- nothing is in the log: the file alone is the journal, read as it is (`immutable`);
- a log was left by a run that was killed: file and log are copied to the folder for temporary files, and read there.
"""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from downloader.journal import schema

_LOGS = ("-wal", "-journal")
"""Files of transactions beside the journal; the second is there while SQLite turns the first on."""


def connect_to_write(path: Path) -> sqlite3.Connection:
    """The journal itself; made if there is none."""
    return _connect(f"{path.absolute().as_uri()}?mode=rwc")


def connect_to_look(path: Path, *, in_use: bool) -> sqlite3.Connection:
    """What the journal says; nothing beside it changes. `in_use`: a run has it open.

    Where there is none, the run was killed before it made one: nothing is known of any item.

    Raises:
        sqlite3.Error: it cannot be read.
        OSError: its log was left by a killed run, and there is no room for a copy.
    """
    uri = path.absolute().as_uri()
    if not path.exists():
        return _connect("")
    if in_use:
        with suppress(sqlite3.Error):  # the run may have ended this moment
            return _proven(_connect(f"{uri}?mode=ro"))
    if any(_size(Path(f"{path}{log}")) for log in _LOGS):
        return _copy_with_log(path)
    return _connect(f"{uri}?mode=ro&immutable=1")


def upgraded_copy(old: sqlite3.Connection) -> sqlite3.Connection:
    """A temporary copy of a journal of an older version, or of an empty one, with the tables of this version."""
    copy = _nameless_copy(old)
    try:
        schema.upgrade(copy)
    except BaseException:
        copy.close()
        raise
    old.close()
    return copy


def _copy_with_log(path: Path) -> sqlite3.Connection:
    with TemporaryDirectory(prefix="downloader-") as folder:
        copied = Path(folder, "journal")
        for suffix in ("", *_LOGS):
            if _size(Path(f"{path}{suffix}")):
                shutil.copyfile(f"{path}{suffix}", f"{copied}{suffix}")
        with closing(connect_to_write(copied)) as recovered:
            return _nameless_copy(recovered)


def _nameless_copy(of: sqlite3.Connection) -> sqlite3.Connection:
    """A copy in a temporary file without a name, which is gone when it is closed."""
    copy = _connect("")
    try:
        of.backup(copy)
    except BaseException:
        copy.close()
        raise
    return copy


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


def _proven(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, once something was read over it."""
    try:
        schema.version_of(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
