"""Writing Parquet tables with fixed column types. The home of pyarrow for sinks, which comes with an extra.

pyarrow has no types, hence `Any`.
"""

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from downloader.errors import ConfigError

_ROWS = 10_000
"""Rows of a row group at most: readers load one at a time."""
_IMAGE_BYTES = 32 * 1024**2
"""Bytes of images of a row group, about: HF's streaming and polars hold one whole in memory."""


class Image(NamedTuple):
    """An image as a struct, as the `datasets` library has images; `path` is a name for it."""

    bytes: bytes
    path: str


Cell = str | int | bytes | Image | None
Column = tuple[str, type[str] | type[int] | type[bytes] | type[Image]]
"""The name of a column and the type of its cells, any of which may be None."""


def check_installed(needed_for: str) -> None:
    """Make sure that tables can be written and read.

    Raises:
        ConfigError: pyarrow is not installed; says how to get it.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(
            f"{needed_for}: tables need pyarrow, which is not installed; the extra 'parquet' brings it, or pip install "
            "pyarrow"
        ) from None


def write_table(path: Path, columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write a table. Types come from `columns`, never from the first rows.

    The metadata `huggingface` makes the `datasets` library show a column of structs as images; it takes no notice of
    such metadata for a column of bytes.
    """
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schema = _schema(arrow, columns)
    plain = [name for name, kind in columns if kind in {str, int}]
    images = [name for name, kind in columns if kind is bytes]
    images += [f"{name}.{part}" for name, kind in columns if kind is Image for part in Image._fields]
    with parquet.ParquetWriter(
        path,
        schema,
        compression={**dict.fromkeys(plain, "SNAPPY"), **dict.fromkeys(images, "NONE")},
        use_dictionary=plain,
        write_statistics=plain,
    ) as writer:
        for batch in _batches(rows):
            writer.write_table(_table(arrow, batch, schema), row_group_size=_ROWS)


def _table(arrow: Any, batch: Sequence[Mapping[str, Cell]], schema: Any) -> Any:  # noqa: ANN401 - as below
    columns = [
        [cell._asdict() if isinstance(cell := row[name], Image) else cell for row in batch] for name in schema.names
    ]
    arrays = [arrow.array(cells, field.type) for cells, field in zip(columns, schema, strict=True)]
    return arrow.Table.from_arrays(arrays, schema=schema)


def _schema(arrow: Any, columns: Sequence[Column]) -> Any:  # noqa: ANN401 - pyarrow is not typed
    struct = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    types = {str: arrow.string(), int: arrow.int32(), bytes: arrow.binary(), Image: struct}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns])
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": _features(columns)}})})


def _features(columns: Sequence[Column]) -> dict[str, dict[str, str]]:
    """What the `datasets` library is told of each column."""
    features = {
        str: {"dtype": "string", "_type": "Value"},
        int: {"dtype": "int32", "_type": "Value"},
        bytes: {"dtype": "binary", "_type": "Value"},
        Image: {"_type": "Image"},
    }
    return {name: features[kind] for name, kind in columns}


def _batches(rows: Iterable[Mapping[str, Cell]]) -> Iterator[list[Mapping[str, Cell]]]:
    """Row groups, limited by rows and by bytes of images."""
    batch: list[Mapping[str, Cell]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(map(_size, row.values()))
        if len(batch) >= _ROWS or size >= _IMAGE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(cell: Cell) -> int:
    """Bytes of an image; 0 for other cells."""
    data = cell.bytes if isinstance(cell, Image) else cell
    return len(data) if isinstance(data, bytes) else 0
