"""How many CPUs this process may use: fewer than the machine has under `taskset`, in a container, or in a batch job."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc/self")


def usable_cpus() -> int:
    """CPUs this process may keep busy, at least one.

    PYTHON_CPU_COUNT, if it is a number, as in Python 3.13; else the CPUs of its affinity mask, bounded by the CPU time
    that its cgroup is granted: 1.5 CPUs keep two processes busy for three quarters of the time, so they count as two.
    """
    override = os.environ.get("PYTHON_CPU_COUNT", "")
    if override.isdecimal() and int(override):
        return int(override)
    return min([_allowed_cpus(), *map(math.ceil, cgroup_quotas())])


def _allowed_cpus() -> int:
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_quotas(proc: Path = _PROC) -> Iterator[float]:
    """The CPUs' worth of time that each limited cgroup around this process is granted; nothing where there are none.

    Args:
        proc: folder with the files `cgroup` and `mountinfo` of the process (cgroups(7), proc(5)).
    """
    with suppress(OSError, ValueError):  # no Linux, or a system with rules of its own: then there is no limit to know
        for hierarchy in _cpu_hierarchies(proc):
            for folder in hierarchy:
                with suppress(OSError, ValueError):
                    yield _quota(folder)


def _cpu_hierarchies(proc: Path) -> Iterator[Iterator[Path]]:
    """The cgroup of the process and those around it, for each mounted hierarchy that limits CPU time."""
    paths = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            paths["cgroup2" if not controllers else "cgroup"] = path
    for line in (proc / "mountinfo").read_text().splitlines():
        mount, _, filesystem = line.partition(" - ")
        root, point = mount.split()[3:5]
        kind, _, options = filesystem.split()[:3]
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(",")):
            yield _folders(Path(point), root, paths.get(kind, "/"))


def _folders(point: Path, root: str, path: str) -> Iterator[Path]:
    """The folders of a cgroup and of those around it; a container sees only the part of the tree below `root`."""
    inside = Path(path.removeprefix(root.rstrip("/")).lstrip("/"))
    for part in (inside, *inside.parents):
        yield point / part


def _quota(folder: Path) -> float:
    """The CPUs' worth of time that a cgroup is granted in each period; raises OSError or ValueError without a limit."""
    if (unified := folder / "cpu.max").exists():
        quota, period = unified.read_text().split()
    else:
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    share = int(quota) / int(period)  # "max" is no number
    if share <= 0:  # -1
        raise ValueError(quota)
    return share
