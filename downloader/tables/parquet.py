"""Tables in Parquet, written by pyarrow, which comes with the extra `parquet`. It has no types, hence `Any`."""

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

from downloader.tables.interface import ColumnType, TableColumn, TableRow, storable_value

MAX_GROUP_ROWS: Final = 65_536
MAX_GROUP_BYTES: Final = 64 * 1024**2
"""A row group is closed at either: large enough to be read quickly, small enough to be held in memory."""


def load_pyarrow() -> Any:  # noqa: ANN401 - an optional, untyped library
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


class ParquetTable:
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
        self._arrow = arrow = load_pyarrow()
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
        """Add rows."""
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
            return self._arrow.array([storable_value(value) for value in values], arrow_type)
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError, OverflowError) as problem:
            raise TypeError(f"column {column.name!r}: {problem}") from problem

    def _end_group(self) -> None:
        if self._group:
            self._writer.write_table(self._arrow.Table.from_batches(self._group, self._schema))
        self._group = []
        self._group_rows = self._group_bytes = 0

    def close(self) -> None:
        """Write the last row group, and the schema."""
        self._end_group()
        self._writer.close()

    def abandon(self) -> None:
        """Write nothing more."""
        self._writer.is_open = False  # otherwise it writes when it is deleted, into a file that is closed by then
