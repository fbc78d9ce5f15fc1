"""Parquet tables: fixed types, and row groups that readers can hold."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from downloader.sinks import tables
from downloader.sinks.tables import Cell, Column, Image, write_table

COLUMNS: list[Column] = [("key", str), ("width", int), ("jpg", bytes), ("png", Image)]


def test_types_come_from_the_columns(tmp_path: Path) -> None:
    """Also where all cells are null, and where there are no rows."""
    nothing = dict.fromkeys(("key", "width", "jpg", "png"))
    for number, rows in enumerate([[], [nothing], [nothing, {**nothing, "png": Image(b"i", "a.png"), "width": 3}]]):
        path = tmp_path / f"{number}.parquet"
        write_table(path, COLUMNS, rows)
        table = pq.read_table(path)
        assert table.num_rows == len(rows)
        types = ["string", "int32", "binary", "struct<bytes: binary, path: string>"]
        assert [str(field.type) for field in table.schema] == types
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert [feature["_type"] for feature in features.values()] == ["Value", "Value", "Value", "Image"]
    assert table.to_pylist()[1]["png"] == {"bytes": b"i", "path": "a.png"}


def test_row_groups_are_limited_by_rows_and_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images count in either form; the limit is passed by one image at most."""
    monkeypatch.setattr(tables, "_IMAGE_BYTES", 1000)
    monkeypatch.setattr(tables, "_ROWS", 7)
    rows = [{"key": str(n), "width": None, "jpg": b"x" * 300, "png": Image(b"y" * 100, "a")} for n in range(10)]
    rows += [{"key": str(n), "width": None, "jpg": None, "png": None} for n in range(10, 20)]
    write_table(tmp_path / "a.parquet", COLUMNS, rows)
    file = pq.ParquetFile(tmp_path / "a.parquet")
    sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert sizes == [3, 3, 3, 7, 4]
    assert file.read().column("key").to_pylist() == [str(n) for n in range(20)]


def test_images_are_not_compressed_again(tmp_path: Path) -> None:
    rows: list[dict[str, Cell]] = [{"key": "k" * 100, "width": 1, "jpg": b"x" * 100, "png": Image(b"y" * 100, "a")}] * 9
    write_table(tmp_path / "a.parquet", COLUMNS, rows)
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    found = {group.column(number).path_in_schema: group.column(number).compression for number in range(5)}
    assert found["key"] == "SNAPPY"
    assert {name for name, compression in found.items() if compression == "UNCOMPRESSED"} == {
        *("jpg", "png.bytes", "png.path")
    }
