"""The conditions under which figures were taken."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.contestants import PROGRAMS

_VERSION = re.compile(r"\d+\.\d+[\w.+-]*")
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Processors and system; the date in UTC; the load average before the start; program versions."""

    machine: str
    date: str
    load: float
    versions: dict[str, str]


def conditions(load: float) -> Conditions:
    """The conditions of this machine; `load` was taken before the benchmark began."""
    return Conditions(machine=_machine(), date=datetime.now(UTC).date().isoformat(), load=load, versions=_versions())


def load() -> float:
    """The load average of the last minute: what disturbs a measurement."""
    return os.getloadavg()[0]


def _machine() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    model = found[1] if found else platform.machine()
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}, Python {platform.python_version()}"


def _versions() -> dict[str, str]:
    return {name: _version(program.version) if program.there else "not installed" for name, program in PROGRAMS.items()}


def _version(command: tuple[str, ...]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    found = _VERSION.search(done.stdout + done.stderr)
    return found[0] if found else "unknown"
