"""Tables as files: Parquet, CSV or JSON Lines, written row by row under a schema that is known before the first row.

    column types -> open_table(file, format, columns) -> write(rows), write(rows), ... -> close()
    replaced_file(path)     a file that appears under its name whole or not at all

A schema taken from the first rows would make a column that is null there another type in each file, which readers of
many files refuse. Memory is bounded: by one row group for Parquet, by a batch of rows for text.

Parquet is written by pyarrow, which comes with the extra `parquet`. It has no types, hence `Any`.
"""

import csv
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Final, Literal, Protocol

from downloader.errors import ConfigError, OutputError

TableFormat = Literal["parquet", "csv", "jsonl"]
TableRow = Sequence[Any]
"""The values of a row in the order of the columns; None where there is none."""

MAX_GROUP_ROWS: Final = 65_536
MAX_GROUP_BYTES: Final = 64 * 1024**2
"""A row group is closed at either: large enough to be read quickly, small enough to be held in memory."""


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


def check_format(wanted: TableFormat, option: str) -> None:
    """Make sure that tables of this format can be written; `option` is what asks for it.

    Raises:
        ConfigError: a library is missing; says how to get it.
    """
    if wanted == "parquet":
        try:
            _pyarrow()
        except ImportError:
            raise ConfigError(
                f"{option}: Parquet is written with pyarrow, which is not installed; the extra 'parquet' brings it, "
                "or pip install pyarrow"
            ) from None


def open_table(
    file: BinaryIO,
    table_format: TableFormat,
    columns: Sequence[TableColumn],
    *,
    metadata: Mapping[str, str] | None = None,
    max_group_rows: int = MAX_GROUP_ROWS,
    max_group_bytes: int = MAX_GROUP_BYTES,
) -> TableWriter:
    """Start a table in an open file.

    Args:
        file: opened for writing; need not be seekable.
        table_format: of the file.
        columns: in their order, with names that differ.
        metadata: of the schema; only Parquet has a place for it.
        max_group_rows: of a row group in Parquet.
        max_group_bytes: of a row group in Parquet, as it is in memory.
    """
    match table_format:
        case "parquet":
            return _ParquetTable(
                file, columns, metadata or {}, max_group_rows=max_group_rows, max_group_bytes=max_group_bytes
            )
        case "csv":
            return _CsvTable(file, columns)
        case "jsonl":
            return _JsonLinesTable(file, columns)


def write_rows(table: TableWriter, rows: Iterable[TableRow], *, batch_rows: int = 4096) -> int:
    """Write all rows, some at a time, and close the table, or abandon it; returns how many there were."""
    count = 0
    rows = iter(rows)
    try:
        while batch := list(islice(rows, batch_rows)):
            table.write(batch)
            count += len(batch)
        table.close()
    except BaseException:
        table.abandon()
        raise
    return count


@contextmanager
def replaced_file(path: Path, *, staging: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write that appears under `path`, durably, when the block ends; an exception leaves what was there.

    Until then it lies in `staging`, a folder of the same file system, or beside `path`.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = (staging or path.parent) / f".table-{secrets.token_hex(8)}.new"
    try:
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as problem:
        raise OutputError(f"{path}: cannot be written: {problem.strerror or problem}") from problem


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system can: not all let a folder be opened or flushed."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def storable(text: str) -> str:
    r"""The text, with characters that UTF-8 cannot hold as escapes such as `\udce9`: names of files may have them."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


# -- Parquet -----------------------------------------------------------------------------------------------------------


def _pyarrow() -> Any:  # noqa: ANN401 - an optional, untyped library
    """The package pyarrow, with its module for Parquet loaded."""
    import pyarrow as pa  # noqa: PLC0415 - optional, and slow to load
    import pyarrow.parquet  # noqa: PLC0415 - as above

    return pa


def _arrow_type(arrow: Any, column_type: ColumnType) -> Any:  # noqa: ANN401 - pyarrow is not typed
    match column_type:
        case ColumnType.INT32:
            return arrow.int32()
        case ColumnType.INT64:
            return arrow.int64()
        case ColumnType.FLOAT64:
            return arrow.float64()
        case ColumnType.BOOL:
            return arrow.bool_()
        case ColumnType.STRINGS:
            return arrow.list_(arrow.string())
        case ColumnType.BYTES:
            return arrow.binary()
        case ColumnType.IMAGE:
            return arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
        case ColumnType.STRING:
            return arrow.string()


class _ParquetTable:
    """Collects batches into row groups."""

    def __init__(
        self,
        file: BinaryIO,
        columns: Sequence[TableColumn],
        metadata: Mapping[str, str],
        *,
        max_group_rows: int,
        max_group_bytes: int,
    ) -> None:
        self._arrow = arrow = _pyarrow()
        self._columns = columns
        self._schema = arrow.schema(
            [arrow.field(column.name, _arrow_type(arrow, column.type)) for column in columns], metadata=metadata or None
        )
        self._writer = arrow.parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._max_group_rows = max_group_rows
        self._max_group_bytes = max_group_bytes
        self._group: list[Any] = []
        self._group_rows = self._group_bytes = 0

    def write(self, rows: Sequence[TableRow]) -> None:
        if not rows:
            return
        arrays = [
            self._array(column, field.type, values)
            for column, field, values in zip(self._columns, self._schema, zip(*rows, strict=True), strict=True)
        ]
        batch = self._arrow.record_batch(arrays, schema=self._schema)
        if self._group_rows + len(rows) > self._max_group_rows:
            self._end_group()
        self._group.append(batch)
        self._group_rows += len(rows)
        self._group_bytes += batch.nbytes
        if self._group_rows >= self._max_group_rows or self._group_bytes >= self._max_group_bytes:
            self._end_group()

    def _array(self, column: TableColumn, arrow_type: Any, values: Sequence[Any]) -> Any:  # noqa: ANN401 - see above
        try:
            return self._arrow.array(values, arrow_type)
        except UnicodeEncodeError:
            return self._arrow.array([_storable_value(value) for value in values], arrow_type)
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError, OverflowError) as problem:
            raise TypeError(f"column {column.name!r}: {problem}") from problem

    def _end_group(self) -> None:
        if self._group:
            self._writer.write_table(self._arrow.Table.from_batches(self._group, self._schema))
        self._group = []
        self._group_rows = self._group_bytes = 0

    def close(self) -> None:
        self._end_group()
        self._writer.close()

    def abandon(self) -> None:
        self._writer.is_open = False  # otherwise it writes when it is deleted, into a file that is closed by then


def _storable_value(value: Any) -> Any:  # noqa: ANN401 - a cell
    if isinstance(value, str):
        return storable(value)
    return [storable(text) for text in value] if isinstance(value, list) else value


# -- text --------------------------------------------------------------------------------------------------------------


class _CsvTable:
    """RFC 4180 in UTF-8, with a header and LF; None is an empty cell."""

    def __init__(self, file: BinaryIO, columns: Sequence[TableColumn]) -> None:
        self._file = file
        self.write([[column.name for column in columns]])

    def write(self, rows: Sequence[TableRow]) -> None:
        lines: list[str] = []
        # A cell with a lone CR is quoted only if the end of a line holds one (Python 3.11); CR is taken off again.
        writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
        writer.writerows([list(map(_csv_cell, row)) for row in rows])
        self._file.write("".join([line[:-2] + "\n" for line in lines]).encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """There is no end that could be missing."""


def _csv_cell(value: Any) -> Any:  # noqa: ANN401 - a cell
    if value is True or value is False:
        return "true" if value else "false"
    return " ".join(value) if isinstance(value, list) else value


class _JsonLinesTable:
    """One object a line, in UTF-8, with every column in each."""

    def __init__(self, file: BinaryIO, columns: Sequence[TableColumn]) -> None:
        self._file = file
        self._names = [column.name for column in columns]
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode

    def write(self, rows: Sequence[TableRow]) -> None:
        try:
            data = self._lines(rows).encode()
        except UnicodeEncodeError:
            data = self._lines([[_storable_value(value) for value in row] for row in rows]).encode()
        self._file.write(data)

    def _lines(self, rows: Sequence[TableRow]) -> str:
        names, encode = self._names, self._encode
        return "".join([encode(dict(zip(names, row, strict=True))) + "\n" for row in rows])

    def close(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """There is no end that could be missing."""
