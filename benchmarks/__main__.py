"""`python -m benchmarks`: run the comparisons and print the tables."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import machine, table
from benchmarks.contest import hold
from benchmarks.corpora import home
from benchmarks.document import document
from benchmarks.profile import profile
from benchmarks.works import WORKS, Work

_DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_PROFILED = {"web": 16, "large": 16, "bytes100k": 16, "bytes3k": 16}
"""Workloads whose parent process is profiled, and with how many download threads."""


def main(arguments: Sequence[str]) -> None:
    """Parse, run, print."""
    options = _parser().parse_args(arguments)
    if not sys.platform.startswith("linux"):
        raise SystemExit("benchmarks run on Linux only: they read /proc to count the CPU of every process")
    works: list[Work] = options.works or list(WORKS)
    if options.profile:
        profiles = [profile(work, options.scale, _PROFILED[work.name]) for work in works if work.name in _PROFILED]
        print(table.profiles(profiles))
        return
    if options.write and (options.scale != 1 or options.works or options.rounds < _parser().get_default("rounds")):
        raise SystemExit("--write needs every work, --scale 1 and no fewer rounds than the default")
    load = machine.load()
    home().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home(), prefix="run-") as scratch:
        outcomes = [hold(work, Path(scratch) / work.name, rounds=options.rounds, scale=options.scale) for work in works]
    text = document(outcomes, machine.conditions(load), rounds=options.rounds)
    print(text)
    if options.write:
        _DOCUMENT.write_text(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare this program with others.")
    names = ", ".join(work.name for work in WORKS)
    parser.add_argument("works", nargs="*", type=_work, metavar="WORK", help=f"of {names}; default: all")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contestant (5)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the files (1); less is a trial")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--profile", action="store_true", help="instead: where the CPU of our parent process goes")
    return parser


def _work(name: str) -> Work:
    found = next((work for work in WORKS if work.name == name), None)
    if found is None:
        raise argparse.ArgumentTypeError(f"there is no work {name!r}")
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
