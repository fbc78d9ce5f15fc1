"""The location that a row gets: its URL, or the reason why it cannot be used, with the place of the row."""

import re

from downloader.model.items import Invalid, Row, Url
from downloader.model.urls import BadUrl, check_url

_AFTER_SPACE = re.compile(r"""[\s"'<>\x00]+https?://""", re.IGNORECASE)
_AFTER_COMMA = re.compile(r"[,;|]https?://", re.IGNORECASE)
_MAX_SHOWN_BYTES = 1000
"""The part of an over-long line that its row keeps: enough to find the line."""


def location_of(url: str, where: str) -> Url | Invalid:
    """A URL that can be requested; `Invalid` with the reason otherwise."""
    if url.count("://") > 1 and (count := _urls_in(url)) > 1:
        return Invalid(f"{where}: {count} URLs where one is expected; write one a line")
    try:
        check_url(url)
    except BadUrl as problem:
        return Invalid(f"{where}: {problem}")
    return Url(url)


def _urls_in(text: str) -> int:
    """How many URLs stand one after the other. Commas count up to a query, whose values may be lists of URLs."""
    text = text.lstrip("\"'<")
    return 1 + len(_AFTER_SPACE.findall(text)) + len(_AFTER_COMMA.findall(text.partition("?")[0]))


def overlong_row(line: bytes, max_bytes: int, where: str) -> Row:
    """The row of a line that is longer than `max_bytes`; `line` is its beginning."""
    reason = f"the line is longer than {max_bytes} bytes"
    if line[:5].lower() == b"data:":
        reason += "; a data: URI holds an image, and only http and https URLs are fetched"
    elif (count := _urls_in(line.decode(errors="replace"))) > 1:
        reason += f" and holds {count} URLs or more; write one a line"
    source = f"(longer than {max_bytes} bytes) {line[:_MAX_SHOWN_BYTES].decode(errors='surrogateescape')}"
    return Row(source=source, what=Invalid(f"{where}: {reason}"), where=where)
