"""Results as text for people: summaries and findings."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from downloader.model.failures import FailureKind, is_transient
from downloader.telemetry.wording import counted_causes

_MAX_HOSTS = 5
_LEAST_SOURCE_CHARS = 30


def summary_text(output: str, summary: Mapping[str, Any]) -> str:
    """Format a summary, given as its JSON object, in a few aligned lines."""
    lines = [_headline(summary)]
    for label, text in _details(output, summary):
        lines.append(f"  {label:<11} {text}")
    return "\n".join(lines)


def _details(output: str, summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is to say of a summary, each with its label."""
    if summary.get("gave_up"):
        yield "given up", summary["gave_up"]
    yield from _outcomes(summary)
    written, downloaded = (_megabytes(summary[f"bytes_{what}"]) for what in ("written", "downloaded"))
    yield "output", f"{output}: {written} written, {downloaded} downloaded"
    yield from _stages(summary)
    for caution in summary.get("cautions", []):
        yield "caution", caution
    for advice in summary["advice"]:
        yield "advice", advice
    yield from _next(output, summary)


def _outcomes(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    changes = [f"{summary[name]} {name}" for name in ("changed", "unchanged") if summary.get(name)]
    if changes:
        yield "in this run", ", ".join([f"{summary['new']} done", *changes])
    if summary["failures"]:
        statuses = {int(status): number for status, number in summary["statuses"].items()}
        causes = counted_causes(summary["failures"], statuses)
        yield "failed", ", ".join(f"{cause} x {number}" for cause, number in causes)
        if hosts := summary["failing_hosts"]:
            yield "at", ", ".join(f"{host['host']} x {host['items']}" for host in hosts[:_MAX_HOSTS])
    if set_aside := summary.get("set_aside"):
        yield "set aside", ", ".join(f"{host['host']} x {host['items']}" for host in set_aside[:_MAX_HOSTS])
    for groups in _groups(summary.get("groups")):
        yield "groups", groups
    if summary["skips"]:
        yield "skipped", ", ".join(f"{reason} x {number}" for reason, number in _by_number(summary["skips"]))
    if summary.get("left_alone"):
        yield "left alone", f"{summary['left_alone']} files and folders, hidden or not named like images (--all-files)"


def _next(output: str, summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What to type next."""
    if summary["pending"]:
        yield "next", f"the same command resumes with the {summary['pending']} pending items"
    statuses = {int(status): number for status, number in summary["statuses"].items()}
    causes = counted_causes(summary["failures"], statuses)
    if transient := sum(number for cause, number in causes if _is_transient(cause)):
        yield "next", f"downloader retry {_quoted(output)}   tries the {transient} again that may succeed now"
    if summary["failures"]:
        yield "next", f"downloader status {_quoted(output)} --failed   lists the failures with their reasons"


def _is_transient(cause: str) -> bool:
    if cause.isdecimal():
        return is_transient(FailureKind.HTTP_STATUS, int(cause))
    return is_transient(FailureKind(cause))


def failures_table(records: Iterable[Mapping[str, Any]], columns: int) -> Iterator[str]:
    """The failed items as lines of a table that is `columns` wide: kind or HTTP status, source, message.

    A source that does not fit loses its middle; messages are shown whole.
    """
    width = max(columns // 2, _LEAST_SOURCE_CHARS)
    empty = True
    for record in records:
        if empty:
            yield f"{'cause':<20} {'source':<{width}}  message"
            empty = False
        source = _shortened(escaped(record["source"]), width)
        yield f"{_cause(record):<20} {source:<{width}}  {escaped(record['message'] or '')}".rstrip()
    if empty:
        yield "no failed items"


def _cause(record: Mapping[str, Any]) -> str:
    return f"{record['http_status']}" if record["kind"] == FailureKind.HTTP_STATUS else str(record["kind"])


def _shortened(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    kept = width - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def findings_text(output: str, found: Mapping[str, Any]) -> str:
    """Format the findings of `verify`, given as its JSON object: one line per wrong file, then the counts."""
    lists = ("missing", "changed", "unreadable", "orphaned")
    lines = [f"{name}: {escaped(path)}" for name in lists for path in found[name]]
    wrong = ", ".join(f"{len(found[name])} {name}" for name in lists if found[name])
    lines.append(f"{found['files']} files of {found['items']} items: {wrong or 'all as recorded'}")
    if found["requeued"]:
        lines.append(
            f"  {found['requeued']} items wait to be made again by the command that made them, or by "
            f"downloader retry {_quoted(output)}"
        )
    if found["repairable"]:
        lines.append(
            f"  {found['repairable']} items can be made again: downloader verify {_quoted(output)} --repair   sends "
            "them back to the next run or retry"
        )
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text with control characters escaped, which could steer a terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _headline(summary: Mapping[str, Any]) -> str:
    parts = [f"{summary['succeeded']} of {summary['total']} succeeded"]
    parts += [f"{summary[name]} {name}" for name in ("failed", "skipped", "pending") if summary[name]]
    text = ", ".join(parts)
    if summary.get("interrupted"):
        text = f"stopped early: {text}"
    if summary.get("new") and summary["succeeded_per_s"]:
        return f"{text} ({summary['new']} in {summary['duration_s']:.1f} s, {summary['attempted_per_s']:.0f} a second)"
    return f"{text} (nothing new to do)" if summary.get("new") == 0 and not summary["pending"] else text


def _stages(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, workers in (("download", "threads"), ("transform", "processes")):
        stage = summary["stages"][name]
        if stage and stage["p50_s"] is not None:
            busy = round(100 * (stage["busy_share"] or 0))
            median, slow = (1000 * stage[key] for key in ("p50_s", "p99_s"))
            figures = f"{busy} % busy, {median:.0f} ms an item (99 % within {slow:.0f} ms)"
            yield name, f"{stage[workers]} {workers}, {figures}"
    if summary.get("shards", 1) > 1:
        yield "shards", f"{summary['shards']} processes shared these"
    if summary.get("bottleneck_reason"):
        yield "limit", f"{summary['bottleneck']}: {summary['bottleneck_reason']}"
    if summary.get("rebuilds"):
        yield "replaced", f"transform processes, {summary['rebuilds']} times: one had died or was stopped"
    if summary.get("pace"):
        yield "threads", summary["pace"]


def _by_number(numbers: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(numbers.items(), key=lambda entry: -entry[1])


def _groups(groups: Mapping[str, int] | None) -> list[str]:
    if not groups:
        return []
    first, last = (f"{groups[name]:05d}" for name in ("first", "last"))
    span = first if first == last else f"{first} to {last}"
    if groups["first"] == 0:
        return [f"{groups['new']} new, {span}"]
    return [f"{groups['new']} appended, {span}; earlier groups stay as they are, with their rows of what had failed"]


def _megabytes(size: int) -> str:
    return f"{size / 1024**2:.1f} MiB"


def _quoted(path: str) -> str:
    text = path if "://" in path else str(Path(path))
    return f"'{text}'" if " " in text else text
