"""Results as text for people: summaries and findings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def summary_text(output: str, summary: Mapping[str, Any]) -> str:
    """Format a summary, given as its JSON object, in a few lines."""
    lines = [_headline(summary)]
    if summary.get("gave_up"):
        lines.append(f"  given up: {summary['gave_up']}")
    if summary["failures"]:
        lines.append(f"  failed: {_counted(summary['failures'])}")
        lines.append(
            f"          downloader status {_quoted(output)} --items --state failed   lists them with the reasons"
        )
    if set_aside := summary.get("set_aside"):
        lines.append(f"  set aside: {_counted({host['host']: host['items'] for host in set_aside[:5]})}")
    if summary["skips"]:
        lines.append(f"  skipped: {_counted(summary['skips'])}")
    if summary.get("unchanged"):
        lines.append(f"  unchanged: {summary['unchanged']} of them have not changed at their source")
    if summary.get("left_alone"):
        lines.append(
            f"  left alone: {summary['left_alone']} files and folders, hidden or not named like images "
            "(--all-files takes them)"
        )
    lines += [f"  groups: {groups}" for groups in _groups(summary.get("groups"))]
    if summary["pending"]:
        lines.append(f"  pending: {summary['pending']}; the same command resumes them")
    lines.append(
        f"  in {output}: {_megabytes(summary['bytes_written'])} written, "
        f"{_megabytes(summary['bytes_downloaded'])} downloaded"
    )
    lines += [f"  {stage}" for stage in _stages(summary)]
    if summary.get("rebuilds"):
        lines.append(f"  transform processes were replaced {summary['rebuilds']} times: one had died or was stopped")
    if summary.get("pace"):
        lines.append(f"  downloads: {summary['pace']}")
    lines += [f"  caution: {caution}" for caution in summary.get("cautions", [])]
    lines += [f"  advice: {advice}" for advice in summary["advice"]]
    return "\n".join(lines)


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


def _stages(summary: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, workers in (("download", "threads"), ("transform", "processes")):
        stage = summary["stages"][name]
        if stage and stage["p50_s"] is not None:
            busy = round(100 * (stage["busy_share"] or 0))
            median, slow = (1000 * stage[key] for key in ("p50_s", "p99_s"))
            lines.append(
                f"{name}: {stage[workers]} {workers}, {busy} % busy, "
                f"{median:.0f} ms an item (99 % within {slow:.0f} ms)"
            )
    if summary.get("shards", 1) > 1:
        lines.append(f"these were in {summary['shards']} shards")
    return lines


def _groups(groups: Mapping[str, int] | None) -> list[str]:
    if not groups:
        return []
    first, last = (f"{groups[name]:05d}" for name in ("first", "last"))
    span = first if first == last else f"{first} to {last}"
    if groups["first"] == 0:
        return [f"{groups['new']} new, {span}"]
    return [f"{groups['new']} appended, {span}; earlier groups stay as they are, with their rows of what had failed"]


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(numbers.items(), key=lambda entry: -entry[1]))


def _megabytes(size: int) -> str:
    return f"{size / 1024**2:.1f} MiB"


def _quoted(path: str) -> str:
    text = str(Path(path))
    return f"'{text}'" if " " in text else text
