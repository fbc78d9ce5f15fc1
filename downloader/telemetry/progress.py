"""Shows a run on stderr while it is at work: two bars, plain lines, JSON lines, or nothing. The only user of tqdm."""

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TextIO

from tqdm import tqdm  # noqa: TID251 - its home

from downloader.model.items import Fact
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Sample

_PLAIN_EVERY_S = 5.0

Style = Literal["auto", "bar", "plain", "json", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How far a run has come.

    `total` counts the rows known so far; it is final once `total_known`. `done_before` of them had their outcome from
    an earlier run. Of the others `downloaded` have their bytes, and `not_downloaded` had their outcome without any:
    they failed on the way, were skipped, or are unchanged. `transformed` have been through the transform stage,
    whatever came of it.
    """

    total: int
    total_known: bool
    done_before: int
    downloaded: int
    not_downloaded: int
    transformed: int
    failed: int
    queue_depth: int
    queue_size: int
    bytes_downloaded: int
    elapsed_s: float

    @property
    def download(self) -> tuple[int, int]:
        """How many items the download stage is through with, and how many it gets."""
        return self.done_before + self.downloaded + self.not_downloaded, self.total

    @property
    def transform(self) -> tuple[int, int]:
        """The same of the transform stage: items without bytes never come to it."""
        return self.done_before + self.transformed, self.total - self.not_downloaded


class View(Protocol):
    """A form of showing snapshots."""

    def show(self, snapshot: Snapshot) -> None:
        """Show how far the run has come."""

    def close(self, snapshot: Snapshot) -> None:
        """Show how far it came in the end, and leave the terminal clean."""


class Progress:
    """An observer: shows samples together with the counters of the run.

    Args:
        view: the form.
        counters: what the run has done; another observer, told before this one.
        started_s: when the run began, monotonic.
    """

    def __init__(self, view: View, counters: RunCounters, started_s: float) -> None:
        self._view = view
        self._counters = counters
        self._started_s = started_s
        self._last: Snapshot | None = None

    def facts(self, facts: Sequence[Fact]) -> None:
        """Facts are shown with the next sample."""

    def sample(self, sample: Sample) -> None:
        """Show how far the run has come."""
        counters = self._counters
        self._last = Snapshot(
            total=sample.listed,
            total_known=sample.planned,
            done_before=sample.finished_before,
            downloaded=counters.fetched,
            not_downloaded=counters.ended_before_transform,
            transformed=counters.done - counters.ended_before_transform,
            failed=counters.failures,
            queue_depth=sample.queue_depth,
            queue_size=sample.queue_size,
            bytes_downloaded=counters.bytes_downloaded,
            elapsed_s=sample.at_s - self._started_s,
        )
        self._view.show(self._last)

    def close(self) -> None:
        """Show the end."""
        if self._last is not None:
            self._view.close(self._last)


def view(style: Style, stream: TextIO | None = None, *, transforms: bool = True) -> View:
    """The view for a style; `auto` draws bars on a terminal and prints plain lines elsewhere."""
    stream = stream or sys.stderr
    if stream is None:  # of a program without one that uses this as a library
        return Silence()
    if style == "auto":
        style = "bar" if _can_draw(stream) else "plain"
    match style:
        case "bar":
            return Bars(stream, transforms=transforms)
        case "json":
            return Lines(stream, _json_line, transforms=transforms)
        case "plain":
            return Lines(stream, _plain_line, transforms=transforms)
        case "none":
            return Silence()


def _can_draw(stream: TextIO) -> bool:
    """Whether this is a terminal with a known width; under some `docker exec -t` it is 0, and tqdm draws nothing."""
    return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0


class Silence:
    """Shows nothing."""

    def show(self, snapshot: Snapshot) -> None:
        """Show nothing."""

    def close(self, snapshot: Snapshot) -> None:
        """Show nothing."""


class Bars:
    """One bar a stage."""

    def __init__(self, stream: TextIO, *, transforms: bool) -> None:
        tqdm.monitor_interval = 0  # no thread of its own: the main thread refreshes often enough
        form = "{desc:<9} {n_fmt}/{total_fmt} |{bar:20}| {rate_fmt}{postfix}"
        common: dict[str, Any] = {"file": stream, "unit": " files", "bar_format": form, "dynamic_ncols": True}
        self._download = tqdm(desc="download", position=0, **common)
        self._transform = tqdm(desc="transform", position=1, **common) if transforms else None

    def show(self, snapshot: Snapshot) -> None:
        """Redraw both bars."""
        reading = "" if snapshot.total_known else ", reading the list"
        megabytes = snapshot.bytes_downloaded / 1024**2
        self._draw(self._download, snapshot, snapshot.download, f"{megabytes:.0f} MiB{reading}")
        if self._transform is not None:
            queue = f"queue {snapshot.queue_depth}/{snapshot.queue_size}, failed {snapshot.failed}"
            self._draw(self._transform, snapshot, snapshot.transform, queue)

    @staticmethod
    def _draw(bar: "tqdm[Any]", snapshot: Snapshot, stage: tuple[int, int], postfix: str) -> None:
        bar.initial = snapshot.done_before  # not counted into the rate
        bar.n, bar.total = stage
        bar.set_postfix_str(postfix, refresh=False)
        bar.refresh()

    def close(self, snapshot: Snapshot) -> None:
        """Draw the bars a last time."""
        self.show(snapshot)
        self._download.close()
        if self._transform is not None:
            self._transform.close()


class Lines:
    """One line every few seconds, and a last one."""

    def __init__(self, stream: TextIO, line: Any, *, transforms: bool) -> None:  # noqa: ANN401 - one of two functions here
        self._stream = stream
        self._line = line
        self._transforms = transforms
        self._next_s = time.monotonic() + _PLAIN_EVERY_S

    def show(self, snapshot: Snapshot) -> None:
        """Print a line when it is time."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _PLAIN_EVERY_S
            print(self._line(snapshot, transforms=self._transforms), file=self._stream, flush=True)

    def close(self, snapshot: Snapshot) -> None:
        """Print the last line."""
        print(self._line(snapshot, transforms=self._transforms), file=self._stream, flush=True)


def _plain_line(snapshot: Snapshot, *, transforms: bool) -> str:
    """Unlike a bar, a word must be true: what failed on the way does not count as downloaded."""
    parts = [f"{snapshot.elapsed_s:.0f} s: {_counted(snapshot, 'downloaded', snapshot.downloaded, snapshot.total)}"]
    if transforms:
        parts.append(_counted(snapshot, "transformed", snapshot.transformed, snapshot.transform[1]))
        parts.append(f"queue {snapshot.queue_depth}/{snapshot.queue_size}")
    parts.append(f"failed {snapshot.failed}")
    return ", ".join(parts)


def _counted(snapshot: Snapshot, done: str, number: int, total: int) -> str:
    """How many items are done in a stage, those of earlier runs included, and how many a second in this one."""
    rate = number / snapshot.elapsed_s if snapshot.elapsed_s else 0.0
    more = "" if snapshot.total_known else "+"
    return f"{done} {snapshot.done_before + number}/{total}{more} ({rate:.0f}/s)"


def _json_line(snapshot: Snapshot, *, transforms: bool) -> str:
    return json.dumps({"event": "progress", "transforms": transforms, **asdict(snapshot)})
