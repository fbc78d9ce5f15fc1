"""Tables as files: what each format holds, read back by its own library."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.errors import ConfigError, OutputError
from downloader.tables import ColumnType, TableColumn, check_format, open_table, replaced_file, storable, write_rows

COLUMNS = [
    TableColumn("text"),
    TableColumn("small", ColumnType.INT32),
    TableColumn("large", ColumnType.INT64),
    TableColumn("share", ColumnType.FLOAT64),
    TableColumn("good", ColumnType.BOOL),
    TableColumn("words", ColumnType.STRINGS),
]
NOTHING = [None] * len(COLUMNS)
CELLS = st.tuples(
    st.none() | st.text(st.characters(exclude_categories=())),
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.booleans(),
    st.none() | st.lists(st.from_regex("[a-z_]+", fullmatch=True)),
)
TABLES = st.lists(CELLS, max_size=20)


def written(table_format: Any, rows: list[Any], batch_rows: int = 3) -> io.BytesIO:
    file = io.BytesIO()
    assert write_rows(open_table(file, table_format, COLUMNS), rows, batch_rows=batch_rows) == len(rows)
    file.seek(0)
    return file


def as_stored(row: Any) -> list[Any]:
    return [row[0] if row[0] is None else storable(row[0]), *row[1:]]


@settings(max_examples=40)
@given(TABLES)
def test_parquet_holds_every_value(rows: list[Any]) -> None:
    """Values come back as they were, None as null; the types are those of the columns, whatever the rows hold."""
    table = pq.read_table(written("parquet", rows))
    assert [str(field.type) for field in table.schema] == [
        "string",
        "int32",
        "int64",
        "double",
        "bool",
        "list<element: string>",
    ]
    assert [list(row.values()) for row in table.to_pylist()] == list(map(as_stored, rows))


@settings(max_examples=40)
@given(TABLES)
def test_json_lines_hold_every_value(rows: list[Any]) -> None:
    """Each line is strict JSON with every column."""
    read = [json.loads(line) for line in written("jsonl", rows).read().decode().split("\n")[:-1]]
    assert [list(row.values()) for row in read] == list(map(as_stored, rows))
    assert all(list(row) == [column.name for column in COLUMNS] for row in read)


@settings(max_examples=40)
@given(TABLES)
def test_csv_holds_every_value_as_text(rows: list[Any]) -> None:
    """Quotes, line ends and commas come back; None is an empty cell."""
    header, *read = csv.reader(io.TextIOWrapper(written("csv", rows), "utf-8", newline=""))
    assert header == [column.name for column in COLUMNS]
    assert read == [list(map(as_text, as_stored(row))) for row in rows]


def as_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case list():
            return " ".join(value)
        case _:
            return str(value)


def test_a_column_that_is_null_at_first() -> None:
    """Row groups of nothing but nulls have the types of those that follow."""
    file = io.BytesIO()
    table = open_table(file, "parquet", COLUMNS, max_group_rows=2)
    write_rows(table, [NOTHING] * 5 + [["late", 1, 2, 0.5, True, ["a"]]], batch_rows=1)
    parquet = pq.ParquetFile(file)
    assert parquet.num_row_groups == 3
    assert parquet.read_row_group(2).column("text").to_pylist() == [None, "late"]


def test_row_groups_are_bounded_by_bytes() -> None:
    """Large cells close a row group early, so that memory stays flat; metadata and images are in the schema."""
    file = io.BytesIO()
    columns = [TableColumn("jpg", ColumnType.BYTES), TableColumn("image", ColumnType.IMAGE)]
    table = open_table(file, "parquet", columns, metadata={"huggingface": "{}"}, max_group_bytes=2500)
    picture = bytes(1000)
    write_rows(table, [[picture, {"bytes": picture, "path": f"{number}.jpg"}] for number in range(5)], batch_rows=1)
    parquet = pq.ParquetFile(file)
    assert [parquet.metadata.row_group(index).num_rows for index in range(parquet.num_row_groups)] == [2, 2, 1]
    assert parquet.schema_arrow.metadata[b"huggingface"] == b"{}"
    assert parquet.read().column("image").to_pylist()[4] == {"bytes": picture, "path": "4.jpg"}


def test_no_rows_are_a_table_all_the_same() -> None:
    assert pq.read_table(written("parquet", [])).num_rows == 0
    assert not written("jsonl", []).read()
    assert written("csv", []).read() == b"text,small,large,share,good,words\n"


def test_a_value_of_another_type_names_its_column() -> None:
    """A defect of the caller is told with the column, instead of a table that is wrong."""
    table = open_table(io.BytesIO(), "parquet", COLUMNS)
    with pytest.raises(TypeError, match="column 'small'"):
        write_rows(table, [["text", "no number", None, None, None, None]])


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """An exception leaves what was there, and nothing else."""
    path = tmp_path / "table.csv"
    with replaced_file(path) as file:
        file.write(b"first")
    with pytest.raises(TypeError), replaced_file(path) as file:
        write_rows(open_table(file, "parquet", COLUMNS), [NOTHING, [0, "no number", *NOTHING[2:]]], batch_rows=1)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("table.csv", b"first")]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"nowhere.table\.csv: cannot be written"),
        replaced_file(tmp_path / "nowhere" / "table.csv"),
    ):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"), replaced_file(tmp_path / "folder"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_without_pyarrow() -> None:
    """Only Parquet needs it; the message says how to get it."""
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from downloader.tables import check_format\n"
        "check_format('csv', '--format'); check_format('jsonl', '--format')\n"
        "check_format('parquet', '--format')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith(
        "--format: Parquet is written with pyarrow, which is not installed; the extra 'parquet' brings it, "
        "or pip install pyarrow"
    )


def test_with_pyarrow() -> None:
    check_format("parquet", "--format")
    assert pa.__version__
    assert issubclass(ConfigError, ValueError)
