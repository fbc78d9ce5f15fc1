"""Rows of a source that somebody is still writing to."""

import threading
from collections.abc import Iterator

import pytest
from facts import url_row

from downloader.model.items import Row
from downloader.sources.arrival import as_they_come


def test_all_rows_come_in_order() -> None:
    listed = [url_row(f"https://h/{number}") for number in range(10_000)]
    assert [row for row in as_they_come(lambda: iter(listed)) if row] == listed


def test_rows_do_not_wait_for_one_that_does_not_come() -> None:
    goes_on = threading.Event()

    def rows() -> Iterator[Row]:
        yield url_row("https://h/1")
        goes_on.wait(30)
        yield url_row("https://h/2")

    arriving = as_they_come(rows)
    assert next(arriving) == url_row("https://h/1")
    assert next(arriving) is None
    goes_on.set()
    assert [row for row in arriving if row] == [url_row("https://h/2")]


def test_rows_do_not_wait_for_ever_where_others_keep_coming() -> None:
    """A trickle, each row sooner than a row waits for others: those that have come are still used in time."""
    pause = threading.Event()

    def rows() -> Iterator[Row]:
        for number in range(200):
            pause.wait(0.02)
            yield url_row(f"https://h/{number}")

    before = 0
    for row in as_they_come(rows):
        if row is None:
            break
        before += 1
        assert before < 100
    assert before


def test_what_ends_the_source_is_raised() -> None:
    def rows() -> Iterator[Row]:
        yield url_row("https://h/1")
        raise OSError("gone")

    arriving = as_they_come(rows)
    assert next(row for row in arriving if row) == url_row("https://h/1")
    with pytest.raises(OSError, match="gone"):
        list(arriving)
