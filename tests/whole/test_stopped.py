"""Processes of a run that are stopped rather than dead, and a run that is stopped as a whole and continued.

All processes are real. The short stops run with every test; `make crash` repeats them at other moments, with others.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import Site, noisy, picture, send

END_S = 90.0
NUMBER = 40
ITEM_TIMEOUT_S = 4.0


class Run:
    """A run of the command and its processes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.out = folder / "out"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "downloader", *arguments, "-o", str(self.out), "--json", "--progress", "none"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509 - pytest under nohup
        )

    def wait_until(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + END_S
        while not condition():
            assert self.process.poll() is None, "ended too early"
            assert time.monotonic() < until
            time.sleep(0.005)

    def made(self) -> int:
        return len(list(self.out.glob("*.jpg")))

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Its workers, fork server and resource tracker."""
        found: dict[str, list[psutil.Process]] = {"workers": [], "server": [], "tracker": []}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            words = " ".join(child.cmdline())
            if child.ppid() != self.process.pid:
                found["workers"].append(child)
            elif "resource_tracker" in words:
                found["tracker"].append(child)
            elif "forkserver" in words:
                found["server"].append(child)
        return found | {"worker": found["workers"][:1], "everybody": [*chain.from_iterable(found.values())]}

    def end(self) -> tuple[int, dict[str, Any]]:
        out, err = self.process.communicate(timeout=END_S)
        assert err == ""
        return self.process.returncode, json.loads(out)


@pytest.fixture
def photos(tmp_path: Path) -> str:
    (tmp_path / "photos").mkdir()
    data = noisy(1800)
    for number in range(NUMBER):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(data)
    return "photos"


def check(run: Run, began_s: float, number: int = NUMBER) -> None:
    """Everything is made, soon; nobody is left."""
    code, summary = run.end()
    assert (code, summary["succeeded"], summary["total"]) == (0, number, number)
    assert time.monotonic() - began_s < ITEM_TIMEOUT_S + 40
    while [each for each in psutil.process_iter() if is_of(each, run.process.pid)]:
        assert time.monotonic() - began_s < ITEM_TIMEOUT_S + 50, "a process is left"
        time.sleep(0.1)


def is_of(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ProcessLookupError):
        return False


@pytest.mark.crash
@pytest.mark.parametrize("processes", ["1", "3"])
@pytest.mark.parametrize("whom", ["worker", "workers", "server", "tracker", "everybody"])
@pytest.mark.parametrize("after", [0, 10])
def test_somebody_is_stopped(tmp_path: Path, photos: str, whom: str, processes: str, after: int) -> None:
    """While processes start, or in the middle: the run goes on within the item timeout and seconds."""
    run = Run(tmp_path, "process", photos, "-r", "900", "-p", processes, "--item-timeout", f"{ITEM_TIMEOUT_S}")
    run.wait_until(lambda: run.made() >= after and run.processes()[whom])
    for process in run.processes()[whom]:
        process.suspend()
    check(run, time.monotonic())


@pytest.fixture
def slow_site(site: Site) -> Site:
    """A server that takes its time; the list is `urls.txt`."""

    def answer(handler: Any) -> None:
        time.sleep(0.5)
        send(handler, picture())

    site.pages = {f"/{number}.jpg": answer for number in range(NUMBER)}
    return site


@pytest.mark.crash
@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["parent", "group"])
def test_a_run_that_is_stopped_and_continued(tmp_path: Path, slow_site: Site, kill: Callable[[int, int], None]) -> None:
    """Ctrl-Z and `fg`: the time in between counts for no timeout, neither of a download nor of an image."""
    (tmp_path / "urls.txt").write_text("".join(f"{slow_site.url}{page}\n" for page in slow_site.pages))
    limits = ("--timeout", "3", "--deadline", "6", "--retries", "0", "--item-timeout", "3")
    run = Run(tmp_path, "run", "urls.txt", "--threads", "4", "-p", "2", *limits)
    run.wait_until(lambda: run.made() >= 5)
    kill(run.process.pid, signal.SIGSTOP)
    time.sleep(8)
    kill(run.process.pid, signal.SIGCONT)
    check(run, time.monotonic())


@pytest.mark.crash
def test_images_of_a_run_that_is_stopped_and_continued(tmp_path: Path) -> None:
    """The image in hand gets the rest of its time."""
    (tmp_path / "photos").mkdir()
    for number in range(6):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(noisy(1500))
    run = Run(tmp_path, "process", "photos", "-f", "avif", "-p", "2", "--item-timeout", "10")
    run.wait_until(lambda: len(list(run.out.glob("*.avif"))) >= 1)
    os.killpg(run.process.pid, signal.SIGSTOP)
    time.sleep(14)
    os.killpg(run.process.pid, signal.SIGCONT)
    check(run, time.monotonic(), 6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_processes_of_a_run_is_no_crash(tmp_path: Path, photos: str, number: int) -> None:
    """As systemd, `timeout` and a closed terminal send it: 143, what is in hand is finished, nobody is replaced."""
    run = Run(tmp_path, "process", photos, "-r", "900", "-p", "2")
    run.wait_until(lambda: run.made() >= 5)
    os.killpg(run.process.pid, number)
    code, summary = run.end()
    assert code == 143
    assert (summary["failed"], summary["rebuilds"]) == (0, 0)
