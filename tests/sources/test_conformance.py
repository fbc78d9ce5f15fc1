"""The laws of the protocol `Source`, for every implementation and every format of lists."""

import gzip
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_cases import settings_for, zstd_compressed

from downloader.config.settings import OutputOptions, SourceOptions
from downloader.errors import SourceError
from downloader.model.items import File, Invalid, Url
from downloader.sources import Source, SourceCounters, open_sources

Make = Callable[[Path, list[str]], Path]
"""Makes a source with these URLs (of a folder: names of files) at a path, and returns its path."""

GOOD, BAD = "http://h/a.jpg", "not a url"


def as_bytes(form: str, urls: list[str]) -> bytes:
    """A list of URLs in a format."""
    match form:
        case "jsonl":
            return "".join(json.dumps({"url": url}) + "\n" for url in urls).encode()
        case "csv" | "tsv":
            return "\n".join(["url", *urls, ""]).encode()
        case _:
            return "\n".join([*urls, ""]).encode()


def make_list(
    folder: Path, urls: list[str], *, form: str, pack: Callable[[bytes], bytes] = bytes, suffix: str = ""
) -> Path:
    path = folder / f"list.{form}{suffix}"
    path.write_bytes(pack(as_bytes(form, urls)))
    return path


def make_parquet(folder: Path, urls: list[str]) -> Path:
    path = folder / "list.parquet"
    pq.write_table(pa.table({"url": urls}), path)
    return path


def make_folder(folder: Path, urls: list[str]) -> Path:
    path = folder / "images"
    path.mkdir()
    for number, url in enumerate(urls):
        if url == BAD:
            (path / f"{number:06}.jpg").symlink_to("nowhere")
        else:
            (path / f"{number:06}.jpg").touch()
    return path


LISTS: dict[str, Make] = {
    "text": partial(make_list, form="txt"),
    "text, gzip": partial(make_list, form="txt", pack=gzip.compress, suffix=".gz"),
    "text, zstd": partial(make_list, form="txt", pack=zstd_compressed, suffix=".zst"),
    "csv": partial(make_list, form="csv"),
    "tsv": partial(make_list, form="tsv"),
    "json lines": partial(make_list, form="jsonl"),
    "aria2": partial(make_list, form="aria2"),
    "parquet": make_parquet,
}
PATHS = {**LISTS, "folder": make_folder}
"""Sources that hold many rows."""
STREAMED = {"text": "txt", "csv": "csv", "tsv": "tsv", "json lines": "jsonl", "aria2": "aria2"}
"""Formats that can be read from stdin."""


def opened(argument: Path | str, stdin: Any = None, form: str | None = None) -> Source:
    """The source that an argument names."""
    if form is None and str(argument).endswith(".aria2"):
        form = "aria2"
    settings = settings_for(argument, source=SourceOptions(input_format=form or "auto"))  # type: ignore[arg-type]
    (source,) = open_sources(settings, stdin, SourceCounters())
    return source


@pytest.mark.parametrize("kind", PATHS)
def test_rows_come_in_order_and_say_where_they_stand(kind: str, tmp_path: Path) -> None:
    """Every row has its place: the path of its list and its number there, or the folder that was named."""
    source = opened(PATHS[kind](tmp_path, [f"http://h/{number}" for number in range(3)]))
    rows = list(source.rows())
    assert len(rows) == 3
    if kind == "folder":
        assert [row.inside for row in rows] == ["000000.jpg", "000001.jpg", "000002.jpg"]
        assert {row.where for row in rows} == {f"{tmp_path}/images"}
        assert [row.what for row in rows] == [File(row.source) for row in rows]
    else:
        assert [row.what for row in rows] == [Url(f"http://h/{number}") for number in range(3)]
        paths, numbers = zip(*(row.where.rsplit(":", 1) for row in rows), strict=True)
        assert set(paths) == {str(next(tmp_path.iterdir()))}
        first = int(numbers[0])
        assert list(map(int, numbers)) == [first, first + 1, first + 2]


@pytest.mark.parametrize("kind", PATHS)
def test_a_bad_row_is_a_row(kind: str, tmp_path: Path) -> None:
    """It never ends the source, and its reason begins with its place. In a folder, opening it gives the reason."""
    before, bad, after = opened(PATHS[kind](tmp_path, [GOOD, BAD, GOOD])).rows()
    assert not isinstance(before.what, Invalid)
    assert not isinstance(after.what, Invalid)
    if kind == "folder":
        assert bad.what == File(f"{tmp_path}/images/000001.jpg")
    else:
        assert bad.what == Invalid(f"{bad.where}: not an http or https URL")
        assert bad.source == BAD


@pytest.mark.parametrize("kind", PATHS)
def test_rows_can_be_read_again(kind: str, tmp_path: Path) -> None:
    """Each call of `rows` reads from the beginning, also while another has not ended."""
    source = opened(PATHS[kind](tmp_path, [GOOD, BAD, GOOD]))
    unfinished = source.rows()
    next(unfinished)
    first = list(source.rows())
    assert len(first) == 3
    assert list(source.rows()) == first
    assert len(list(unfinished)) == 2


@pytest.mark.parametrize("kind", PATHS)
def test_check_reads_no_content(kind: str, tmp_path: Path) -> None:
    """Whatever the content is, it is no matter of `check`; and `check` opens no file."""
    path = PATHS[kind](tmp_path, [GOOD])
    if kind != "folder":
        path.write_bytes(b"\xff\0 damaged")
        os.utime(path, (1, 1))
    before = path.stat()
    opened(path).check()
    assert path.stat().st_atime_ns == before.st_atime_ns


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", [kind for kind in LISTS if kind != "parquet"])
def test_check_does_not_wait_for_a_pipe(kind: str, tmp_path: Path) -> None:
    """A list may be a named pipe that nobody writes to yet: opening it would block."""
    path = LISTS[kind](tmp_path, [])
    path.unlink()
    os.mkfifo(path)
    opened(path).check()


@pytest.mark.parametrize("kind", PATHS)
def test_only_source_errors_leave_a_source(kind: str, tmp_path: Path) -> None:
    """A source that disappears after it was checked ends the run with one line that names it."""
    path = PATHS[kind](tmp_path, [GOOD])
    source = opened(path)
    source.check()
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    for use in (source.check, lambda: list(source.rows())):
        with pytest.raises(SourceError) as caught:
            use()
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\xff\xff\xff", b"\xff\xfe\0", b'"\0\n"', b"{\n", b"url\n\xff"])
def test_damaged_content(kind: str, content: bytes, tmp_path: Path) -> None:
    """Any bytes make rows, or one SourceError that names the list."""
    path = LISTS[kind](tmp_path, [])
    path.write_bytes(content)
    try:
        rows = list(opened(path).rows())
    except SourceError as problem:
        assert str(problem).startswith(str(path))  # noqa: PT017 - both ends are right
    else:
        assert all(row.where.startswith(f"{path}:") for row in rows)


@pytest.mark.parametrize("kind", STREAMED)
def test_rows_of_stdin_come_before_its_end(kind: str) -> None:
    """A row is made as soon as its lines are there; the reader of a pipe does not wait for more than the next line."""
    form = STREAMED[kind]
    first = as_bytes(form, [GOOD, GOOD] if form == "aria2" else [GOOD])  # a row of aria2 ends where the next begins

    class Pipe(io.RawIOBase):
        pending = iter(first.splitlines(keepends=True))

        def readline(self, _size: int | None = -1) -> bytes:
            return next(self.pending)  # an error where more is read

    row = next(opened("-", Pipe(), form).rows())
    assert (row.source, row.where) == (GOOD, "stdin:2" if form in {"csv", "tsv"} else "stdin:1")


@pytest.mark.parametrize("kind", ["text, gzip", "text, zstd"])
def test_rows_of_a_file_come_before_its_end(kind: str, tmp_path: Path) -> None:
    """The first rows are there although the file cannot be read to its end."""
    path = PATHS[kind](tmp_path, [f"http://h/{number * number}" for number in range(50_000)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    rows = opened(path).rows()
    assert next(rows).where == f"{path}:1"
    with pytest.raises(SourceError, match="the list cannot be read any further"):
        list(rows)


def test_rows_of_a_folder_come_before_its_subfolders_are_read(tmp_path: Path) -> None:
    """A file that is added to a subfolder after the first row was read is found."""
    folder = make_folder(tmp_path, [GOOD])
    (folder / "sub").mkdir()
    rows = opened(folder).rows()
    next(rows)
    (folder / "sub" / "late.jpg").touch()
    assert [row.inside for row in rows] == ["sub/late.jpg"]


def test_rows_of_a_parquet_file_come_before_its_end(tmp_path: Path) -> None:
    """Rows of the first row group are there although the second is damaged."""
    path = tmp_path / "list.parquet"
    pq.write_table(
        pa.table({"url": [f"http://h/{number * number}" for number in range(40_000)]}), path, row_group_size=20_000
    )
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).dictionary_page_offset
    data[start : start + 1000] = bytes(1000)
    path.write_bytes(data)
    rows = opened(path).rows()
    assert next(rows).where == f"{path}:1"
    with pytest.raises(SourceError, match=r":\d{5}: the list cannot be read any further"):
        list(rows)


@pytest.mark.parametrize("form", ["url", "image"])
def test_single_arguments(form: str, tmp_path: Path) -> None:
    """A URL or an image is a source of one row, which says which argument it is; it is read any number of times."""
    (tmp_path / "a.jpg").touch()
    argument = GOOD if form == "url" else str(tmp_path / "a.jpg")
    source = opened(argument)
    source.check()
    (row,) = source.rows()
    assert row == (argument, Url(argument) if form == "url" else File(argument), None, "argument 1", {}, None)
    assert [row] == list(source.rows())


def test_a_bad_url_as_an_argument_is_a_row() -> None:
    """It fails like a bad line of a list; the other arguments are done."""
    settings = settings_for("http://", GOOD)
    bad, good = (row for source in open_sources(settings, None, SourceCounters()) for row in source.rows())
    assert bad.what == Invalid("argument 1: the URL names no host")
    assert (good.what, good.where) == (Url(GOOD), "argument 2")


def test_an_image_that_is_gone_is_a_row(tmp_path: Path) -> None:
    """An image file that disappears fails when it is opened, like a file of a folder."""
    path = tmp_path / "a.jpg"
    path.touch()
    source = opened(path)
    path.unlink()
    source.check()
    assert [row.what for row in source.rows()] == [File(str(path))]


@pytest.mark.parametrize("stdin", [None, "closed"])
def test_stdin_that_is_closed(stdin: str | None) -> None:
    """The run does not start, or ends with one line, whatever closed it."""
    stream = io.BytesIO() if stdin else None
    if stream:
        stream.close()
    source = opened("-", stream)
    for use in (source.check, lambda: list(source.rows())):
        with pytest.raises(SourceError, match="stdin is closed"):
            use()


def test_a_folder_is_not_read_for_its_check(tmp_path: Path) -> None:
    """The output folder is compared by identity, so it may not exist, and may not be the input."""
    folder = make_folder(tmp_path, [GOOD])
    settings = replace(settings_for(folder), output=OutputOptions(output=f"{tmp_path}/./images/"))
    (source,) = open_sources(settings, None, SourceCounters())
    with pytest.raises(SourceError, match="the output would go into the folder"):
        source.check()
