"""How transform processes are started. Light to import: the command line calls `prepare` before anything else."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from typing import Any, cast

from downloader.clock import ActiveClock

_BLOCKED = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that only the parent handles. A terminal, systemd and `timeout` send them to all processes of a run."""
_POLL_INTERVAL_S = 0.25


_preload = ["downloader.transform.fork_server"]
"""What the fork server of this process loads for its children."""


def start_context() -> ForkServerContext | SpawnContext:
    """How processes are started: never by fork, since the parent has threads (gh-84559)."""
    if "forkserver" in get_all_start_methods():
        server = get_context("forkserver")
        server.set_forkserver_preload(_preload)
        return server
    return get_context("spawn")


def prepare(*more: str) -> None:
    """Start the fork server, where there is one, so that it loads (0.2 s) while the parent does something else.

    `more` are modules that it loads as well.
    """
    _preload.extend(more)
    if isinstance(start_context(), ForkServerContext):
        from multiprocessing import forkserver  # noqa: PLC0415 - not on Windows

        with suppress(BrokenProcessPool), starting():  # a failure is reported when the first process is started
            forkserver.ensure_running()


@contextmanager
def starting(patience_s: float | None = None) -> Iterator[None]:
    """Guard a block in which processes may be started.

    They inherit a mask that blocks Ctrl-C and its like, since the parent alone handles them. If multiprocessing's fork
    server or resource tracker dies meanwhile, that becomes BrokenProcessPool; if the block takes longer than
    `patience_s`, since one of them is stopped, they are killed.
    """
    has_masks = hasattr(signal, "pthread_sigmask")  # not on Windows
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ()) if has_masks else ()
    try:
        with broken_pool_if_helpers_die(), _helpers_killed_after(patience_s):
            if has_masks:
                signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
                with _without_warnings():
                    resource_tracker.ensure_running()
                signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)  # again, since starting it unblocks some of them
            yield
    finally:
        if has_masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Processes started in this block do not warn of leaked semaphores.

    A shard that is killed leaves its own behind. The resource tracker, which removes them, would say so on stderr.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextmanager
def broken_pool_if_helpers_die() -> Iterator[None]:
    """Raise BrokenProcessPool for whatever multiprocessing raises when its fork server or resource tracker dies."""
    try:
        yield
    except (OSError, EOFError) as problem:
        raise BrokenProcessPool(f"no process can be started: {problem}") from problem


@contextmanager
def _helpers_killed_after(patience_s: float | None) -> Iterator[None]:
    """Kill the fork server, later the resource tracker, if the block takes too long: it waits for them in system calls.

    A thread does it, since nothing else could end these system calls.
    """
    if patience_s is None:
        yield
        return
    done = threading.Event()
    guard = threading.Thread(target=_kill_helpers, args=(done, patience_s), name="guard", daemon=True)
    guard.start()
    try:
        yield
    finally:
        done.set()
        guard.join()


def _kill_helpers(done: threading.Event, patience_s: float) -> None:
    clock = ActiveClock()
    for kill in (kill_fork_server, _kill_resource_tracker):
        end_s = clock() + patience_s
        while clock() < end_s:
            if done.wait(_POLL_INTERVAL_S):
                return
            clock.beat()
        kill()


def kill_fork_server() -> None:
    """End the fork server, if there is one; the next process that is started starts another."""
    _send(_fork_server_pid(), signal.SIGKILL)


def _kill_resource_tracker() -> None:
    _send(_resource_tracker_pid(), signal.SIGKILL)


def resume_helpers() -> None:
    """Let the fork server and the resource tracker run if they are stopped, so that they end with this process.

    The tracker has the same stderr, whose reader would wait for its end; so would Python itself from 3.12 on.
    """
    if hasattr(signal, "SIGCONT"):  # not on Windows
        for pid in (_fork_server_pid(), _resource_tracker_pid()):
            _send(pid, signal.SIGCONT)


def _fork_server_pid() -> int | None:
    if not isinstance(start_context(), ForkServerContext):
        return None
    from multiprocessing import forkserver  # noqa: PLC0415 - not on Windows

    server: Any = forkserver._forkserver  # noqa: SLF001 - no public way
    return cast("int | None", server._forkserver_pid)  # noqa: SLF001 - as above


def fork_server_pids() -> tuple[int, ...]:
    """The fork server of this process, if it has one."""
    pid = _fork_server_pid()
    return () if pid is None else (pid,)


def _resource_tracker_pid() -> int | None:
    tracker: Any = resource_tracker._resource_tracker  # noqa: SLF001 - no public way
    return cast("int | None", tracker._pid)  # noqa: SLF001 - as above


def _send(pid: int | None, number: int) -> None:
    """Signal a child of this process; its number is its own until multiprocessing asks how it ended."""
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def exit_with_parent() -> None:
    """Wait for the end of the process that started this one, and end this one too; for a thread of its own."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def silence_stderr() -> None:
    """Discard what this process writes to stderr from now on; called in the fork server and in workers only.

    Failures are reported as facts, or by the end of the process. Otherwise the pool's loop would print a traceback when
    the parent abandons the pool; so would a child that the fork server forks for such a pool, on finding the pool's
    semaphores gone before it reaches `worker.initialize`.
    """
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the life of the process
