"""`--trace`: a run as trace-event JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

The file is a list of events that grows while the run is at work; viewers do without its closing bracket, so what a
killed run has left can be opened. Lanes are numbered from 1 and never like their process: viewers take a thread that
has the number of its process, or 0, for its main thread.

Format: "Trace Event Format", Google, section "JSON Array Format".
"""

import gzip
import json
import logging
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from downloader.errors import OutputError
from downloader.model.items import Fact, Failed, Fetched, Skipped, Stored, Transformed, Unchanged
from downloader.model.spans import Phase, Span
from downloader.model.urls import masked
from downloader.telemetry.interface import Sample

_GZIP_LEVEL = 1
_FIRST_SHARD_PID = 10_000_000
"""Above any number that a process has on Linux (2 ** 22 at most)."""
_COUNTER_INTERVAL_S = 0.5
_SOURCE_CHARS = 200
_PROCESS = re.compile(r"(?:shard-(?P<shard>\d+)/.*|transform-(?P<pid>\d+))", re.DOTALL)
_TIMED = (Fetched, Transformed, Stored, Failed, Skipped, Unchanged)

_log = logging.getLogger("downloader")


class TraceWriter:
    """An observer that writes a trace.

    Args:
        path: the file; an existing one is replaced. Ends in `.gz`: compressed.
        started_s: when the run began, monotonic; the zero of the trace.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, started_s: float) -> None:
        self._path = path
        self._started_s = started_s
        self._file = _opened(path)
        self._pid = os.getpid()
        self._lanes: dict[str, str] = {}
        """By name, its numbers as they stand in an event."""
        self._processes: set[int] = set()
        self._last_write: Span | None = None
        self._counters_due_s = 0.0
        self._write(["[\n", self._metadata("process_name", self._pid, 0, f"downloader {self._pid}")])
        self._processes.add(self._pid)

    # -- facts ---------------------------------------------------------------------------------------------------------

    def facts(self, facts: Sequence[Fact]) -> None:
        """Write the spans of a batch."""
        lines: list[str] = []
        for fact in facts:
            if isinstance(fact, _TIMED) and fact.spans:
                self._add(lines, fact)
        self._write(lines)

    def _add(self, lines: list[str], fact: Fetched | Transformed | Stored | Failed | Skipped | Unchanged) -> None:
        item_id, waited_s = fact.item.id, None
        more = f',"source":{json.dumps(masked(fact.item.source)[:_SOURCE_CHARS])}'
        for span in fact.spans:
            phase, start_s, end_s, lane = span
            if phase is Phase.QUEUE:  # a wait in no lane: drawn as the arrow that leads to its end
                waited_s = end_s - start_s
                continue
            if phase is Phase.WRITE:  # of a whole batch, told with each item of it
                if span == self._last_write:
                    continue
                self._last_write = span
            place = self._lanes.get(lane) or self._new_lane(lines, lane)
            at = self._us(start_s)
            if waited_s is not None:
                lines.append(_flow("f", item_id, place, at))
                more += f',"queued_ms":{1000 * waited_s:.3f}'
                waited_s = None
            lines.append(
                f'{{"name":"{phase}","cat":"span","ph":"X","ts":{at},"dur":{max(self._us(end_s) - at, 0)},'
                f'{place},"args":{{"item":{item_id}{more}}}}},\n'
            )
            more = ""
        if isinstance(fact, Fetched):
            last = fact.spans[-1]
            lines.append(_flow("s", item_id, self._lanes[last.lane], self._us(last.start_s)))

    def _us(self, at_s: float) -> int:
        """Whole microseconds: with fractions, which viewers round, neighbours would overlap, and be dropped."""
        return max(int(1e6 * (at_s - self._started_s)), 0)

    def _new_lane(self, lines: list[str], name: str) -> str:
        found = _PROCESS.fullmatch(name)
        pid, process = self._pid, ""
        if found and found["pid"]:
            pid, process = int(found["pid"]), name
        elif found:
            pid, process = _FIRST_SHARD_PID + int(found["shard"]), f"shard-{found['shard']}"
        if pid not in self._processes:
            self._processes.add(pid)
            lines.append(self._metadata("process_name", pid, 0, process))
        tid = 2 * len(self._lanes) + 1
        tid += tid == pid
        lines.append(self._metadata("thread_name", pid, tid, name))
        self._lanes[name] = place = f'"pid":{pid},"tid":{tid}'
        return place

    @staticmethod
    def _metadata(what: str, pid: int, tid: int, name: str) -> str:
        thread = f'"tid":{tid},' if tid else ""
        return f'{{"name":"{what}","ph":"M","pid":{pid},{thread}"args":{{"name":{json.dumps(name)}}}}},\n'

    # -- samples -------------------------------------------------------------------------------------------------------

    def sample(self, sample: Sample) -> None:
        """Write the counters: the queue and memory, twice a second."""
        at = self._us(sample.at_s)
        if sample.at_s < self._counters_due_s:
            return
        self._counters_due_s = sample.at_s + _COUNTER_INTERVAL_S
        used = {"parent": sample.parent, "shards": sample.shards, "workers": sample.workers}
        megabytes = {name: usage.rss_bytes // 1024**2 for name, usage in used.items() if usage.rss_bytes}
        counters = [("memory (MiB)", megabytes)]
        if sample.queue_size:
            counters.append(("queue depth", {"depth": sample.queue_depth}))
        self._write(
            f'{{"name":"{name}","ph":"C","ts":{at},"pid":{self._pid},"args":{json.dumps(values)}}},\n'
            for name, values in counters
            if values
        )

    def close(self) -> None:
        """Finish the list, with an event that has no comma after it; a second call does nothing."""
        self._write([f'{{"name":"process_sort_index","ph":"M","pid":{self._pid},"args":{{"sort_index":0}}}}\n]\n'])
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as problem:
                self._give_up(problem)

    def _write(self, lines: Iterable[str]) -> None:
        """Write whole lines at once; a trace that cannot be written is not worth the run."""
        data = "".join(lines)
        if self._file is None or not data:
            return
        try:
            self._file.write(data.encode())
            self._file.flush()
        except OSError as problem:
            self._give_up(problem)

    def _give_up(self, problem: OSError) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what is in its buffer cannot be written either
                file.close()
        _log.warning("--trace %s: cannot be written: %s; the trace ends here", self._path, problem.strerror)


def _opened(path: Path) -> IO[bytes] | None:
    try:
        if path.suffix == ".gz":
            return cast("IO[bytes]", gzip.open(path, "wb", compresslevel=_GZIP_LEVEL))
        return path.open("wb")
    except OSError as problem:
        raise OutputError(f"--trace {path}: cannot be written: {problem.strerror}; name another file") from None


def _flow(phase: str, item_id: int, place: str, at: int) -> str:
    """One end of the arrow from a download to its transform; it binds to the span that is there at this time."""
    return f'{{"name":"handoff","cat":"handoff","ph":"{phase}","bp":"e","id":{item_id},"ts":{at},{place}}},\n'
