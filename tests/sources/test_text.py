import gzip
import io
import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_cases import check, read, reasons, settings_for

from downloader.config.settings import SourceOptions
from downloader.errors import SourceError
from downloader.model.items import File, Row, Url
from downloader.sources.lists import MAX_LINE_BYTES
from downloader.sources.text import parse_text

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows(data: bytes) -> list[Row]:
    return list(parse_text(io.BytesIO(data), "list"))


def sources(data: bytes) -> list[str]:
    return [row.source for row in rows(data)]


def test_one_url_a_line_commas_and_all() -> None:
    """A list is read by lines, never as a table: commas, quotes and tabs belong to the URL."""
    data = b'http://h/a,b.jpg\nhttp://h/"c".jpg,1\r\n'
    assert rows(data) == [
        Row(source="http://h/a,b.jpg", what=Url("http://h/a,b.jpg"), where="list:1"),
        Row(source='http://h/"c".jpg,1', what=Url('http://h/"c".jpg,1'), where="list:2"),
    ]


def test_blank_and_comment_lines_are_skipped_but_counted() -> None:
    """Line numbers are those an editor shows; blank and `#` lines make no rows."""
    assert [row.where for row in rows(b"\n# remark\n  \t\n  http://h/a  \n #x\nnot a url\n")] == ["list:4", "list:6"]


def test_a_byte_order_mark_is_no_part_of_the_url() -> None:
    """Windows editors put a mark before the first line; it is removed there, and only there."""
    assert sources(b"\xef\xbb\xbfhttp://h/a\nhttp://h/b") == ["http://h/a", "http://h/b"]
    assert sources(b"\xef\xbb\xbf# remark\n") == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not a url", "not an http or https URL"),
        (b"http://h/d\0e.jpg", "the URL contains control characters"),
        (b"http://h/a.jpg\thttp://h/b.jpg", "2 URLs where one is expected; write one a line"),
        (b"http://h/a.jpg,http://h/b.jpg;HTTP://h/c", "3 URLs where one is expected; write one a line"),
        (b"http://h/a.jpg http://h/b.jpg?c, http://h/c", "3 URLs where one is expected; write one a line"),
        (b"http://h/a.jpg\0http://h/b.jpg", "2 URLs where one is expected; write one a line"),
        (b'"http://h/a","http://h/b"', "2 URLs where one is expected; write one a line"),
        (b"ftp://h/a.jpg", "not an http or https URL"),
        (b"a.jpg", "not an http or https URL"),
        (b"http:///a.jpg", "the URL names no host"),
        (b"http://h:99999/a.jpg", "the port of the URL is above 65535"),
        (b"http://[h/a.jpg", "the URL has no valid host and port"),
    ],
)
def test_a_line_that_is_no_url_says_where_and_why(line: bytes, reason: str) -> None:
    """It is a row that cannot be used, with file and line in the reason, and the list continues after it."""
    bad, good = rows(line + b"\nhttp://h/b.jpg")
    assert bad.source.encode(errors="surrogateescape") == line
    assert reasons([bad, good]) == [f"list:1: {reason}", None]


@pytest.mark.parametrize(
    "url",
    ["http://h", "https://h?q", "HTTPS://H/A", "http://me:pw@h:81/[a]", "http://[::1]/", "http://h_h/", "http://é.de/ü",
     "http://h/" + "x" * 5000, "http://h/thumb/http://h/a.jpg", "http://h/?of=http://h/a,http://h/b", "http://h/a,b",
     "http://h/a b.jpg", "http://h/d\te.jpg", "http://h/\u200c.jpg"],
)  # fmt: skip
def test_unusual_urls_are_urls(url: str) -> None:
    """Whatever can be requested passes, on the fast path or not."""
    (row,) = rows(url.encode())
    assert row == Row(source=url, what=Url(url), where="list:1")


def test_undecodable_bytes_are_kept() -> None:
    """Bytes that are not UTF-8 neither stop the run nor get lost: the source gives them back."""
    (source,) = sources(b"http://h/\xff\xfe.jpg\n")
    assert source.encode(errors="surrogateescape") == b"http://h/\xff\xfe.jpg"


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)))
def test_every_line_gets_a_row(lines: list[bytes]) -> None:
    """Law: whatever the bytes, each line that is neither blank nor a comment becomes exactly one row, in order."""
    got = [source.encode(errors="surrogateescape") for source in sources(b"x\n" + b"\n".join(lines))]
    assert got == [b"x", *(line.strip() for line in lines if line.strip() and not line.strip().startswith(b"#"))]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nhttp://h/next\n"])
def test_an_endless_line_becomes_one_failing_row(end: bytes) -> None:
    """A line over the limit makes one row that cannot be used, and the line after it is read as usual."""
    row, *_ = rows(b"http://h/" + b"x" * 3 * MAX_LINE_BYTES + end)
    assert reasons([row]) == [f"list:1: the line is longer than {MAX_LINE_BYTES} bytes"]
    first, *others = sources(b"http://h/" + b"x" * 3 * MAX_LINE_BYTES + end)
    assert first.startswith(f"(longer than {MAX_LINE_BYTES} bytes) http://h/xxx")
    assert len(first) < 2000
    assert others == (["http://h/next"] if b"next" in end else [])


@pytest.mark.parametrize(
    ("line", "more"),
    [
        (b"data:image/png;base64," + b"A" * MAX_LINE_BYTES, "; a data: URI holds an image"),
        (
            b"http://h/a.jpg," * MAX_LINE_BYTES,
            f" and holds {(MAX_LINE_BYTES - 8) // 15 + 1} URLs or more; write one a line",
        ),
    ],
)
def test_what_an_endless_line_is(line: bytes, more: str) -> None:
    """A message that helps with what it probably is."""
    (reason,) = reasons(rows(line))
    assert str(reason).startswith(f"list:1: the line is longer than {MAX_LINE_BYTES} bytes{more}")


def test_a_line_of_just_the_limit_is_whole() -> None:
    """A line of exactly the limit is a line like any other."""
    url = b"http://h/".ljust(MAX_LINE_BYTES, b"x")
    assert sources(url + b"\n" + url) == [url.decode()] * 2
    assert sources(url + b"x")[0].startswith("(longer")


def test_a_binary_file_cannot_exhaust_memory(tmp_path: Path) -> None:
    """A 64 MiB file without a line break costs less than 1 MiB of memory to read."""
    path = tmp_path / "zeros.txt"
    with path.open("wb") as file:
        file.write(b"http://h/")
        file.truncate(64 * 1024**2)
    tracemalloc.start()
    try:
        assert len(list(read(settings_for(path)))) == 1
        assert tracemalloc.get_traced_memory()[1] < 1024**2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["urls.txt.gz", "URLS.TXT.GZ"])
def test_gzip_lists_are_unpacked(tmp_path: Path, name: str) -> None:
    """A `.gz` list reads like the list it holds."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"http://h/a\nhttp://h/b\n"))
    check(settings_for(path))
    got = list(read(settings_for(path)))
    assert [(row.source, row.where) for row in got] == [("http://h/a", f"{path}:1"), ("http://h/b", f"{path}:2")]


@pytest.mark.parametrize("damage", ["cut", "flipped", "no gzip"])
def test_a_damaged_gzip_list_names_file_and_line(tmp_path: Path, damage: str) -> None:
    """Rows before the damage are read; then the run stops with its place, never with a traceback."""
    path = tmp_path / "urls.txt.gz"
    data = bytearray(gzip.compress(b"".join(b"http://h/%d\n" % (n * n) for n in range(100_000))))
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    else:
        data = bytearray(b"http://h/a\n")
    path.write_bytes(data)
    got: list[Row] = []
    with pytest.raises(SourceError) as caught:
        got.extend(read(settings_for(path)))
    assert str(caught.value).startswith(f"{path}:")


def test_reading_is_lazy() -> None:
    """A row is made as soon as its line is there: a list typed or piped in starts the run at once."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream, os.fdopen(write_end, "wb", buffering=0) as writer:
        got: Iterator[Row] = read(settings_for("-"), stream)
        writer.write(b"http://h/a\n")
        assert next(got) == Row(source="http://h/a", what=Url("http://h/a"), where="stdin:1")
        writer.write(b"http://h/b\n")
        assert next(got).where == "stdin:2"


def test_stdin_as_text_is_read_as_bytes() -> None:
    """`sys.stdin` is a text stream; its bytes are read as UTF-8, whatever the locale."""
    stdin = io.TextIOWrapper(io.BytesIO(b"http://h/\xff\n"), encoding="ascii")
    assert [row.source for row in read(settings_for("-"), stdin)] == ["http://h/\udcff"]


def test_sources_are_chained_in_order(tmp_path: Path) -> None:
    """URLs, lists, images and stdin mix in one call; each row tells where it stands."""
    urls = tmp_path / "urls.txt"
    urls.write_text("http://h/1\n")
    image = tmp_path / "b.JPG"
    image.touch()
    mix = settings_for("HTTPS://h/0", urls, image, "-")
    check(mix)
    assert list(read(mix, io.BytesIO(b"http://h/2\n"))) == [
        Row(source="HTTPS://h/0", what=Url("HTTPS://h/0"), where="argument 1"),
        Row(source="http://h/1", what=Url("http://h/1"), where=f"{urls}:1"),
        Row(source=str(image), what=File(str(image)), where="argument 3"),
        Row(source="http://h/2", what=Url("http://h/2"), where="stdin:1"),
    ]


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.tar.zst"])
def test_compressed_tars_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """Before the run: their images cannot be read in place."""
    path = tmp_path / name
    path.touch()
    with pytest.raises(SourceError, match="must not be compressed") as caught:
        check(settings_for(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((), "no source"),
        (("missing.txt",), "no such file"),
        (("example.com/a.jpg",), "https://"),
        (("*.jpg",), "no such file"),
        (("a\0b",), "no such file"),
        (("x" * 5000,), "no such file"),
        (("ftp://h/a.jpg",), "only http:// and https://"),
        (("-", "http://h/a", "-"), "once"),
        ((__file__,), "--input-format txt"),
    ],
)
def test_unusable_sources_are_refused(arguments: tuple[str, ...], hint: str) -> None:
    """A source that cannot be used stops the run before it starts, with its name and what to do."""
    with pytest.raises(SourceError) as caught:
        check(settings_for(*arguments))
    assert hint in str(caught.value)
    assert not arguments or arguments[0] in str(caught.value)


def test_input_format_reads_any_file_as_a_list(tmp_path: Path) -> None:
    """`--input-format txt` overrides the guess by name."""
    path = tmp_path / "a.csv"
    path.write_text("http://h/a,b\n")
    forced = settings_for(path, source=SourceOptions(input_format="txt"))
    check(forced)
    assert [row.source for row in read(forced)] == ["http://h/a,b"]


def test_process_touches_no_network(tmp_path: Path) -> None:
    """`process` refuses URLs and lists of URLs from anywhere; the message names the source."""
    urls = tmp_path / "urls.txt"
    urls.touch()
    for argument in ("http://h/a.jpg", str(urls), "-"):
        with pytest.raises(SourceError, match="process touches no network") as caught:
            check(settings_for(argument, mode="process"))
        assert str(caught.value).startswith(argument)
