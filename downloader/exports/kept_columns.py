"""The columns of lists: their names and types in a table. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from downloader.tables import ColumnType, TableColumn

CAPTION = "caption"
"""What the column of captions is called in every table, whatever its list calls it."""
_BOOLEANS = frozenset(("true", "false"))


def type_of(json_types: frozenset[str]) -> ColumnType:
    """The type of a column with values of these JSON types: text where they have nothing else in common."""
    present = json_types - {"null"}
    if not present:
        return ColumnType.STRING
    if present <= _BOOLEANS:
        return ColumnType.BOOL
    if present == {"integer"}:
        return ColumnType.INT64
    return ColumnType.FLOAT64 if present <= {"integer", "real"} else ColumnType.STRING


def _text(value: Any) -> str:  # noqa: ANN401 - any value of JSON
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_CONVERSIONS: Mapping[ColumnType, Callable[[Any], Any]] = {ColumnType.FLOAT64: float, ColumnType.STRING: _text}


@dataclass(frozen=True, slots=True)
class KeptColumns:
    """The kept columns of an output, as the last columns of a table."""

    names: tuple[str, ...]
    """As lists call them."""
    columns: tuple[TableColumn, ...]

    @classmethod
    def of(cls, kept: Mapping[str, frozenset[str]], caption: str | None, taken: Iterable[str]) -> Self:
        """The columns, the caption first; one that has a name of the table itself becomes `column_NAME`.

        Letters of either case are the same there, as they are to SQL.
        """
        used = {name.lower() for name in taken}
        names = sorted(kept, key=lambda name: name != caption)
        columns = []
        for name in names:
            shown = CAPTION if name == caption else name
            while shown.lower() in used:
                shown = f"column_{shown}"
            used.add(shown.lower())
            columns.append(TableColumn(shown, type_of(kept[name])))
        return cls(tuple(names), tuple(columns))

    def values(self, cells: Mapping[str, Any]) -> list[Any]:
        """The values of a row; None where it has none."""
        return [
            None if (value := cells.get(name)) is None else _CONVERSIONS.get(column.type, _same)(value)
            for name, column in zip(self.names, self.columns, strict=True)
        ]


def _same(value: Any) -> Any:  # noqa: ANN401 - any value
    return value
