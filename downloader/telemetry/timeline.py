"""Recording how a run went over time, for the report: in constant memory, kept in a file that survives a kill.

Counted for everything: what each thread and process was busy with in each bucket of time, throughput, the queue, CPU
time, memory, and how the phases are spread. Kept as they were: a sample of the spans (`span_sample`).
"""

import base64
import json
import logging
import sys
import threading
import time
from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from downloader.model.items import Fact, Failed, Fetched, Skipped, Stored, Transformed, Unchanged, Url
from downloader.model.spans import Phase, Span
from downloader.model.write_errors import ends_run
from downloader.telemetry.interface import Sample
from downloader.telemetry.meters import Histogram
from downloader.telemetry.series import Grid, Series
from downloader.telemetry.span_sample import SLICE_S, SpanSample

VERSION = 1
MAX_LANES = 512
"""Threads and processes that get a lane of their own; replaced pools have new processes."""
OTHER_LANES = "others"
_PHASES = tuple(Phase)
_CODES = {phase: code for code, phase in enumerate(_PHASES)}
_SAVE_INTERVAL_S = 15.0
_MAX_SAVE_SHARE = 0.002
"""Share of the time that may go into saving."""
_MAX_CPU_STALENESS_S = 1.0
"""Meters look twice a second, and shards tell what they have seen four times a second."""
_COUNTED = ("downloaded", "transformed", "stored", "failed", "bytes_downloaded", "bytes_written")
_CPU = ("cpu_parent_s", "cpu_shards_s", "cpu_workers_s")
_MEMORY = ("rss_parent_bytes", "rss_shards_bytes", "rss_workers_bytes")

_log = logging.getLogger("downloader")


class Timeline:
    """What happened when. Times of facts and samples are monotonic; `started_s` is when the run began."""

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._started_at = datetime.now(UTC)
        self._duration_s = 0.0
        self._grid = Grid()
        summed = ("queue_depth", "queue_samples", *_COUNTED, *_CPU)
        self._series = {name: self._grid.series() for name in summed}
        self._series |= {name: self._grid.series(max) for name in ("queue_max", *_MEMORY)}
        self._queue_size = 0
        self._cpu: dict[str, tuple[float, float]] = {}
        """By series: when CPU time was last seen to grow, and what it was then."""
        self._lanes: dict[str, tuple[int, Series]] = {}
        self._spans = SpanSample()
        self._phases = {phase: Histogram() for phase in Phase}
        self._last_write: Span | None = None

    # -- facts ---------------------------------------------------------------------------------------------------------

    def take(self, fact: Fact, now_s: float) -> None:
        """Count a fact that is known at `now_s`, and its spans."""
        if not isinstance(fact, Fetched | Transformed | Stored | Failed | Skipped | Unchanged):
            return
        spans = fact.spans
        at_s = max((spans[-1].end_s if spans else now_s) - self._started_s, 0.0)
        self._take_spans(spans, fact.item.id)
        match fact:
            case Fetched():
                self._count(at_s, "downloaded")
                if isinstance(fact.item.what, Url):
                    self._spread_bytes(spans, at_s, fact.bytes)
            case Transformed():
                self._count(at_s, "transformed")
            case Stored():
                self._count(at_s, "stored")
                self._count(at_s, "bytes_written", sum(output.bytes for output in fact.outputs))
            case Failed():
                self._count(at_s, "failed")

    def _count(self, at_s: float, name: str, number: float = 1.0) -> None:
        self._series[name].put(self._grid.bucket(at_s), number)

    def _spread_bytes(self, spans: Sequence[Span], at_s: float, size: int) -> None:
        """Bytes over the time in which they came, so that a large file is no spike at its end."""
        start_s = next((span.start_s - self._started_s for span in spans if span.phase is Phase.BODY), at_s)
        self._grid.spread(self._series["bytes_downloaded"], max(min(start_s, at_s), 0.0), at_s, size)

    def _take_spans(self, spans: Iterable[Span], item_id: int) -> None:
        began_s, grid, sample = self._started_s, self._grid, self._spans
        for span in spans:
            phase, start_s, end_s, lane = span
            self._phases[phase].add(end_s - start_s)
            if phase is Phase.QUEUE:  # a wait in no lane
                continue
            if phase is Phase.WRITE:  # of a whole batch, told with each item of it
                if span == self._last_write:
                    continue
                self._last_write = span
            number, busy = self._lanes.get(lane) or self._new_lane(lane)
            start_s = max(start_s - began_s, 0.0)
            end_s = max(end_s - began_s, start_s)
            grid.spread(busy, start_s, end_s, end_s - start_s)
            sample.add(start_s, end_s, number, _CODES[phase], item_id)

    def _new_lane(self, name: str) -> tuple[int, Series]:
        if len(self._lanes) >= MAX_LANES:
            name = OTHER_LANES
        if name not in self._lanes:
            self._lanes[name] = len(self._lanes), self._grid.series()
        return self._lanes[name]

    # -- samples -------------------------------------------------------------------------------------------------------

    def look(self, sample: Sample) -> None:
        """Count what a run looks like at one moment."""
        at_s = self._duration_s = max(sample.at_s - self._started_s, 0.0)
        bucket = self._grid.bucket(at_s)
        if sample.queue_size:
            self._queue_size = sample.queue_size
            self._series["queue_samples"].put(bucket, 1)
            self._series["queue_depth"].put(bucket, sample.queue_depth)
            self._series["queue_max"].put(bucket, sample.queue_depth)
        used = (sample.parent, sample.shards, sample.workers)
        for name, usage in zip(_MEMORY, used, strict=True):
            self._series[name].put(bucket, usage.rss_bytes)
        for name, usage in zip(_CPU, used, strict=True):
            self._look_at_cpu(name, usage.cpu_s, at_s)

    def _look_at_cpu(self, name: str, cpu_s: float, at_s: float) -> None:
        """Spread CPU time over the time since it was last seen to grow: it is told every now and then only."""
        before_s, before_cpu_s = self._cpu.get(name, (0.0, 0.0))
        if cpu_s > before_cpu_s:
            self._cpu[name] = at_s, cpu_s
            start_s = max(before_s, at_s - _MAX_CPU_STALENESS_S)
            self._grid.spread(self._series[name], start_s, at_s, cpu_s - before_cpu_s)

    # -- the whole -----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """All of it; columns of numbers in base64, little-endian, the names of lanes in the order of their numbers."""
        spans, width_s = self._spans, self._grid.width_s
        unit_s = max(1e-6, self._duration_s / 2**31)
        return {
            "version": VERSION,
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "duration_s": round(self._duration_s, 3),
            "bucket_s": width_s,
            "queue_size": self._queue_size,
            "series": {name: [round(value, 3) for value in each.values] for name, each in self._series.items()},
            "lanes": [{"name": name, "busy": _shares(busy, width_s)} for name, (_, busy) in self._lanes.items()],
            "phases": {phase: _histogram(each) for phase, each in self._phases.items() if each.total},
            "spans": {
                "count": len(spans),
                "seen": spans.seen,
                "stride": spans.stride,
                "slice_s": SLICE_S,
                "unit_s": unit_s,
                "phases": [*_PHASES],
                "start": _column(array("I", [int(start_s / unit_s) for start_s in spans.starts_s])),
                "length": _column(array("I", [int(length) for length in _lengths(spans, unit_s)])),
                "lane": _column(spans.lanes),
                "phase": _column(spans.phases),
                "item": _column(array("I", [item & 0xFFFFFFFF for item in spans.items])),
            },
        }


def _lengths(spans: SpanSample, unit_s: float) -> Iterable[float]:
    return ((end_s - start_s) / unit_s + 0.5 for start_s, end_s in zip(spans.starts_s, spans.ends_s, strict=True))


def _shares(busy: Series, width_s: float) -> str:
    """Busy shares as bytes: 255 is the whole bucket."""
    return _column(array("B", [min(round(255 * seconds / width_s), 255) for seconds in busy.values]))


def _histogram(histogram: Histogram) -> dict[str, int]:
    return {str(bucket): number for bucket, number in histogram.buckets.items()}


def _column(values: "array[Any]") -> str:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()


class TimelineRecorder:
    """An observer that records a timeline, and saves it every now and then: a kill costs the last seconds of it."""

    def __init__(self, path: Path, started_s: float) -> None:
        self._path = path
        self._timeline = Timeline(started_s)
        self._lock = threading.Lock()
        self._due_s = started_s + _SAVE_INTERVAL_S
        self._is_broken = False

    def facts(self, facts: Sequence[Fact]) -> None:
        """Record a batch."""
        now_s = time.monotonic()
        with self._lock:
            for fact in facts:
                self._timeline.take(fact, now_s)

    def sample(self, sample: Sample) -> None:
        """Record a sample, and save when it is time."""
        with self._lock:
            self._timeline.look(sample)
        if sample.at_s >= self._due_s:
            self._save()
            now_s = time.monotonic()
            self._due_s = now_s + max(_SAVE_INTERVAL_S, (now_s - sample.at_s) / _MAX_SAVE_SHARE)

    def close(self) -> None:
        """Save what there is."""
        self._save()

    def _save(self) -> None:
        if self._is_broken:
            return
        with self._lock:
            text = json.dumps(self._timeline.to_json(), separators=(",", ":"))
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(text)
            temporary.replace(self._path)
        except OSError as problem:
            self._is_broken = True
            # A full disk, or an output that is gone, ends the run with a message of its own.
            if not ends_run(problem.errno, root_is_usable=self._path.parent.is_dir()):
                _log.warning("%s: cannot be written: %s; the report will lack it", self._path, problem.strerror)


def load_timeline(path: Path) -> dict[str, Any] | None:
    """The timeline of the last run, as `Timeline.to_json` made it; None where there is none that can be used."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("version") == VERSION else None
