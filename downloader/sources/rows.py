"""The location that a row gets: its URL, or the reason why it cannot be used, with the place of the row."""

from downloader.model.items import Invalid, Row, Url
from downloader.model.urls import BadUrl, check_url

_MAX_SHOWN_BYTES = 1000
"""The part of an over-long line that its row keeps: enough to find the line."""


def location_of(url: str, where: str) -> Url | Invalid:
    """A URL that can be requested; `Invalid` with the reason otherwise."""
    try:
        check_url(url)
    except BadUrl as problem:
        return Invalid(f"{where}: {problem}")
    return Url(url)


def overlong_row(line: bytes, max_bytes: int, where: str) -> Row:
    """The row of a line that is longer than `max_bytes`; `line` is its beginning."""
    source = f"(longer than {max_bytes} bytes) {line[:_MAX_SHOWN_BYTES].decode(errors='surrogateescape')}"
    return Row(source=source, what=Invalid(f"{where}: the line is longer than {max_bytes} bytes"), where=where)
