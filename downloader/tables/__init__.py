"""Tables as files: Parquet, CSV or JSON Lines, written row by row under a schema that is known before the first row.

    interface.py   columns, rows, and the protocol of what writes them
    parquet.py, text.py   the formats
    files.py       a file that appears under its name whole or not at all

    column types -> open_table(file, format, columns) -> write(rows), write(rows), ... -> close()

A schema taken from the first rows would make a column that is null there another type in each file, which readers of
many files refuse. Memory is bounded: by one row group for Parquet, by a batch of rows for text.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from downloader.config.settings import TableFormat
from downloader.errors import ConfigError
from downloader.tables.files import replaced_file
from downloader.tables.interface import ColumnType, TableColumn, TableRow, TableWriter, storable
from downloader.tables.parquet import MAX_GROUP_BYTES, MAX_GROUP_ROWS, ParquetTable, load_pyarrow
from downloader.tables.text import CsvTable, JsonLinesTable

__all__ = [
    "ColumnType",
    "TableColumn",
    "TableFormat",
    "TableRow",
    "TableWriter",
    "check_format",
    "open_table",
    "replaced_file",
    "storable",
    "table_format_of",
    "write_rows",
]

_SUFFIXES: Final[Mapping[str, TableFormat]] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}


def table_format_of(path: Path | None) -> TableFormat | None:
    """The format that the name of a file tells; None where it tells none."""
    return _SUFFIXES.get(path.suffix.lower()) if path else None


def check_format(wanted: TableFormat, option: str) -> None:
    """Make sure that tables of this format can be written; `option` is what asks for it.

    Raises:
        ConfigError: a library is missing; says how to get it.
    """
    if wanted == "parquet":
        try:
            load_pyarrow()
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
            return ParquetTable(
                file, columns, metadata or {}, max_group_rows=max_group_rows, max_group_bytes=max_group_bytes
            )
        case "csv":
            return CsvTable(file, columns)
        case "jsonl":
            return JsonLinesTable(file, columns)


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
