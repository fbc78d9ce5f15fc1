"""What a report shows of a journal: groups of failures with examples, samples of results, sources, timings."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from downloader.journal.columns import decode_text, decode_what
from downloader.journal.database import Database
from downloader.model.counts import FailureGroup
from downloader.model.items import Invalid, Location, Output
from downloader.model.urls import masked

_GROUPS = """
SELECT kind, host, http_status, count(*) AS items, min(id) AS first, max(id) AS last FROM items WHERE state = 'failed'
GROUP BY kind, host, http_status ORDER BY items DESC, kind, host
"""
_EXAMPLES = "SELECT id, source, message FROM items WHERE id IN ({})"
_SOURCES = "SELECT id, source FROM items WHERE id IN ({})"
_LAST_ID = "SELECT coalesce(max(id), 0) AS id FROM items"
_SAMPLE = """
SELECT source, what, detail, outputs, width, height, bytes, media_type FROM items
WHERE state = 'succeeded' AND id BETWEEN :first AND :last ORDER BY id LIMIT 1
"""
_TIMINGS = (
    "SELECT timings FROM items WHERE id BETWEEN :first AND :last AND timings IS NOT NULL ORDER BY id LIMIT :limit"
)
_BATCH = 500
_TIMING_PLACES = 20
"""Places of a journal at which timings are taken: rows nearby are of one time and often of one host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredItem:
    """An item that succeeded: its masked source, where its bytes came from, its size in pixels, and its outputs."""

    source: str
    what: Location | Invalid
    width: int | None
    height: int | None
    bytes: int | None
    outputs: tuple[Output, ...]


def failure_groups(database: Database, limit: int) -> tuple[list[FailureGroup], int]:
    """The largest groups of failures, over all runs, and how many groups there are."""
    rows = database.query(_GROUPS)
    shown = rows[:limit]
    examples = _by_id(database, _EXAMPLES, {row[name] for row in shown for name in ("first", "last")})
    groups = [
        FailureGroup(
            kind=row["kind"],
            host=decode_text(row["host"]),
            http_status=row["http_status"],
            items=row["items"],
            examples=tuple(
                (masked(decode_text(example["source"])), decode_text(example["message"] or ""))
                for example in (examples[number] for number in sorted({row["first"], row["last"]}))
            ),
        )
        for row in shown
    ]
    return groups, len(rows)


def sources(database: Database, ids: Iterable[int]) -> dict[int, str]:
    """The masked sources of items."""
    found = _by_id(database, _SOURCES, ids)
    return {number: masked(decode_text(row["source"])) for number, row in found.items()}


def stored_samples(database: Database, number: int) -> list[StoredItem]:
    """Up to so many items that succeeded, from evenly spread places of the list."""
    rows = [row for first, last in _places(database, number) for row in database.query(_SAMPLE, first=first, last=last)]
    return [
        StoredItem(
            source=masked(source := decode_text(row["source"])),
            what=decode_what(row["what"], row["detail"], source),
            width=row["width"],
            height=row["height"],
            bytes=row["bytes"],
            outputs=tuple(Output(**output) for output in json.loads(row["outputs"] or "[]")),
        )
        for row in rows
    ]


def timings(database: Database, number: int) -> list[dict[str, float]]:
    """Seconds by phase of up to so many items, from evenly spread places of the list."""
    limit = max(number // _TIMING_PLACES, 1)
    return [
        json.loads(row["timings"])
        for first, last in _places(database, _TIMING_PLACES)
        for row in database.query(_TIMINGS, first=first, last=last, limit=limit)
    ]


def _places(database: Database, number: int) -> list[tuple[int, int]]:
    """The items cut into so many parts: the first and the last id of each."""
    last = database.query(_LAST_ID)[0]["id"]
    edges = [last * part // number for part in range(number + 1)]
    return [(first + 1, last) for first, last in pairwise(edges) if first < last]


def _by_id(database: Database, sql: str, ids: Iterable[int]) -> dict[int, Any]:
    found = {}
    ordered = sorted(ids)
    for start in range(0, len(ordered), _BATCH):
        numbers = ",".join(map(str, ordered[start : start + _BATCH]))
        found.update({row["id"]: row for row in database.query(sql.format(numbers))})
    return found
