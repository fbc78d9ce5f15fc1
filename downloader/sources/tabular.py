"""Tables as lists: which columns are wanted, rows made of their cells, and the formats CSV, TSV and JSON Lines.

Of a table one column holds URLs; others may hold a caption, whatever is to be kept beside the results, a name, or a
checksum. Each format yields records, the texts of the wanted columns with the place they stand at, and `rows` makes
rows of them. A record that cannot be used (no URL, a bad one, a line that cannot be read) is a row all the same: its
request carries the fault, with file and line, and the row fails with it as `invalid_url`. So every record has exactly
one outcome, and only what spoils the whole table ends the run.

CSV is that of RFC 4180, in UTF-8, with names in its first line; TSV is the same with tabs. Quotes are taken strictly: a
record that breaks its rules costs the line it begins with and no more, since reading goes on with the next line. So a
quote somebody forgot to close does not swallow the rows behind it. Missing cells at the end of a line are empty (Excel
leaves them out); more cells than names are a fault, since then nobody knows which cell is which.
"""

import csv
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from downloader.config.settings import SourceOptions
from downloader.errors import SourceError
from downloader.model.items import Invalid, Request, Row, Url
from downloader.model.urls import BadUrl, check_url, masked
from downloader.sources.text import lines

RECORD_LIMIT_BYTES: Final = 1024 * 1024
"""The longest record taken, in bytes: room for long texts in columns nobody asked for, bounded memory all the same."""
_RECORD_LIMIT_LINES: Final = 10_000
_SHOWN_CHARS = 1000
"""As much of a bad URL as its row keeps."""
_SHOWN_COLUMNS = 30
_ORDINARY = re.compile(r"https?://[a-z0-9-]+(?:\.[a-z0-9-]+)*/[!-~]{0,2000}", re.IGNORECASE | re.ASCII)
"""URLs that need no closer look: nearly all."""

Record = tuple[str, Sequence[str] | str]
"""Where a record stands, with the texts of the wanted columns in their order, or with the reason why there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names of the columns that matter; `kept` (the caption among them) go beside the results."""

    url: str
    kept: tuple[str, ...] = ()
    name: str | None = None
    checksum: str | None = None

    @classmethod
    def of(cls, settings: SourceOptions) -> "Columns":
        """As the user wants them."""
        return cls(
            url=settings.url_column,
            kept=settings.kept_columns,
            name=settings.name_column,
            checksum=settings.checksum_column,
        )

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        others = (name for name in (self.name, self.checksum) if name is not None)
        return tuple(dict.fromkeys((self.url, *self.kept, *others)))

    def places(self, present: Sequence[str], where: str) -> list[int]:
        """Where the wanted columns stand among those that are present.

        Raises:
            SourceError: one is not there, or twice; names it and those there are.
        """
        for name in self.wanted:
            if present.count(name) != 1:
                how = "no column" if name not in present else "more than one column"
                raise SourceError(f"{where}: there is {how} {name!r}; {_listed(present)}{self._hint(name, present)}")
        return [present.index(name) for name in self.wanted]

    def _hint(self, name: str, present: Sequence[str]) -> str:
        if name != self.url:
            return ""
        if any("://" in other for other in present):
            return "; --input-format txt reads a file as one URL a line"
        return "; name the one that holds the URLs with --url-column"


def _listed(present: Sequence[str]) -> str:
    """The names of columns for a message; a list without names has URLs in their place, so secrets are masked."""
    shown = ", ".join(repr(masked(name[:100])) for name in present[:_SHOWN_COLUMNS])
    more = f" and {len(present) - _SHOWN_COLUMNS} more" if len(present) > _SHOWN_COLUMNS else ""
    return f"there are {shown}{more}"


def rows(records: Iterable[Record], columns: Columns) -> Iterator[Row]:
    """A row for each record, in order."""
    wanted = columns.wanted
    for where, texts in records:
        if isinstance(texts, str):
            yield _unusable(where, texts)
            continue
        cells = dict(zip(wanted, texts, strict=True))
        url = cells[columns.url].strip()
        kept = {name: cells[name] for name in columns.kept}
        if not _ORDINARY.fullmatch(url):
            try:
                check_url(url)
            except BadUrl as problem:
                reason = str(problem) if url else f"no URL in column {columns.url!r}"
                yield _unusable(where, reason, url, kept)
                continue
        name = cells[columns.name].strip() if columns.name is not None else ""
        checksum = cells[columns.checksum].strip() if columns.checksum is not None else ""
        request = Request(name=name or None, checksum=checksum or None) if name or checksum else None
        yield Row(source=url, what=Url(url), where=where, columns=kept, request=request)


def _unusable(where: str, reason: str, url: str = "", kept: dict[str, str] | None = None) -> Row:
    """The row of a record without a URL that can be asked for. Its source never holds other cells: they may be secret.

    Halves of characters (JSON can write them, UTF-8 cannot) are shown as escapes.
    """
    source = url[:_SHOWN_CHARS].encode(errors="backslashreplace").decode()
    return Row(
        source=source,
        what=Invalid(f"{where}: {reason}"),
        where=where,
        columns=kept or {},
    )


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as problem:
        raise SourceError(f"{where}: not UTF-8 ({problem.reason}); save the list as UTF-8") from None


# --- CSV and TSV ------------------------------------------------------------------------------------------------------


def read_csv(stream: BinaryIO, name: str, *, columns: Columns, delimiter: str) -> Iterator[Row]:
    """The rows of a table with names in its first line, each as soon as its record is there.

    Records without any text (blank lines, lines of delimiters) are skipped. `name` is what `Row.where` calls the list.

    Raises:
        SourceError: no names, a wanted column is missing, not UTF-8, or reading failed half-way.
    """
    return rows(_csv_records(stream, name, columns, delimiter), columns)


def _csv_records(stream: BinaryIO, name: str, columns: Columns, delimiter: str) -> Iterator[Record]:
    # The limit of the csv module is one for the whole process: raised for our records, never lowered for others.
    csv.field_size_limit(max(csv.field_size_limit(), RECORD_LIMIT_BYTES))
    parser = _CsvParser(stream, name, delimiter)
    present: list[str] | None = None
    places: list[int] = []
    for where, cells in parser.records():
        if present is None:
            if isinstance(cells, str):
                raise SourceError(f"{where}: the names of the columns cannot be read: {cells}")
            present = [cell.strip() for cell in cells]
            places = columns.places(present, where)
        elif isinstance(cells, str):
            yield where, cells
        elif len(cells) > len(present) and any(cells[len(present) :]):
            many = f"{len(cells)} cells in a table of {len(present)} columns"
            yield where, f"{many}; a cell that holds a separator or a quote must stand in quotes"
        else:
            yield where, [cells[place] if place < len(cells) else "" for place in places]
    if present is None:
        raise SourceError(f"{name}: empty; the first line names the columns, and each line after it is a row")


class _CsvParser:
    """Records of a stream; what a broken record had taken of the lines after its first is read again.

    The iterator that `csv.reader` takes its lines from; it can go on after the end, which a generator could not.
    """

    def __init__(self, stream: BinaryIO, name: str, delimiter: str) -> None:
        self._lines = lines(stream, name, RECORD_LIMIT_BYTES)
        self._name = name
        self._again: deque[tuple[int, bytes, bool]] = deque()
        self._taken: list[tuple[int, bytes, bool]] = []
        self._bytes = 0
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)

    def records(self) -> Iterator[tuple[str, list[str] | str]]:
        """Where each record with any text begins, with its cells or with what is wrong with it."""
        while True:
            self._taken.clear()
            self._bytes = 0
            cells: list[str] | str
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as problem:
                # csv has advice for programmers about line ends, of no use to the owner of a list.
                reason = "a line ends in CR alone" if "new-line" in str(problem) else str(problem)
                cells = f"broken CSV: {reason}"
                self._again.extendleft(reversed(self._taken[1:]))
            if any(cells):
                yield f"{self._name}:{self._taken[0][0]}", cells

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(line)
        number, data, whole = line
        self._bytes += len(data)
        if not whole or self._bytes > RECORD_LIMIT_BYTES or len(self._taken) > _RECORD_LIMIT_LINES:
            raise csv.Error(
                f"no end within {RECORD_LIMIT_BYTES} bytes and {_RECORD_LIMIT_LINES} lines; is a quote open?"
            )
        return _decoded(data, f"{self._name}:{number}")


# --- JSON Lines -------------------------------------------------------------------------------------------------------


def read_jsonl(stream: BinaryIO, name: str, *, columns: Columns) -> Iterator[Row]:
    """The rows of a list with one JSON object a line, each as soon as its line is there.

    The first object must have the column of URLs, so that a mistyped name does not cost a million rows. Any other
    member may be missing or null, which is empty; what is no string is kept as JSON.

    Raises:
        SourceError: the first object has no such column, not UTF-8, or reading failed half-way.
    """
    return rows(_json_records(stream, name, columns), columns)


def _json_records(stream: BinaryIO, name: str, columns: Columns) -> Iterator[Record]:
    wanted = columns.wanted
    seen = False
    for number, line, whole in lines(stream, name, RECORD_LIMIT_BYTES):
        where = f"{name}:{number}"
        if not whole:
            yield where, f"the line is longer than {RECORD_LIMIT_BYTES} bytes"
            continue
        text = _decoded(line, where).strip()
        if not text:
            continue
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as problem:
            reason = problem.msg if isinstance(problem, json.JSONDecodeError) else "too deep, or too long a number"
            yield where, f"the line is not JSON: {reason}"
            continue
        if not isinstance(found, dict):
            yield where, "the line is not a JSON object"
            continue
        if not seen and columns.url not in found:
            columns.places(list(found), where)
        seen = True
        yield where, [as_text(found.get(column)) for column in wanted]


def as_text(value: Any) -> str:  # noqa: ANN401 - any value of JSON
    """A value as the text of a cell."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
