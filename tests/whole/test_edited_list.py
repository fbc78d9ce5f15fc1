"""The same output with another list: only new work is done, and what was done before stays as it is."""

import random
from http.server import BaseHTTPRequestHandler as Handler

import pytest
from support import Command, Site, picture, send

from downloader import (
    ConcurrencyOptions,
    OutputOptions,
    RunOptions,
    Settings,
    Stop,
    Summary,
    TransformOptions,
    run,
)

QUIET = ("--progress", "none")


@pytest.fixture
def first(cli: Command, site: Site) -> list[str]:
    """A run over twelve pictures and a failure."""
    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(30)}
    listed = [f"{site.url}/{number}.jpg" for number in range(12)] + [f"{site.url}/gone.jpg"]
    assert again(cli, listed) == 1
    site.hits.clear()
    return listed


def again(cli: Command, listed: list[str], *options: str) -> int:
    (cli.folder / "urls.txt").write_text("".join(f"{url}\n" for url in listed))
    done = cli("run", "urls.txt", "-o", "out", "-r", "32", *options, *QUIET)
    assert done.code in {0, 1}, done.err
    return done.code


def outcomes(cli: Command) -> dict[str, object]:
    records = cli.records()
    return {record["key"]: (record["source"], record["state"], record["outputs"]) for record in records}


def drained_run(cli: Command, site: Site, listed: list[str]) -> Summary:
    """A run of one thread that is told to end while its first requests are answered."""
    stop = Stop()

    def last(handler: Handler) -> None:
        stop.draining.set()
        send(handler, picture())

    site.pages = {f"/{number}.jpg": picture(seed=number) for number in range(len(listed))}
    site.pages["/0.jpg"] = last
    settings = Settings(
        sources=listed,
        concurrency=ConcurrencyOptions(threads=1, processes=1),
        transform=TransformOptions(resize="32"),
        output=OutputOptions(output=cli.folder / "out"),
        run=RunOptions(progress="none"),
    )
    summary = run(settings, stop=stop)
    site.pages["/0.jpg"] = picture()
    return summary


def test_reordered(cli: Command, site: Site, first: list[str]) -> None:
    """Nothing is asked for, and no item changes."""
    before = outcomes(cli)
    random.Random(7).shuffle(first)
    assert again(cli, first) == 1
    assert not site.hits
    assert outcomes(cli) == before


def test_added(cli: Command, site: Site, first: list[str]) -> None:
    """New rows, wherever they stand in the list, are all that is asked for."""
    before = outcomes(cli)
    new = [f"{site.url}/{number}.jpg" for number in (12, 13, 14)]
    assert again(cli, [new[0], *first[:5], new[1], *first[5:], new[2]]) == 1
    assert site.hits == {"/12.jpg": 1, "/13.jpg": 1, "/14.jpg": 1}
    after = outcomes(cli)
    assert before.items() <= after.items()
    assert len(after) == 16


def test_removed(cli: Command, site: Site, first: list[str]) -> None:
    """Rows that are gone keep outcome and results; an empty list is fine as well."""
    before = outcomes(cli)
    for listed in (first[3:6], []):
        assert again(cli, listed) == 1, "counts are those of the output"
    assert not site.hits
    assert outcomes(cli) == before


def test_removed_before_it_was_done(cli: Command, site: Site) -> None:
    """A pending row that the list no longer has is not done by the next run, and stays pending."""
    listed = [f"{site.url}/{number}.jpg" for number in range(30)]
    stopped = drained_run(cli, site, listed)
    assert stopped.pending > 20
    site.hits.clear()
    assert again(cli, listed[20:]) == 0
    assert site.hits == {f"/{number}.jpg": 1 for number in range(20, 30)}
    assert cli("status", "out", "--json").json["pending"] == stopped.pending - 10
    assert cli("retry", "out", *QUIET).code == 0
    assert cli("status", "out", "--json").json["succeeded"] == 30


def test_duplicated(cli: Command, site: Site, first: list[str]) -> None:
    """Each further listing of a row is one new item with a name of its own; the next run finds it done."""
    before = outcomes(cli)
    for asked in ({"/0.jpg": 2, "/5.jpg": 1}, {}):
        site.hits.clear()
        assert again(cli, [first[0], *first, first[5], first[0]]) == 1
        assert site.hits == asked
    after = outcomes(cli)
    assert before.items() <= after.items()
    assert len(after) == 16
    assert len(list((cli.folder / "out").glob("*.jpg"))) == 15


def test_another_list(cli: Command, site: Site, first: list[str]) -> None:
    """A list that shares nothing with the first is done beside it."""
    before = outcomes(cli)
    assert first
    assert again(cli, [f"{site.url}/{number}.jpg" for number in range(20, 25)]) == 1
    assert sum(site.hits.values()) == 5
    assert before.items() <= outcomes(cli).items()
    assert cli("status", "out", "--json").json["succeeded"] == 17


def test_other_settings_and_an_edited_list(cli: Command, site: Site, first: list[str]) -> None:
    """Refused before anything is asked for or written, unless all is to be made anew."""
    before = outcomes(cli)
    (cli.folder / "urls.txt").write_text("\n".join([*first, f"{site.url}/20.jpg"]))
    refused = cli("run", "urls.txt", "-o", "out", "-r", "16", *QUIET)
    assert refused.code == 2
    assert "resize" in refused.err
    assert not site.hits
    assert outcomes(cli) == before
    assert cli("run", "urls.txt", "-o", "out", "-r", "16", "--overwrite", "always", *QUIET).code == 1
    assert sum(site.hits.values()) == 14


def test_reordered_before_anything_was_done(cli: Command, site: Site) -> None:
    """Rows that the next run reads later than those behind them are reached all the same; each is asked for once.

    The list is longer than the batch in which rows are planned, so that the first of them are under way by then.
    """
    body = picture(seed=1)
    listed = [f"{site.url}/{number}.jpg" for number in range(2500)]
    (cli.folder / "urls.txt").write_text("".join(f"{url}\n" for url in listed))
    stopped = cli("fetch", "urls.txt", "-o", "out", "--threads", "1", "--max-failures", "0", "--retries", "0", *QUIET)
    assert stopped.code == 1, "the site has none of them yet"
    site.hits.clear()
    site.pages = {f"/{number}.jpg": body for number in range(2500)}
    (cli.folder / "urls.txt").write_text("".join(f"{url}\n" for url in reversed(listed)))
    done = cli("fetch", "urls.txt", "-o", "out", "--per-host", "16", *QUIET)
    assert "no outcome" not in done.err
    assert set(site.hits.values()) == {1}
    states = [record["state"] for record in cli.records()]
    assert states.count("pending") == 0
    assert states.count("succeeded") == len(site.hits) == 2500 - states.count("failed")
    assert states.count("failed") < 1500, "else the first run has left no batch for the second"
