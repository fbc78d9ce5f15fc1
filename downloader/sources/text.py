"""Lists of URLs, one a line, commas and all.

Blank lines and lines that begin with `#` are skipped; every other line is one row, whatever it holds, so a line that is
no URL gets its outcome like any other. Neither a list nor an endless line is held in memory.
"""

from collections.abc import Iterator
from typing import BinaryIO

from downloader.errors import SourceError
from downloader.model.items import Row
from downloader.sources.first_line import no_url_list
from downloader.sources.lists import MAX_LINE_BYTES, lines
from downloader.sources.rows import location_of, overlong_row


def parse_text(stream: BinaryIO, name: str) -> Iterator[Row]:
    """The rows of an open list; `name` is what `Row.where` calls the list.

    Bytes that are not UTF-8 are kept as surrogates, and make the row invalid.

    Raises:
        SourceError: it is something else than a list of URLs, or reading failed halfway; names the line.
    """
    is_examined = False
    for number, line, is_whole in lines(stream, name):
        text = line.strip()
        if text.startswith(b"#") or (is_whole and not text):
            continue
        where = f"{name}:{number}"
        if is_whole:
            url = text.decode(errors="surrogateescape")
            if not is_examined:
                is_examined = True
                if (reason := no_url_list(url)) is not None:
                    raise SourceError(f"{where}: {reason}")
            yield Row(source=url, what=location_of(url, where), where=where)
        else:
            yield overlong_row(text, MAX_LINE_BYTES, where)
