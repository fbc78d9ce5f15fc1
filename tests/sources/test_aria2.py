import gzip
import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_cases import check, read, reasons, settings_for

from downloader.config.settings import SourceOptions
from downloader.model.items import Request, Row, Url
from downloader.sources import SourceCounters
from downloader.sources.aria2 import MAX_HEADERS_BYTES, parse_aria2
from downloader.sources.lists import MAX_LINE_BYTES

ARIA2 = SourceOptions(input_format="aria2")


def rows(data: str | bytes, counters: SourceCounters | None = None) -> list[Row]:
    return list(
        parse_aria2(io.BytesIO(data.encode() if isinstance(data, str) else data), "list", counters or SourceCounters())
    )


def request(*options: str, url: str = "http://h/a.jpg") -> Request | None:
    """The request that the options of one entry make."""
    (row,) = rows("\n ".join((url, *options)))
    return row.request


def ignored(*options: str) -> int:
    """How many of the options are counted as ignored; the row stays in any case."""
    counters = SourceCounters()
    (row,) = rows("\n ".join(("http://h/a.jpg", *options)), counters)
    assert row.source == "http://h/a.jpg"
    return counters.options_ignored


def test_an_entry_with_all_there_is() -> None:
    """aria2c(1), "Input File": mirrors after tabs, options on indented lines, comments and blank lines anywhere."""
    data = (
        "# remark\n"
        "http://a/x.jpg\thttp://b/x.jpg\t https://c/x.jpg \n"
        "  out=first.jpg\n"
        "\n"
        "# remark\n"
        "\t dir = pics/2024\n"
        "  # remark=1\n"
        "  header=X-Key: 1\r\n"
        "  header=X-Key: 2\n"
        "  checksum=sha-256=0123\n"
        "  referer=http://a/\n"
        "  user-agent=me\n"
        "\n"
        "http://a/y.jpg\n"
    )
    assert rows(data) == [
        Row(
            source="http://a/x.jpg",
            what=Url("http://a/x.jpg"),
            where="list:2",
            request=Request(
                mirrors=("http://b/x.jpg", "https://c/x.jpg"),
                headers=("X-Key: 1", "X-Key: 2", "Referer: http://a/", "User-Agent: me"),
                checksum="sha-256=0123",
                name="pics/2024/first.jpg",
            ),
        ),
        Row(source="http://a/y.jpg", what=Url("http://a/y.jpg"), where="list:14"),
    ]


def test_other_options_are_counted_and_ignored() -> None:
    """Options of aria2 itself, misspelt ones, and any before the first URL leave the row as it is."""
    counters = SourceCounters()
    (row,) = rows(" out=lost\nhttp://h/a.jpg\n split=5\n max-tries=3\n Out=x\n no equals sign\n out=\n =x\n", counters)
    assert row.request is None
    assert counters.options_ignored == 7


def test_the_last_of_an_option_counts() -> None:
    """As in aria2: only `header` adds up."""
    assert request("out=a", "out=b", "referer=x", "referer=y") == Request(name="b", headers=("Referer: y",))


@pytest.mark.parametrize(
    ("options", "url", "name"),
    [
        (["out=b.jpg"], "http://h/a.jpg", "b.jpg"),
        (["dir=d"], "http://h/x/a.jpg?q=/z#/f", "d/a.jpg"),
        (["dir=d"], "http://h/x/a%20b.jpg", "d/a b.jpg"),
        (["dir=d"], "http://h/x/..%2f..%5Cetc", "d/.._.._etc"),
        (["dir=d"], "http://h/x/", None),
        (["dir=d"], "http://h", None),
        (["dir=d/e/", "out=b.jpg"], "http://h/a.jpg", "d/e/b.jpg"),
        (["dir=../up", "out=../b.jpg"], "http://h/a.jpg", "../up/../b.jpg"),
        (["out=/etc/passwd"], "http://h/a.jpg", "/etc/passwd"),
        (["out=naïve=.jpg"], "http://h/a.jpg", "naïve=.jpg"),
    ],
)
def test_names_are_carried_as_they_are(options: list[str], url: str, name: str | None) -> None:
    """`dir` goes before `out`, or before the last segment of the URL, which is decoded after splitting."""
    got = request(*options, url=url)
    assert (got.name if got else None) == name


@pytest.mark.parametrize("folder", ["/etc", "\\\\server\\share", "C:\\x", "c:x", "\\x"])
def test_an_absolute_folder_is_ignored(folder: str) -> None:
    """Only relative folders are taken, by the rules of POSIX and of Windows on every platform."""
    assert request(f"dir={folder}", "out=a") == Request(name="a")
    assert ignored(f"dir={folder}") == 1


@pytest.mark.parametrize(
    "option",
    ["out=a\rb", "out=a\0b", "dir=a\0", "checksum=\x1b", "header=X: a\rY: b", "header=X: a\0", "header=no colon",
     "header=: x", "header=X Y: z", "header=X: n\u00e4", "user-agent=n\u00e4", "referer=a\rb", "header=Range: bytes=0-",
     "header=Transfer-Encoding: chunked", "header=content-length : 5", "header=Content-Length: 5",
     "header=Accept-Encoding: gzip", "header=X: " + "a" * MAX_LINE_BYTES],
)  # fmt: skip
def test_a_broken_option_becomes_part_of_nothing(option: str) -> None:
    """Control characters, headers that cannot be sent, and headers that frame messages are left out; the row stays."""
    assert request(option) is None
    assert ignored(option) == 1


def test_a_referer_of_its_own() -> None:
    """`referer=*` is the URL itself, without user name and fragment (RFC 9110, 10.1.3)."""
    got = request("referer=*", url="http://me:secret@h/a?b@c#d@e")
    assert got == Request(headers=("Referer: http://h/a?b@c",))


def test_a_url_cannot_add_headers_to_its_referer() -> None:
    """A URL with a control character gets no referer; its row is invalid anyway."""
    assert request("referer=*", url="http://h/a\rX: y") is None


def test_lines_without_end() -> None:
    """A URL line over the limit is one failing row, a comment over the limit is none, and memory stays flat."""
    endless = "x" * 3 * MAX_LINE_BYTES
    first, second = rows(f"http://h/{endless}\thttp://m/\n out=a\n# {endless}\nhttp://h/b\n out={endless}\n")
    assert reasons([first, second]) == [f"list:1: the line is longer than {MAX_LINE_BYTES} bytes", None]
    assert first.source.startswith(f"(longer than {MAX_LINE_BYTES} bytes) http://h/xxx")
    assert first.request == Request(name="a")
    assert second == Row(source="http://h/b", what=Url("http://h/b"), where="list:4")


def test_a_row_fails_only_if_all_of_its_urls_are_bad() -> None:
    """A bad URL beside good ones fails when the download comes to it; the row keeps the URLs as they are listed."""
    data = "ftp://a/x\thttp://b/x\nhttp://a/y\tnonsense\nftp://a/z\tnonsense\n  out=z\nnonsense\n"
    first, second, third, fourth = rows(data)
    assert first[:2] == ("ftp://a/x", Url("ftp://a/x"))
    assert first.request == Request(mirrors=("http://b/x",))
    assert second[:2] == ("http://a/y", Url("http://a/y"))
    assert second.request == Request(mirrors=("nonsense",))
    assert reasons([third, fourth]) == ["list:3: not an http or https URL", "list:5: not an http or https URL"]


def test_headers_without_end() -> None:
    """An entry with endless headers keeps a bounded number of them; the others are ignored."""
    counters = SourceCounters()

    class Endless(io.RawIOBase):
        left = 50_000

        def readline(self, _size: int | None = -1) -> bytes:
            self.left -= 1
            return b"" if self.left < 0 else b" header=X-Name: some value\n" if self.left < 49_999 else b"http://h/a\n"

    tracemalloc.start()
    (row,) = parse_aria2(Endless(), "list", counters)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * MAX_HEADERS_BYTES
    assert row.request is not None
    assert sum(map(len, row.request.headers)) <= MAX_HEADERS_BYTES
    assert len(row.request.headers) + counters.options_ignored == 49_999


def test_rows_come_as_soon_as_they_can() -> None:
    """A row on a pipe is made when the line after its options is there, not at the end of the list."""

    def lines() -> Iterator[bytes]:
        yield b"http://h/a\n"
        yield b" out=x\n"
        yield b"http://h/b\n"
        raise AssertionError("read too far")

    class Pipe(io.RawIOBase):
        source = lines()

        def readline(self, _size: int | None = -1) -> bytes:
            return next(self.source)

    row = next(parse_aria2(Pipe(), "list", SourceCounters()))  # type: ignore[arg-type]
    assert row.request == Request(name="x")


def test_bytes_and_marks() -> None:
    """As in text lists: undecodable bytes are kept, and a byte order mark before the first line is removed."""
    first, second = rows(b"\xef\xbb\xbfhttp://h/a\nhttp://h/\xff\n out=\xff\n")
    assert first.source == "http://h/a"
    assert second.source.encode(errors="surrogateescape") == b"http://h/\xff"
    assert second.request is not None
    assert second.request.name == "\udcff"


@given(st.lists(st.binary(max_size=30).filter(lambda line: not {*b"\n\xef"} & {*line})))
def test_every_line_at_the_margin_gets_a_row(lines: list[bytes]) -> None:
    """Law: whatever the bytes, each line that is neither indented, blank nor a comment becomes one row, in order."""
    wheres = [
        f"list:{number}"
        for number, line in enumerate(lines, start=2)
        if line.strip() and not line.strip().startswith(b"#") and line[:1] not in {b" ", b"\t"}
    ]
    assert [row.where for row in rows(b"# a list\n" + b"\n".join(lines))] == wheres


@given(st.text("ho=:/.\t #\r\0aé", max_size=40))
def test_no_header_can_split_a_request(option: str) -> None:
    """Law: whatever an option line holds, every header taken is one printable line with a name."""
    for text in (f"header={option}", f"referer={option}", f"user-agent={option}"):
        (row,) = rows("http://h/\n " + text)
        for header in row.request.headers if row.request else ():
            assert ": " in header
            assert header.replace("\t", " ").isprintable()


@pytest.mark.parametrize("name", ["list", "list.txt", "list.aria2", "list.txt.gz"])
def test_the_flag_makes_every_list_an_aria2_list(name: str, tmp_path: Path) -> None:
    """`--input-format aria2`: files of any name, gzip files too; by default a txt list is read by lines."""
    path = tmp_path / name
    data = b"http://a/x\thttp://b/x\n out=y\n split=1\n"
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    counters = SourceCounters()
    check(settings_for(path, source=ARIA2))
    (row,) = read(settings_for(path, source=ARIA2), None, counters)
    assert row == Row(
        source="http://a/x",
        what=Url("http://a/x"),
        where=f"{path}:1",
        request=Request(mirrors=("http://b/x",), name="y"),
    )
    assert counters.options_ignored == 1


def test_the_flag_holds_for_stdin() -> None:
    """A list on stdin has no name that could tell its format."""
    (row,) = read(settings_for("-", source=ARIA2), io.BytesIO(b"http://a/x\n out=y\n"))
    assert row.request == Request(name="y")
    assert len(list(read(settings_for("-"), io.BytesIO(b"http://a/x\n out=y\n")))) == 2
