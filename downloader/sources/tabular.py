"""Tables as lists: which columns are read, and the rows that their cells make.

One column of a table holds URLs; others may hold a caption, text that is kept beside the results, a name, or a
checksum. Each format yields records: the texts of the wanted columns, with their place. `rows_of` makes rows of them. A
record that cannot be used (no URL, a bad one, a line that cannot be read) is a row all the same: it is `Invalid`, with
file and line in the reason, and fails as `invalid_url`. So every record has exactly one outcome, and only damage to the
whole table ends the run.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from downloader.config.settings import SourceOptions
from downloader.errors import SourceError
from downloader.model.items import Invalid, Request, Row
from downloader.model.urls import masked
from downloader.sources.boxes import parse_boxes
from downloader.sources.rows import location_of

MAX_RECORD_BYTES: Final = 1024 * 1024
"""The longest record taken: room for long texts in columns that are not read, and bounded memory all the same."""
_MAX_SHOWN_CHARS = 1000
"""The part of a bad URL that its row keeps."""
_MAX_SHOWN_COLUMNS = 30
_MAX_COLUMN_NAME_CHARS = 100

Record = tuple[str, Sequence[str] | str]
"""The place of a record, and the texts of the wanted columns in their order, or the reason why it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Names of the columns that are read.

    Attributes:
        url: holds the URLs.
        kept: kept beside the results, the caption among them.
        name: holds names for the results.
        checksum: holds checksums.
        boxes: holds boxes to blur.
    """

    url: str
    kept: tuple[str, ...] = ()
    name: str | None = None
    checksum: str | None = None
    boxes: str | None = None

    @classmethod
    def from_options(cls, options: SourceOptions) -> Self:
        """The columns that the user wants."""
        caption = (options.caption_column,) if options.caption_column is not None else ()
        return cls(
            url=options.url_column,
            kept=tuple(dict.fromkeys((*caption, *options.keep_columns))),
            name=options.name_column,
            checksum=options.checksum_column,
            boxes=options.bbox_column,
        )

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        others = (name for name in (self.name, self.checksum, self.boxes) if name is not None)
        return tuple(dict.fromkeys((self.url, *self.kept, *others)))

    def indexes_in(self, present: Sequence[str], where: str) -> list[int]:
        """The index of each wanted column among those that are present.

        Raises:
            SourceError: one is missing, or there twice; names it and those that are present.
        """
        for name in self.wanted:
            if present.count(name) != 1:
                count = "no column" if name not in present else "more than one column"
                raise SourceError(f"{where}: there is {count} {name!r}; {_listed(present)}{self._hint(name, present)}")
        return [present.index(name) for name in self.wanted]

    def _hint(self, name: str, present: Sequence[str]) -> str:
        if name != self.url:
            return ""
        if any("://" in other for other in present):
            return "; --input-format txt reads a file as one URL a line"
        return "; name the one that holds the URLs with --url-column"


def _listed(present: Sequence[str]) -> str:
    """The names of columns for a message, masked: a table without a header has URLs in their place."""
    shown = ", ".join(repr(masked(name[:_MAX_COLUMN_NAME_CHARS])) for name in present[:_MAX_SHOWN_COLUMNS])
    more = f" and {len(present) - _MAX_SHOWN_COLUMNS} more" if len(present) > _MAX_SHOWN_COLUMNS else ""
    return f"there are {shown}{more}"


def rows_of(records: Iterable[Record], columns: Columns) -> Iterator[Row]:
    """A row for each record, in order."""
    wanted = columns.wanted
    for where, texts in records:
        if isinstance(texts, str):
            # The source never holds other cells, since they may be secret.
            yield Row(source="", what=Invalid(f"{where}: {texts}"), where=where)
        else:
            yield _row(where, dict(zip(wanted, texts, strict=True)), columns)


def _row(where: str, cells: dict[str, str], columns: Columns) -> Row:
    url = cells[columns.url].strip()
    kept = {name: cells[name] for name in columns.kept}
    what = location_of(url, where) if url else Invalid(f"{where}: no URL in column {columns.url!r}")
    if isinstance(what, Invalid):
        # JSON can hold halves of characters, which UTF-8 cannot: they are shown as escapes.
        shown = url[:_MAX_SHOWN_CHARS].encode(errors="backslashreplace").decode()
        return Row(source=shown, what=what, where=where, columns=kept)
    try:
        boxes = parse_boxes(cells[columns.boxes]) if columns.boxes is not None else ()
    except ValueError as problem:  # rather no image than one with a face that was to be blurred
        return Row(source=url, what=Invalid(f"{where}: column {columns.boxes!r}: {problem}"), where=where, columns=kept)
    name = cells[columns.name].strip() if columns.name is not None else ""
    checksum = cells[columns.checksum].strip() if columns.checksum is not None else ""
    request = Request(name=name or None, checksum=checksum or None, boxes=boxes) if name or checksum or boxes else None
    return Row(source=url, what=what, where=where, columns=kept, request=request)


class NotUtf8(ValueError):
    """A line that is not UTF-8; the message says what to do."""


def decode(line: bytes) -> str:
    """The text of a line.

    Raises:
        NotUtf8: it is none.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as problem:
        raise NotUtf8(f"not UTF-8 ({problem.reason}); save the list as UTF-8") from None


def text_of(value: Any) -> str:  # noqa: ANN401 - any value of JSON
    """A value as the text of a cell: strings as they are, null as nothing, everything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
