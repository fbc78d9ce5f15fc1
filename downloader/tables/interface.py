"""What tables are made of: columns, rows, and the protocol of what writes them. Implementations: `parquet`, `text`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

TableRow = Sequence[Any]
"""The values of a row in the order of the columns; None where there is none."""


class ColumnType(StrEnum):
    """What the values of a column are. Text formats hold no bytes and no images.

    An `IMAGE` is a mapping with `bytes` and `path`, which is how the library `datasets` knows an image.
    """

    STRING = "string"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT64 = "float64"
    BOOL = "bool"
    STRINGS = "strings"
    """Several strings without spaces; in CSV with a space between them."""
    BYTES = "bytes"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column, which may hold None in any row."""

    name: str
    type: ColumnType = ColumnType.STRING


class TableWriter(Protocol):
    """Writes the rows of one table."""

    def write(self, rows: Sequence[TableRow]) -> None:
        """Add rows. Strings that UTF-8 cannot hold are escaped."""

    def close(self) -> None:
        """Write what is still held back, and the end of the table; the file itself stays open."""

    def abandon(self) -> None:
        """Leave the table without an end, since it cannot be written."""


def storable(text: str) -> str:
    r"""The text, with characters that UTF-8 cannot hold as escapes such as `\udce9`: names of files may have them."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def storable_value(value: Any) -> Any:  # noqa: ANN401 - a cell
    """A value whose strings UTF-8 can hold."""
    if isinstance(value, str):
        return storable(value)
    return [storable(text) for text in value] if isinstance(value, list) else value
