"""The report: all tables, with what is needed to judge and repeat them. Pure."""

from collections.abc import Sequence

from benchmarks import table
from benchmarks.contest import Outcome
from benchmarks.machine import Conditions

_QUIET = 0.5
"""A higher load average before the start means that the machine is in use."""

_NOISE = " Others were using the machine (load {load:.1f}), so take these figures as rough."
_TRIAL = " Not the whole corpora: a trial, in which the time to start weighs too much."
_MANNER = """\
Server and contestants share this machine, over the loopback address. Everybody runs in turn, {rounds} times each;
figures are medians, ± half the range. Of several settings the fastest in a trial run is taken, for us as for the
others. Files are in memory before; outputs go to fresh folders on one disk, are checked (all there, pixel sizes,
likeness to a full decode with Lanczos, or equal bytes), emptied, and deleted at the very end: where making a file grew
much dearer during a work, deletions weigh on its figures. Ours keeps its journal, hashes and fsync; the
others have none. How and why: [performance.md](performance.md#measuring)."""
_PROCESSES = "The parent downloads, plans, stores and keeps the journal; it must not be what limits a run."
_COLUMNS = """\
`ours is faster`: their time by ours. CPU and memory are those of all processes of a contestant, without the server's;
memory that several processes share counts for each. `KB` is the mean of an output file."""


def document(outcomes: Sequence[Outcome], conditions: Conditions, *, rounds: int) -> str:
    """The whole report as Markdown."""
    noise = _NOISE.format(load=conditions.load) if conditions.load > _QUIET else ""
    trial = "" if all(outcome.files.whole for outcome in outcomes) else _TRIAL
    parts = [
        "# Benchmarks",
        f"Written by `make bench` on {conditions.date}: {conditions.machine}.{noise}{trial}",
        _MANNER.format(rounds=rounds),
        "## What we want",
        table.targets(outcomes),
        "## Our processes",
        _PROCESSES,
        table.processes(outcomes),
        "## Everybody",
        _COLUMNS,
        *(table.contest(outcome) for outcome in outcomes),
        "## Versions",
        table.table(("program", "version"), list(conditions.versions.items())),
        "## Command lines",
        f"As given to `sh -c`, with the settings tried.\n\n```text\n{table.lines(outcomes)}```",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"
