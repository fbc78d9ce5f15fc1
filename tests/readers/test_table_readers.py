"""Metadata files and item tables as the libraries of the field read them; `make test-readers` runs this."""

import csv
from pathlib import Path
from typing import Any

import pytest
from support import Command, Site, picture

pytestmark = [
    pytest.mark.readers,
    pytest.mark.filterwarnings("default"),  # of these libraries
]

WHY = "is not installed: make test-readers"
FORMATS = ("parquet", "csv", "jsonl")
COUNT = 6
CAPTIONS = ["", *(f'cat {number}, "quoted" 猫' for number in range(1, COUNT))]


def make_output(cli: Command, site: Site, *options: str) -> Path:
    """Six images in two sizes, of which the first has no caption, and a failure before them."""
    site.pages = {f"/{number}.jpg": picture(60, 40, seed=number) for number in range(COUNT)}
    rows = [(f"{site.url}/gone.jpg", "none"), *((f"{site.url}/{n}.jpg", CAPTIONS[n]) for n in range(COUNT))]
    with (cli.folder / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("url", "TEXT"), *rows])
    sizes = ("-r", "small=20 large=30", "--caption-column", "TEXT")
    assert cli("run", "list.csv", "-o", "out", *sizes, *options, "--progress", "none", "-p", 1).code == 1
    return cli.folder / "out"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("table_format", FORMATS)
def test_image_folders(cli: Command, site: Site, table_format: str, tmp_path: Path, streaming: bool) -> None:
    """`load_dataset("imagefolder")` finds each image with its row, built and streamed."""
    datasets = pytest.importorskip("datasets", reason=f"datasets {WHY}")
    out = make_output(cli, site, "--metadata-file", table_format)
    found = datasets.load_dataset(
        "imagefolder", data_dir=str(out), split="train", streaming=streaming, cache_dir=str(tmp_path / "cache")
    )
    rows = list(found)
    assert len(rows) == 2 * COUNT
    assert all(row["image"].size == (row["width"], row["height"]) for row in rows)
    assert {row["variant"] for row in rows} == {"small", "large"}
    assert sorted(row["caption"] or "" for row in rows if row["variant"] == "small") == sorted(CAPTIONS)


@pytest.mark.parametrize("table_format", FORMATS)
def test_item_tables(cli: Command, site: Site, table_format: str) -> None:
    """duckdb and polars see seven rows, numbers as numbers and failures by kind."""
    duckdb = pytest.importorskip("duckdb", reason=f"duckdb {WHY}")
    polars = pytest.importorskip("polars", reason=f"polars {WHY}")
    make_output(cli, site)
    path = cli.folder / f"items.{table_format}"
    cli("status", "out", "--items", "-o", path)
    columns = "count(*), count(kind), sum(output_small_width), max(decode_s) > 0"
    found = duckdb.sql(f"SELECT {columns} FROM '{path}'").fetchall()  # noqa: S608 - a path of ours
    assert found == [(COUNT + 1, 1, 20 * COUNT, True)]
    readers: dict[str, Any] = {"parquet": polars.read_parquet, "csv": polars.read_csv, "jsonl": polars.read_ndjson}
    frame = readers[table_format](path)
    assert frame.height == COUNT + 1
    assert frame.filter(polars.col("state") == "succeeded")["output_small_width"].sum() == 20 * COUNT
    assert frame["caption"].to_list()[2:] == CAPTIONS[1:]
