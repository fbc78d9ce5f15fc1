"""Outcomes as Markdown tables. Pure."""

from collections.abc import Mapping, Sequence

from benchmarks.contest import Outcome, Result
from benchmarks.contestants import OURS, Setting
from benchmarks.profile import Profile
from benchmarks.works import IDEAL, Target

_MS = 1000.0
_MIB = 1024.0**2


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def targets(outcomes: Sequence[Outcome]) -> str:
    """Targets, and how far they are met."""
    rows = []
    for outcome in outcomes:
        for target in outcome.work.targets:
            ratio = reached(outcome, target)
            verdict = "not measured" if ratio is None else "yes" if ratio >= target.at_least else "no"
            got = "" if ratio is None else f"{ratio:.2f} x"
            against = " or ".join(target.against)
            who = target.ours if target.ours == OURS else f"**{target.ours}**"
            rows.append((outcome.work.title, who, against, target.by, f"{target.at_least:g} x", got, verdict))
    return table(("work", "ours", "compared with", "by", "wanted", "reached", "met"), rows)


def reached(outcome: Outcome, target: Target) -> float | None:
    """How many times as fast as the fastest peer of a target we were; None if either has no figures."""
    ours = outcome.result(target.ours)
    if ours is None or ours.wall_s is None:
        return None
    found = [peer for name in target.against if (peer := outcome.result(name)) and peer.wall_s is not None]
    if target.by == "CPU":
        return min(map(_cpu_s, found)) / _cpu_s(ours) if found else None
    ideal_s = outcome.work.ideal_s(outcome.files.count)
    if target.against == (IDEAL,):
        return None if ideal_s is None else ideal_s / ours.wall_s
    walls = [peer.wall_s for peer in found if peer.wall_s is not None]
    return min(walls) / ours.wall_s if walls else None


def _cpu_s(result: Result) -> float:
    return result.median(lambda usage: usage.cpu_s)


def contest(outcome: Outcome) -> str:
    """All contestants of one workload."""
    files = outcome.files
    heading = f"### {outcome.work.title}\n\n{files.count} files, {files.bytes / _MIB:.0f} MiB"
    if outcome.server:
        heading += f", from {outcome.server}"
    heading += ". Making a file cost {:.0f} µs of CPU before and {:.0f} µs after.".format(*outcome.create_us)
    ours = outcome.result(OURS)
    rows = [_row(result, ours, files.count) for result in outcome.results]
    head = (
        "contestant", "setting", "s", "± %", "items/s", "ours is faster", "CPU ms an item", "peak MiB", "PSNR dB", "KB"
    )  # fmt: skip
    return f"{heading}\n\n{table(head, rows)}"


def _row(result: Result, ours: Result | None, count: int) -> list[str]:
    name, wall_s = result.contestant.name, result.wall_s
    if wall_s is None:
        return [name, result.fault or "", *[""] * 8]
    ratio = f"{wall_s / ours.wall_s:.2f} x" if ours and ours.wall_s else ""
    peaks = [usage.peak_bytes for usage in result.usages if usage.peak_bytes is not None]
    checked = result.checked
    return [
        name,
        _words(result.setting),
        f"{wall_s:.2f}",
        f"{result.spread * 50:.0f}",
        f"{count / wall_s:.0f}",
        ratio,
        f"{result.median(lambda usage: usage.cpu_s) * _MS / count:.2f}",
        f"{max(peaks) / _MIB:.0f}" if peaks else "",
        f"{checked.mean_db:.1f}" if checked and checked.mean_db is not None else "",
        f"{checked.mean_bytes / 1000:.1f}" if checked else "",
    ]


def processes(outcomes: Sequence[Outcome]) -> str:
    """Our CPU, by parent process and workers."""
    rows = []
    for outcome in outcomes:
        if (ours := outcome.result(OURS)) is None:
            continue
        count = outcome.files.count
        parent_ms = ours.median(lambda usage: usage.main_s) * _MS / count
        all_ms = ours.median(lambda usage: usage.cpu_s) * _MS / count
        rows.append((outcome.work.title, f"{parent_ms:.2f}", f"{all_ms - parent_ms:.2f}"))
    return table(("work", "parent, CPU ms an item", "workers, CPU ms an item"), rows)


def profiles(found: Sequence[Profile]) -> str:
    """Where the CPU of our parent process goes, by workload."""
    return "\n\n".join(_profile(one).rstrip("\n") for one in found)


def _profile(one: Profile) -> str:
    total_ms = sum(one.threads_ms.values())
    head = f"### {one.work.title}\n\n{one.count} files; CPU of the parent process {total_ms:.2f} ms an item"
    tables = [_shares("threads, CPU", one.threads_ms)]
    if one.parts_ms:
        tables.append(_shares("part, holding the interpreter's lock", one.parts_ms))
    return "\n\n".join([head, *tables])


def _shares(title: str, figures_ms: Mapping[str, float]) -> str:
    total_ms = sum(figures_ms.values())
    largest_first = sorted(figures_ms.items(), key=lambda pair: -pair[1])
    rows = [(name, f"{ms:.3f}", f"{ms / total_ms:.0%}") for name, ms in largest_first]
    return table((title, "ms an item", "share"), rows).rstrip("\n")


def lines(outcomes: Sequence[Outcome]) -> str:
    """The command lines given to `sh -c`, and the wall time of each setting tried."""
    text: dict[str, list[str]] = {}
    for outcome in outcomes:
        for result in outcome.results:
            tries = text.setdefault(f"{result.contestant.name}:\n    {result.contestant.line}\n", [])
            if result.tried:
                tried = ", ".join(f"{_words(setting)} {wall_s:.1f} s" for setting, wall_s in result.tried)
                tries.append(f"    ({outcome.work.name}: {tried})\n")
    return "".join(line + "".join(tries) for line, tries in text.items())


def _words(setting: Setting) -> str:
    return " ".join(f"{name}={value}" for name, value in setting.items())
