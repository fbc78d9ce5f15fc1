"""What the journal says: open items, counts, records, written files. Nothing here changes it."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from downloader.journal.columns import (
    decode_part,
    decode_previous,
    decode_request,
    decode_text,
    decode_validator,
    decode_what,
    encode_text,
)
from downloader.journal.database import Database
from downloader.journal.planning import Plan
from downloader.journal.schema import OTHER_OPEN, PENDING_URL
from downloader.model.counts import Counts
from downloader.model.items import Fetched, FileSpan, Item, OutputName
from downloader.model.states import State
from downloader.model.urls import masked

_ITEM_COLUMNS = """
    id, key, source, what, detail, stem, extension, state, path, bytes, staged, sha256, media_type, final_url,
    http_status, attempts, request, part, version, outputs, sequence
"""
_OPEN_URLS = f"""
SELECT {_ITEM_COLUMNS} FROM items INDEXED BY items_pending_urls
WHERE {PENDING_URL} AND sequence > :after ORDER BY sequence LIMIT :limit
"""  # noqa: S608 - constants
_OPEN_URLS_OF_HOST = f"""
SELECT {_ITEM_COLUMNS} FROM items INDEXED BY {{index}}
WHERE {PENDING_URL} AND host = :host AND sequence BETWEEN :first AND :last ORDER BY sequence LIMIT :limit
"""  # noqa: S608 - constants
# Left to itself, SQLite takes the index of pending URLs even where there is one of hosts.
_HAS_HOST_INDEX = "SELECT 1 FROM sqlite_master WHERE name = 'items_host'"
_OPEN_LOCAL = f"""
SELECT {_ITEM_COLUMNS} FROM items INDEXED BY items_other_open
WHERE {OTHER_OPEN} AND sequence > :after AND (what <> 'url' OR id IN (SELECT id FROM temp.staged_before))
ORDER BY sequence LIMIT :limit
"""  # noqa: S608 - constants
_FETCHED = f"SELECT {_ITEM_COLUMNS} FROM items WHERE state IN ('fetched', 'transformed')"  # noqa: S608 - constant
_UNACCOUNTED = f"""
SELECT
    (SELECT count(*) FROM items INDEXED BY items_pending_urls WHERE {PENDING_URL} AND sequence >= :first)
    + (SELECT count(*) FROM items INDEXED BY items_other_open WHERE {OTHER_OPEN} AND sequence >= :first) AS items
"""  # noqa: S608 - constants
_COUNTS = """
SELECT state, kind, count(*) AS items, total(CASE what WHEN 'url' THEN bytes END) AS bytes_downloaded,
    total(bytes_written) AS bytes_written
FROM items GROUP BY state, kind
"""
_STATUSES = """
SELECT http_status, count(*) AS items FROM items
WHERE state = 'failed' AND kind = 'http_status' AND http_status IS NOT NULL GROUP BY http_status
"""
_FAILING_HOSTS = """
SELECT host, count(*) AS items FROM items
WHERE state = 'failed' AND host <> '' GROUP BY host ORDER BY items DESC, host LIMIT 5
"""
_FAILED = "FROM items WHERE state = 'failed' AND sequence >= :first"
_FAILURES = f"SELECT count(*) AS items {_FAILED}"
_MOST_FREQUENT_KIND = f"SELECT kind, count(*) AS items {_FAILED} GROUP BY kind ORDER BY items DESC LIMIT 1"
_MOST_FREQUENT_HOST = (
    f"SELECT host, count(*) AS items {_FAILED} AND kind = :kind GROUP BY host ORDER BY items DESC LIMIT 1"
)
_WRITTEN = "SELECT id, state, outputs FROM items WHERE outputs IS NOT NULL AND id > :after ORDER BY id LIMIT :limit"
_PARTS = """
SELECT json_extract(part, '$.name') AS name FROM items WHERE part IS NOT NULL AND state IN ('pending', 'failed')
"""
_OWNED = """
CREATE TEMP TABLE owned (path TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT OR IGNORE INTO owned
SELECT json_extract(output.value, '$.path') FROM items, json_each(items.outputs) AS output
WHERE items.outputs IS NOT NULL;
"""
_RECORDS = """
SELECT id, key, source, state, stage, kind, message, http_status, attempts, final_url, media_type, bytes, sha256, width,
    height, outputs, warnings, timings, columns, perceptual_hash, blurhash
FROM items
WHERE id > :after AND (:state IS NULL OR state = :state OR :state = 'fetched' AND state = 'transformed')
    AND (:kind IS NULL OR kind = :kind)
ORDER BY id LIMIT 1000
"""


_JSON_COLUMNS: tuple[tuple[str, type[list[Any]] | type[dict[str, Any]]], ...] = (
    ("outputs", list),
    ("warnings", list),
    ("timings", dict),
    ("columns", dict),
)
_from_json = json.JSONDecoder().decode
"""What `json.loads` does, without looking at its options for each text."""


class CommonFailure(NamedTuple):
    """What the failures of a run have in common: the most frequent kind, and of those the most frequent host."""

    failed: int
    kind: str
    of_kind: int
    host: str
    of_host: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file as it was written, or a member of the file of a group; `path` is relative to the output folder."""

    path: str
    bytes: int
    sha256: str
    member: str | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files of an item. It succeeded, or did before it was to be done again; `state` is where it stands now."""

    item_id: int
    state: State
    files: tuple[WrittenFile, ...]


# -- open items --------------------------------------------------------------------------------------------------------


def open_urls(database: Database, plan: Plan, after: int, limit: int) -> list[tuple[int, Item]]:
    """The next pending URLs of this run, with their sequence numbers; `after` 0 is before all."""
    rows = database.query(_OPEN_URLS, after=max(after, plan.first_sequence - 1), limit=limit)
    return [(row["sequence"], _item(row, plan)) for row in rows]


def open_urls_of_host(
    database: Database, plan: Plan, host: str, first: int, last: int, limit: int
) -> list[tuple[int, Item]]:
    """The same of one host, between two sequence numbers of this run, both included."""
    first = max(first, plan.first_sequence)
    sql = _OPEN_URLS_OF_HOST.format(index="items_host" if database.query(_HAS_HOST_INDEX) else "items_pending_urls")
    rows = database.query(sql, host=encode_text(host), first=first, last=last, limit=limit)
    return [(row["sequence"], _item(row, plan)) for row in rows]


def open_local(database: Database, plan: Plan, after: int, limit: int) -> list[tuple[int, Item | Fetched]]:
    """The next items of this run that are open and need no download, with their sequence numbers."""
    rows = database.query(_OPEN_LOCAL, after=max(after, plan.first_sequence - 1), limit=limit)
    return [
        (row["sequence"], _item(row, plan) if row["state"] == State.PENDING else _fetched_item(row, plan))
        for row in rows
    ]


def fetched(database: Database, plan: Plan) -> list[Fetched]:
    """Every item of any run whose last durable fact is `Fetched`."""
    return [_fetched_item(row, plan) for row in database.query(_FETCHED)]


def part_names(database: Database) -> list[str]:
    """The staged files that hold a part of an item which is not done."""
    return [row["name"] for row in database.query(_PARTS)]


def _item(row: sqlite3.Row, plan: Plan) -> Item:
    source = decode_text(row["source"])
    return Item(
        id=row["id"],
        key=row["key"].hex(),
        source=source,
        what=decode_what(row["what"], row["detail"], source),
        name=OutputName(stem=row["stem"], extension=row["extension"]),
        renewed=row["id"] <= plan.last_known_id,
        request=decode_request(row["request"]),
        part=decode_part(row["part"]),
        previous=decode_previous(row["version"], row["sha256"], row["outputs"]),
    )


def _fetched_item(row: sqlite3.Row, plan: Plan) -> Fetched:
    item = _item(row, plan)
    return Fetched(
        item=item,
        path=decode_text(row["path"]),
        bytes=row["bytes"],
        staged=bool(row["staged"]),
        offset=item.what.offset if isinstance(item.what, FileSpan) and not row["staged"] else 0,
        sha256=row["sha256"],
        media_type=row["media_type"],
        final_url=row["final_url"],
        http_status=row["http_status"],
        attempts=row["attempts"],
        validator=decode_validator(row["version"]),
    )


# -- looking back ------------------------------------------------------------------------------------------------------


def counts(database: Database) -> Counts:
    """How many items stand where, over all runs on this output."""
    rows = database.query(_COUNTS)
    by_state = dict.fromkeys(State, 0)
    for row in rows:
        by_state[State(row["state"])] += row["items"]
    return Counts(
        by_state=by_state,
        failures={row["kind"]: row["items"] for row in rows if row["state"] == State.FAILED},
        statuses=_statuses(database),
        failing_hosts=_failing_hosts(database),
        skips={row["kind"]: row["items"] for row in rows if row["state"] == State.SKIPPED},
        bytes_downloaded=int(sum(row["bytes_downloaded"] for row in rows)),
        bytes_written=int(sum(row["bytes_written"] for row in rows)),
    )


def _statuses(database: Database) -> dict[int, int]:
    return {row["http_status"]: row["items"] for row in database.query(_STATUSES)}


def _failing_hosts(database: Database) -> tuple[tuple[str, int], ...]:
    return tuple((decode_text(row["host"]), row["items"]) for row in database.query(_FAILING_HOSTS))


def unaccounted(database: Database, plan: Plan) -> int:
    """How many items of this plan have no outcome."""
    number: int = database.query(_UNACCOUNTED, first=plan.first_sequence)[0]["items"]
    return number


def common_failure(database: Database, plan: Plan) -> CommonFailure | None:
    """What the failures of this plan have in common; None without failures."""
    first = plan.first_sequence
    failed = database.query(_FAILURES, first=first)[0]["items"]
    if not failed:
        return None
    (kind,) = database.query(_MOST_FREQUENT_KIND, first=first)
    (host,) = database.query(_MOST_FREQUENT_HOST, first=first, kind=kind["kind"])
    return CommonFailure(failed, kind["kind"], kind["items"], host["host"], host["items"])


def written(database: Database, after_id: int, limit: int) -> list[Written]:
    """The next items that have results, after an id, with the files they own."""
    return [
        Written(
            item_id=row["id"],
            state=State(row["state"]),
            files=tuple(
                WrittenFile(
                    path=output["path"],
                    bytes=output["bytes"],
                    sha256=output["sha256"],
                    member=output.get("member"),
                    offset=output.get("offset"),
                )
                for output in json.loads(row["outputs"])
            ),
        )
        for row in database.query(_WRITTEN, after=after_id, limit=limit)
    ]


def unowned(database: Database, paths: Sequence[str]) -> list[str]:
    """Those of the paths (relative to the output folder) that belong to no item."""
    with database.locked() as connection:
        if not connection.execute("SELECT 1 FROM temp.sqlite_master WHERE name = 'owned'").fetchone():
            connection.executescript(_OWNED)  # on disk, unlike a set: memory stays flat
        find = "SELECT 1 FROM temp.owned WHERE path = :path"
        return [path for path in paths if not connection.execute(find, {"path": encode_text(path)}).fetchone()]


def records(database: Database, state: str | None, kind: str | None) -> Iterator[dict[str, Any]]:
    """The items as `status --items` shows them, in list order, one at a time."""
    last_id = 0
    while rows := database.query(_RECORDS, after=last_id, state=state, kind=kind):
        last_id = rows[-1]["id"]
        yield from map(_record, rows)


def _record(row: sqlite3.Row) -> dict[str, Any]:
    record = {name: row[name] for name in row.keys() if name != "id"}  # noqa: SIM118 - iterating gives the values
    for name, empty in _JSON_COLUMNS:
        record[name] = _from_json(text) if (text := record[name]) else empty()
    record["key"] = record["key"].hex()
    record["message"] = record["message"] and decode_text(record["message"])
    record["source"] = masked(decode_text(record["source"]))
    record["timings_s"] = record.pop("timings")
    if record["state"] == State.TRANSFORMED:
        record["state"] = State.FETCHED.value
    return record
