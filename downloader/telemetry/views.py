"""The forms in which a run is shown on stderr while it is at work. The only user of tqdm."""

import json
import os
import sys
from collections import deque
from dataclasses import asdict
from typing import Any, Literal, Protocol, TextIO

from tqdm import tqdm  # noqa: TID251 - its home

from downloader.config.settings import Mode
from downloader.model.items import Failed, Outcome, Skipped, Unchanged
from downloader.model.urls import masked
from downloader.telemetry import wording
from downloader.telemetry.snapshot import Snapshot
from downloader.telemetry.wording import WORDS, BarText, Words

_LINE_EVERY_S = 5.0
_FAILURES_EVERY_S = 1.0
_MAX_FAILURES = 3
"""Failures that are shown one by one in such a time; the others are counted."""
_USUAL_COLUMNS = 80
_MAX_COLUMNS = 160
"""A bar at the far right of a wide screen would be hard to read."""

Style = Literal["auto", "bar", "plain", "json", "json-items", "none"]


class View(Protocol):
    """A form of showing a run. The writer thread calls `outcome`, the main thread everything else."""

    def outcome(self, outcome: Outcome) -> None:
        """An item has its outcome; to be shown with the next snapshot, if at all."""

    def show(self, snapshot: Snapshot) -> None:
        """Show how far the run has come."""

    def stopping(self, in_hand: int, grace_s: float) -> None:
        """Tell that the run takes no new items, and how many it finishes, in so many seconds at most."""

    def close(self, snapshot: Snapshot) -> None:
        """Show how far it came in the end, and leave the terminal clean."""


def view(style: Style, stream: TextIO | None = None, *, mode: Mode = "run") -> View:
    """The view for a style; `auto` draws bars on a terminal and prints plain lines elsewhere."""
    stream = stream or sys.stderr
    if stream is None:  # of a program without one that uses this as a library
        return Silence()
    if style == "auto":
        style = "bar" if _can_draw(stream) else "plain"
    match style:
        case "bar":
            return Bars(stream, WORDS[mode])
        case "plain":
            return PlainLines(stream, WORDS[mode])
        case "json" | "json-items":
            return JsonLines(stream, mode, with_items=style == "json-items")
        case "none":
            return Silence()


def _can_draw(stream: TextIO) -> bool:
    """Whether this is a terminal with a known width; under some `docker exec -t` it is 0, and tqdm draws nothing."""
    return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0


class Silence:
    """Shows nothing."""

    def outcome(self, outcome: Outcome) -> None:
        """Show nothing."""

    def show(self, snapshot: Snapshot) -> None:
        """Show nothing."""

    def stopping(self, in_hand: int, grace_s: float) -> None:
        """Show nothing."""

    def close(self, snapshot: Snapshot) -> None:
        """Show nothing."""


class _FailureLines:
    """A few failures a second as lines, and the number of the others."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MAX_FAILURES)
        self._failed = 0
        self._shown = 0
        self._next_s = 0.0

    def outcome(self, outcome: Outcome) -> None:
        """Keep it if it is among the first since the last look."""
        if isinstance(outcome, Failed):
            self._failed += 1
            if len(self._lines) < _MAX_FAILURES:
                self._lines.append(wording.failure_line(masked(outcome.item.source), outcome.kind, outcome.message))

    def due(self, elapsed_s: float, *, last: bool = False) -> list[str]:
        """The lines to be shown now."""
        if elapsed_s < self._next_s and not last:
            return []
        self._next_s = elapsed_s + _FAILURES_EVERY_S
        failed = self._failed
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if rest := failed - self._shown - len(lines):
            lines.append(wording.more_failures(rest))
        self._shown = failed
        return lines


class Bars:
    """One bar a stage, and failures above them as they happen."""

    def __init__(self, stream: TextIO, words: Words) -> None:
        tqdm.monitor_interval = 0  # no thread of its own: the main thread refreshes often enough
        self._stream = stream
        self._words = words
        self._failures = _FailureLines()
        self._bars = [
            tqdm(file=stream, position=position, bar_format="{desc}", total=1)
            for position in range(2 if words.second else 1)
        ]

    def outcome(self, outcome: Outcome) -> None:
        """Show a failure with the next snapshot."""
        self._failures.outcome(outcome)

    def show(self, snapshot: Snapshot) -> None:
        """Print the failures that are due, and redraw the bars."""
        self._show(snapshot, last=False)

    def _show(self, snapshot: Snapshot, *, last: bool) -> None:
        for line in self._failures.due(snapshot.elapsed_s, last=last):
            self._write(line)
        columns = self._columns()
        self._draw(self._bars[0], snapshot.download, wording.first_bar(snapshot, self._words), columns)
        if self._words.second:
            self._draw(self._bars[1], snapshot.transform, wording.second_bar(snapshot, self._words), columns)

    def _write(self, line: str) -> None:
        tqdm.write(line[: self._columns()], file=self._stream)

    def _columns(self) -> int:
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):  # a file, or no file at all
            columns = 0
        return min(columns - 1 if columns else _USUAL_COLUMNS, _MAX_COLUMNS)

    @staticmethod
    def _draw(bar: "tqdm[Any]", counts: tuple[int, int], text: BarText, columns: int) -> None:
        done, details, width = wording.fitted(text, columns)
        bar.n, bar.total = counts[0], max(counts[1], 1)
        bar.set_description_str(done, refresh=False)
        details = details.replace("{", "{{").replace("}", "}}")
        bar.bar_format = f"{{desc}} |{{bar:{width}}}| {details}" if width else f"{{desc}} {details}"
        bar.refresh()

    def stopping(self, in_hand: int, grace_s: float) -> None:
        """Say so above the bars."""
        self._write(wording.stopping(in_hand, grace_s))

    def close(self, snapshot: Snapshot) -> None:
        """Draw the bars a last time, and leave them."""
        self._show(snapshot, last=True)
        for bar in reversed(self._bars):
            bar.close()


class PlainLines:
    """One line every few seconds, and a last one; failures as they happen."""

    def __init__(self, stream: TextIO, words: Words) -> None:
        self._stream = stream
        self._words = words
        self._failures = _FailureLines()
        self._next_s = _LINE_EVERY_S

    def outcome(self, outcome: Outcome) -> None:
        """Show a failure with the next snapshot."""
        self._failures.outcome(outcome)

    def show(self, snapshot: Snapshot) -> None:
        """Print the failures that are due, and a line when it is time."""
        self._print(self._failures.due(snapshot.elapsed_s))
        if snapshot.elapsed_s >= self._next_s:
            self._next_s = snapshot.elapsed_s + _LINE_EVERY_S
            self._print([wording.plain_line(snapshot, self._words)])

    def stopping(self, in_hand: int, grace_s: float) -> None:
        """Print a line."""
        self._print([wording.stopping(in_hand, grace_s)])

    def close(self, snapshot: Snapshot) -> None:
        """Print the last lines."""
        self._print([*self._failures.due(snapshot.elapsed_s, last=True), wording.plain_line(snapshot, self._words)])

    def _print(self, lines: list[str]) -> None:
        for line in lines:
            print(line, file=self._stream, flush=True)


class JsonLines:
    """One JSON object a line: how far the run has come, and on request every outcome."""

    def __init__(self, stream: TextIO, mode: Mode, *, with_items: bool) -> None:
        self._stream = stream
        self._mode = mode
        self._outcomes: deque[Outcome] | None = deque() if with_items else None
        self._next_s = _LINE_EVERY_S

    def outcome(self, outcome: Outcome) -> None:
        """Show it with the next snapshot."""
        if self._outcomes is not None:
            self._outcomes.append(outcome)

    def show(self, snapshot: Snapshot) -> None:
        """Print outcomes, and the progress when it is time."""
        while self._outcomes:
            self._print("item", **_described(self._outcomes.popleft()))
        if snapshot.elapsed_s >= self._next_s:
            self._next_s = snapshot.elapsed_s + _LINE_EVERY_S
            self._progress(snapshot)

    def stopping(self, in_hand: int, grace_s: float) -> None:
        """Print an event."""
        self._print("stopping", in_hand=in_hand, grace_s=grace_s)

    def close(self, snapshot: Snapshot) -> None:
        """Print what is left, and the progress a last time."""
        self._next_s = 0.0
        self.show(snapshot)

    def _progress(self, snapshot: Snapshot) -> None:
        self._print("progress", mode=self._mode, **asdict(snapshot))

    def _print(self, event: str, **values: object) -> None:
        self._stream.write(json.dumps({"event": event, **values}) + "\n")
        self._stream.flush()


_STATES: dict[type, str] = {Failed: "failed", Skipped: "skipped", Unchanged: "unchanged"}


def _described(outcome: Outcome) -> dict[str, object]:
    """An outcome in a few words; `status --items` has the rest."""
    described: dict[str, object] = {
        "key": outcome.item.key,
        "source": masked(outcome.item.source),
        "state": _STATES.get(type(outcome), "succeeded"),
    }
    if isinstance(outcome, Failed):
        described |= {"kind": outcome.kind, "message": outcome.message, "http_status": outcome.http_status}
    elif isinstance(outcome, Skipped):
        described |= {"kind": outcome.reason, "message": outcome.message}
    return described
