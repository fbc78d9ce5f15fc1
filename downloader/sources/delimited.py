"""CSV and TSV tables.

CSV is that of RFC 4180, in UTF-8, with the names of the columns in its first line; TSV is the same with tabs. Quotes
are parsed strictly: a record that breaks the rules costs the line it begins with and no more, since reading resumes
with the next line. So a quote that is never closed does not swallow the rows after it. Missing cells at the end of a
line are empty (Excel omits them); more cells than names make the row invalid, since it is unknown which cell is which.
"""

import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from downloader.errors import SourceError
from downloader.model.items import Row
from downloader.sources.lists import Line, lines
from downloader.sources.tabular import MAX_RECORD_BYTES, Columns, NotUtf8, Record, decode, rows_of

_MAX_RECORD_LINES = 10_000


def parse_delimited(stream: BinaryIO, name: str, *, columns: Columns, delimiter: str) -> Iterator[Row]:
    """The rows of an open table; `name` is what `Row.where` calls it.

    Records without any text (blank lines, lines of delimiters) are skipped.

    Raises:
        SourceError: there are no names, a wanted column is missing, or reading failed halfway.
    """
    return rows_of(_records(stream, name, columns, delimiter), columns)


def _records(stream: BinaryIO, name: str, columns: Columns, delimiter: str) -> Iterator[Record]:
    parser = _RecordParser(stream, name, delimiter)
    present: list[str] | None = None
    indexes: list[int] = []
    for where, cells in parser.records():
        if present is None:
            if isinstance(cells, str):
                raise SourceError(f"{where}: the names of the columns cannot be read: {cells}")
            present = [cell.strip() for cell in cells]
            indexes = columns.indexes_in(present, where)
        elif isinstance(cells, str):
            yield where, cells
        elif len(cells) > len(present) and any(cells[len(present) :]):
            count = f"{len(cells)} cells in a table of {len(present)} columns"
            yield where, f"{count}; a cell that holds a separator or a quote must stand in quotes"
        else:
            yield where, [cells[index] if index < len(cells) else "" for index in indexes]
    if present is None:
        raise SourceError(f"{name}: empty; the first line names the columns, and each line after it is a row")


class _RecordParser:
    """Records of a stream. The lines that a broken record took after its first are read again.

    This is also the iterator that `csv.reader` takes its lines from: unlike a generator, it can resume after its end.
    """

    def __init__(self, stream: BinaryIO, name: str, delimiter: str) -> None:
        # The limit of the csv module is one for the whole process: raised for our records, never lowered for others.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
        self._lines = lines(stream, name, MAX_RECORD_BYTES)
        self._name = name
        self._reread: deque[Line] = deque()
        self._taken: list[Line] = []
        self._taken_bytes = 0
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)

    def records(self) -> Iterator[tuple[str, list[str] | str]]:
        """The place where each record with any text begins, and its cells or what is wrong with it."""
        while True:
            self._taken.clear()
            self._taken_bytes = 0
            cells: list[str] | str
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as problem:
                # About line ends, csv gives advice for programmers, which is of no use to the owner of a list.
                reason = "a line ends in CR alone" if "new-line" in str(problem) else str(problem)
                cells = f"broken CSV: {reason}"
                self._reread.extendleft(reversed(self._taken[1:]))
            except NotUtf8 as problem:
                cells = str(problem)
                self._reread.extendleft(reversed(self._taken[1:]))
            if any(cells):
                yield f"{self._name}:{self._taken[0][0]}", cells

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._reread.popleft() if self._reread else next(self._lines)
        self._taken.append(line)
        _, data, is_whole = line
        self._taken_bytes += len(data)
        if not is_whole or self._taken_bytes > MAX_RECORD_BYTES or len(self._taken) > _MAX_RECORD_LINES:
            raise csv.Error(f"no end within {MAX_RECORD_BYTES} bytes and {_MAX_RECORD_LINES} lines; is a quote open?")
        return decode(data)
