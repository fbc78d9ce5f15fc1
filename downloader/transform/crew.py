"""A crew: worker processes, their queue and their slots, as one disposable unit.

Any abnormal death of a worker may leave a lock held or a pipe half-written, so nothing of a crew is ever repaired: it
is dismissed as a whole and a new one is hired.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any

from downloader.config.settings import Transform
from downloader.errors import CannotGoOn
from downloader.handoff import Channel
from downloader.transform import worker
from downloader.transform.picture import plain
from downloader.transform.recovery import InHand

_WARM_UP_S = 60.0
"""Seconds the processes of a crew may take to come up; a loaded machine needs a few."""


def start_context() -> ForkServerContext | SpawnContext:
    """How processes are started: never by fork, since the parent has threads (gh-84559)."""
    if "forkserver" in get_all_start_methods():
        context = get_context("forkserver")
        context.set_forkserver_preload(["downloader.transform.worker"])
        return context
    return get_context("spawn")


class Crew:
    """`size` worker processes around one queue of `queue_size` messages; the rest is for `worker.begin`."""

    def __init__(
        self, size: int, queue_size: int, settings: Transform, staging: str, *, keep_originals: bool = False
    ) -> None:
        context = start_context()
        self.size = size
        self._starting: list[Future[int]] = []
        self._sigint: Any = None
        """How SIGINT was handled before the crew was started, while it is being started."""
        self.channel: Channel = context.Queue(queue_size)
        self._slots: Any = context.RawArray(worker.Slot, size)
        taken = context.Value("i", 0)
        self._pool = ProcessPoolExecutor(
            size,
            mp_context=context,
            initializer=worker.begin,
            initargs=(self.channel, self._slots, taken, settings, staging, keep_originals),
        )

    def start(self) -> None:
        """Start every process; called before the first thread of the run exists. `wait_until_up` comes next."""
        # The first signal-ignoring moment of a worker is its initializer; the fork server and so its children inherit
        # what is set here, which keeps an early Ctrl-C from killing one with a traceback.
        self._sigint = signal.signal(signal.SIGINT, signal.SIG_IGN) if _in_main_thread() else None
        with self._or_none():
            self._starting = [self._pool.submit(worker.ready) for _ in range(self.size)]

    def wait_until_up(self) -> None:
        """Return once every process is up; raises CannotGoOn where one does not come up."""
        with self._or_none():
            for future in self._starting:
                future.result(timeout=_WARM_UP_S)
        self._restore_sigint()

    @contextmanager
    def _or_none(self) -> Iterator[None]:
        """All processes come up, or there is no crew."""
        try:
            yield
        except Exception as problem:
            self.dismiss()
            raise CannotGoOn(f"transform processes cannot be started: {plain(problem)}") from problem

    def _restore_sigint(self) -> None:
        if self._sigint is not None:
            signal.signal(signal.SIGINT, self._sigint)
            self._sigint = None

    def submit(self, task: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Give the crew a task; raises BrokenProcessPool where it is dead already."""
        return self._pool.submit(task, *arguments)

    def pids(self) -> list[int]:
        """The processes of this crew."""
        return list(self._pool._processes or ())  # noqa: SLF001 - no public way before kill_workers() of 3.14

    def in_hand(self) -> list[InHand]:
        """Who is at which item, since when."""
        hands = [InHand(pid=slot.pid, item_id=slot.item_id, started_s=slot.started_s) for slot in self._slots]
        return [hand for hand in hands if hand.item_id]

    def kill(self, pid: int) -> None:
        """Kill one process; the pool will notice and break."""
        if pid in self.pids():
            _kill(pid)

    def release(self) -> None:
        """Let the crew go after its work: processes end by themselves and are waited for."""
        self._restore_sigint()
        self._pool.shutdown(wait=True)
        self._close_channel()

    def dismiss(self) -> None:
        """End the crew at once, whatever it has in hand."""
        self._restore_sigint()
        pids = self.pids()
        self._pool.shutdown(wait=False)
        for pid in pids:  # SIGKILL, since a stopped process never sees the SIGTERM of the pool
            _kill(pid)
        self._close_channel()

    def _close_channel(self) -> None:
        self.channel.cancel_join_thread()
        self.channel.close()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
