"""Looking at processes from outside: their memory. The only user of psutil."""

import sys
from collections.abc import Iterable
from contextlib import suppress

import psutil


def largest_rss_bytes(pids: Iterable[int]) -> int | None:
    """The largest resident size among processes now; None where none of them is there."""
    sizes = []
    for pid in pids:
        with suppress(psutil.Error):
            sizes.append(int(psutil.Process(pid).memory_info().rss))
    return max(sizes, default=None)


def peak_rss_bytes() -> int:
    """The largest resident size of this process so far; the present one where the system does not keep it."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return int(psutil.Process().memory_info().rss)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
