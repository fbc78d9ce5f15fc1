"""Tables, indexes, and the migrations that bring a journal of an older version up to date."""

import sqlite3

from downloader.journal.keys import hash_of

SCHEMA_VERSION = 7

PENDING_URL = "state = 'pending' AND what = 'url'"
"""Waits to be downloaded."""
OTHER_OPEN = "(state = 'pending' AND what <> 'url' OR state = 'fetched' OR state = 'transformed')"
"""Has no outcome either, but needs no download.

Equality and `OR`, not `IN`: in the condition of an index, SQLite would build a table of the values of an `IN` for every
row that is entered, a tenth of the time of planning.
"""

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE bodies (sha256 TEXT PRIMARY KEY, item INTEGER NOT NULL) WITHOUT ROWID;  -- which item had them first
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    hash INTEGER NOT NULL,         -- the first 64 bits of the key: rows are found by it, as a small index is a fast one
    key BLOB NOT NULL,             -- sha256 of source and occurrence; no two rows have the same
    source TEXT NOT NULL,
    what TEXT NOT NULL,            -- url, file, span (of a file) or invalid
    detail TEXT,                   -- span: JSON array of path, offset, length; invalid: why
    host TEXT NOT NULL,            -- of a URL; empty for files
    fold TEXT NOT NULL,            -- output name, folded for case-insensitive file systems
    stem TEXT NOT NULL,
    extension TEXT COLLATE NOCASE, -- NULL: the item owns the stem with every extension
    columns TEXT,                  -- JSON object
    request TEXT,                  -- JSON object: mirrors, headers, checksum
    sequence INTEGER NOT NULL,     -- place among all rows ever listed, in all runs; of the last time it was listed
    repeats INTEGER NOT NULL DEFAULT 0,  -- how often that run listed the same source again
    state TEXT NOT NULL,
    stage TEXT, kind TEXT, message TEXT,
    http_status INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
    final_url TEXT, media_type TEXT, bytes INTEGER, sha256 TEXT,
    path TEXT, staged INTEGER,     -- where fetched bytes are, while they are there
    width INTEGER, height INTEGER,
    bytes_written INTEGER NOT NULL DEFAULT 0,
    outputs TEXT, warnings TEXT, timings TEXT,  -- JSON
    perceptual_hash TEXT, blurhash TEXT,
    part TEXT,                     -- JSON object: how much of the bytes a staged file holds, of which version
    version TEXT                   -- JSON object: which version of the source was fetched last
);
CREATE TABLE groups (number INTEGER PRIMARY KEY, state TEXT NOT NULL);  -- open, sealing, sealed, abandoned
CREATE TABLE group_rows (          -- of groups that are open or being sealed
    number INTEGER NOT NULL,       -- of the group
    position INTEGER NOT NULL,
    item INTEGER NOT NULL,
    file_end INTEGER NOT NULL,     -- length of the open file with this row
    row TEXT NOT NULL,             -- JSON object: the row as it was when the outcome was recorded
    PRIMARY KEY (number, position)
) WITHOUT ROWID;
"""
_INDEXES = f"""
CREATE INDEX items_hash ON items (hash);
CREATE INDEX items_fold ON items (fold);
CREATE INDEX items_pending_urls ON items (sequence) WHERE {PENDING_URL};
CREATE INDEX items_other_open ON items (sequence) WHERE {OTHER_OPEN};
CREATE INDEX items_part ON items (id) WHERE part IS NOT NULL;
"""
HOST_INDEX = f"CREATE INDEX IF NOT EXISTS items_host ON items (host, sequence) WHERE {PENDING_URL}"
"""Made when it is first needed: with many hosts it takes a third of the time of planning, and is needed rarely."""

# Each migration is the SQL of its time. It never changes again, whatever becomes of the tables above.
_MIGRATIONS = {
    1: """
CREATE TABLE bodies (sha256 TEXT PRIMARY KEY, item INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE items ADD COLUMN part TEXT;
ALTER TABLE items ADD COLUMN version TEXT;
CREATE INDEX items_part ON items (id) WHERE part IS NOT NULL;
""",
    2: """
DROP INDEX items_fold; DROP INDEX items_live; DROP INDEX items_host; DROP INDEX items_part;
ALTER TABLE items RENAME TO old;
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
INSERT INTO items SELECT id, hash_of(key), key, source, origin, host, fold, stem, extension, columns, request, id,
    repeats, state, stage, kind, message, http_status, attempts, final_url, media_type, bytes, sha256, path, staged,
    width, height, bytes_written, outputs, warnings, timings, part, version FROM old;
DROP TABLE old;
INSERT OR REPLACE INTO meta SELECT 'turn', coalesce(max(id), 0) FROM items;
CREATE INDEX items_hash ON items (hash);
CREATE INDEX items_fold ON items (fold);
CREATE INDEX items_live ON items (turn) WHERE state IN ('pending', 'fetched', 'transformed');
CREATE INDEX items_part ON items (id) WHERE part IS NOT NULL;
""",
    3: """
DROP INDEX items_live; DROP INDEX IF EXISTS items_host;
CREATE INDEX items_live ON items (turn) WHERE (state = 'pending' OR state = 'fetched' OR state = 'transformed');
""",
    # Some journals of version 2 were made before there was a table of bodies.
    4: """
DROP INDEX items_live; DROP INDEX IF EXISTS items_host;
CREATE TABLE IF NOT EXISTS bodies (sha256 TEXT PRIMARY KEY, item INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE items RENAME COLUMN origin TO what;
ALTER TABLE items RENAME COLUMN turn TO sequence;
ALTER TABLE items ADD COLUMN detail TEXT;
UPDATE items SET what = 'invalid', detail = json_extract(request, '$.fault')
    WHERE json_extract(request, '$.fault') IS NOT NULL;
UPDATE items SET request = json_remove(request, '$.fault') WHERE request IS NOT NULL;
UPDATE meta SET name = 'sequence' WHERE name = 'turn';
UPDATE meta SET name = 'first_sequence' WHERE name = 'first_turn';
CREATE INDEX items_pending_urls ON items (sequence) WHERE state = 'pending' AND what = 'url';
CREATE INDEX items_other_open ON items (sequence)
    WHERE (state = 'pending' AND what <> 'url' OR state = 'fetched' OR state = 'transformed');
""",
    5: """
CREATE TABLE groups (number INTEGER PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE group_rows (
    number INTEGER NOT NULL,
    position INTEGER NOT NULL,
    item INTEGER NOT NULL,
    file_end INTEGER NOT NULL,
    row TEXT NOT NULL,
    PRIMARY KEY (number, position)
) WITHOUT ROWID;
""",
    6: """
ALTER TABLE items ADD COLUMN perceptual_hash TEXT;
ALTER TABLE items ADD COLUMN blurhash TEXT;
""",
}
"""By version, what brings a journal to the next one."""


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of a journal; 0 for a file that is empty."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def upgrade(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file, or bring a journal of an older version up to date, each step a transaction."""
    version = version_of(connection)
    if version == 0:
        connection.executescript(f"BEGIN; {_TABLES}{_INDEXES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        return
    connection.create_function("hash_of", 1, hash_of, deterministic=True)  # for the migration from version 2
    for older in range(version, SCHEMA_VERSION):
        connection.executescript(f"BEGIN; {_MIGRATIONS[older]} PRAGMA user_version = {older + 1}; COMMIT;")
