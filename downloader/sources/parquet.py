"""Parquet tables, read by pyarrow in batches, only the columns that are wanted.

pyarrow comes with the extra `parquet`. It has no types, hence `Any`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from downloader.errors import SourceError
from downloader.model.items import Row
from downloader.sources.access import check_readable, optional_library
from downloader.sources.tabular import Columns, Record, rows_of, text_of

_BATCH_ROWS: Final = 1024
_BUFFER_BYTES: Final = 1024 * 1024
"""The part of a column that is read from the file at a time."""


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """A Parquet file. `Row.where` holds the number of the row in the file, the first being 1."""

    path: str
    columns: Columns

    def check(self) -> None:
        """Make sure that the file may be read, and that pyarrow is installed.

        Raises:
            SourceError: it may not, or is not.
        """
        check_readable(self.path)
        self._pyarrow()

    def rows(self) -> Iterator[Row]:
        """The rows of the file, batch by batch.

        Raises:
            SourceError: a wanted column is missing, or the file cannot be read, or not to its end.
        """
        return rows_of(self._records(), self.columns)

    def _records(self) -> Iterator[Record]:
        path, columns = self.path, self.columns
        arrow = self._pyarrow()
        number = 0
        try:
            with arrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
                columns.indexes_in(file.schema_arrow.names, path)
                for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns.wanted), use_threads=False):
                    for texts in zip(*(_texts(arrow, batch.column(name)) for name in columns.wanted), strict=True):
                        number += 1
                        yield f"{path}:{number}", texts
        except (arrow.ArrowException, OSError) as problem:
            reason = str(problem).partition("\n")[0]
            raise SourceError(f"{path}:{number + 1}: the list cannot be read any further: {reason}") from problem

    def _pyarrow(self) -> Any:  # noqa: ANN401 - an optional, untyped library
        """The package pyarrow, with its module for Parquet loaded."""
        needs = {"path": self.path, "needed_for": "Parquet", "package": "pyarrow", "extra": "parquet"}
        optional_library(["pyarrow.parquet"], **needs)
        return optional_library(["pyarrow"], **needs)


def _texts(arrow: Any, cells: Any) -> list[str]:  # noqa: ANN401 - pyarrow is not typed
    """The cells of a column as text: numbers and times as Arrow writes them, lists and structs as JSON, null empty.

    Bytes are read as UTF-8, even if a column of strings holds other bytes; those are kept as surrogates, which no URL
    may have.
    """
    try:
        return ["" if text is None else text for text in cells.cast(arrow.string()).to_pylist()]
    except (arrow.ArrowNotImplementedError, arrow.ArrowInvalid, UnicodeDecodeError):
        pass
    try:
        values = cells.cast(arrow.binary()).to_pylist()
    except (arrow.ArrowNotImplementedError, arrow.ArrowInvalid):
        return [text_of(value) for value in cells.to_pylist()]
    return ["" if value is None else value.decode(errors="surrogateescape") for value in values]
