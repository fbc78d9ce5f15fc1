"""What the report says of a timeline in numbers: tables beside the charts, lanes in order, latency by phase. Pure."""

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from downloader.model.spans import Phase
from downloader.telemetry.meters import Histogram

Recording = Mapping[str, Any]
"""As `Timeline.to_json` makes it."""

_MAX_ROWS = 20
"""Rows of a table beside a chart."""
_KINDS = ("download", "local", "transform")
"""Lanes in the order of the pipeline; others, such as the writer, come after them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFigures:
    """A thread or process: its number in the recording, what it is called, its kind, and how busy it was."""

    number: int
    label: str
    kind: str
    busy_s: float
    busy_share: float


def lanes_of(recording: Recording) -> list[LaneFigures]:
    """The lanes, those of a stage together, in the order of their numbers."""
    width_s, duration_s = recording["bucket_s"], recording["duration_s"]
    lanes = []
    for number, lane in enumerate(recording["lanes"]):
        busy_s = sum(b64decode(lane["busy"])) / 255 * width_s
        kind = next((kind for kind in _KINDS if kind in lane["name"]), "other")
        lanes.append(
            LaneFigures(
                number=number,
                label=re.sub(r"[_-](?=\d+$)", " ", lane["name"]),
                kind=kind,
                busy_s=busy_s,
                busy_share=min(busy_s / duration_s, 1.0) if duration_s else 0.0,
            )
        )
    return sorted(lanes, key=lambda lane: ((*_KINDS, "other").index(lane.kind), _natural(lane.label)))


def _natural(label: str) -> list[tuple[int, str]]:
    """A key by which `x 10` comes after `x 9`."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", label)]


def rows_of(recording: Recording, columns: Sequence[Callable[[Sequence[int]], str]]) -> list[list[str]]:
    """A table of a chart: up to 20 stretches of time, with what each column says of the buckets of one of them."""
    width_s = recording["bucket_s"]
    buckets = max((len(values) for values in recording["series"].values()), default=0)
    step = -(-buckets // _MAX_ROWS) or 1
    rows = []
    for start in range(0, buckets, step):
        stretch = range(start, min(start + step, buckets))
        rows.append([f"{start * width_s:.1f} s", *(column(stretch) for column in columns)])
    return rows


def rate(recording: Recording, name: str, unit: float = 1.0) -> Callable[[Sequence[int]], str]:
    """A column of how much of a series there was a second."""
    values, width_s = recording["series"].get(name, []), recording["bucket_s"]
    return lambda stretch: f"{_picked(values, stretch, sum) / (len(stretch) * width_s) / unit:.2f}"


def largest(recording: Recording, name: str, unit: float = 1.0) -> Callable[[Sequence[int]], str]:
    """A column of the largest values of a series."""
    values = recording["series"].get(name, [])
    return lambda stretch: f"{_picked(values, stretch, max) / unit:.0f}"


def mean(recording: Recording, name: str, over: str) -> Callable[[Sequence[int]], str]:
    """A column of a series divided by another one."""
    values, weights = (recording["series"].get(each, []) for each in (name, over))

    def column(stretch: Sequence[int]) -> str:
        weight = _picked(weights, stretch, sum)
        return f"{_picked(values, stretch, sum) / weight:.1f}" if weight else "\u2013"

    return column


def _picked(values: Sequence[float], stretch: Sequence[int], merge: Callable[[Iterable[float]], float]) -> float:
    return merge([values[bucket] for bucket in stretch if bucket < len(values)] or [0.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFigures:
    """How long a phase took: over how many items, and the seconds within which a share of them was done."""

    phase: str
    number: int
    p50_s: float
    p90_s: float
    p99_s: float


def phases_of(histograms: Mapping[str, Histogram]) -> list[PhaseFigures]:
    """The phases that occurred, in the order of the pipeline."""
    return [
        PhaseFigures(
            phase=phase,
            number=found.total,
            **{f"p{share}_s": found.percentile_s(share / 100) or 0.0 for share in (50, 90, 99)},
        )
        for phase in Phase
        if (found := histograms.get(phase)) is not None and found.total
    ]


def histograms_of(recording: Recording) -> dict[str, Histogram]:
    """The durations of each phase that a recording has."""
    return {
        phase: Histogram(Counter({int(bucket): number for bucket, number in buckets.items()}))
        for phase, buckets in recording["phases"].items()
    }


def histograms_of_items(timings: Iterable[Mapping[str, float]]) -> dict[str, Histogram]:
    """The same from the seconds by phase of single items."""
    pairs = sorted((phase, seconds) for each in timings for phase, seconds in each.items())
    found = {}
    for phase, group in groupby(pairs, key=lambda pair: pair[0]):
        found[phase] = Histogram()
        for _, seconds in group:
            found[phase].add(seconds)
    return found
