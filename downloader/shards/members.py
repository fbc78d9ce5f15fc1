"""The shard processes of a run, as the coordinator sees them: started, told, listened to, and replaced."""

import selectors
import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing import Pipe as Pipes
from typing import Any

from downloader.errors import CannotGoOn
from downloader.shards import process as shard_process
from downloader.shards.holdings import Holdings
from downloader.shards.pipe import Pipe, Waker
from downloader.shards.process import ShardConfig
from downloader.telemetry.interface import Gauges, together
from downloader.telemetry.sampler import descendants, kill_helpers
from downloader.transform.processes import kill_fork_server, start_context, starting
from downloader.transform.recovery import is_futile_start

TICK_S = 0.1
"""Seconds that are waited at most."""
_SILENT_TICKS = 150
"""Ticks without a sign of life after which a shard counts as dead: 15 s, in which the coordinator itself was running.
Shards give one every 0.25 s."""
_LOCAL_ITEMS_PER_PROCESS = 24
"""Local items that a shard has in hand for each transform process: a process takes up to 16 at once, and needs the next
ones while its results travel."""
_START_PATIENCE_S = 10.0
"""Seconds that the fork server may take to start a process; then it is stopped, and replaced."""
_END_PATIENCE_S = 5.0
"""Seconds that the fork server may take to tell that a process which was killed has ended."""
_PRESUMED_THREADS = 8
"""Download threads of a shard that has not yet told how many `auto` begins with."""


@dataclass(slots=True)
class Shard:
    """One shard process.

    Attributes:
        outgoing: messages to be sent to it.
        is_up: whether it has given a first sign of life: what is leased to it is begun at once.
        has_ended: whether it has said that it ends.
    """

    number: int
    config: ShardConfig
    process: Any
    pipe: Pipe
    holdings: Holdings
    gauges: Gauges = field(default_factory=Gauges)
    outgoing: list[object] = field(default_factory=list)
    silent_ticks: int = 0
    is_up: bool = False
    has_ended: bool = False

    @property
    def threads(self) -> int:
        """Download threads that can be at work now."""
        threads = self.config.settings.concurrency.threads
        return self.gauges.threads or _PRESUMED_THREADS if threads == "auto" else threads

    @property
    def has_room_for_urls(self) -> bool:
        """Whether to lease it one more batch: a few beyond its threads, or many where batches are small."""
        batches, tasks = self.holdings.batches, self.holdings.tasks
        return batches < self.threads + 1 + self.threads // 4 or tasks < 2 * self.threads

    @property
    def room_for_local(self) -> int:
        """How many local items it may have on top of what it has."""
        workers = self.config.processes if self.config.settings.makes_images else 2
        return max(_LOCAL_ITEMS_PER_PROCESS * workers - self.holdings.items, 0)

    def kill(self) -> None:
        """End it, and the processes that it has started: those end without it, but not if they are stopped.

        The fork server tells that it has ended. If that is stopped it is killed, which says the same of every process
        that it has started; the next shard has another one.
        """
        # Once its fork server is gone, `Process` takes it for dead and does not kill it: hence its own number as well.
        everybody = {self.process.pid, *descendants(self.process.pid), *self.gauges.pids}
        self.process.kill()
        self.process.join(_END_PATIENCE_S)
        if self.process.is_alive():
            kill_fork_server()
            self.process.join()
        if not self.has_ended:
            kill_helpers(everybody)

    def show(self, gauges: Gauges) -> None:
        """It has given a sign of life."""
        self.gauges = gauges
        self.is_up = True


class Members:
    """All shards; one thread uses them, any may call `wake` and `gauges`."""

    def __init__(self) -> None:
        self._waker = Waker()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._waker, selectors.EVENT_READ)
        self._shards: dict[int, Shard] = {}
        self._started = 0
        self._past: list[Gauges] = []
        """What shards that are no more have last shown."""

    def __iter__(self) -> Iterator[Shard]:
        """Those that have not ended or died."""
        return iter(list(self._shards.values()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._shards)

    def get(self, number: int) -> Shard | None:
        """The shard of this number; None if it is no more."""
        return self._shards.get(number)

    def newest(self) -> Shard | None:
        """The shard that was started last."""
        return self._shards[max(self._shards)] if self._shards else None

    def wake(self) -> None:
        """End the wait of `receive`."""
        self._waker.wake()

    def gauges(self) -> Gauges:
        """All of them together, with those that are no more."""
        return together([*self._past, *(shard.gauges for shard in self)])

    # -- processes -----------------------------------------------------------------------------------------------------

    def start(self, config: ShardConfig) -> None:
        """Start one, without waiting for it; raises CannotGoOn if no process can be started."""
        began_s = time.monotonic()
        for attempts in count(1):
            try:
                self._start(config)
            except BrokenProcessPool as problem:  # the fork server has died or is stopped: the next attempt has another
                if is_futile_start(attempts, time.monotonic() - began_s, have_run=bool(self._past)):
                    raise CannotGoOn(f"shards cannot be started: {problem}") from problem
            else:
                return

    def _start(self, config: ShardConfig) -> None:
        from_shard, shard_sends = Pipes(duplex=False)
        shard_receives, to_shard = Pipes(duplex=False)
        number = self._started
        self._started += 1
        with shard_sends, shard_receives, starting(_START_PATIENCE_S):
            process = start_context().Process(
                target=shard_process.run_shard, args=(config, shard_receives, shard_sends), name=f"shard-{number}"
            )
            process.start()
        pipe = Pipe(from_shard, to_shard, blocking=False)
        shard = Shard(number, config, process, pipe, Holdings(makes_images=config.settings.makes_images))
        self._shards[number] = shard
        self._selector.register(pipe, selectors.EVENT_READ, shard)

    def remove(self, shard: Shard, *, is_replaced: bool) -> int | None:
        """One has ended or died; its exit code."""
        self._selector.unregister(shard.pipe)
        shard.pipe.close()
        del self._shards[shard.number]
        shard.kill()  # it has closed its pipe, and may still be there
        used = shard.gauges.shards_usage._replace(rss_bytes=0), shard.gauges.workers._replace(rss_bytes=0)
        last = replace(
            shard.gauges,
            queue_depth=0,
            in_hand=0,
            worker_rss_bytes=None,
            pids=(),
            shards_usage=used[0],
            workers=used[1],
        )
        self._past.append(
            replace(last, queue_size=0, threads=0, shards=0, rebuilds=last.rebuilds + 1) if is_replaced else last
        )
        code: int | None = shard.process.exitcode
        return code

    def kill_all(self) -> None:
        """End all of them at once."""
        for shard in self:
            shard.kill()

    # -- messages ------------------------------------------------------------------------------------------------------

    def tell_all(self, message: object, but: Shard | None = None) -> None:
        """Send a message to each of them."""
        for shard in self:
            if shard is not but:
                shard.outgoing.append(message)

    def send(self) -> None:
        """Send what was leased and told since the last time, to each shard in one piece."""
        for shard in self:
            outgoing, shard.outgoing = shard.outgoing, []
            with suppress(OSError):  # dead, as its pipe will say
                shard.pipe.send(outgoing)

    def receive(self, wait_s: float) -> Iterator[tuple[Shard, Sequence[Any] | None]]:
        """The messages that have come, after waiting for some; None in their place for a shard that has ended or died.

        A shard without a sign of life is killed: it is stopped, not dead.
        """
        started_s = time.monotonic()
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self._waker.clear()
                continue
            key.data.silent_ticks = 0
            try:
                yield key.data, key.data.pipe.receive()
            except EOFError:
                yield key.data, None
        if time.monotonic() - started_s >= TICK_S / 2:
            self._kill_silent()

    def _kill_silent(self) -> None:
        for shard in self:
            shard.silent_ticks += 1
            if shard.silent_ticks > _SILENT_TICKS:
                shard.kill()
