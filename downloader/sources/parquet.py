"""Parquet tables as lists, read by pyarrow in batches, only the columns that are wanted.

pyarrow is the extra `parquet`. What it says of itself is not typed, hence `Any`.
"""

import importlib
from collections.abc import Iterator
from typing import Any, Final

from downloader.errors import SourceError
from downloader.model.items import Row
from downloader.sources.tabular import Columns, Record, as_text, rows

_BATCH_ROWS: Final = 1024
_BUFFER_BYTES: Final = 1024 * 1024
"""As much of a column as is read from the file at a time."""


def library(path: str) -> Any:  # noqa: ANN401 - an optional, untyped library
    """The package pyarrow with its module for Parquet; `path` is who needs it.

    Raises:
        SourceError: it is not installed; says how to get it.
    """
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError:
        raise SourceError(
            f"{path}: Parquet is read with pyarrow, which is not installed; the extra 'parquet' brings it, or "
            "pip install pyarrow"
        ) from None


def read_file(path: str, columns: Columns) -> Iterator[Row]:
    """The rows of a Parquet file; `Row.where` holds the number of the row in the file, the first being 1.

    Raises:
        SourceError: pyarrow is missing, a wanted column is missing, or the file cannot be read, or not to its end.
    """
    return rows(_records(path, columns), columns)


def _records(path: str, columns: Columns) -> Iterator[Record]:
    arrow = library(path)
    number = 0
    try:
        with arrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            columns.places(file.schema_arrow.names, path)
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns.wanted), use_threads=False):
                for texts in zip(*(_texts(arrow, batch.column(name)) for name in columns.wanted), strict=True):
                    number += 1
                    yield f"{path}:{number}", texts
    except (arrow.ArrowException, OSError) as problem:
        reason = str(problem).partition("\n")[0]
        raise SourceError(f"{path}:{number + 1}: the list cannot be read any further: {reason}") from problem


def _texts(arrow: Any, cells: Any) -> list[str]:  # noqa: ANN401 - pyarrow is not typed
    """The cells of a column as text: numbers and times as Arrow writes them, lists and structs as JSON, null empty.

    Bytes are taken for UTF-8, also those that only claim to be; what is not stays as surrogates, which no URL may hold.
    """
    try:
        return ["" if text is None else text for text in cells.cast(arrow.string()).to_pylist()]
    except (arrow.ArrowNotImplementedError, arrow.ArrowInvalid, UnicodeDecodeError):
        pass
    try:
        values = cells.cast(arrow.binary()).to_pylist()
    except (arrow.ArrowNotImplementedError, arrow.ArrowInvalid):
        return [as_text(value) for value in cells.to_pylist()]
    return ["" if value is None else value.decode(errors="surrogateescape") for value in values]
