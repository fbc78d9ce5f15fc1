"""What the items of a journal hold, all together: so that the columns of a table are known before its first row."""

from collections.abc import Mapping
from dataclasses import dataclass

from downloader.journal.database import Database

# Integers beyond 64 bits are integers to JSON, and floating point numbers to SQLite.
_KEPT = """
SELECT cell.key AS name,
    CASE WHEN cell.type = 'integer' AND typeof(cell.value) = 'real' THEN 'large integer' ELSE cell.type END AS type
FROM items, json_each(items.columns) AS cell
WHERE items.columns IS NOT NULL
GROUP BY 1, 2 ORDER BY min(items.id), min(cell.id)
"""
_VARIANTS = """
SELECT json_extract(output.value, '$.variant') AS variant, max(json_extract(output.value, '$.offset')) AS last_offset
FROM items, json_each(items.outputs) AS output
WHERE items.outputs IS NOT NULL
GROUP BY 1 ORDER BY min(items.id), min(output.id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemShape:
    """What the items of an output hold.

    Attributes:
        kept: by column of a list, the JSON types of its values: `text`, `integer`, `real`, `true`, `false`, `null`,
            `array`, `object`, with `large integer` for those beyond 64 bits. In the order in which they come.
        variants: of the files that there are; None for the only one.
        in_groups: whether there are results within larger files, in groups of them.
    """

    kept: Mapping[str, frozenset[str]]
    variants: tuple[str | None, ...]
    in_groups: bool


def shape(database: Database) -> ItemShape:
    """What the items hold; reads all of them."""
    kept: dict[str, frozenset[str]] = {}
    for row in database.query(_KEPT):
        kept[row["name"]] = kept.get(row["name"], frozenset()) | {row["type"]}
    outputs = database.query(_VARIANTS)
    return ItemShape(
        kept=kept,
        variants=tuple(row["variant"] for row in outputs),
        in_groups=any(row["last_offset"] is not None for row in outputs),
    )
