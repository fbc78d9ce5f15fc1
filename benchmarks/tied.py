"""Run a command that ends when its parent ends, even by SIGKILL: `python -m benchmarks.tied COMMAND...`.

Servers are started this way, so that none is left behind if the benchmark is killed.
"""

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36
"""Numbers of prctl(2), from linux/prctl.h."""


def end_with_parent() -> None:
    """Ask the kernel to send SIGTERM to this process when its parent ends; survives exec."""
    _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that their CPU time is counted."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


if __name__ == "__main__":
    end_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the benchmark's own command
