"""Groups of results and the rows of those that are not sealed yet."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from downloader.journal.columns import decode_text
from downloader.journal.database import Database
from downloader.model.groups import Extent, GroupRow, GroupState, RecordedRow, RowStatus
from downloader.model.states import State

_ADD_GROUP = "INSERT OR IGNORE INTO groups VALUES (?, 'open')"
_ADD_ROW = "INSERT INTO group_rows VALUES (?, ?, ?, ?, ?)"
_ROWS = """
SELECT position, row, source, columns FROM group_rows JOIN items ON items.id = group_rows.item
WHERE number = :number AND position >= :position ORDER BY position LIMIT :limit
"""
_EXTENT = "SELECT count(*) AS rows, coalesce(max(file_end), 0) AS bytes FROM group_rows WHERE number = :number"
_SET_STATE = "INSERT OR REPLACE INTO groups VALUES (:number, :state)"
_ITEMS = """
SELECT DISTINCT item FROM group_rows JOIN items ON items.id = item WHERE number = :number AND state = :state
"""
_STORED_NAMES = tuple(field.name for field in fields(GroupRow) if field.name not in {"group", "position", "end"})
_BATCH = 1000


def add(connection: sqlite3.Connection, item_id: int, row: GroupRow) -> None:
    """Add the row of an outcome to its group."""
    connection.execute(_ADD_GROUP, (row.group,))
    text = json.dumps({name: value for name in _STORED_NAMES if (value := getattr(row, name)) is not None})
    connection.execute(_ADD_ROW, (row.group, row.position, item_id, row.end, text))


def in_state(database: Database, state: GroupState) -> list[int]:
    """The numbers of the groups in this state, in order."""
    return [
        row["number"]
        for row in database.query("SELECT number FROM groups WHERE state = :state ORDER BY number", state=state.value)
    ]


def next_number(database: Database) -> int:
    """The number after the last one that was ever used."""
    number: int = database.query("SELECT coalesce(max(number) + 1, 0) AS number FROM groups")[0]["number"]
    return number


def extent(database: Database, number: int) -> Extent:
    """How many rows a group has, and bytes."""
    (row,) = database.query(_EXTENT, number=number)
    return Extent(row["rows"], row["bytes"])


def rows(database: Database, number: int) -> Iterator[RecordedRow]:
    """The rows of a group in order, one at a time."""
    position = 0
    while batch := database.query(_ROWS, number=number, position=position, limit=_BATCH):
        position = batch[-1]["position"] + 1
        for row in batch:
            yield RecordedRow(
                _row(number, row["position"], json.loads(row["row"])),
                decode_text(row["source"]),
                json.loads(row["columns"] or "{}"),
            )


def _row(number: int, position: int, stored: dict[str, Any]) -> GroupRow:
    status = RowStatus(stored.pop("status"))
    return GroupRow(group=number, position=position, end=0, status=status, **stored)


def columns_of(database: Database, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """The columns of items that have any, by item id; at most 900 items."""
    marks = ",".join("?" * len(ids))
    sql = f"SELECT id, columns FROM items WHERE columns IS NOT NULL AND id IN ({marks})"  # noqa: S608 - marks only
    with database.locked() as connection:
        return {row["id"]: json.loads(row["columns"]) for row in connection.execute(sql, tuple(ids))}


def begin_sealing(database: Database, number: int) -> None:
    """Let a group take no more rows. On return this and all rows survive a power cut too.

    Otherwise the files of a group could outlive its rows: those are committed without a flush of their own, and the
    next run would make the results of the last ones again.
    """
    with database.locked() as connection:
        connection.execute("PRAGMA synchronous = FULL")
        try:
            connection.execute(_SET_STATE, {"number": number, "state": GroupState.SEALING.value})
        finally:
            connection.execute("PRAGMA synchronous = NORMAL")


def close(connection: sqlite3.Connection, number: int, state: GroupState) -> None:
    """Remember that a group is sealed or given up, and forget its rows: they are in its files, or of no use."""
    connection.execute(_SET_STATE, {"number": number, "state": state.value})
    connection.execute("DELETE FROM group_rows WHERE number = ?", (number,))


def items(connection: sqlite3.Connection, number: int, state: State) -> list[int]:
    """The items that have a row in a group and are in this state."""
    return [row["item"] for row in connection.execute(_ITEMS, {"number": number, "state": state.value})]
