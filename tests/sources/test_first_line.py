"""How a list is written, and what is no list at all: told by its first line."""

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_cases import read, settings_for

from downloader.errors import SourceError
from downloader.model.items import Row
from downloader.sources.aria2 import parse_aria2
from downloader.sources.counters import SourceCounters
from downloader.sources.delimited import parse_delimited
from downloader.sources.json_lines import parse_json_lines
from downloader.sources.tabular import Columns
from downloader.sources.text import parse_text

URLS = ["http://h/a", "http://h/日本", "http://h/c"]
LISTS = {
    "txt": "\n".join(URLS),
    "csv": "url,caption\n" + "".join(f'{url},"one, two"\n' for url in URLS),
    "tsv": "url\n" + "\n".join(URLS),
    "jsonl": "".join(json.dumps({"url": url}, ensure_ascii=False) + "\n" for url in URLS),
    "aria2": "\n".join(f"{url}\n  out=x.jpg" for url in URLS),
}


def rows(data: bytes, form: str = "txt") -> list[Row]:
    stream, columns = io.BytesIO(data), Columns(url="url")
    match form:
        case "csv" | "tsv":
            return list(parse_delimited(stream, "list", columns=columns, delimiter="," if form == "csv" else "\t"))
        case "jsonl":
            return list(parse_json_lines(stream, "list", columns=columns))
        case "aria2":
            return list(parse_aria2(stream, "list", SourceCounters()))
        case _:
            return list(parse_text(stream, "list"))


@pytest.mark.parametrize("form", LISTS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_encodings_and_line_ends(form: str, end: str, encoding: str) -> None:
    """With a mark, and with any line ends, the rows and their places are those of a plain list."""
    mark = "\ufeff" if encoding.endswith(("-le", "-be")) else ""
    assert rows((mark + LISTS[form].replace("\n", end)).encode(encoding), form) == rows(LISTS[form].encode(), form)
    assert [row.source for row in rows(LISTS[form].encode(), form)] == URLS


@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=50))
def test_what_was_encoded_comes_back(text: str) -> None:
    """Law: whatever the text, UTF-16 gives the rows of UTF-8."""
    text = f"http://h/\n{text}"
    assert rows(text.encode("utf-16")) == rows(text.encode())


@pytest.mark.parametrize("form", LISTS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_without_a_mark_it_is_named(form: str, encoding: str) -> None:
    with pytest.raises(SourceError, match="list:1: UTF-16 or UTF-32 without a byte order mark; save the list as UTF-8"):
        rows(LISTS[form].encode(encoding), form)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "an image; give the file the name of one"),
        (b"\x89PNG\r\n\x1a\n\0\0", "an image; give the file the name of one"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04\x14\0", "a ZIP archive or a spreadsheet; save the sheet as CSV"),
        (b"\x1f\x8b\x08\0", "compressed; unpack it, or name a gzip file .gz"),
        (b"PAR1\x15", "a Parquet table; name it .parquet"),
        (b"\0\1\2\3http://h/a\n", "binary data"),
        (b"<!DOCTYPE html>\n<html>", "a web page or XML"),
        (b"\n\n  <HTML lang=en>\n", "a web page or XML"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "a web page or XML"),
    ],
)
@pytest.mark.parametrize("form", LISTS)
def test_what_is_no_list_is_refused_as_a_whole(data: bytes, message: str, form: str) -> None:
    """One message with file and line, whatever format the list is said to have."""
    with pytest.raises(SourceError, match=r"^list:[13]: not a list but ") as caught:
        rows(data, form)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b'[\n  "http://h/a"\n]', "JSON, not one URL a line"),
        (b'["http://h/a", "http://h/b"]', "JSON"),
        (b'{"url": "http://h/a"}\n', "--input-format jsonl"),
        (b"{\n", "JSON"),
        (b"# mine\nurl,caption\nhttp://h/a,b\n", "list:2: a table, .*--input-format csv"),
        (b"TEXT\tURL\n", "--input-format tsv"),
        (b'"id";"url"\n', "--input-format csv"),
    ],
)
def test_a_list_in_another_format_is_refused_with_its_name(data: bytes, hint: str) -> None:
    with pytest.raises(SourceError, match=hint):
        rows(data)


@pytest.mark.parametrize(
    "data", [b"http://h/\0.jpg\nhttp://h/a", b"[x]\nhttp://h/a", b"url\nhttp://h/a", b"<x\nhttp://h/a"]
)
def test_a_first_line_that_may_be_one_bad_row_is_one(data: bytes) -> None:
    """Only what is certain is refused as a whole."""
    assert [row.source for row in rows(data)][1:] == ["http://h/a"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_list_that_is_typed_in_another_encoding_is_read_as_it_comes(encoding: str) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream, os.fdopen(write_end, "wb", buffering=0) as writer:
        got = read(settings_for("-"), stream)
        for number in range(3):
            writer.write(f"http://h/{number}\n".encode(encoding if number == 0 else f"{encoding}-le"))
            assert next(got).source == f"http://h/{number}"


def test_a_folder_that_is_called_like_a_list_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x.txt").mkdir()
    (tmp_path / "x.txt" / "a.jpg").touch()
    assert [row.inside for row in read(settings_for(tmp_path / "x.txt"))] == ["a.jpg"]
