"""Numbers and texts as the report writes them."""

import pytest

from downloader.report.markup import count, duration, percent, shortened, size, table


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(2e-5, "20 µs"), (0.0125, "12.5 ms"), (1.5, "1.5 s"), (119, "119 s"), (150, "2 min 30 s"), (7380, "2 h 03 min")],
)
def test_durations_have_a_fitting_unit(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("bytes_", "shown"), [(0, "0 B"), (1536, "1.5 KiB"), (5 * 1024**3, "5.0 GiB"), (3 * 1024**4, "3.0 TiB")]
)
def test_sizes_have_a_fitting_unit(bytes_: int, shown: str) -> None:
    assert size(bytes_) == shown


def test_other_numbers() -> None:
    assert count(1234567) == "1,234,567"
    assert percent(0.256) == "26 %"
    assert percent(None) == "\u2013"


def test_long_texts_lose_their_middle() -> None:
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 9) == "abcd…hijk"


def test_tables_head_their_columns_and_rows() -> None:
    html = table("a & b", ("name", "#size"), [["<b>x</b>", "1"]])
    assert '<th scope="col" class="n">size</th>' in html
    assert '<th scope="row"><b>x</b></th><td class="n">1</td>' in html
    assert "<caption>a &amp; b</caption>" in html
