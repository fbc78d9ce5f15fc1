"""Which item had which bytes first, for all runs on an output.

The first one owns the bytes until it fails or its own bytes change.
"""

import sqlite3

from downloader.journal.columns import decode_text
from downloader.journal.database import Database
from downloader.model.items import Item

_FIND = """
SELECT owner.source FROM bodies JOIN items AS owner ON owner.id = bodies.item
WHERE bodies.sha256 = :sha256 AND owner.id != :id
    AND owner.state != 'failed' AND (owner.sha256 IS NULL OR owner.sha256 = :sha256)
"""
_CLAIM = """
INSERT INTO bodies (sha256, item) VALUES (:sha256, :id)
ON CONFLICT (sha256) DO UPDATE SET item = excluded.item WHERE NOT EXISTS (
    SELECT 1 FROM items AS owner
    WHERE owner.id = bodies.item AND owner.state != 'failed'
        AND (owner.sha256 IS NULL OR owner.sha256 = bodies.sha256))
"""


def claim(connection: sqlite3.Connection, item_id: int, sha256: str) -> None:
    """Make an item the owner of its bytes, unless another one is."""
    connection.execute(_CLAIM, {"sha256": sha256, "id": item_id})


def find_duplicate(database: Database, item: Item, sha256: str) -> str | None:
    """The source of another item that owns these bytes, or None."""
    rows = database.query(_FIND, sha256=sha256, id=item.id)
    return decode_text(rows[0]["source"]) if rows else None
