"""Where the CPU of our parent process goes: by thread, exactly; by part of the program, from samples of py-spy.

py-spy looks from outside, a hundred times a second, at the stack of the thread that holds the interpreter's lock, which
is what the threads of the parent compete for. (Without the lock as a mark it takes threads that wait for running ones.)
It does not favour places where a thread gives way, as a sampler inside the process would. What C code does without the
lock, such as hashing, reading and writing, counts for the threads only. `make bench-peers` installs it; without it
there is only the split by thread.
"""

import json
import shlex
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contestants import OURS, PEERS, command
from benchmarks.corpora import corpus, home
from benchmarks.measure import measure
from benchmarks.servers import web_server
from benchmarks.works import Work

_LIMIT_S = 300.0
_RATE_HZ = 100
_PY_SPY = PEERS / "reference/bin/py-spy"

PARTS = (
    ("h11/", "h11: HTTP read and written"),
    ("httpcore/", "httpcore"),
    ("downloader/download/llhttp.py", "our HTTP over httptools"),
    ("httpx/", "httpx"),
    ("downloader/download/net.py", "our sockets under HTTP"),
    ("downloader/download/dns.py", "our sockets under HTTP"),
    ("downloader/download/headers.py", "headers read by us"),
    ("downloader/download/resume.py", "headers read by us"),
    ("downloader/download/client.py", "client: requests, hashing, writing bodies"),
    ("downloader/download/feed.py", "feed and agenda"),
    ("downloader/download/agenda.py", "feed and agenda"),
    ("downloader/download/", "download stage"),
    ("downloader/handoff.py", "hand-off"),
    ("multiprocessing/", "hand-off"),
    ("downloader/transform/", "driver of the processes"),
    ("concurrent/futures/process.py", "driver of the processes"),
    ("downloader/journal.py", "journal"),
    ("downloader/naming/", "planning"),
    ("downloader/sources/", "planning"),
    ("downloader/sinks/", "writer: fsync and renames"),
    ("downloader/progress.py", "progress"),
    ("downloader/pipeline.py", "pipeline"),
    ("<frozen importlib", "start-up: imports"),
    ("downloader/", "start-up and the rest"),
)
"""How parts are told from file names: the innermost frame that belongs to one decides, and of one frame the first."""
ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Milliseconds of the parent process for an item: of CPU, by thread; of holding the interpreter's lock, by part."""

    work: Work
    count: int
    threads_ms: dict[str, float]
    parts_ms: dict[str, float]


def profile(work: Work, scale: float, threads: int) -> Profile:
    """Run our command twice: once for the exact split by thread, once under py-spy for the parts."""
    files = corpus(work.corpus, scale)
    line = next(c.line for c in work.contestants if c.name == OURS)
    with web_server(files.folder) as server, TemporaryDirectory(dir=home(), prefix="run-") as scratch:
        urls = Path(scratch) / "urls.txt"
        urls.write_text("".join(f"{server.base}/{name}\n" for name in files.names))
        report, stacks = Path(scratch) / "threads.json", Path(scratch) / "stacks.txt"

        def run(out: str, *before: str) -> None:
            places = {"urls": urls, "folder": files.folder, "out": Path(scratch) / out, "count": files.count}
            words = shlex.split(command(line, {"n": threads}, places))
            split = [sys.executable, "-m", "benchmarks.threads", str(report), *words[1:]]
            usage = measure([*before, *split], limit_s=_LIMIT_S)
            if usage.exit_code != 0:
                raise SystemExit(f"{work.name}: our command failed with exit code {usage.exit_code}:\n{usage.said}")

        run("out")
        seconds: dict[str, float] = json.loads(report.read_text())
        if _PY_SPY.exists():
            options = ("--gil", "--format", "raw", "--rate", str(_RATE_HZ), "--full-filenames", "--output", str(stacks))
            run("again", str(_PY_SPY), "record", *options, "--")
        parts = _parts(stacks.read_text().splitlines()) if stacks.exists() else {}
    return Profile(
        work=work,
        count=files.count,
        threads_ms={name: spent_s * 1000 / files.count for name, spent_s in seconds.items()},
        parts_ms={name: n / _RATE_HZ * 1000 / files.count for name, n in parts.items()},
    )


def _parts(stacks: Iterable[str]) -> dict[str, int]:
    """Samples by part, from lines of `frame;frame;frame count`."""
    found: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        found[part(stack.split(";"))] += int(count)
    return dict(found.most_common())


def part(frames: list[str]) -> str:
    """The part of the program that a stack belongs to; outermost frame first."""
    for frame in reversed(frames):
        for mark, name in PARTS:
            if mark in frame:
                return name
    return ELSEWHERE
