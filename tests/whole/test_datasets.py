"""`--sink webdataset` and `--sink parquet`: what is packed, counted, resumed, retried and verified."""

import json
import signal
import subprocess
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from filesystems import mounted
from PIL import Image
from support import Command, Site, noisy, picture

QUIET = ("--progress", "none", "-p", "2")
SINKS = ("webdataset", "parquet")


@pytest.fixture(params=SINKS)
def sink(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def table(cli: Command, site: Site, number: int, **pages: object) -> Path:
    """A table of URLs with captions, one of which is missing and one not ASCII, and a column `licence`."""
    site.pages = {f"/{index}.jpg": picture(60, 40, seed=index) for index in range(number)}
    site.pages |= {f"/{name}.jpg": page for name, page in pages.items() if page is not None}  # type: ignore[misc]
    captions = {1: "", 2: "Käse, 乳酪"}
    rows = [f'{site.url}/{index}.jpg,"{captions.get(index, f"cat {index}")}",cc' for index in range(number)]
    rows += [f"{site.url}/{name}.jpg,late,cc" for name in pages]
    path = cli.folder / "cats.csv"
    path.write_text("\n".join(["URL,TEXT,licence", *rows, ""]), encoding="utf-8")
    return path


TABLE = ("--url-column", "URL", "--caption-column", "TEXT", "--keep-columns", "licence")


def groups(out: Path, sink: str) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], dict[str, dict[str, bytes]]]]:
    """Of each group: statistics, rows, and samples by key and field. Everything in it fits together."""
    for path in sorted(out.glob("*_stats.json")):
        statistics = json.loads(path.read_text())
        name = path.name.removesuffix("_stats.json")
        rows = pq.read_table(out / f"{name}.parquet").to_pylist()
        failed = statistics["failed_to_download"] + statistics["failed_to_resize"]
        assert statistics["count"] == statistics["successes"] + failed == len(rows)
        assert statistics["successes"] == sum(row["status"] == "success" for row in rows)
        samples: dict[str, dict[str, bytes]] = {}
        if sink == "parquet":
            samples = {row["key"]: {"jpg": row["jpg"]} for row in rows if row["jpg"] is not None}
        elif (out / f"{name}.tar").exists():
            samples = members(out / f"{name}.tar")
        assert list(samples) == [row["key"] for row in rows if row["status"] == "success"]
        yield statistics, rows, samples


def members(path: Path) -> dict[str, dict[str, bytes]]:
    samples: dict[str, dict[str, bytes]] = {}
    with tarfile.open(path) as tar:
        for member in tar:
            key, _, field = member.name.partition(".")
            file = tar.extractfile(member)
            assert file is not None
            samples.setdefault(key, {})[field] = file.read()
    return samples


def rows_of(out: Path, sink: str) -> list[dict[str, Any]]:
    rows = [row for _, rows, _ in groups(out, sink) for row in rows]
    assert len({row["key"] for row in rows}) == len(rows)
    return rows


@pytest.mark.parametrize(("sink", "shards"), [("webdataset", 1), ("webdataset", 2), ("parquet", 1)])
def test_every_outcome_is_a_row_and_every_success_a_sample(cli: Command, site: Site, sink: str, shards: int) -> None:
    """25 successes and three kinds of failure, a PNG and a copyright among them, in groups of ten."""
    path = table(cli, site, 23, png=picture(format="PNG"), rights=with_rights(), html=b"<html>", tiny=picture(5, 5))
    path.write_text(path.read_text() + "no url,x,cc\n")
    done = cli(
        *("run", path, "-o", "out", "--sink", sink, "--shard-size", 10, "-r", 30, "--min-side", 10, *TABLE, *QUIET),
        *("--shards", shards, "--json"),
    )
    assert done.code == 1
    assert (done.json["total"], done.json["succeeded"], done.json["pending"]) == (28, 25, 0)
    out = cli.folder / "out"
    found = list(groups(out, sink))
    assert [statistics["count"] for statistics, _, _ in found] == [10, 10, 8]
    reasons = sum((Counter(statistics["status_dict"]) for statistics, _, _ in found), Counter())
    assert reasons == {"success": 25, "not_an_image": 1, "too_small": 1, "invalid_url": 1}
    rows = rows_of(out, sink)
    by_url = {row["url"]: row for row in rows}
    assert len(by_url) == 28
    assert by_url["no url"]["status"] == "failed_to_download"
    assert by_url[f"{site.url}/tiny.jpg"]["status"] == "failed_to_resize"
    assert "cats.csv:29" in by_url["no url"]["error_message"]
    good = by_url[f"{site.url}/2.jpg"]
    assert (good["caption"], good["licence"], good["error_message"]) == ("Käse, 乳酪", "cc", None)
    assert (good["width"], good["height"], good["original_width"], good["original_height"]) == (30, 20, 60, 40)
    assert {row["exif"] for row in rows if row is not by_url[f"{site.url}/rights.jpg"]} == {None}
    assert json.loads(by_url[f"{site.url}/rights.jpg"]["exif"]) == {"Image Copyright": "(c) Ann"}
    for _, group, samples in found:
        for row in group:
            check_sample(row, samples.get(row["key"]), sink)
    assert cli("verify", "out", "--json").json["good"]


def with_rights() -> bytes:
    exif = Image.Exif()
    exif[0x8298] = "(c) Ann"
    out = BytesIO()
    Image.open(BytesIO(picture(60, 40))).save(out, "JPEG", exif=exif)
    return out.getvalue()


def check_sample(row: dict[str, Any], sample: dict[str, bytes] | None, sink: str) -> None:
    """A sample is a JPEG of the size in its row; in a tar its JSON is that row, and its caption is always there."""
    assert (sample is not None) == (row["status"] == "success")
    if sample is None:
        return
    with Image.open(BytesIO(sample["jpg"])) as image:
        assert (image.format, image.size) == ("JPEG", (row["width"], row["height"]))
    if sink == "webdataset":
        assert list(sample) == ["jpg", "json", "txt"]
        assert sample["txt"].decode() == row["caption"]
        row = {name: "" if value is None else value for name, value in row.items()}
        assert json.loads(sample["json"]) == row


def test_a_stopped_run_leaves_the_open_group_to_the_next_one(cli: Command, site: Site) -> None:
    """Ctrl-C: whole groups are there, the open one is not, and nothing of it is downloaded again."""
    path = table(cli, site, 30)
    command = ("run", path, "-o", "out", "--sink", "webdataset", "--shard-size", 8, "-r", 20, *TABLE, *QUIET)
    site.pages |= {f"/{index}.jpg": slow(index) for index in range(12, 30)}
    process = cli.start(*command, "-t", 1)
    wait_until(lambda: "/13.jpg" in site.hits)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    out = cli.folder / "out"
    done = sum(record["state"] == "succeeded" for record in cli.records())
    assert len(rows_of(out, "webdataset")) == done // 8 * 8
    assert cli("verify", "out", "--json").json["good"]  # the open group is read too
    site.hits.clear()
    table(cli, site, 30)
    assert cli(*command).code == 0
    assert len(site.hits) == 30 - done
    assert len({row["url"] for row in rows_of(out, "webdataset")}) == len(rows_of(out, "webdataset")) == 30
    assert [statistics["count"] for statistics, _, _ in groups(out, "webdataset")] == [8, 8, 8, 6]


def slow(index: int) -> Any:
    def answer(handler: Any) -> None:
        time.sleep(0.2)  # of the server: leaves time for the signal
        body = picture(60, 40, seed=index)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def wait_until(condition: Any, limit_s: float = 30) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_succeeds_late_is_appended(cli: Command, site: Site) -> None:
    """`retry` makes new groups; the rows of the failures stay, and nothing that was packed changes."""
    path = table(cli, site, 3, later=None)
    arguments = ("run", path, "-o", "out", "--sink", "parquet", "--retries", 0, *TABLE, *QUIET)
    assert cli(*arguments).code == 1
    out = cli.folder / "out"
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}
    site.pages["/later.jpg"] = picture(50, 50)
    done = cli("retry", "out", "--all", "--progress", "plain", "--json")
    assert (done.code, done.json["groups"]) == (0, {"new": 1, "first": 1, "last": 1})
    assert "groups      1 appended, 00001; earlier groups stay as they are" in done.err
    assert {name: (out / name).read_bytes() for name in before} == before
    assert [[row["status"] for row in rows] for _, rows, _ in groups(out, "parquet")][1:] == [["success"]]
    assert len(rows_of(out, "parquet")) == 5
    assert cli(*arguments).code == 0
    assert len(rows_of(out, "parquet")) == 5
    assert cli("verify", "out", "--json").json["good"]


def test_a_group_of_failures_alone(cli: Command, site: Site, sink: str) -> None:
    """A table with a row each, and no tar: readers take an empty one for a broken dataset.

    A column that is null in all rows has its type all the same.
    """
    path = table(cli, site, 0, a=None, b=None)
    assert cli("run", path, "-o", "out", "--sink", sink, *TABLE, *QUIET).code == 1
    ((statistics, rows, samples),) = groups(cli.folder / "out", sink)
    assert (statistics["status_dict"], samples) == ({"http_status 404": 2}, {})
    assert [row["caption"] for row in rows] == ["late", "late"]
    assert not (cli.folder / "out" / "00000.tar").exists()
    schema = pq.read_schema(cli.folder / "out" / "00000.parquet")
    types = {field.name: str(field.type) for field in schema}
    assert types.pop("jpg", "binary") == "binary"
    numbers = {"width", "height", "original_width", "original_height"}
    assert types == {name: "int32" if name in numbers else "string" for name in types}


def test_damage_is_found_and_repaired_by_appending(cli: Command, site: Site, sink: str) -> None:
    """A deleted group, changed bytes, a file of nobody; what was lost is made again in a new group."""
    path = table(cli, site, 6)
    arguments = ("run", path, "-o", "out", "--sink", sink, "--shard-size", 2, *TABLE, *QUIET)
    assert cli(*arguments).code == 0
    out = cli.folder / "out"
    suffix = "tar" if sink == "webdataset" else "parquet"
    (out / f"00000.{suffix}").unlink()
    (out / "00002_stats.json").rename(out / "kept")
    damaged = out / f"00001.{suffix}"
    content = bytearray(damaged.read_bytes())
    at = content.index(b"\xff\xd8\xff") + 300
    content[at] ^= 255
    damaged.write_bytes(content)
    (out / f"00009.{suffix}").write_bytes(b"mine")
    found = cli("verify", "out", "--json", "--repair").json
    assert [name.partition(":")[0] for name in found["missing"]] == [f"00000.{suffix}"] * 2 + ["00002_stats.json"]
    assert [name.partition(":")[0] for name in found["changed"]] == [f"00001.{suffix}"]
    assert (found["orphaned"], found["requeued"]) == ([f"00009.{suffix}", "kept"], 3)
    assert cli(*arguments).code == 0
    assert (out / f"00003.{suffix}").exists()
    (out / f"00009.{suffix}").unlink()
    (out / "kept").rename(out / "00002_stats.json")
    assert cli("verify", "out", "--json").json["good"]
    assert cli("status", "out", "--json").json["succeeded"] == 6


def test_a_lost_open_file_is_made_again(cli: Command, site: Site) -> None:
    """Its number is not used again."""
    path = table(cli, site, 5)
    arguments = ("run", path, "-o", "out", "--sink", "webdataset", *TABLE, *QUIET)
    site.pages |= {"/4.jpg": slow(4), "/3.jpg": slow(3)}
    process = cli.start(*arguments, "-t", 1)
    wait_until(lambda: "/4.jpg" in site.hits)
    process.kill()
    process.communicate(timeout=60)
    opened = list((cli.folder / "out" / ".downloader" / "groups").iterdir())
    for file in opened:
        file.unlink()
    done = cli(*arguments)
    assert done.code == 0
    assert ("is made again" in done.err) == bool(opened)
    assert len({row["url"] for row in rows_of(cli.folder / "out", "webdataset")}) == 5
    assert (cli.folder / "out" / "00001_stats.json").exists() == bool(opened)


def test_files_of_others_keep_their_names(cli: Command, site: Site) -> None:
    path = table(cli, site, 1)
    (cli.folder / "out").mkdir()
    (cli.folder / "out" / "00000_stats.json").write_text("mine")
    assert cli("run", path, "-o", "out", "--sink", "parquet", *TABLE, *QUIET).code == 0
    assert (cli.folder / "out" / "00000_stats.json").read_text() == "mine"
    assert (cli.folder / "out" / "00001.parquet").exists()


OTHERWISE = {
    "another --sink": ("--sink", "files"),
    "another --shard-size": ("--sink", "webdataset", "--shard-size", 5),
    "another --keep-columns": ("--sink", "webdataset", "--keep-columns", "licence"),
    "another format": ("--sink", "webdataset", "--format", "png"),
    "--overwrite always is for --sink files": ("--sink", "webdataset", "--overwrite", "always"),
}


def test_one_output_is_one_dataset(cli: Command, site: Site) -> None:
    path = table(cli, site, 1)
    start = ("run", path, "-o", "out", "--url-column", "URL", *QUIET)
    assert cli(*start, "--sink", "webdataset").code == 0
    for text, more in OTHERWISE.items():
        done = cli(*start, *more)
        assert (done.code, done.out) == (2, "")
        assert text in done.err


@pytest.mark.parametrize("room", ["700k", "1100k"])
def test_a_full_disk_ends_the_run_and_the_next_one_continues(cli: Command, room: str) -> None:
    """At two moments of appending and sealing: one line, and nothing is lost or there twice."""
    (cli.folder / "photos").mkdir()
    for index in range(40):
        (cli.folder / "photos" / f"{index:02}.jpg").write_bytes(noisy(150, index))
    out = cli.folder / "disk" / "out"
    arguments = ("process", "photos", "-o", out, "--sink", "parquet", "--shard-size", 16, *QUIET)
    with mounted(cli.folder / "disk", f"size={room}") as disk:
        done = cli(*arguments)
        assert (done.code, done.err.count("\n")) == (3, 1)
        assert "No space left on device" in done.err
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        assert cli(*arguments).code == 0
        assert len({row["url"] for row in rows_of(out, "parquet")}) == len(rows_of(out, "parquet")) == 40
        assert cli("verify", out, "--json").json["good"]


def test_images_as_structs(cli: Command, site: Site) -> None:
    """With the metadata that the datasets library looks for."""
    path = table(cli, site, 2, bad=None)
    cli("run", path, "-o", "out", "--sink", "parquet", "--image-column", "struct", *TABLE, *QUIET)
    made = pq.read_table(cli.folder / "out" / "00000.parquet")
    *good, bad = sorted(made.to_pylist(), key=lambda row: row["status"], reverse=True)
    assert all(row["jpg"]["path"] == f"{row['key']}.jpg" for row in good)
    assert bad["jpg"] is None
    features = json.loads(made.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == made.schema.names
    assert features["jpg"] == {"_type": "Image"}
    assert cli("verify", "out", "--json").json["good"]


def test_a_missing_library_is_one_line_before_any_work(
    cli: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    path = table(cli, site, 1)
    monkeypatch.setattr("downloader.sinks.tables.importlib.import_module", missing)
    done = cli("run", path, "-o", "out", "--sink", "webdataset", *TABLE, *QUIET)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "pip install pyarrow" in done.err
    assert not (cli.folder / "out").exists()


def test_verify_says_what_a_table_needs(cli: Command, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    assert cli("run", table(cli, site, 1), "-o", "out", "--sink", "parquet", *TABLE, *QUIET).code == 0
    monkeypatch.setattr("downloader.sinks.tables.importlib.import_module", missing)
    done = cli("verify", "out")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "00000.parquet: tables need pyarrow" in done.err
