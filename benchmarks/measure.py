"""One command, measured: wall time, CPU of every process it started, and the memory of all of them together.

The command runs below a small process of its own, `python -m benchmarks.measure`, which adopts orphans: workers of a
fork server would otherwise belong to no one and their CPU would not be counted. Wall time ends with the
command itself; CPU is complete when its last descendant has ended.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.tied import adopt_orphans, end_with_parent

_FIRST_SAMPLE_S = 0.02
_SAMPLE_INTERVAL_S = 0.25
"""Seconds to the first sample of memory, and between later ones; a sample costs under a millisecond per process."""
_LINGER_S = 10.0
"""Seconds that descendants may outlive the command."""
_SPARE_S = 30.0
"""Seconds the measuring process gets beyond the limit, to kill and to report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Resources used by a command.

    `wall_s`: from start to end of the command. `cpu_s`: user and system time of it and all its descendants; `main_s`:
    of the command and the children it has waited for itself. `peak_bytes`: the peak resident memory of all
    together, sampled; shared pages count for each. None if the system does not list children.
    """

    wall_s: float
    cpu_s: float
    main_s: float
    peak_bytes: int | None
    exit_code: int
    timed_out: bool
    said: str
    """The end of what it printed."""


def measure(command: Sequence[str], *, limit_s: float, extra: Mapping[str, str] | None = None) -> Usage:
    """Run a command to its end, or to the limit. `extra` is added to its environment."""
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "usage.json"
        wrapped = [sys.executable, "-m", "benchmarks.measure", str(report), str(limit_s), *command]
        subprocess.run(wrapped, env={**os.environ, **(extra or {})}, timeout=limit_s + _SPARE_S, check=True)
        return Usage(**json.loads(report.read_text()))


def main(arguments: Sequence[str]) -> None:
    """The measuring process: report file, limit in seconds, command."""
    report, limit_s, *command = arguments
    end_with_parent()
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    log = Path(report).with_name("said")
    try:
        usage = _watch(command, float(limit_s), log)
    finally:
        _end_all()
    Path(report).write_text(json.dumps(asdict(usage)))


def _watch(command: Sequence[str], limit_s: float, log: Path) -> Usage:
    with log.open("wb") as said:
        started_s = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        watcher = _Watcher(process.pid, limit_s)
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started_s
    watcher.ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    _reap()
    everything = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Usage(
        wall_s=wall_s,
        cpu_s=everything.ru_utime + everything.ru_stime,
        main_s=used.ru_utime + used.ru_stime,
        peak_bytes=watcher.peak_bytes,
        exit_code=process.returncode,
        timed_out=watcher.timed_out,
        said=log.read_text(errors="replace")[-2000:],
    )


class _Watcher(threading.Thread):
    """Samples memory, and kills a command that takes too long."""

    def __init__(self, pid: int, limit_s: float) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._until_s = time.monotonic() + limit_s
        self.ended = threading.Event()
        self.timed_out = False
        self.peak_bytes: int | None = None

    def run(self) -> None:
        wait_s = _FIRST_SAMPLE_S
        while not self.ended.wait(wait_s):
            wait_s = min(wait_s * 2, _SAMPLE_INTERVAL_S)
            resident = sum(_resident_bytes(pid) for pid in descendants(os.getpid()))
            if resident:
                self.peak_bytes = max(self.peak_bytes or 0, resident)
            if time.monotonic() > self._until_s and not self.timed_out:
                self.timed_out = True
                _end_all()


def descendants(pid: int) -> Iterator[int]:
    """Everything below a process, as far as the kernel lists it (`/proc/PID/task/*/children`)."""
    pending = [pid]
    while pending:
        for listed in Path(f"/proc/{pending.pop()}/task").glob("*/children"):
            with suppress(OSError):  # ended this moment
                found = [int(word) for word in listed.read_text().split()]
                pending += found
                yield from found


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):  # ended this moment
        return 0
    return pages * resource.getpagesize()


def _reap() -> None:
    """Wait for adopted orphans, so that their CPU is counted; kill those that linger."""
    until_s = time.monotonic() + _LINGER_S
    with suppress(ChildProcessError):  # none is left
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                if time.monotonic() > until_s:
                    _end_all()
                time.sleep(0.01)


def _end_all() -> None:
    for pid in list(descendants(os.getpid())):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
