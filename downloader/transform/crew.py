"""A crew: worker processes, their queue and their slots, as one disposable unit.

Any abnormal death of a worker may leave a lock held or a pipe half-written, so nothing of a crew is ever repaired: it
is dismissed as a whole and a new one is hired.
"""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, cast

from downloader.config.settings import TransformOptions
from downloader.handoff import Channel
from downloader.transform import worker
from downloader.transform.processes import start_context, starting
from downloader.transform.recovery import End, InHand, end_of

_WARM_UP_S = 60.0
"""Seconds the processes of a crew may take to come up; a loaded machine needs a few."""
_LAST_MOMENT_S = 0.5
"""Seconds for the SIGTERM of a broken pool to end whoever is left of it, which a stopped process never hears; and for
the thread that fills the queue, which nobody may read any more, to end."""


class Crew:
    """`size` worker processes around one queue of `queue_size` messages; the rest is for `worker.begin`.

    Raises BrokenProcessPool, here as in `submit`, where what processes are started with has died.
    """

    def __init__(
        self, size: int, queue_size: int, settings: TransformOptions, staging: str, *, keep_originals: bool = False
    ) -> None:
        context = start_context()
        self.size = size
        self._starting: list[Future[int]] = []
        with starting():
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
        """Start every process; `wait_until_up` comes next."""
        self._starting = [self.submit(worker.ready) for _ in range(self.size)]

    def wait_until_up(self) -> None:
        """Return once every process is up; raises BrokenProcessPool where one dies, TimeoutError after a minute."""
        for future in self._starting:
            future.result(timeout=_WARM_UP_S)

    def submit(self, task: Callable[..., Any], *arguments: object) -> Future[Any]:
        """Give the crew a task, for which a process is started while there are fewer than `size`.

        Raises BrokenProcessPool where it is dead already.
        """
        with starting():
            return self._pool.submit(task, *arguments)

    def pids(self) -> list[int]:
        """The processes of this crew."""
        return list(self._processes())

    def _processes(self) -> dict[int, Any]:
        return dict(self._pool._processes or {})  # noqa: SLF001 - no public way before kill_workers() of 3.14

    def _undertaker(self) -> threading.Thread | None:
        """The pool's thread that notices deaths and ends those who are left; the pool forgets it as it is shut down."""
        thread: Any = self._pool._executor_manager_thread  # noqa: SLF001 - nothing public waits for some seconds
        return cast("threading.Thread | None", thread)

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
        self._pool.shutdown(wait=True)
        self._close_channel()

    def dismiss(self) -> None:
        """End the crew at once, whatever it has in hand."""
        pids = self.pids()
        undertaker = self._undertaker()
        self._pool.shutdown(wait=False)
        for pid in pids:  # SIGKILL, since a stopped process never sees the SIGTERM of the pool
            _kill(pid)
        if undertaker is not None:  # left behind, it would keep semaphores that Python then warns of at its end
            undertaker.join(_LAST_MOMENT_S)
        self._close_channel()

    def bury(self) -> dict[int, End]:
        """End a crew of which a process has died; how each of it ended, by pid.

        The pool sends SIGTERM to those who are left, and only its own thread may ask for exit codes meanwhile: an exit
        code is there to be read once. Whoever is killed here in the end is not listed.
        """
        processes = self._processes()
        undertaker = self._undertaker()
        self._pool.shutdown(wait=False)
        killed = set()
        if undertaker is not None:
            undertaker.join(_LAST_MOMENT_S)
            if undertaker.is_alive():
                killed = {pid for pid in processes if _kill(pid)}
                undertaker.join()
        self._close_channel()
        ends = {pid: end_of(process.exitcode) for pid, process in processes.items() if pid not in killed}
        for pid, end in ends.items():
            if end is End.UNKNOWN:  # it may live: without a fork server nobody can tell, nor has the pool ended it
                _kill(pid)
        return ends

    def _close_channel(self) -> None:
        self.channel.cancel_join_thread()
        self.channel.close()
        feeder: Any = self.channel._thread  # type: ignore[attr-defined]  # noqa: SLF001 - join_thread() may wait for ever
        if feeder is not None:  # it keeps semaphores too
            feeder.join(_LAST_MOMENT_S)


def _kill(pid: int) -> bool:
    """Kill a process; whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
