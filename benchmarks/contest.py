"""Compare all contestants in one workload: prepare, try settings, then run each in turn, several times.

Outputs are emptied after each run and deleted only at the very end: on ext4 without a journal, common in virtual
machines, creating a file costs up to 0.7 ms of CPU if many were deleted in the minutes before, and 0.02 ms otherwise
(the allocator skips fresh deletions one by one), so deleting would slow down the next contestant. What a contestant
deletes itself still counts; the cost of creating a file is therefore measured before and after, and reported.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.checks import Checked, Checker
from benchmarks.contestants import ENVIRONMENT, Contestant, Setting, command
from benchmarks.corpora import Corpus, corpus
from benchmarks.measure import Usage, measure
from benchmarks.servers import Server, slow_server, web_server
from benchmarks.works import Work

_LIMIT_S = 300.0
"""Seconds one run may take."""
_PROBES = 300
"""Files created to measure what creating one costs."""


@dataclass(slots=True, kw_only=True)
class Result:
    """Result of one contestant in one workload. `fault`: why it has no figures; `tried`: wall seconds per setting."""

    contestant: Contestant
    setting: Setting = field(default_factory=dict)
    tried: list[tuple[Setting, float]] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    checked: Checked | None = None
    fault: str | None = None

    def median(self, figure: Callable[[Usage], float]) -> float:
        """The median of a figure over all runs."""
        return statistics.median(figure(usage) for usage in self.usages)

    @property
    def wall_s(self) -> float | None:
        """The median wall time; None without a valid run."""
        return self.median(lambda usage: usage.wall_s) if self.usages and self.fault is None else None

    @property
    def spread(self) -> float:
        """Range of the wall times as a share of their median: the noise."""
        walls = [usage.wall_s for usage in self.usages]
        return (max(walls) - min(walls)) / statistics.median(walls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Results of one workload. `create_us`: CPU microseconds to create a file, before and after."""

    work: Work
    server: str | None
    files: Corpus
    results: list[Result]
    create_us: tuple[float, float]

    def result(self, name: str) -> Result | None:
        """The result of a contestant; None if it has no figures."""
        return next((r for r in self.results if r.contestant.name == name and r.wall_s is not None), None)


def hold(work: Work, scratch: Path, *, rounds: int, scale: float) -> Outcome:
    """Run every installed contestant, interleaved, `rounds` times, in an empty folder that is deleted later."""
    files = corpus(work.corpus, scale)
    results = [Result(contestant=contestant) for contestant in work.contestants]
    for result in results:
        if missing := result.contestant.missing:
            result.fault = f"not installed: {', '.join(missing)}"
    _warm(files)
    scratch.mkdir()
    before_us = create_us(scratch / "before")
    with _server(work, files) as server:
        arena = _Arena(files, server.base if server else "", scratch)
        for result in results:
            if result.fault is None:
                _choose(result, arena)
        for number in range(rounds):
            for result in results:
                if result.fault is None:
                    _say(f"{work.name}, round {number + 1} of {rounds}: {result.contestant.name}")
                    _run(result, arena)
    return Outcome(
        work=work,
        server=server.name if server else None,
        files=files,
        results=results,
        create_us=(before_us, create_us(scratch / "after")),
    )


def create_us(folder: Path) -> float:
    """CPU microseconds that creating an empty file costs now."""
    folder.mkdir()
    started_s = time.thread_time()
    for number in range(_PROBES):
        (folder / str(number)).touch()
    return (time.thread_time() - started_s) / _PROBES * 1e6


class _Arena:
    """The inputs that all contestants of a workload share, and the folders they run in."""

    def __init__(self, files: Corpus, base: str, scratch: Path) -> None:
        self.checker = Checker(files)
        self._scratch = scratch
        self._runs = 0
        urls = [f"{base}/{name}" for name in files.names]
        lists = {"urls": scratch / "urls.txt", "curl_urls": scratch / "curl.txt"}
        lists["urls"].write_text("".join(f"{url}\n" for url in urls))
        lists["curl_urls"].write_text("".join(f'url = "{url}"\n' for url in urls))
        self._places: dict[str, Any] = {**lists, "folder": files.folder, "count": files.count}

    @contextmanager
    def run(self, contestant: Contestant, setting: Setting) -> Iterator[tuple[Usage, Path]]:
        """Run a contestant in new folders; yield its usage and its output folder, which is emptied afterwards."""
        self._runs += 1
        places = {name: self._scratch / str(self._runs) / name for name in ("out", "raw")}
        for folder in places.values():
            folder.mkdir(parents=True)
        os.sync()  # so that no writes of the previous run remain
        line = command(contestant.line, setting, {**self._places, **places})
        try:
            yield measure(["sh", "-c", line], limit_s=_LIMIT_S, extra=ENVIRONMENT), places["out"]
        finally:
            for folder in places.values():
                _empty(folder)


def _empty(folder: Path) -> None:
    """Free the space of all files without deleting any."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.truncate(path, 0)


def _choose(result: Result, arena: _Arena) -> None:
    """Try every setting once and keep the fastest."""
    settings = result.contestant.settings
    result.setting = settings[0]
    if len(settings) == 1:
        return
    for setting in settings:
        with arena.run(result.contestant, setting) as (usage, _):
            if usage.exit_code == 0:
                result.tried.append((setting, usage.wall_s))
        _say(f"  {result.contestant.name} {dict(setting)}: {usage.wall_s:.1f} s, exit {usage.exit_code}")
    if result.tried:
        result.setting = min(result.tried, key=lambda tried: tried[1])[0]


def _run(result: Result, arena: _Arena) -> None:
    """One measured run; its outputs are checked."""
    with arena.run(result.contestant, result.setting) as (usage, out):
        result.checked = arena.checker.check(out)
    result.usages.append(usage)
    if usage.timed_out:
        result.fault = f"not done after {_LIMIT_S:.0f} s"
    elif usage.exit_code != 0:
        result.fault = f"exit code {usage.exit_code}"
    else:
        result.fault = result.checked.fault
    if result.fault:
        _say(f"  {result.contestant.name}: {result.fault}\n{usage.said}")


@contextmanager
def _server(work: Work, files: Corpus) -> Iterator[Server | None]:
    if work.local:
        yield None
        return
    with slow_server(files.folder, work.latency_s) if work.latency_s else web_server(files.folder) as server:
        yield server


def _warm(files: Corpus) -> None:
    """Read all files into the page cache: disks are not compared."""
    for name in files.names:
        (files.folder / name).read_bytes()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
