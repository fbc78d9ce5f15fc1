"""What the views say of a snapshot, in words and figures. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from downloader.config.settings import Mode
from downloader.model.hosts import HostWait
from downloader.telemetry.snapshot import Snapshot

_MAX_CAUSES = 3
_DECIMALS_BELOW = 10
"""Rates below it are shown with one decimal."""
_MAX_HOST_CHARS = 40


@dataclass(frozen=True, slots=True)
class Words:
    """What the stages of a run are called. `done` is what the first one has done to an item."""

    first: str
    done: str
    second: str | None


WORDS: Mapping[Mode, Words] = {
    "run": Words("download", "downloaded", "transform"),
    "fetch": Words("download", "downloaded", None),
    "process": Words("read", "read", "transform"),
}


@dataclass(frozen=True, slots=True)
class BarText:
    """The text around a bar: `done` before it; the `details` behind it, the most important first."""

    done: str
    details: tuple[str, ...]


def first_bar(snapshot: Snapshot, words: Words) -> BarText:
    """The stage that brings bytes."""
    details = [rate(snapshot.downloads_per_s)]
    if snapshot.bytes_per_s:
        details.append(f"{size(snapshot.bytes_per_s)}/s")
    details += [*([] if words.second else _ends(snapshot, words)), *waiting(snapshot.waits)]
    return BarText(_done(words.first, snapshot.download, snapshot), tuple(details))


def second_bar(snapshot: Snapshot, words: Words) -> BarText:
    """The transform stage."""
    return BarText(
        _done("transform", snapshot.transform, snapshot),
        (
            rate(snapshot.transforms_per_s),
            *_ends(snapshot, words),
            f"queue {snapshot.queue_depth}/{snapshot.queue_size}",
        ),
    )


def fitted(text: BarText, columns: int) -> tuple[str, str, int]:
    """What goes before a bar and behind it, and the columns of the bar: it gives way before any figure does.

    Of details as many are shown as there is room for.
    """
    details = ""
    for detail in text.details:
        more = f"{details}, {detail}" if details else detail
        if len(text.done) + len(more) + 1 > columns:
            break
        details = more
    room = columns - len(text.done) - len(details) - 4
    return text.done, details, min(room, _BAR_COLUMNS) if room >= _LEAST_BAR_COLUMNS else 0


_BAR_COLUMNS = 20
_LEAST_BAR_COLUMNS = 4


def plain_line(snapshot: Snapshot, words: Words) -> str:
    """A line for logs. A word must be true: what failed on the way does not count as downloaded."""
    more = "" if snapshot.total_known else "+"
    done, total = snapshot.download
    parts = [f"{duration(snapshot.elapsed_s)}: {words.done} {done}/{total}{more} ({rate(snapshot.downloads_per_s)})"]
    if snapshot.bytes_per_s:
        parts.append(f"{size(snapshot.bytes_per_s)}/s")
    if words.second:
        done, total = snapshot.transform
        parts.append(f"transformed {done}/{total}{more} ({rate(snapshot.transforms_per_s)})")
        parts.append(f"queue {snapshot.queue_depth}/{snapshot.queue_size}")
    parts += [*_ends(snapshot, words, is_timed=False), *waiting(snapshot.waits)]
    return ", ".join(parts)


def _ends(snapshot: Snapshot, words: Words, *, is_timed: bool = True) -> list[str]:
    """How it will end: time, failures, and the stage that is the limit."""
    parts = [duration(snapshot.elapsed_s)] if is_timed else []
    if not snapshot.total_known:
        parts.append("reading the list")
    elif snapshot.remaining_s and snapshot.remaining_s >= 1:
        parts.append(f"{duration(snapshot.remaining_s)} left")
    parts.append(failed(snapshot))
    if snapshot.limit and words.second:
        parts.append(f"limit: {words.first if snapshot.limit == 'download' else words.second}")
    return parts


def failed(snapshot: Snapshot) -> str:
    """The failures by HTTP status and kind, the most frequent first."""
    causes = counted_causes(snapshot.failures, snapshot.statuses)
    if not causes:
        return f"failed {snapshot.failed}"
    shown = ", ".join(f"{cause} x {number}" for cause, number in causes[:_MAX_CAUSES])
    rest = sum(number for _, number in causes[_MAX_CAUSES:])
    return f"failed {snapshot.failed} ({shown}{f', others x {rest}' if rest else ''})"


def counted_causes(failures: Mapping[str, int], statuses: Mapping[int, int]) -> list[tuple[str, int]]:
    """Failures by HTTP status where that is their kind, by kind otherwise; the most frequent first."""
    causes = {kind: number for kind, number in failures.items() if kind != "http_status"}
    causes |= {str(status): number for status, number in statuses.items()}
    if unnamed := failures.get("http_status", 0) - sum(statuses.values()):
        causes["http_status"] = unnamed
    return sorted(causes.items(), key=lambda entry: (-entry[1], entry[0]))


def waiting(waits: Sequence[HostWait]) -> list[str]:
    """The host that most items wait for, and how many other hosts there are."""
    if not waits:
        return []
    first = waits[0]
    reason = f"{first.reason}, " if first.reason else ""
    others = f" and {len(waits) - 1} more" if len(waits) > 1 else ""
    host = first.host if len(first.host) <= _MAX_HOST_CHARS else f"{first.host[: _MAX_HOST_CHARS - 3]}..."
    return [f"waiting: {host} ({reason}{first.items} items, {first.seconds:.0f} s){others}"]


def _done(stage: str, counts: tuple[int, int], snapshot: Snapshot) -> str:
    done, total = counts
    return f"{stage:<9} {done}/{total}{'' if snapshot.total_known else '+'}"


def rate(per_s: float) -> str:
    """Items a second."""
    return f"{per_s:.1f}/s" if 0 < per_s < _DECIMALS_BELOW else f"{per_s:.0f}/s"


def size(size_bytes: float) -> str:
    """Bytes in the largest unit of 1024 in which they are at least 1."""
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1024:  # noqa: PLR2004 - the next unit
            return f"{size_bytes:.{0 if unit == 'B' else 1}f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} GiB"


def duration(seconds: float) -> str:
    """Seconds as on a clock: `0:07`, `12:30`, `1:02:03`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def failure_line(source: str, kind: str, message: str) -> str:
    """One failure, as it happens; printable, since sources and messages are text of strangers."""
    text = f"failed: {source}: {kind}: {message}"
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def more_failures(number: int) -> str:
    """Failures that were not shown one by one."""
    return f"failed: {number} more; `status OUT --failed` will list them"


def stopping(in_hand: int, grace_s: float) -> str:
    """The answer to the first Ctrl-C."""
    what = f"finishing {in_hand} in hand, {grace_s:.0f} s at most" if in_hand else "ending"
    return f"stopping: {what}; Ctrl-C again stops at once"
