"""Items as tables, through the real command: `status --format`, and the metadata file of an output."""

import csv
import io
import json
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import Command, Site, picture, send

from downloader.workspace import Workspace, stored_settings

QUIET = ("--progress", "none")
FORMATS = ("parquet", "csv", "jsonl")


def make_output(cli: Command, site: Site, *options: str) -> None:
    """Three rows: one succeeds in two sizes, one has a password in its URL and a hostile caption, one fails."""
    site.pages = {"/a.jpg": picture(), "/b.jpg": picture(seed=1)}
    secret = site.url.replace("http://", "http://me:hidden@")
    rows = [
        (f"{site.url}/a.jpg", 'a "cat",\nasleep', "CC0"),
        (f"{secret}/b.jpg", "=1+1 é", ""),
        (f"{site.url}/c.jpg", "", "x"),
    ]
    with (cli.folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("url", "TEXT", "Width"), *rows])
    kept = ("--caption-column", "TEXT", "--keep-columns", "Width")
    assert cli("run", "t.csv", "-o", "out", "-r", "s=32 m=64", *kept, *options, *QUIET).code == 1


def read(path: Path) -> list[dict[str, Any]]:
    """A table in the format that its name tells; of CSV every value is text."""
    match path.suffix:
        case ".parquet":
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
            return rows
        case ".jsonl":
            return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        case _:
            with path.open(newline="", encoding="utf-8") as file:
                return list(csv.DictReader(file))


def as_text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else str(value)


def test_items_as_a_table(cli: Command, site: Site) -> None:
    """Each item is a row in every format, with everything that `status --items` tells; secrets are masked."""
    make_output(cli, site)
    records = cli.records()
    for table_format in FORMATS:
        path = cli.folder / f"items.{table_format}"
        assert cli("status", "out", "--items", "-o", path).out == ""
        table, expected = read(path), [flattened(record) for record in records]
        if table_format == "csv":
            expected = [{name: as_text(value) for name, value in row.items()} for row in expected]
        assert [{name: row[name] for name in wanted} for row, wanted in zip(table, expected, strict=True)] == expected
        assert b"hidden" not in path.read_bytes()
    assert list(cli.folder.glob(".table-*")) == []


def flattened(record: dict[str, Any]) -> dict[str, Any]:
    """What a record should be in a table."""
    row = {name: value for name, value in record.items() if name not in {"outputs", "timings_s", "columns"}}
    row |= {f"{phase}_s": seconds for phase, seconds in record["timings_s"].items()}
    for output in record["outputs"]:
        row |= {f"output_{output['variant']}_{name}": output[name] for name in output if name != "variant"}
    return row | {"caption": record["columns"]["TEXT"], "column_Width": record["columns"]["Width"]}


def test_only_some_items(cli: Command, site: Site) -> None:
    """`--state` and `--kind` choose; without `-o` text goes to stdout."""
    make_output(cli, site)
    failed = cli("status", "out", "--items", "--state", "failed", "--format", "jsonl").out
    assert [json.loads(line)["kind"] for line in failed.splitlines()] == ["http_status"]
    none = cli("status", "out", "--kind", "timeout", "--format", "csv").out
    assert none.count("\n") == 1
    assert none.startswith("key,source,state,")


def test_types_do_not_depend_on_the_rows(cli: Command, site: Site) -> None:
    """A table of failures alone has the columns and types of all items."""
    make_output(cli, site)
    cli("status", "out", "--items", "-o", "all.parquet")
    cli("status", "out", "--items", "-o", "failed.parquet", "--state", "failed")
    everything, failed = (pq.read_schema(cli.folder / f"{name}.parquet") for name in ("all", "failed"))
    assert everything.equals(failed)
    assert pa.null() not in everything.types


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "xlsx"], "--format: 'xlsx' is no format of tables; choose from parquet, csv, jsonl"),
        (["-o", "items.db"], "-o items.db: its name does not tell the format; give --format parquet, csv or jsonl"),
        (["--format", "parquet"], "--format parquet: name a file with -o; stdout takes csv and jsonl"),
    ],
)
def test_wrong_use(cli: Command, arguments: list[str], message: str) -> None:
    done = cli("status", "out", "--items", *arguments)
    assert (done.code, done.err) == (2, f"downloader: {message}\n")


def test_typed_columns(cli: Command, site: Site) -> None:
    """Types follow all values of a column, not the first ones; what has nothing in common is text."""
    make_output(cli, site)
    with sqlite3.connect(cli.folder / "out" / ".downloader" / "journal.sqlite3") as journal:
        cells: list[dict[str, Any]] = [
            {"n": None, "f": 1, "b": None, "mixed": 1, "big": 2**70, "nothing": None, "list": [1, "é"]},
            {"n": 7, "f": 0.5, "b": True, "mixed": "x", "big": 1, "nothing": None},
            {"n": -(2**63), "f": None, "b": False, "mixed": None, "big": None, "nothing": None, "list": {}},
        ]
        for number, row in enumerate(cells, 1):
            journal.execute("UPDATE items SET columns = ? WHERE id = ?", (json.dumps(row), number))
    journal.close()
    cli("status", "out", "--items", "-o", "items.parquet")
    table = pq.read_table(cli.folder / "items.parquet").select(list(cells[0]))
    assert [str(kind) for kind in table.schema.types] == [
        "int64",
        "double",
        "bool",
        "string",
        "string",
        "string",
        "string",
    ]
    assert table.to_pydict() == {
        "n": [None, 7, -(2**63)],
        "f": [1.0, 0.5, None],
        "b": [None, True, False],
        "mixed": ["1", "x", None],
        "big": [str(2**70), "1", None],
        "nothing": [None, None, None],
        "list": ['[1, "é"]', None, "{}"],
    }


def test_while_a_run_is_at_work(cli: Command, site: Site) -> None:
    """The table is that of one moment of a run that goes on."""
    gate = threading.Event()

    def late(handler: BaseHTTPRequestHandler) -> None:
        gate.wait(60)
        send(handler, picture())

    site.pages = {"/a.jpg": picture(), "/b.jpg": late}
    run = cli.start("run", f"{site.url}/a.jpg", f"{site.url}/b.jpg", "-o", "out", "-p", "1", *QUIET)
    deadline = time.monotonic() + 60
    states: list[str] = []
    while states != ["succeeded", "pending"]:
        assert time.monotonic() < deadline
        if cli("status", "out", "--items", "-o", "now.jsonl").code == 0:
            states = [row["state"] for row in read(cli.folder / "now.jsonl")]
    gate.set()
    run.communicate(timeout=60)
    assert run.returncode == 0
    cli("status", "out", "--items", "-o", "now.jsonl")
    assert [row["state"] for row in read(cli.folder / "now.jsonl")] == ["succeeded", "succeeded"]


# -- the metadata file -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_metadata_file(cli: Command, site: Site, table_format: str) -> None:
    """A row for each file, originals too, with its path; `verify` knows the file."""
    make_output(cli, site, "--metadata-file", table_format, "--keep-originals")
    out = cli.folder / "out"
    table = read(out / f"metadata.{table_format}")
    assert list(table[0]) == [
        "file_name", "caption", "column_Width", "width", "height", "original_width", "original_height", "sha256",
        "original_sha256", "perceptual_hash", "blurhash", "variant", "source", "key",
    ]  # fmt: skip
    files = {path.relative_to(out).as_posix() for path in out.rglob("*.jpg")}
    assert {row["file_name"] for row in table} == files
    assert len(table) == len(files) == 6
    assert [(row["variant"], int(row["width"]), int(row["original_width"])) for row in table[:3]] == [
        ("s", 32, 320), ("m", 64, 320), ("original", 320, 320),
    ]  # fmt: skip
    assert table[0]["caption"] == 'a "cat",\nasleep'
    assert cli("verify", "out").code == 0


def test_it_is_kept_up_to_date(cli: Command, site: Site) -> None:
    """Later runs write it anew without being told, `retry` too; another format takes its place."""
    make_output(cli, site, "--metadata-file", "csv")
    out = cli.folder / "out"
    assert len(read(out / "metadata.csv")) == 4
    site.pages["/c.jpg"] = picture(seed=2)
    assert cli("retry", "out", "--all", *QUIET).code == 0
    assert len(read(out / "metadata.csv")) == 6
    again = ("run", "t.csv", "-o", "out", "-r", "s=32 m=64", "--caption-column", "TEXT", *QUIET)
    assert cli(*again).code == 0
    assert len(read(out / "metadata.csv")) == 6
    assert cli(*again, "--metadata-file", "parquet").code == 0
    assert not (out / "metadata.csv").exists()
    assert len(read(out / "metadata.parquet")) == 6
    assert cli("verify", "out").code == 0


def test_a_file_of_the_user_is_left_alone(cli: Command, site: Site) -> None:
    """Before anything is downloaded the run says that the name is taken; `--overwrite always` takes it."""
    site.pages = {"/a.jpg": picture()}
    (cli.folder / "out").mkdir()
    (cli.folder / "out" / "metadata.csv").write_text("mine")
    done = cli("run", f"{site.url}/a.jpg", "-o", "out", "--metadata-file", "csv", *QUIET)
    assert done.code == 2
    assert "metadata.csv: is there already, and was not written by a run" in done.err
    assert ((cli.folder / "out" / "metadata.csv").read_text(), site.hits) == ("mine", {})
    assert cli("run", f"{site.url}/a.jpg", "-o", "out", *QUIET).code == 0, "without the option nothing is in its way"
    taken = cli("run", f"{site.url}/a.jpg", "-o", "out", "--metadata-file", "csv", "--overwrite", "always", *QUIET)
    assert taken.code == 0
    assert len(read(cli.folder / "out" / "metadata.csv")) == 1


def test_an_interrupted_run_leaves_the_older_one(cli: Command, site: Site) -> None:
    """Where there is no time for all rows, what is there stays whole; the next run writes it."""
    make_output(cli, site, "--metadata-file", "csv")
    out = cli.folder / "out"
    before = (out / "metadata.csv").read_bytes()
    with Workspace.create(out) as workspace:
        file = workspace.metadata_file(stored_settings(out))
        assert not file.write("TEXT", lambda: True)
        assert (out / "metadata.csv").read_bytes() == before
        assert list(workspace.staging.iterdir()) == []
        assert file.write("TEXT", lambda: False)
    assert (out / "metadata.csv").read_bytes() == before


def test_no_result_has_its_name(cli: Command, site: Site) -> None:
    """Results called like a metadata file, and folders, get another name."""
    site.pages = {"/metadata.csv": b"1,2\n", "/x.csv": b"3\n"}
    (cli.folder / "t.csv").write_text(f"url,name\n{site.url}/metadata.csv,\n{site.url}/x.csv,METADATA.csv/x.csv\n")
    done = cli("fetch", "t.csv", "-o", "out", "--name-column", "name", "--metadata-file", "csv", *QUIET)
    assert done.code == 0, done.err
    table = read(cli.folder / "out" / "metadata.csv")
    assert [row["file_name"] for row in table] == ["_metadata.csv", "_METADATA.csv/x.csv"]
    assert cli("verify", "out").code == 0


def test_a_metadata_file_that_cannot_be_written(cli: Command, site: Site) -> None:
    """A folder in its place: the run is done, and says so with exit code 3."""
    make_output(cli, site)
    (cli.folder / "out" / "metadata.csv").mkdir()
    done = cli(
        "run", "t.csv", "-o", "out", "-r", "s=32 m=64", "--metadata-file", "csv", "--overwrite", "always", *QUIET
    )
    assert done.code == 3
    assert "metadata.csv: cannot be written" in done.err
    assert cli("status", "out", "--json").json["succeeded"] == 2
    assert list((cli.folder / "out" / ".downloader" / "staging").iterdir()) == []


def test_stdout_is_utf8(cli: Command, site: Site) -> None:
    make_output(cli, site)
    rows = list(csv.DictReader(io.StringIO(cli("status", "out", "--format", "csv").out)))
    assert rows[1]["caption"] == "=1+1 é", "cells are what they are, also those that a spreadsheet would calculate"


def test_hashes_travel_to_every_table(cli: Command, site: Site) -> None:
    """From the transform process over the journal, with shards too, into `status --items` and both tables."""
    make_output(cli, site, "--perceptual-hash", "--blurhash", "--metadata-file", "csv", "--shards", "2", "-p", "2")
    (record, *_) = cli.records()
    assert len(record["perceptual_hash"]) == 16
    assert len(record["blurhash"]) == 28
    cli("status", "out", "-o", "items.parquet")
    for row in (read(cli.folder / "items.parquet")[0], read(cli.folder / "out" / "metadata.csv")[0]):
        assert (row["perceptual_hash"], row["blurhash"]) == (record["perceptual_hash"], record["blurhash"])


def test_results_in_groups(cli: Command, site: Site) -> None:
    """Items in tars have their member and offset; such outputs have a table of their own, so no metadata file."""
    site.pages = {"/a.jpg": picture()}
    run = ("run", f"{site.url}/a.jpg", "-o", "out", "--sink", "webdataset", *QUIET)
    done = cli(*run, "--metadata-file", "csv")
    assert done.code == 2
    assert done.err.startswith("downloader: --sink webdataset: --metadata-file is for --sink files")
    assert cli(*run).code == 0
    cli("status", "out", "-o", "items.parquet")
    (row,) = read(cli.folder / "items.parquet")
    (output,) = cli.records()[0]["outputs"]
    assert {f"output_{name}": value for name, value in output.items() if name != "variant"}.items() <= row.items()
    assert row["output_member"]
