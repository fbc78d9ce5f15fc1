"""The contest of one work: prepare, try settings, then run everybody in turn, several times over."""

import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.checks import Checked, Checker
from benchmarks.contestants import ENVIRONMENT, Contestant, Setting, command
from benchmarks.corpora import Corpus, corpus, home
from benchmarks.measure import Usage, measure
from benchmarks.servers import Server, slow_server, web_server
from benchmarks.works import Work

_LIMIT_S = 300.0
"""Seconds one run may take."""


@dataclass(slots=True, kw_only=True)
class Result:
    """How one contestant did in one work. `fault`: why it has no figures; `tried`: wall seconds of every setting."""

    contestant: Contestant
    setting: Setting = field(default_factory=dict)
    tried: list[tuple[Setting, float]] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    checked: Checked | None = None
    fault: str | None = None

    def median(self, figure: Callable[[Usage], float]) -> float:
        """Of a figure over all runs."""
        return statistics.median(figure(usage) for usage in self.usages)

    @property
    def wall_s(self) -> float | None:
        """The median; None without a run that counts."""
        return self.median(lambda usage: usage.wall_s) if self.usages and self.fault is None else None

    @property
    def spread(self) -> float:
        """How far the slowest run lies above the fastest, as a share of the median: the noise."""
        walls = [usage.wall_s for usage in self.usages]
        return (max(walls) - min(walls)) / statistics.median(walls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a work went."""

    work: Work
    server: str | None
    files: Corpus
    results: list[Result]

    def result(self, name: str) -> Result | None:
        """Of a contestant; None where it has no figures."""
        return next((r for r in self.results if r.contestant.name == name and r.wall_s is not None), None)


def hold(work: Work, *, rounds: int, scale: float) -> Outcome:
    """Run everybody who is installed, interleaved, `rounds` times."""
    files = corpus(work.corpus, scale)
    results = [Result(contestant=contestant) for contestant in work.contestants]
    for result in results:
        if missing := result.contestant.missing:
            result.fault = f"not installed: {', '.join(missing)}"
    _warm(files)
    with _server(work, files) as server, TemporaryDirectory(dir=home(), prefix="run-") as scratch:
        arena = _Arena(files, server.base if server else "", Path(scratch))
        for result in results:
            if result.fault is None:
                _choose(result, arena)
        for number in range(rounds):
            for result in results:
                if result.fault is None:
                    _say(f"{work.name}, round {number + 1} of {rounds}: {result.contestant.name}")
                    _run(result, arena)
    return Outcome(work=work, server=server.name if server else None, files=files, results=results)


class _Arena:
    """What all contestants of a work are given."""

    def __init__(self, files: Corpus, base: str, scratch: Path) -> None:
        self.checker = Checker(files)
        self.out = scratch / "out"
        self._raw = scratch / "raw"
        urls = [f"{base}/{name}" for name in files.names]
        lists = {"urls": scratch / "urls.txt", "curl_urls": scratch / "curl.txt"}
        lists["urls"].write_text("".join(f"{url}\n" for url in urls))
        lists["curl_urls"].write_text("".join(f'url = "{url}"\n' for url in urls))
        self._places: dict[str, Any] = {
            **lists,
            "folder": files.folder,
            "out": self.out,
            "raw": self._raw,
            "count": files.count,
        }

    def shell(self, contestant: Contestant, setting: Setting) -> list[str]:
        """The command to run."""
        return ["sh", "-c", command(contestant.line, setting, self._places)]

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """Empty folders, gone afterwards; nothing left to write from the run before."""
        self.out.mkdir()
        self._raw.mkdir()
        os.sync()
        try:
            yield
        finally:
            shutil.rmtree(self.out)
            shutil.rmtree(self._raw)


def _choose(result: Result, arena: _Arena) -> None:
    """Try every setting once, keep the fastest."""
    settings = result.contestant.settings
    result.setting = settings[0]
    if len(settings) == 1:
        return
    for setting in settings:
        with arena.fresh():
            usage = measure(arena.shell(result.contestant, setting), limit_s=_LIMIT_S, extra=ENVIRONMENT)
        if usage.exit_code == 0:
            result.tried.append((setting, usage.wall_s))
        _say(f"  {result.contestant.name} {dict(setting)}: {usage.wall_s:.1f} s, exit {usage.exit_code}")
    if result.tried:
        result.setting = min(result.tried, key=lambda tried: tried[1])[0]


def _run(result: Result, arena: _Arena) -> None:
    """One run that counts, unless its outputs are wrong."""
    with arena.fresh():
        usage = measure(arena.shell(result.contestant, result.setting), limit_s=_LIMIT_S, extra=ENVIRONMENT)
        result.checked = arena.checker.check(arena.out)
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
    """Have the files in memory: disks are not what is compared."""
    for name in files.names:
        (files.folder / name).read_bytes()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
