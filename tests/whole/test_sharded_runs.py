"""Whole runs in several shards: the results are those of one, the limits hold over all, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler as Handler
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from runs import made, run
from support import Command, Site, picture, send

from downloader import open_output
from downloader.places import STATE_FOLDER

END_S = 60.0


def listed(cli: Command, site: Site, number: int, pages: "dict[str, object] | None" = None) -> Path:
    """A list of `number` URLs, each with a picture of its own."""
    site.pages |= {f"/{index}.jpg": picture(40 + index % 50, 30, seed=index) for index in range(number)}
    site.pages |= pages or {}  # type: ignore[arg-type]
    path = cli.folder / "urls.txt"
    path.write_text("".join(f"{site.url}/{index}.jpg\n" for index in range(number)))
    return path


@pytest.mark.parametrize("shards", [2, 3])
def test_the_results_are_those_of_one_process(cli: Command, site: Site, shards: int) -> None:
    """URLs, local files and failures: every file and every record is the same."""
    urls = listed(cli, site, 60, {"/7.jpg": b"no image"})
    urls.write_text(urls.read_text() + f"{site.url}/absent.jpg\nnot a url\n")
    (cli.folder / "local.png").write_bytes(picture(format="PNG"))
    for out, number in (("one", 1), ("several", shards)):
        done = cli(
            *("run", "urls.txt", "local.png", "-o", out, "-r", "20", "--progress", "none", "-t", "6", "-p", "3"),
            *("--shards", number),
        )
        assert done.code == 1
    assert made(cli.folder / "one") == made(cli.folder / "several")
    one, several = ([timeless(record) for record in cli.records(out)] for out in ("one", "several"))
    assert one == several


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    """A record of an item without what depends on time."""
    return {name: value for name, value in record.items() if name != "timings_s"}


def test_equal_bytes_are_kept_once_over_all_shards(cli: Command, site: Site) -> None:
    urls = listed(cli, site, 30, {f"/{index}.jpg": picture(seed=index // 10) for index in range(30)})
    summary = run(cli, urls, "--shards", 2, "--dedup")
    assert summary["shards"] == 2
    assert (summary["succeeded"], summary["skips"]) == (3, {"duplicate": 27})


def test_a_second_run_has_nothing_to_do(cli: Command, site: Site) -> None:
    urls = listed(cli, site, 20)
    run(cli, urls, "--shards", 2)
    hits = Counter(site.hits)
    assert run(cli, urls, "--shards", 2)["succeeded"] == 20
    assert site.hits == hits


def test_the_limit_per_host_holds_over_all_shards(cli: Command, site: Site) -> None:
    """The server counts how many requests it has at a time."""
    lock, now, most = threading.Lock(), [0], [0]

    def counted(handler: Handler) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        send(handler, picture())

    urls = listed(cli, site, 60, {f"/{index}.jpg": counted for index in range(60)})
    assert run(cli, urls, "--shards", 2, "-t", 8, "--per-host", 3)["succeeded"] == 60
    assert 1 < most[0] <= 3


def test_a_pause_that_one_shard_hears_holds_for_all(cli: Command, site: Site) -> None:
    """After the answer that asks for a pause, nothing but what was on its way is asked for."""
    asked: list[float] = []
    paused_at: list[float] = []
    lock = threading.Lock()

    def busy_once(handler: Handler) -> None:
        with lock:
            asked.append(time.monotonic())
            is_first = len(asked) == 10
            if is_first:
                paused_at.append(time.monotonic())
        if is_first:
            send(handler, b"later", 429, "text/plain", Retry_After="1")
        else:
            send(handler, picture())

    urls = listed(cli, site, 60, {f"/{index}.jpg": busy_once for index in range(60)})
    assert run(cli, urls, "--shards", 2, "-t", 4)["succeeded"] == 60
    within = [moment - paused_at[0] for moment in asked if 0 < moment - paused_at[0] < 0.9]
    assert len(within) <= 8, within
    assert all(moment < 0.3 for moment in within)


def test_a_delay_per_host_holds_over_all_shards(cli: Command, site: Site) -> None:
    asked: list[float] = []

    def noted(handler: Handler) -> None:
        asked.append(time.monotonic())
        send(handler, picture())

    urls = listed(cli, site, 8, {f"/{index}.jpg": noted for index in range(8)})
    run(cli, urls, "--shards", 2, "--host-delay", "0.1")
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert min(gaps) > 0.05, gaps


def test_the_rate_is_that_of_all_shards_together(cli: Command, site: Site) -> None:
    body = os.urandom(100_000)
    urls = listed(cli, site, 12, {f"/{index}.jpg": body for index in range(12)})
    started_s = time.monotonic()
    done = cli("fetch", urls, "-o", "out", "--shards", "2", "--limit-rate", "600K", "--progress", "none")
    assert done.code == 0
    assert time.monotonic() - started_s > 1.2, "1.2 MB at 600 KiB/s take two seconds, less a first second's worth"


def test_attempts_are_counted_where_they_were_made(cli: Command, site: Site) -> None:
    """A task that waits for its next attempt goes back to the shard that knows it."""
    answers: Counter[str] = Counter()

    def at_last(handler: Handler) -> None:
        answers[handler.path] += 1
        send(handler, picture()) if answers[handler.path] == 3 else send(handler, b"no", 503, "text/plain")

    urls = listed(cli, site, 6, {f"/{index}.jpg": at_last for index in range(6)})
    assert run(cli, urls, "--shards", 2, "--per-host", 4)["succeeded"] == 6
    assert [record["attempts"] for record in cli.records()] == [3] * 6


def test_what_one_shard_cannot_do_ends_the_run(cli: Command, site: Site) -> None:
    urls = listed(cli, site, 3)
    (cli.folder / "bad.txt").write_text("no cookies")
    done = cli("run", urls, "-o", "out", "--shards", "2", "-p", "2", "--cookies", "bad.txt", "--progress", "none")
    assert (done.code, "--cookies" in done.err) == (2, True), done.err


# -- processes that die, or do nothing ---------------------------------------------------------------------------------


def start(cli: Command, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "downloader", *map(str, arguments), "-o", "out", "--progress", "none", "--json"],
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def shards_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The shards: children of the fork server that the command itself has started, with threads of their own."""
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children():
            if "forkserver" in " ".join(child.cmdline()):
                found += child.children()
    return found


def wait_for(process: "subprocess.Popen[str]", outputs: int, folder: Path) -> None:
    until = time.monotonic() + END_S
    while len(list(folder.glob("*.jpg"))) < outputs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


def slow(handler: Handler) -> None:
    time.sleep(0.02)
    send(handler, picture(60, 40))


@pytest.fixture
def slow_list(cli: Command, site: Site) -> Path:
    return listed(cli, site, 150, {f"/{index}.jpg": slow for index in range(150)})


@pytest.mark.parametrize("mode", ["run", "fetch"])
@pytest.mark.parametrize("what", [psutil.RLIMIT_NOFILE, psutil.RLIMIT_AS])
def test_a_shard_without_files_or_memory_is_replaced(cli: Command, slow_list: Path, mode: str, what: int) -> None:
    """It may have no more than it has now; no item is blamed for it."""
    process = start(cli, mode, slow_list, "--shards", 2, "-p", 2, "-t", 4)
    wait_for(process, 10, cli.folder / "out")
    shard = shards_of(process)[0]
    most = 3 if what == psutil.RLIMIT_NOFILE else shard.memory_info().rss
    shard.rlimit(what, (most, most))
    out, err = process.communicate(timeout=END_S)
    assert (process.returncode, err) == (0, "")
    with open_output(cli.folder / "out") as view:
        assert [record["state"] for record in view.records()] == ["succeeded"] * 150
    assert json.loads(out)["rebuilds"] >= (what == psutil.RLIMIT_NOFILE)  # memory is needed by chance


@pytest.mark.parametrize("mode", ["run", "fetch"])
def test_a_killed_shard_costs_time_only(cli: Command, slow_list: Path, mode: str) -> None:
    """Twice: its items are done by others, once each, and nothing stays in the staging folder."""
    process = start(cli, mode, slow_list, "--shards", 2, "-p", 2, "-t", 4)
    for outputs in (10, 60):
        wait_for(process, outputs, cli.folder / "out")
        shards_of(process)[0].kill()
    out, err = process.communicate(timeout=END_S)
    assert (process.returncode, err) == (0, "")
    with open_output(cli.folder / "out") as view:
        assert [record["state"] for record in view.records()] == ["succeeded"] * 150
    assert len(list((cli.folder / "out").glob("*.jpg"))) == 150
    assert list((cli.folder / "out" / STATE_FOLDER / "staging").iterdir()) == []
    assert json.loads(out)["rebuilds"] >= 2


@pytest.mark.parametrize(
    ("how", "times"), [(signal.SIGSEGV, 3), pytest.param(signal.SIGKILL, 10, marks=pytest.mark.crash)]
)
def test_an_item_that_kills_its_shard_again_and_again_is_given_up(
    cli: Command, site: Site, how: int, times: int
) -> None:
    """The server kills the process that asks for this one; all others succeed. A kill from outside is no proof."""
    killed: list[int] = []

    def deadly(handler: Handler) -> None:
        peer = handler.client_address[1]
        for entry in psutil.net_connections("tcp"):
            if entry.laddr and entry.laddr.port == peer and entry.pid and entry.pid != os.getpid():
                killed.append(entry.pid)
                os.kill(entry.pid, how)
        handler.close_connection = True

    urls = listed(cli, site, 30, {"/11.jpg": deadly})
    process = start(cli, "fetch", urls, "--shards", 2, "-t", 4)
    process.communicate(timeout=END_S)
    assert process.returncode == 1
    items = cli.items()
    assert len(set(killed)) == times, "one process may have asked twice"
    assert [name for name, item in items.items() if item["state"] != "succeeded"] == ["11.jpg"]
    assert items["11.jpg"]["kind"] == "worker_crash"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_what_is_in_hand(cli: Command, slow_list: Path, number: int) -> None:
    """To the whole group, as a terminal sends it: no process is left, and the same command completes the rest."""
    process = start(cli, "run", slow_list, "--shards", 2, "-p", 2, "-t", 4)
    wait_for(process, 10, cli.folder / "out")
    everybody = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=END_S)
    assert (process.returncode, err) == (128 + number, "")
    _, alive = psutil.wait_procs(everybody, timeout=10)
    assert alive == []
    assert run(cli, slow_list, "--shards", 2, "-t", 16, "--per-host", 16)["succeeded"] == 150


def test_shards_end_with_a_coordinator_that_is_killed(cli: Command, slow_list: Path) -> None:
    process = start(cli, "run", slow_list, "--shards", 2, "-p", 2, "-t", 4)
    wait_for(process, 10, cli.folder / "out")
    everybody = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(everybody, timeout=10)
    assert alive == []
    assert run(cli, slow_list, "--shards", 2, "-t", 16, "--per-host", 16)["succeeded"] == 150


@pytest.mark.crash
@pytest.mark.parametrize("which", [0, 1])
def test_a_stopped_shard_is_replaced(cli: Command, slow_list: Path, which: int) -> None:
    """It gives no sign of life for 15 s."""
    process = start(cli, "run", slow_list, "--shards", 2, "-p", 2, "-t", 4)
    wait_for(process, 10, cli.folder / "out")
    shards_of(process)[which].suspend()
    process.communicate(timeout=END_S)
    assert process.returncode == 0
    with open_output(cli.folder / "out") as view:
        assert [record["state"] for record in view.records()] == ["succeeded"] * 150


@pytest.mark.parametrize(
    ("options", "starts"), [(("--shards", "1"), False), (("--shards=1",), False), (("--shards", "2"), True)]
)
def test_one_shard_starts_no_fork_server_for_fetch(
    cli: Command, site: Site, options: tuple[str, ...], *, starts: bool
) -> None:
    """Which nothing would use."""
    site.pages = {"/a.jpg": picture()}
    command = [sys.executable, "-X", "importtime", "-m", "downloader", "fetch", f"{site.url}/a.jpg", "-o", "out"]
    done = subprocess.run(
        [*command, *options], cwd=cli.folder, capture_output=True, text=True, timeout=END_S, check=True
    )
    assert ("multiprocessing.forkserver" in done.stderr) is starts
