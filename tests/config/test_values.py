from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from option_values import sizes

from downloader.config.values import (
    Size,
    parse_color,
    parse_count,
    parse_header,
    parse_size,
    parse_sizes,
    show_count,
    show_size,
)


@given(st.integers(0, 2**53))
def test_sizes_and_counts_read_back_what_they_show(number: int) -> None:
    """parse(show(x)) is x."""
    assert parse_size(show_size(number)) == number
    assert parse_count(show_count(number)) == number


@given(sizes)
def test_a_wanted_size_reads_back_what_it_shows(size: Size) -> None:
    """parse_sizes(str(x)) is x, with its name, to the last digit."""
    assert parse_sizes(str(size)) == (size,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("300", 300), ("10K", 10_240), ("1.5m", 1_572_864), ("2GiB", 2**31), (" 1 kb ", 1024), ("1T", 2**40), ("0", 0)],
)
def test_sizes_as_people_write_them(text: str, expected: int) -> None:
    """Powers of 1024, any case, B and iB allowed."""
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("256", Size(width=256, height=256)),
        ("256x128", Size(width=256, height=128)),
        ("800x", Size(width=800)),
        ("x600", Size(height=600)),
        ("12.5%", Size(percent=12.5)),
        ("thumb=64", Size(name="thumb", width=64, height=64)),
    ],
)
def test_wanted_sizes_as_people_write_them(text: str, expected: Size) -> None:
    """A box, one side, a percentage, named or not."""
    assert parse_sizes(text) == (expected,)
    assert parse_sizes(f"{text} {text}") == (expected, expected)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((parse_size, text) for text in ("", "-1", "1X", "1e3", "K", "1,5M", "nan", "inf")),
        *((parse_count, text) for text in ("", "-1", "1Mi", "many")),
        *((parse_sizes, text) for text in ("", "x", "0", "0x5", "65536", "0%", "1001%", "a-b=5", "=5", "5x5x5")),
        *((parse_color, text) for text in ("", "#12", "#gggggg", "rgb(1,2,3)", "#1234567")),
        *((parse_header, text) for text in ("", "no colon", ": x", "A b: c", "A: b\r\nC: d", "A: \0")),
    ],
)
def test_what_is_not_understood_is_a_value_error(parse: Any, text: str) -> None:
    """Parsers raise ValueError with a message, and nothing else."""
    with pytest.raises(ValueError, match=r".+"):
        parse(text)
