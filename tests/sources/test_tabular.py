import csv
import gzip
import io
import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_cases import check, read, reasons, settings_for, zstd_compressed

from downloader.config.load import load
from downloader.config.settings import SourceOptions
from downloader.errors import ConfigError, SourceError
from downloader.model.items import Request, Row, Url
from downloader.sources.delimited import parse_delimited
from downloader.sources.json_lines import parse_json_lines
from downloader.sources.tabular import MAX_RECORD_BYTES, Columns

ALL = Columns(url="url", kept=("caption", "licence"), name="file", checksum="sum")
"""Every kind of column."""


def csv_rows(data: bytes | str, columns: Columns = ALL, delimiter: str = ",") -> list[Row]:
    data = data.encode() if isinstance(data, str) else data
    return list(parse_delimited(io.BytesIO(data), "list", columns=columns, delimiter=delimiter))


def jsonl_rows(*lines: bytes | str | dict[str, Any], columns: Columns | None = None) -> list[Row]:
    data = b"\n".join(
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    )
    return list(parse_json_lines(io.BytesIO(data), "list", columns=columns or Columns(url="url", kept=("caption",))))


def parquet_rows(path: Path, source: SourceOptions | None = None, **cells: Any) -> list[Row]:
    pq.write_table(pa.table(cells), path)
    return list(read(settings_for(path, source=source)))


def written(rows: list[list[str]], delimiter: str) -> bytes:
    """As the csv module writes a table."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


# -- what columns become -------------------------------------------------------------------------------------------

EXPECTED = Row(
    source="http://h/a.jpg",
    what=Url("http://h/a.jpg"),
    where="list:2",
    columns={"caption": "a cat, asleep", "licence": "CC0"},
    request=Request(name="cats/../tom.jpg", checksum="md5:00"),
)


def test_columns_of_a_csv_table() -> None:
    """URL, caption, kept columns, name and checksum, in any order; other columns are not read."""
    head = "sum,licence,other,file,url,caption\r\n"
    assert csv_rows(head + 'md5:00,CC0,x,cats/../tom.jpg, http://h/a.jpg ,"a cat, asleep"\r\n') == [EXPECTED]


def test_columns_of_a_tsv_table() -> None:
    """The same with tabs, where commas need no quotes."""
    head = "sum\tlicence\tother\tfile\turl\tcaption\n"
    data = head + "md5:00\tCC0\tx\tcats/../tom.jpg\thttp://h/a.jpg\ta cat, asleep\n"
    assert csv_rows(data, delimiter="\t") == [EXPECTED]


def test_columns_of_json_lines() -> None:
    """The same from objects; values other than strings are kept as JSON, null and missing members as empty."""
    entry = {"url": "http://h/a.jpg", "caption": "a cat, asleep", "licence": "CC0", "sum": "md5:00"}
    assert jsonl_rows("", {**entry, "file": "cats/../tom.jpg", "x": 1}, columns=ALL) == [EXPECTED]
    values = [1.5, True, None, ["é"], {"a": None}, 10**30]
    got = jsonl_rows({"url": "http://h/"}, *({"url": "http://h/", "caption": value} for value in values))
    assert [row.columns["caption"] for row in got] == ["", "1.5", "true", "", '["é"]', '{"a": null}', str(10**30)]


def test_columns_of_a_parquet_table(tmp_path: Path) -> None:
    """The same from Parquet; numbers, times and lists become text, null is empty, `where` counts rows."""
    columns = ("s", "n", "f", "b", "t", "l", "d", "raw")
    rows = parquet_rows(
        tmp_path / "a.parquet",
        SourceOptions(url_column="URL", caption_column="s", keep_columns=columns, name_column="s", checksum_column="d"),
        URL=["http://h/a.jpg", "http://h/b.jpg"],
        s=["x", None],
        n=[7, None],
        f=[0.5, None],
        b=[True, None],
        t=pa.array([1_700_000_000_000_000_001, None], pa.timestamp("ns")),
        l=[["é"], None],
        d=pa.array(["md5:00", None]).dictionary_encode(),
        raw=pa.array([b"caf\xc3\xa9", b"\xff"]),
        other=[1, 2],
    )
    texts = ("x", "7", "0.5", "true", "2023-11-14 22:13:20.000000001", '["é"]', "md5:00", "café")
    assert [dict(row.columns) for row in rows] == [
        dict(zip(columns, texts, strict=True)),
        {**dict.fromkeys(columns, ""), "raw": "\udcff"},
    ]
    assert [row.where for row in rows] == [f"{tmp_path}/a.parquet:1", f"{tmp_path}/a.parquet:2"]
    assert [row.request for row in rows] == [Request(name="x", checksum="md5:00"), None]


def test_a_plain_row_has_no_request() -> None:
    """Empty cells ask for nothing: no name, no checksum."""
    (row,) = csv_rows("url,caption,licence,file,sum\nhttp://h/a,,,, \n")
    assert row.request is None


def test_one_column_may_have_several_uses() -> None:
    """The caption and the URL may be kept too, and the name may be the caption."""
    columns = Columns.from_options(SourceOptions(caption_column="t", keep_columns=("url", "t"), name_column="t"))
    (row,) = csv_rows("t,url\nx,http://h/a\n", columns)
    assert dict(row.columns) == {"t": "x", "url": "http://h/a"}
    assert row.request == Request(name="x")


# -- laws ----------------------------------------------------------------------------------------------------------

CELLS = st.text(st.characters(codec="utf-8"), max_size=12)
PATHS = st.text("abc/%20", max_size=8).map("http://h/".__add__)


@pytest.mark.parametrize("delimiter", [",", "\t"])
@given(rows=st.lists(st.tuples(PATHS, CELLS, CELLS)))
def test_csv_gives_back_what_was_written(delimiter: str, rows: list[tuple[str, str, str]]) -> None:
    """Law: whatever the cells hold (quotes, line breaks, separators), a written table reads back to itself."""
    table = [["url", "caption", "licence"], *map(list, rows)]
    got = csv_rows(written(table, delimiter), Columns(url="url", kept=("caption", "licence")), delimiter)
    assert [(row.source, *row.columns.values()) for row in got] == rows


@given(rows=st.lists(st.tuples(PATHS, CELLS)), ascii_only=st.booleans())
def test_json_lines_give_back_what_was_written(rows: list[tuple[str, str]], ascii_only: bool) -> None:
    """Law: the same of JSON Lines, escaped or not."""
    lines = [json.dumps({"url": url, "caption": text}, ensure_ascii=ascii_only) for url, text in rows]
    assert [(row.source, row.columns["caption"]) for row in jsonl_rows(*lines)] == rows


@given(st.binary(max_size=200))
def test_whatever_the_bytes(data: bytes) -> None:
    """Law: any bytes give rows that can be stored, or one SourceError that names the list; never anything else."""
    for make in (partial(csv_rows, columns=Columns(url="u")), jsonl_rows):
        for head in (b"u\n", b""):
            try:
                rows = make(head + data)
            except SourceError as problem:
                assert str(problem).startswith("list:")  # noqa: PT017 - both ends are right
            else:
                assert all(row.source.encode() is not None for row in rows)


@given(st.lists(st.text('ab",\n', max_size=8), max_size=8))
def test_no_line_is_lost(lines: list[str]) -> None:
    """Law: a good row at the end is always read, whatever quotes and breaks precede it, unless it is in a quoted cell.

    What a quote takes in is in the cell of a row, so every line with text is in some row.
    """
    data = "url,x\n" + "".join(f"{line}\n" for line in lines) + "http://h/last,x\n"
    got = csv_rows(data, Columns(url="url", kept=("x",)))
    assert got[-1].source == "http://h/last" or "http://h/last" in "".join(map(str, got))


# -- rows that cannot be used --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "source", "reason"),
    [
        (",a caption", "", "list:2: no URL in column 'url'"),
        ("not a url,", "not a url", "list:2: not an http or https URL"),
        ("ftp://h/a,", "ftp://h/a", "list:2: not an http or https URL"),
        ('"http://h/a\n  http://h/c",', "http://h/a\n  http://h/c", "list:2: 2 URLs where one is expected"),
        ("http://h/a\0,", "http://h/a\0", "list:2: the URL contains control characters"),
        ("http://h/a,b,c", "", "list:2: 3 cells in a table of 2 columns"),
        ('http://h/a,"he said "hi" there"', "", "list:2: broken CSV: ',' expected after '\"'"),
        ('http://h/a,"never closed', "", "list:2: broken CSV: unexpected end of data"),
        ("http://h/a,b\rc", "", "list:2: broken CSV: a line ends in CR alone"),
        ("http://h/" + 70_000 * "a", "http://h/" + 991 * "a", "list:2: the URL is too long"),
        ("http://h/," + (MAX_RECORD_BYTES + 1) * "a", "", "list:2: broken CSV: no end within 1048576 bytes"),
    ],
    ids=str.split("empty text scheme newline nul cells quotes open cr long endless"),
)
def test_a_bad_csv_row_fails_alone(line: str, source: str, reason: str) -> None:
    """It is a row with the reason, its place and at most its URL; the line after it is read as usual."""
    bad, good = csv_rows(f"url,x\n{line}\nhttp://h/b,\n", Columns(url="url", kept=("x",)))
    assert bad.source == source
    assert (reasons([bad])[0] or "").startswith(reason)
    assert good == Row(source="http://h/b", what=Url("http://h/b"), where=good.where, columns={"x": ""})
    assert good.where == f"list:{3 + line.count(chr(10))}"


@pytest.mark.parametrize(
    ("line", "source", "reason"),
    [
        ('{"url": "http://h/a"', "", "list:2: the line is not JSON: Expecting ',' delimiter"),
        ("null", "", "list:2: the line is not a JSON object"),
        ('["http://h/a"]', "", "list:2: the line is not a JSON object"),
        ('{"caption": "x"}', "", "list:2: no URL in column 'url'"),
        ('{"url": null}', "", "list:2: no URL in column 'url'"),
        ('{"url": 7}', "7", "list:2: not an http or https URL"),
        ('{"url": "http://h/\\ud800"}', "http://h/\\ud800", "list:2: the URL contains"),
        ('{"url": "http://h/a\\u0000\\n"}', "http://h/a\0", "list:2: the URL contains"),
        ('{"url": "http://h/a", "n": ' + 5000 * "1" + "}", "", "list:2: the line is not JSON: too deep, or too long"),
        (100_000 * "[", "", "list:2: the line is not JSON: too deep"),
        ('"' + MAX_RECORD_BYTES * "a" + '"', "", "list:2: the line is longer than 1048576 bytes"),
    ],
    ids=str.split("cut null array missing none number surrogate nul digits deep endless"),
)
def test_a_bad_json_line_fails_alone(line: str, source: str, reason: str) -> None:
    """As with CSV; halves of characters, which JSON can hold and UTF-8 cannot, are shown as escapes."""
    _, bad, good = jsonl_rows({"url": "http://h/1"}, line, {"url": "http://h/b"})
    assert bad.source == source
    assert (reasons([bad])[0] or "").startswith(reason)
    assert (good.source, good.where, good.request) == ("http://h/b", "list:3", None)


def test_a_bad_parquet_row_fails_alone(tmp_path: Path) -> None:
    """Null, text that is no URL, and text that is not UTF-8 in a column of strings."""
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\x09\0\0\0"), pa.py_buffer(b"http://h\xff")]
    )
    cells = pa.chunked_array([["http://h/a", None, "x"], broken, ["http://h/b"]])
    rows = parquet_rows(tmp_path / "a.parquet", url=cells)
    assert [row.source for row in rows] == ["http://h/a", "", "x", "http://h\\udcff", "http://h/b"]
    place = f"{tmp_path}/a.parquet"
    assert reasons(rows) == [
        None,
        f"{place}:2: no URL in column 'url'",
        f"{place}:3: not an http or https URL",
        f"{place}:4: the host name of the URL is not valid",
        None,
    ]


def test_secrets_stay_out_of_messages() -> None:
    """A line that cannot be read may hold passwords: neither its row nor a message repeats it."""
    rows = csv_rows('url,x\nhttp://me:pw@h/,"a"b\nhttp://me:pw@h/,b,c\n', Columns(url="url"))
    assert "pw" not in str(rows)
    with pytest.raises(SourceError) as caught:
        csv_rows("https://me:pw@h/a.jpg\nhttps://me:pw@h/b.jpg\n")
    assert "pw" not in str(caught.value)
    assert "--input-format txt" in str(caught.value)


def test_a_quote_left_open_costs_one_line() -> None:
    """However far it reaches, to the next quote or to the end, the lines after it are rows of their own."""
    data = 'url,x\nhttp://h/0,"open\n' + "".join(f"http://h/{n},x\n" for n in range(1, 30_000))
    for end in ("", 'http://h/30000,"closed"\n'):
        bad, *good = csv_rows(data + end, Columns(url="url"))
        assert (reasons([bad])[0] or "").startswith("list:2: broken CSV")
        assert [row.source for row in good] == [f"http://h/{n}" for n in range(1, 30_001 if end else 30_000)]


# -- what tables look like out there -------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quirks_of_spreadsheets(end: str) -> None:
    """A byte order mark, blank lines, rows of separators, missing cells at the end, extra separators."""
    lines = ["", '\ufeff"url", x ', "", "http://h/a", ",", "http://h/b,1,,", ""]
    data = end.join(lines[1:])
    got = csv_rows(data, Columns(url="url", kept=("x",)))
    assert [(row.source, row.columns["x"], row.where) for row in got] == [
        ("http://h/a", "", "list:3"),
        ("http://h/b", "1", "list:5"),
    ]


def test_line_breaks_within_cells() -> None:
    """A quoted cell may span lines; the place of a row is its first line."""
    got = csv_rows('url,x\nhttp://h/a,"one\r\n\ntwo"\nhttp://h/b,\n', Columns(url="url", kept=("x",)))
    assert [(row.source, row.columns["x"], row.where) for row in got] == [
        ("http://h/a", "one\r\n\ntwo", "list:2"),
        ("http://h/b", "", "list:5"),
    ]


def test_fields_longer_than_csv_takes_by_default() -> None:
    """A cell that is not read may be long; a higher limit set elsewhere in this process is not lowered."""
    before = csv.field_size_limit(2 * MAX_RECORD_BYTES)
    try:
        assert len(csv_rows(f"url,page\nhttp://h/a,{500_000 * 'x'}\n", Columns(url="url"))) == 1
        assert csv.field_size_limit() == 2 * MAX_RECORD_BYTES
        csv.field_size_limit(100)
        assert len(csv_rows(f"url,page\nhttp://h/a,{500_000 * 'x'}\n", Columns(url="url"))) == 1
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "list: empty"),
        (b"\n\n", "list: empty"),
        (b"URL,caption\n", "list:1: there is no column 'url'; there are 'URL', 'caption'; name the one"),
        (b"url;caption\n", "there are 'url;caption'"),
        (b"url,url\n", "list:1: there is more than one column 'url'"),
        (b"\nurl\n", "list:2: there is no column 'caption'; there are 'url'"),
        (b",".join(b"%d" % n for n in range(99)), "'29' and 69 more"),
        (b'"url\n', "list:1: the names of the columns cannot be read"),
        (b"url,caf\xe9\n", "list:1: the names of the columns cannot be read: not UTF-8"),
    ],
)
def test_what_spoils_a_csv_table(data: bytes, message: str) -> None:
    """No names, no such column, names not in UTF-8: the run ends; the message names list, line and columns."""
    with pytest.raises(SourceError) as caught:
        csv_rows(data, Columns(url="url", kept=("caption",)))
    assert str(caught.value).startswith("list:")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"URL": "http://h/a", "n": 1}'], "list:1: there is no column 'url'; there are 'URL', 'n'; name the one"),
        (["[", '  "http://h/a"', "]"], "list:1: a JSON document of several lines; write one object a line"),
    ],
)
def test_what_spoils_json_lines(lines: list[bytes | str], message: str) -> None:
    """The first object tells whether the column of URLs exists."""
    with pytest.raises(SourceError) as caught:
        jsonl_rows(*lines)
    assert str(caught.value).startswith(message)


def test_a_line_in_another_encoding_fails_alone() -> None:
    """A caption with an accent from an old spreadsheet costs its row, not the thousands after it."""
    columns = Columns(url="url", kept=("caption",))
    data = b"url,caption\nhttp://h/a,\nhttp://h/b,caf\xe9\nhttp://h/c,\n"
    assert reasons(csv_rows(data, columns)) == [
        None,
        "list:3: not UTF-8 (invalid continuation byte); save the list as UTF-8",
        None,
    ]
    lines = (b'{"url": "http://h/a"}', b'{"url": "caf\xe9"}', b'{"url": "http://h/b"}')
    assert reasons(jsonl_rows(*lines)) == [
        None,
        "list:2: not UTF-8 (invalid continuation byte); save the list as UTF-8",
        None,
    ]


# -- files, formats, memory ----------------------------------------------------------------------------------------


LISTS = {
    "txt": b"http://h/a\n",
    "csv": b"url\nhttp://h/a\n",
    "tsv": b"url\tx\nhttp://h/a\ty\n",
    "jsonl": b'{"url": "http://h/a"}\n',
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize(("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".ZST", zstd_compressed)])
def test_the_name_tells_the_format(tmp_path: Path, kind: str, ending: str, pack: Callable[[bytes], bytes]) -> None:
    """Each text format plain, as gzip and as zstd."""
    path = tmp_path / f"a.b.{kind.upper()}{ending}"
    path.write_bytes(pack(LISTS[kind]))
    check(settings_for(path))
    assert [row.source for row in read(settings_for(path))] == ["http://h/a"]


@pytest.mark.parametrize("kind", LISTS)
def test_the_flag_tells_the_format(tmp_path: Path, kind: str) -> None:
    """`--input-format` overrides the name, and holds for stdin."""
    path = tmp_path / "list.parquet"
    path.write_bytes(LISTS[kind])
    told = SourceOptions(input_format=kind)  # type: ignore[arg-type]
    for argument in (path, "-"):
        check(settings_for(argument, source=told))
        rows = read(settings_for(argument, source=told), io.BytesIO(LISTS[kind]))
        assert [row.source for row in rows] == ["http://h/a"]


def test_parquet_cannot_come_through_stdin() -> None:
    """It is read from its end, so it is refused before the run."""
    with pytest.raises(SourceError, match="stdin"):
        check(settings_for("-", source=SourceOptions(input_format="parquet")))


@pytest.mark.parametrize("damage", ["cut", "flipped", "no zstd"])
def test_a_damaged_zstd_list_names_file_and_line(tmp_path: Path, damage: str) -> None:
    """As with gzip: rows before the damage are read, then the run stops with its place."""
    data = bytearray(zstd_compressed(b"url\n" + b"".join(b"http://h/%d\n" % (n * n) for n in range(100_000))))
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    else:
        data = bytearray(b"url\nhttp://h/a\n")
    path = tmp_path / "a.csv.zst"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"a\.csv\.zst:\d+: the list cannot be read any further"):
        list(read(settings_for(path)))


@pytest.mark.parametrize("damage", ["cut", "empty", "no parquet", "flipped"])
def test_a_damaged_parquet_file_is_told(tmp_path: Path, damage: str) -> None:
    """Whatever pyarrow says, the message is one line that names the file."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"url": [f"http://h/{n * n}" for n in range(50_000)]}), path, compression="zstd")
    data = bytearray(path.read_bytes())
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    else:
        data = bytearray(b"" if damage == "empty" else b"url\nhttp://h/a\n")
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        list(read(settings_for(path)))
    assert str(caught.value).startswith(f"{path}:")
    assert "\n" not in str(caught.value)


def test_a_missing_parquet_column_is_told(tmp_path: Path) -> None:
    """As with CSV, the message names the column, and those that are present."""
    with pytest.raises(SourceError, match=r"no column 'url'; there are 'URL', 'TEXT'; name the one"):
        parquet_rows(tmp_path / "a.parquet", URL=["x"], TEXT=["y"])


@pytest.mark.parametrize(("name", "needs"), [("a.parquet", "parquet"), ("a.txt.zst", "codings")])
def test_a_missing_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, needs: str) -> None:
    """Without the package the run does not start, and the message names the extra."""
    for module in ("pyarrow", "pyarrow.parquet", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, module, None)  # what Python takes for "not installed"
    (tmp_path / name).touch()
    with pytest.raises(SourceError, match=f"the extra '{needs}' brings it"):
        check(settings_for(tmp_path / name))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_rows_come_as_soon_as_they_can(kind: str) -> None:
    """A row on a pipe is made as soon as its line is there."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream, os.fdopen(write_end, "wb", buffering=0) as writer:
        got = read(settings_for("-", source=SourceOptions(input_format=kind)), stream)  # type: ignore[arg-type]
        for number in range(2):
            writer.write(LISTS[kind] if number == 0 else LISTS[kind].splitlines()[-1] + b"\n")
            assert next(got).source == "http://h/a"


LONG = {
    "csv": chain([b"url\n"], repeat(b"http://h/a\n", 30_000), [b'"open\n'], repeat(b"\n", 30_000)),
    "jsonl": repeat(LISTS["jsonl"], 30_000),
}


@pytest.mark.parametrize("kind", LONG)
def test_memory_stays_flat(kind: str) -> None:
    """A long list, and a quote left open before many blank lines, cost a few MiB at most."""

    class Lines(io.RawIOBase):
        def readline(self, _size: int | None = -1) -> bytes:
            return next(LONG[kind], b"")

    source = SourceOptions(input_format=kind)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        rows = read(settings_for("-", source=source), Lines())  # type: ignore[arg-type]
        assert sum(1 for _ in rows) == 30_000 + int(kind == "csv")
        assert tracemalloc.get_traced_memory()[1] < 3 * 1024**2
    finally:
        tracemalloc.stop()


def test_memory_stays_flat_in_parquet(tmp_path: Path) -> None:
    """Row groups are not held in memory: a file with all rows in one of them costs a few pages and batches."""
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"url": [f"http://h/{n * n}" for n in range(500_000)]}), path, row_group_size=500_000)
    before = pa.total_allocated_bytes()
    peak = 0
    for number, _ in enumerate(read(settings_for(path))):
        if number % 1000 == 0:
            peak = max(peak, pa.total_allocated_bytes() - before)
    assert number == 499_999
    assert peak < 6 * 1024**2


# -- settings ------------------------------------------------------------------------------------------------------


def test_columns_to_keep_are_written_with_commas() -> None:
    """Flags repeat and take several; an empty name is refused."""
    got = load(flags={"source": {"keep_columns": ["a, b", "c"], "caption_column": "a"}}).settings.source
    assert got.keep_columns == ("a", "b", "c")
    assert Columns.from_options(got).kept == ("a", "b", "c")
    with pytest.raises(ConfigError, match="--keep-columns: the name of a column is missing"):
        load(flags={"source": {"keep_columns": ["a,"]}})
