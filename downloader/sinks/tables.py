"""Writing Parquet tables with fixed column types. The home of pyarrow for sinks, which comes with an extra.

pyarrow has no types, hence `Any`.
"""

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from downloader.errors import ConfigError

_ROWS = 10_000
"""Rows of a row group at most: readers load one at a time."""
_IMAGE_BYTES = 32 * 1024**2
"""Bytes of images of a row group, about: HF's streaming and polars hold one whole in memory."""

Cell = str | int | bytes | None
Column = tuple[str, type[str] | type[int] | type[bytes]]
"""The name of a column and the type of its cells, any of which may be None; bytes are an image."""


def check_installed(needed_for: str) -> None:
    """Make sure that tables can be written.

    Raises:
        ConfigError: pyarrow is not installed; says how to get it.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError(
            f"{needed_for}: tables are written with pyarrow, which is not installed; the extra 'parquet' brings it, or "
            "pip install pyarrow"
        ) from None


def write_table(path: Path, columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]]) -> None:
    """Write a table. Types come from `columns`, never from the first rows.

    A column of images is plain binary, which every reader understands; the `huggingface` metadata beside it makes the
    `datasets` library decode it.
    """
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schema = _schema(arrow, columns)
    plain = [name for name, kind in columns if kind is not bytes]
    with parquet.ParquetWriter(
        path,
        schema,
        compression={name: "NONE" if kind is bytes else "SNAPPY" for name, kind in columns},
        use_dictionary=plain,
        write_statistics=plain,
    ) as writer:
        for batch in _batches(rows):
            writer.write_table(arrow.Table.from_pylist(batch, schema=schema), row_group_size=_ROWS)


def _schema(arrow: Any, columns: Sequence[Column]) -> Any:  # noqa: ANN401 - pyarrow is not typed
    types = {str: arrow.string(), int: arrow.int32(), bytes: arrow.binary()}
    schema = arrow.schema([(name, types[kind]) for name, kind in columns])
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": _features(columns)}})})


def _features(columns: Sequence[Column]) -> dict[str, dict[str, str]]:
    """What the `datasets` library is told of each column."""
    features = {
        str: {"dtype": "string", "_type": "Value"},
        int: {"dtype": "int32", "_type": "Value"},
        bytes: {"_type": "Image"},
    }
    return {name: features[kind] for name, kind in columns}


def _batches(rows: Iterable[Mapping[str, Cell]]) -> Iterator[list[Mapping[str, Cell]]]:
    """Row groups, limited by rows and by bytes of images."""
    batch: list[Mapping[str, Cell]] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(cell) for cell in row.values() if isinstance(cell, bytes))
        if len(batch) >= _ROWS or size >= _IMAGE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
