"""Journals of older versions are brought up to date: their rows, names, outcomes and order go on as they are."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from facts import names, url_row

from downloader.journal import SCHEMA_VERSION, Journal, make_key
from downloader.journal.keys import hash_of
from downloader.model.items import Fetched, Invalid, Part, Url, Validator

# Each table is the SQL of its time.
VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    source TEXT NOT NULL,
    origin TEXT NOT NULL,
    host TEXT NOT NULL,
    fold TEXT NOT NULL,
    stem TEXT NOT NULL,
    extension TEXT COLLATE NOCASE,
    columns TEXT,
    request TEXT,
    plan INTEGER NOT NULL,
    repeats INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL,
    stage TEXT, kind TEXT, message TEXT,
    http_status INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
    final_url TEXT, media_type TEXT, bytes INTEGER, sha256 TEXT,
    path TEXT, staged INTEGER,
    width INTEGER, height INTEGER,
    bytes_written INTEGER NOT NULL DEFAULT 0,
    outputs TEXT, warnings TEXT, timings TEXT
);
CREATE INDEX items_fold ON items (fold);
CREATE INDEX items_live ON items (id) WHERE state IN ('pending', 'fetched', 'transformed');
CREATE INDEX items_host ON items (host, id) WHERE state IN ('pending', 'fetched', 'transformed');
"""
VERSION_2 = f"""{VERSION_1}
CREATE TABLE bodies (sha256 TEXT PRIMARY KEY, item INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE items ADD COLUMN part TEXT;
ALTER TABLE items ADD COLUMN version TEXT;
CREATE INDEX items_part ON items (id) WHERE part IS NOT NULL;
"""
_TABLES_3 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE bodies (sha256 TEXT PRIMARY KEY, item INTEGER NOT NULL) WITHOUT ROWID;
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
CREATE INDEX items_hash ON items (hash);
CREATE INDEX items_fold ON items (fold);
CREATE INDEX items_part ON items (id) WHERE part IS NOT NULL;
"""
VERSION_3 = f"""{_TABLES_3}
CREATE INDEX items_live ON items (turn) WHERE state IN ('pending', 'fetched', 'transformed');
CREATE INDEX items_host ON items (host, turn) WHERE state IN ('pending', 'fetched', 'transformed');
"""
VERSION_4 = f"""{_TABLES_3}
CREATE INDEX items_live ON items (turn) WHERE (state = 'pending' OR state = 'fetched' OR state = 'transformed');
"""
TABLES = {1: VERSION_1, 2: VERSION_2, 3: VERSION_3, 4: VERSION_4}

PART = (
    '{"name": "2.ab.body", "bytes": 5, "total": 9, "validator": {"etag": null, "last_modified": null,'
    ' "settled": false}, "source": 0, "segments": []}'
)
FAULT = (
    '{"mirrors": [], "headers": [], "checksum": null, "name": null, "fault": "list.csv:4: no URL in column \'url\'"}'
)
REQUEST = '{"mirrors": ["https://m/b"], "headers": [], "checksum": null, "name": null, "fault": null}'


def rows(version: int) -> list[dict[str, object]]:
    """Four items: stored, partly fetched, fetched, and one whose row could not be used."""
    basic: dict[str, object] = {"origin": "url", "host": "h", "extension": None, "state": "pending", "request": None}
    made: list[dict[str, object]] = [
        basic
        | {
            "source": "https://h/a",
            "state": "succeeded",
            "sha256": "cd",
            "outputs": '[{"variant": null, "path": "a.png", "format": "png", "width": 4, "height": 3, "bytes": 7,'
            ' "sha256": "ef"}]',
            "bytes_written": 7,
            "timings": '{"body": 0.25, "decode": 0.5}',
        },
        basic | {"source": "https://h/b", "request": REQUEST},
        basic
        | {"source": "https://h/c", "state": "fetched", "path": "staged", "staged": 1, "bytes": 3, "sha256": "ab"},
        basic | {"source": "", "host": "", "request": FAULT},
    ]
    for number, row in enumerate(made, 1):
        key = make_key(url_row(str(row["source"])), 0)
        row.update({"id": number, "key": key, "fold": f"name{number}", "stem": f"name{number}"})
        row.update({"plan": 1} if version < 3 else {"hash": hash_of(key), "turn": number})
    if version >= 2:
        made[1]["part"] = PART
    return made


def old_journal(path: Path, version: int) -> None:
    """A journal as that version wrote it."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(TABLES[version])
        for row in rows(version):
            places = ", ".join(f":{name}" for name in row)
            db.execute(f"INSERT INTO items ({', '.join(row)}) VALUES ({places})", row)  # noqa: S608 - test data
        if version >= 3:
            db.executemany("INSERT INTO meta VALUES (?, ?)", [("turn", "4"), ("first_turn", "1")])
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()


@pytest.mark.parametrize("version", TABLES)
def test_rows_of_an_older_version_go_on(tmp_path: Path, version: int) -> None:
    """All are found again under their keys and names, with parts, requests and results; a bad row stays one."""
    path = tmp_path / "journal"
    old_journal(path, version)
    with closing(Journal(path)) as journal:
        journal.begin_plan()
        listed = [url_row(str(row["source"])) for row in reversed(rows(version))]
        assert journal.plan_rows([*listed, url_row("https://h/new")], 0, names) == 1
        urls = [item for _, item in journal.open_urls(0, 9)]
        assert [(item.source, item.what, item.renewed) for item in urls] == [
            ("https://h/b", Url("https://h/b"), True),
            ("https://h/new", Url("https://h/new"), False),
        ]
        assert urls[0].request is not None
        assert (urls[0].name.stem, urls[0].request.mirrors) == ("name2", ("https://m/b",))
        part = Part(name="2.ab.body", bytes=5, total=9, validator=Validator())
        assert urls[0].part == (part if version >= 2 else None)
        bad, staged = (task for _, task in journal.open_local(0, 9))
        assert not isinstance(bad, Fetched)
        assert bad.what == Invalid("list.csv:4: no URL in column 'url'")
        assert isinstance(staged, Fetched)
        assert (staged.path, staged.bytes, staged.sha256, staged.staged) == ("staged", 3, "ab", True)
        assert journal.unaccounted() == 4
        assert [item.source for _, item in journal.open_urls_of_host("h", 0, 99, 9)] == ["https://h/b", "https://h/new"]
        journal.index_hosts()
        assert [item.source for _, item in journal.open_urls_of_host("h", 0, 99, 9)] == ["https://h/b", "https://h/new"]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION


@pytest.mark.parametrize("version", TABLES)
def test_looking_at_an_older_version_changes_nothing(tmp_path: Path, version: int) -> None:
    """`status` shows what the upgraded journal shows, and leaves the file as it is, byte for byte."""
    path = tmp_path / "journal"
    old_journal(path, version)
    before = path.read_bytes()
    with closing(Journal(path, read_only=True)) as journal:
        looked, counts = list(journal.records()), journal.counts()
    assert path.read_bytes() == before
    with closing(Journal(path)) as journal:
        assert (list(journal.records()), journal.counts()) == (looked, counts)
    assert looked[0]["timings_s"] == {"body": 0.25, "decode": 0.5}
    assert (counts.bytes_written, sum(counts.by_state.values())) == (7, 4)


def test_a_second_version_without_bodies_gets_them(tmp_path: Path) -> None:
    """Some journals of version 2 were made before bodies were tracked; from now on theirs are too."""
    path = tmp_path / "journal"
    old_journal(path, 2)
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE bodies")
    with closing(Journal(path)) as journal:
        journal.begin_plan(track_bodies=True)
        assert sum(journal.plan_again(lambda *_: True)) == 3
        ((_, item),) = journal.open_urls(0, 9)
        other = next(task.item for _, task in journal.open_local(0, 9) if isinstance(task, Fetched))
        assert journal.find_duplicate(other, "ab") is None
        journal.record([Fetched(item=item, path="x", bytes=1, staged=True, sha256="ab")])
        assert journal.find_duplicate(other, "ab") == item.source
