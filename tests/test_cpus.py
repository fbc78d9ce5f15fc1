"""CPUs that a process may use: override, affinity, and the quotas of cgroups in both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from downloader.cpus import cgroup_quotas, usable_cpus


class System:
    """The files that tell of cgroups, in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def cgroups(self, text: str) -> None:
        (self.folder / "cgroup").write_text(text)

    def mounts(self, *mounts: tuple[str, str, str, str]) -> None:
        """Root, mount point below the folder, type and options of each."""
        lines = [
            f"{index} 1 0:{index} {root} {self.folder / point} rw,relatime shared:9 - {kind} none {options}\n"
            for index, (root, point, kind, options) in enumerate(mounts)
        ]
        (self.folder / "mountinfo").write_text("".join(lines))

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def quotas(self) -> list[float]:
        return sorted(cgroup_quotas(self.folder))


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_version_2_limits_at_every_level(system: System) -> None:
    """As of a systemd unit in a slice with a limit of its own."""
    system.cgroups("0::/a.slice/b.service\n")
    system.mounts(("/", "cg", "cgroup2", "rw,nsdelegate"))
    system.write("cg/a.slice/cpu.max", "400000 100000\n")
    system.write("cg/a.slice/b.service/cpu.max", "150000 100000\n")
    assert system.quotas() == [1.5, 4]
    system.write("cg/a.slice/b.service/cpu.max", "max 100000\n")
    assert system.quotas() == [4]


def test_version_1(system: System) -> None:
    """Beside other controllers, and in a container whose mount shows only its own part of the tree."""
    system.cgroups("5:memory:/x\n4:cpu,cpuacct:/docker/0a1b/job\n0::/\n")
    system.mounts(("/docker/0a1b", "cpu", "cgroup", "rw,cpu,cpuacct"), ("/", "mem", "cgroup", "rw,memory"))
    system.write("cpu/cpu.cfs_quota_us", "-1\n")
    system.write("cpu/cpu.cfs_period_us", "100000\n")
    system.write("cpu/job/cpu.cfs_quota_us", "50000\n")
    system.write("cpu/job/cpu.cfs_period_us", "100000\n")
    assert system.quotas() == [0.5]


@pytest.mark.parametrize("text", ["", "nonsense", "0::/\n"])
def test_systems_that_tell_nothing(system: System, text: str) -> None:
    assert system.quotas() == []
    system.cgroups(text)
    assert system.quotas() == []
    system.write("mountinfo", text)
    assert system.quotas() == []


def test_an_override_counts_if_it_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    found = usable_cpus()
    assert 1 <= found <= (os.cpu_count() or 1)
    for value, count in {"7": 7, "0": found, "default": found, "": found}.items():
        monkeypatch.setenv("PYTHON_CPU_COUNT", value)
        assert usable_cpus() == count


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_only_cpus_of_the_affinity_mask_count() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from downloader.cpus import usable_cpus; print(usable_cpus())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_CPU_COUNT"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "1\n"
