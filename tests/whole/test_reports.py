"""The report and the trace of real runs, through the command."""

import gzip
import json
import re
import threading
import time
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from runs import QUIET, run
from support import Command, Site, picture
from telemetry_laws import check_laws


def report_of(cli: Command, out: str = "out") -> Path:
    return cli.folder / out / ".downloader" / "report.html"


def data_of(report: Path) -> Any:
    """What the script of a report draws."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', report.read_text("utf-8"))
    assert found
    return json.loads(found[1])


def test_a_run_leaves_its_report(cli: Command, site: Site) -> None:
    """With what succeeded, what failed and why, before and after, each stage over time; the command names it."""
    site.pages = {"/a.jpg": picture(), "/b.jpg": picture(seed=2)}
    (cli.folder / "c.png").write_bytes(picture(format="PNG"))
    urls = (f"{site.url}/a.jpg", f"{site.url}/b.jpg", f"{site.url}/absent.jpg", "c.png")
    done = cli("run", *urls, "-o", "out", "-p", "2", "-r", "64", "--keep-originals")
    assert "report      out/.downloader/report.html" in done.err
    html = report_of(cli).read_text("utf-8")
    assert "3 of 4" in html
    assert "http_status 404" in html
    assert "absent.jpg" in html
    assert html.count("<figcaption>after</figcaption>") == 3
    data = data_of(report_of(cli))
    assert sum(data["series"]["stored"]) == 3
    assert sum(data["series"]["failed"]) == 1
    assert {lane["kind"] for lane in data["lanes"]} == {"download", "transform", "other"}
    assert set(data["names"].values()) == {f"{site.url}/a.jpg", f"{site.url}/b.jpg", f"{site.url}/absent.jpg", "c.png"}
    assert max(data["series"]["rss_workers_bytes"]) > 0


def test_originals_are_shown_where_there_is_time_for_it(cli: Command) -> None:
    """A short run shows its small results only; `downloader report` takes its time for thumbnails."""
    folder = cli.folder / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(picture(700, 500, seed=number))
    assert cli("process", "photos", "-o", "out", *QUIET).code == 0
    assert "<figcaption>before</figcaption>" not in report_of(cli).read_text("utf-8")
    done = cli("report", "out")
    assert done.out == "out/.downloader/report.html\n"
    html = report_of(cli).read_text("utf-8")
    assert html.count("<figcaption>before</figcaption>") == html.count("<figcaption>after</figcaption>") == 3
    (folder / "0.jpg").unlink()
    (cli.folder / "out/1.jpg").unlink()
    assert cli("report", "out").code == 0
    html = report_of(cli).read_text("utf-8")
    assert html.count("<figcaption>before</figcaption>") == html.count("<figcaption>after</figcaption>") == 2


def test_no_report_and_a_report_later(cli: Command, site: Site) -> None:
    """Without a recording the latencies come from the journal, and the page says that there are no charts."""
    site.pages = {"/a.jpg": picture()}
    run(cli, f"{site.url}/a.jpg", "--no-report")
    assert not report_of(cli).exists()
    assert not (cli.folder / "out/.downloader/timeline.json").exists()
    assert cli("report", "out").code == 0
    html = report_of(cli).read_text("utf-8")
    assert "There is no recording of the last run" in html
    assert "a sample of 1 items" in html
    assert ">decode<" in html


def test_bytes_that_were_only_fetched_are_not_decoded(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg": picture()}
    assert cli("fetch", f"{site.url}/a.jpg", "-o", "out", "--progress", "none").code == 0
    assert "No image to show" in report_of(cli).read_text("utf-8")


@pytest.mark.parametrize("sink", ["webdataset", "parquet"])
def test_results_in_groups_are_shown(cli: Command, site: Site, sink: str) -> None:
    site.pages = {"/a.jpg": picture(), "/b.jpg": picture(seed=2)}
    run(cli, f"{site.url}/a.jpg", f"{site.url}/b.jpg", "--sink", sink, "-r", "64")
    assert report_of(cli).read_text("utf-8").count("<figcaption>after</figcaption>") == 2


def test_no_secret_is_in_it(cli: Command, site: Site) -> None:
    site.pages = {"/a.jpg?token=s3cret": picture()}
    url = site.url.replace("://", "://user:s3cret@")
    options = ("--header", "Authorization: Bearer s3cret", "--trace", "t.json", "--no-report")
    run(cli, f"{url}/a.jpg?token=s3cret", f"{url}/b.jpg?sig=s3cret", *options, code=1)
    assert cli("report", "out").code == 0
    for path in (report_of(cli), cli.folder / "t.json"):
        assert "s3cret" not in path.read_text("utf-8")
    assert "Authorization: ***" in report_of(cli).read_text("utf-8")


def test_a_report_that_cannot_be_written_is_a_warning(cli: Command, site: Site) -> None:
    """The results are there, so the run has not failed; the command `report` fails, as it has nothing else to do."""
    site.pages = {"/a.jpg": picture()}
    (report_of(cli) / "in the way").mkdir(parents=True)
    done = cli("run", f"{site.url}/a.jpg", "-o", "out", "-p", "1", "--progress", "none")
    assert done.code == 0
    assert "report.html: cannot be written: Is a directory" in done.err
    done = cli("report", "out")
    assert done.code == 3
    assert "report.html: cannot be written" in done.err


def test_a_killed_run_and_one_at_work_have_a_report(cli: Command, site: Site) -> None:
    """From the journal: what was done until then; also while the run that holds the output is still at work."""
    stalled = threading.Event()

    def stall(handler: BaseHTTPRequestHandler) -> None:
        stalled.set()
        handler.rfile.read(1)  # until the client is gone

    site.pages = {"/a.jpg": picture(), "/b.jpg": stall}
    process = cli.start("run", f"{site.url}/a.jpg", f"{site.url}/b.jpg", f"{site.url}/c.jpg", "-o", "out", "-p", "1")
    assert stalled.wait(60)
    wait_until(lambda: sum(record["state"] == "succeeded" for record in cli.records()) == 1)
    assert cli("report", "out").code == 0
    assert "1 of 3" in report_of(cli).read_text("utf-8")
    report_of(cli).unlink()
    process.kill()
    process.communicate()
    assert cli("report", "out").code == 0
    html = report_of(cli).read_text("utf-8")
    assert "1 of 3" in html
    assert "There is no recording of the last run" in html


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_open_shows_it_in_the_browser(cli: Command, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages = {"/a.jpg": picture()}
    run(cli, f"{site.url}/a.jpg")
    opened: list[str] = []

    def browse(url: str) -> bool:
        opened.append(url)
        return len(opened) == 1

    monkeypatch.setattr(webbrowser, "open", browse)
    assert cli("report", "out", "--open").err == ""
    assert opened == [report_of(cli).as_uri()]
    assert "no browser was found" in cli("report", "out", "--open").err


def test_a_folder_without_a_run_has_no_report(cli: Command) -> None:
    done = cli("report", "nowhere")
    assert done.code == 3
    assert "no run has written here yet" in done.err


@pytest.mark.parametrize("shards", ["1", "2"])
def test_a_trace_of_a_real_run_keeps_the_laws(cli: Command, site: Site, shards: str) -> None:
    """Spans of threads and processes without overlaps, an arrow for every file, counters; `retry` leaves it alone."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(12)}
    (cli.folder / "urls.txt").write_text("".join(f"{site.url}/{number}.jpg\n" for number in range(13)))
    run(cli, "urls.txt", "--trace", "t.json.gz", "--shards", shards, "-t", "4", code=1)
    events = json.loads(gzip.decompress((cli.folder / "t.json.gz").read_bytes()))
    check_laws(events)
    begun = {event["id"] for event in events if event["ph"] == "s"}
    assert begun == {event["id"] for event in events if event["ph"] == "f"}
    assert len(begun) == 12
    counters = {event["name"] for event in events if event["ph"] == "C"}
    assert counters >= ({"memory (MiB)"} if shards == "2" else {"memory (MiB)", "queue depth"})  # shards report later
    processes = {event["args"]["name"].partition(" ")[0] for event in events if event["name"] == "process_name"}
    shard_names = {name for name in processes if name.startswith("shard-")}
    assert bool(shard_names) == (shards == "2")
    if shards == "2":
        assert {lane["label"].partition("/")[0] for lane in data_of(report_of(cli))["lanes"]} >= shard_names
        assert max(data_of(report_of(cli))["series"]["rss_shards_bytes"]) > 0
    before = (cli.folder / "t.json.gz").read_bytes()
    assert cli("retry", "out", "--all", *QUIET).code == 1
    assert (cli.folder / "t.json.gz").read_bytes() == before


def test_a_trace_that_cannot_be_written_is_told_before_anything_is_done(cli: Command) -> None:
    done = cli("run", "http://127.0.0.1:9/a.jpg", "-o", "out", "--trace", "absent/t.json")
    assert done.code == 3
    assert "--trace absent/t.json: cannot be written" in done.err
