"""Tables as text: CSV and JSON Lines, in UTF-8."""

import csv
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import BinaryIO

from downloader.tables.interface import ColumnType, TableColumn, TableRow, storable_value


class CsvTable:
    """RFC 4180 in UTF-8, with a header and LF; None is an empty cell."""

    def __init__(self, file: BinaryIO, columns: Sequence[TableColumn]) -> None:
        self._file = file
        self._special = [
            (index, _csv_bool if column.type is ColumnType.BOOL else " ".join)
            for index, column in enumerate(columns)
            if column.type in {ColumnType.BOOL, ColumnType.STRINGS}
        ]
        self._write([[column.name for column in columns]])

    def write(self, rows: Sequence[TableRow]) -> None:
        """Add rows."""
        cells = [list(row) for row in rows]
        for index, convert in self._special:
            for row in cells:
                row[index] = None if row[index] is None else convert(row[index])
        self._write(cells)

    def _write(self, rows: Sequence[TableRow]) -> None:
        lines: list[str] = []
        # A cell with a lone CR is quoted only if the end of a line holds one (Python 3.11); CR is taken off again.
        writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
        writer.writerows(rows)
        self._file.write("".join([line[:-2] + "\n" for line in lines]).encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """There is no end that could be missing."""


def _csv_bool(value: bool) -> str:
    return "true" if value else "false"


class JsonLinesTable:
    """One object a line, in UTF-8, with every column in each."""

    def __init__(self, file: BinaryIO, columns: Sequence[TableColumn]) -> None:
        self._file = file
        self._names = [column.name for column in columns]
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode

    def write(self, rows: Sequence[TableRow]) -> None:
        """Add rows."""
        try:
            data = self._lines(rows).encode()
        except UnicodeEncodeError:
            data = self._lines([[storable_value(value) for value in row] for row in rows]).encode()
        self._file.write(data)

    def _lines(self, rows: Sequence[TableRow]) -> str:
        names, encode = self._names, self._encode
        return "".join([encode(dict(zip(names, row, strict=True))) + "\n" for row in rows])

    def close(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """There is no end that could be missing."""
