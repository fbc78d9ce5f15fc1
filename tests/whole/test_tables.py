"""Tables as lists through the real command."""

import csv
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import Command, Site, picture

QUIET = ("--progress", "none")


def write(path: Path, table: list[dict[str, str]]) -> None:
    """A table in the format that the name says."""
    match path.suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(table), path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in table))
        case _:
            with path.open("w", newline="") as file:
                delimiter = "\t" if path.suffix == ".tsv" else ","
                writer = csv.DictWriter(file, list(table[0]), delimiter=delimiter)
                writer.writeheader()
                writer.writerows(table)


def by_caption(cli: Command) -> dict[str, dict[str, Any]]:
    records = [json.loads(line) for line in cli("status", "out", "--items").out.splitlines()]
    return {record["columns"].get("TEXT", ""): record for record in records}


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet"])
def test_a_table_with_everything(cli: Command, site: Site, name: str) -> None:
    """Captions and kept columns in `status`, names safe, checksums checked, every bad row one clear failure."""
    body = picture()
    site.pages = {f"/{letter}.jpg": body for letter in "abcde"}
    good, bad = hashlib.sha256(body).hexdigest(), 64 * "0"
    listed = [
        (f"{site.url}/a.jpg", 'a "cat",\nasleep', "../../etc/tom.jpg", f"sha256:{good}"),
        (f"{site.url}/b.jpg", "wrong", "", f"sha256:{bad}"),
        (f"{site.url}/c.jpg", "unknown", "", good),
        ("", "no URL", "", ""),
        (f"{site.url}/d.jpg\n out=/etc/passwd", "injected", "", ""),
        (f"{site.url}/e.jpg", "plain é", "", ""),
    ]
    columns = ("URL", "TEXT", "FILE", "SUM")
    write(cli.folder / name, [{**dict(zip(columns, row, strict=True)), "LICENCE": "CC0", "x": "1"} for row in listed])
    options = ["--url-column", "URL", "--caption-column", "TEXT", "--keep-columns", "LICENCE"]
    options += ["--name-column", "FILE", "--checksum-column", "SUM"]
    done = cli("run", name, "-o", "out", "-r", "32", *options, *QUIET, "--json")
    assert done.code == 1, done.err
    assert done.json["failures"] == {"checksum": 2, "http_status": 1, "invalid_url": 1}
    assert done.json["total"] == 6
    items = by_caption(cli)
    assert items['a "cat",\nasleep']["columns"] == {"TEXT": 'a "cat",\nasleep', "LICENCE": "CC0"}
    (path,) = (output["path"] for output in items['a "cat",\nasleep']["outputs"])
    assert path == "unnamed/unnamed/etc/tom.jpg"
    assert (cli.folder / "out" / path).is_file()
    assert items["plain é"]["outputs"][0]["path"] == "e.jpg"
    assert (items["wrong"]["kind"], items["unknown"]["kind"]) == ("checksum", "checksum")
    assert "sha256:HEX" in items["unknown"]["message"]
    assert items["no URL"]["message"].startswith(f"{name}:")
    assert "no URL in column 'URL'" in items["no URL"]["message"]
    assert items["injected"]["kind"] == "http_status"
    assert [path for path in site.hits if "d.jpg" in path] == ["/d.jpg%20out=/etc/passwd"], "one URL, as in a browser"
    again = cli("run", name, "-o", "out", "-r", "32", *options, *QUIET, "--json")
    assert (again.json["new"], again.json["total"]) == (0, 6)


def test_columns_in_names(cli: Command, site: Site) -> None:
    """`--name '{column[x]}'` with kept columns: whatever they hold, results stay in the output folder."""
    site.pages = {"/a.jpg": picture(), "/b.jpg": picture()}
    (cli.folder / "t.csv").write_text(f"url,who\n{site.url}/a.jpg,../Ann\n{site.url}/b.jpg,Bob/..\n")
    done = cli("run", "t.csv", "-o", "out", "--keep-columns", "who", "--name", "{column[who]}/{stem}", *QUIET)
    assert done.code == 0, done.err
    results = sorted(path.relative_to(cli.folder / "out").as_posix() for path in (cli.folder / "out").glob("*/*.jpg"))
    assert results == ["Bob_/b.jpg", "_Ann/a.jpg"]


def test_tables_mix_with_other_lists(cli: Command, site: Site) -> None:
    """Each list goes by its own name, packed or not; stdin by the flag."""
    site.pages = {f"/{letter}.jpg": picture() for letter in "abc"}
    (cli.folder / "a.csv.gz").write_bytes(gzip.compress(f"url\n{site.url}/a.jpg\n".encode()))
    (cli.folder / "b.txt").write_text(f"{site.url}/b.jpg\n")
    done = cli("fetch", "a.csv.gz", "b.txt", "-o", "out", *QUIET, "--json")
    assert done.json["succeeded"] == 2
    line = json.dumps({"url": f"{site.url}/c.jpg"})
    done = cli("fetch", "-", "--input-format", "jsonl", "-o", "out", *QUIET, "--json", stdin=line)
    assert done.json["succeeded"] == 3, done.err


def test_a_table_that_breaks_off_keeps_what_was_read(cli: Command, site: Site) -> None:
    """A cut gzip file: exit 2 with file and line; the rows before it are in the journal, and `retry` finishes them."""
    site.pages = {"/a.jpg": picture()}
    listed = f"url\n{site.url}/a.jpg\n" + "".join(f"x{number * number}\n" for number in range(3000))
    packed = gzip.compress(listed.encode())
    (cli.folder / "t.csv.gz").write_bytes(packed[: len(packed) // 2])
    done = cli("fetch", "t.csv.gz", "-o", "out", *QUIET)
    assert done.code == 2
    assert "the list cannot be read any further" in done.err
    line = int(done.err.partition("t.csv.gz:")[2].partition(":")[0])
    assert cli("status", "out", "--json").json["total"] == line - 2
    assert cli("retry", "out", *QUIET).code == 1
    counts = cli("status", "out", "--json").json
    assert (counts["succeeded"], counts["pending"]) == (1, 0)


def test_a_row_in_another_encoding_fails_alone(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg": picture()}
    (cli.folder / "t.csv").write_bytes(b"url,c\nhttp://h/,caf\xe9\n" + f"{site.url}/a.jpg,\n".encode())
    assert cli("fetch", "t.csv", "-o", "out", *QUIET).code == 1
    bad, good = cli.records()
    assert (bad["kind"], good["state"]) == ("invalid_url", "succeeded")
    assert "t.csv:2: not UTF-8" in bad["message"]
