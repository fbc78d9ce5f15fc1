"""JSON Lines: one JSON object a line, whose members are the columns."""

import json
from collections.abc import Iterator
from typing import BinaryIO

from downloader.errors import SourceError
from downloader.model.items import Row
from downloader.sources.lists import lines
from downloader.sources.tabular import MAX_RECORD_BYTES, Columns, NotUtf8, Record, decode, rows_of, text_of


def parse_json_lines(stream: BinaryIO, name: str, *, columns: Columns) -> Iterator[Row]:
    """The rows of an open list; `name` is what `Row.where` calls it.

    The first object must have the column of URLs, so that a mistyped name does not cost a million rows. Any other
    member may be missing or null, which means empty.

    Raises:
        SourceError: the first object has no such column, it is one document over several lines, or reading failed
            halfway.
    """
    return rows_of(_records(stream, name, columns), columns)


def _records(stream: BinaryIO, name: str, columns: Columns) -> Iterator[Record]:
    wanted = columns.wanted
    is_first = True
    for number, line, is_whole in lines(stream, name, MAX_RECORD_BYTES):
        where = f"{name}:{number}"
        if not is_whole:
            yield where, f"the line is longer than {MAX_RECORD_BYTES} bytes"
            continue
        found = _object(line)
        if found is None:
            continue
        if isinstance(found, str):
            if is_first and line.strip() in {b"[", b"{"}:
                raise SourceError(f"{where}: a JSON document of several lines; write one object a line (jq -c '.[]')")
            yield where, found
            continue
        if is_first and columns.url not in found:
            columns.indexes_in(list(found), where)
        is_first = False
        yield where, [text_of(found.get(column)) for column in wanted]


def _object(line: bytes) -> dict[str, object] | str | None:
    """The object of a line, or what is wrong with the line; None for a blank one."""
    try:
        text = decode(line).strip()
        if not text:
            return None
        found = json.loads(text)
    except NotUtf8 as problem:
        return str(problem)
    except (ValueError, RecursionError) as problem:
        reason = problem.msg if isinstance(problem, json.JSONDecodeError) else "too deep, or too long a number"
        return f"the line is not JSON: {reason}"
    return found if isinstance(found, dict) else "the line is not a JSON object"
