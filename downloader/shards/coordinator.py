"""The coordinator: leases work to shard processes and takes in their facts, in one thread.

It has what there must be one of, the scheduler with its limits per host and the claims on equal bytes; stages are in
the shards. A shard that dies costs time only: what it had in hand is leased to others, and another shard is started.
"""

import selectors
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe as Pipes
from typing import Any

from downloader.local import Task as LocalTask
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Failed, Fetched, Item, Url
from downloader.model.urls import host_of
from downloader.scheduling.backlog import Backlog
from downloader.scheduling.host_queue import Wait
from downloader.scheduling.interface import Emit, LeaseBatch
from downloader.scheduling.scheduler import Scheduler
from downloader.screening import Claims
from downloader.shards import messages
from downloader.shards import process as shard_process
from downloader.shards.holdings import Holdings, Kept, UrlTask
from downloader.shards.pipe import Pipe, Waker
from downloader.shards.process import ShardConfig
from downloader.stages import Start
from downloader.stop import Stop
from downloader.telemetry.interface import Gauges, together
from downloader.transform.processes import start_context, starting
from downloader.transform.recovery import ExitCause, FailureStreak, exit_cause, is_to_blame

_TICK_S = 0.1
"""Seconds that the thread waits at most."""
_SILENT_TICKS = 150
"""Ticks without a sign of life after which a shard counts as dead: 15 s, in which the coordinator itself was running.
Shards give one every 0.25 s."""
_LOCAL_ITEMS_PER_PROCESS = 24
"""Local items that a shard has in hand for each transform process: a process takes up to 16 at once, and needs the next
ones while its results travel."""
_LOCAL_PORTION = 8
_SUSPECT_DEATHS = 2
"""Shards that may die with the same item in hand before it is leased alone."""
_END_S = 5.0
"""Seconds that shards get to end by themselves after an abort."""


@dataclass(slots=True)
class _Shard:
    """One shard process, as the coordinator sees it."""

    number: int
    config: ShardConfig
    process: Any
    pipe: Pipe
    holdings: Holdings
    gauges: Gauges = field(default_factory=Gauges)
    outgoing: list[object] = field(default_factory=list)
    """To be sent to it."""
    silent_ticks: int = 0
    is_up: bool = False
    """Whether it has given a first sign of life: what is leased to it is begun at once."""
    has_ended: bool = False

    @property
    def threads(self) -> int:
        """Download threads that can be at work now."""
        threads = self.config.settings.concurrency.threads
        return self.gauges.threads or 8 if threads == "auto" else threads

    def has_room_for_urls(self) -> bool:
        """Whether to lease it one more batch: a few beyond its threads, or many where batches are small."""
        batches, tasks = self.holdings.batches, self.holdings.tasks
        return batches < self.threads + 1 + self.threads // 4 or tasks < 2 * self.threads

    def room_for_local(self) -> int:
        """How many local items it may have on top of what it has."""
        workers = self.config.processes if self.config.settings.makes_images else 2
        return max(_LOCAL_ITEMS_PER_PROCESS * workers - self.holdings.items, 0)


class Coordinator:
    """Implements `StageGroup` with shards.

    Args:
        configs: one for each shard.
        scheduler: of URLs.
        backlog: of everything that needs no network.
        emit: takes every fact.
        claims: who had which bytes first; None where that does not matter.
        stop: ends the shards early.
    """

    def __init__(
        self,
        configs: Iterable[ShardConfig],
        *,
        scheduler: Scheduler[UrlTask],
        backlog: Backlog[LocalTask],
        emit: Emit,
        claims: Claims | None,
        stop: Stop,
        waker: Waker,
    ) -> None:
        self._configs = list(configs)
        self._is_local = self._configs[0].settings.is_local
        self._scheduler = scheduler
        self._backlog = backlog
        self._emit = emit
        self._claims = claims
        self._stop = stop
        self._waker = waker
        self._selector = selectors.DefaultSelector()
        self._shards: dict[int, _Shard] = {}
        self._started = 0
        self._again: deque[LocalTask] = deque()
        """What dead shards had in hand and needs no network, or is fetched already."""
        self._deaths: Counter[int] = Counter()
        """How many shards have died with an item in hand that was not fetched yet."""
        self._suspects: dict[int, list[ExitCause]] = {}
        """Items that were in hand at several deaths: each is leased alone, to a shard set apart. Why those ended."""
        self._streak = FailureStreak()
        self._is_draining = False
        self._is_finishing = False
        self._rate: float | None = None
        """Bytes a second that each shard was last told to keep to."""
        self._past: list[Gauges] = []
        """What shards that are no more have last shown."""
        self._handlers: dict[type, Callable[[_Shard, Any], None]] = {
            tuple: self._take_fact,
            messages.Released: self._take_released,
            messages.Rescheduled: self._take_rescheduled,
            messages.PauseHost: self._take_pause,
            messages.HostFailed: self._take_failure,
            messages.BlockHost: self._take_block,
            messages.HostAnswered: self._take_answer,
            messages.Claim: self._take_claim,
            messages.Problem: self._take_problem,
            messages.Ended: self._take_end,
            Gauges: self._take_gauges,
        }

    def task(self, item: Item) -> UrlTask:
        """The item itself: what its attempts learn stays in the shard that makes them."""
        return item

    # -- start ---------------------------------------------------------------------------------------------------------

    def start(self, stack: ExitStack) -> None:
        """Start the shard processes, without waiting for them."""
        stack.callback(self._kill_all)
        for config in self._configs:
            self._start_shard(config)

    def _start_shard(self, config: ShardConfig) -> None:
        from_shard, shard_sends = Pipes(duplex=False)
        shard_receives, to_shard = Pipes(duplex=False)
        number = self._started
        self._started += 1
        with shard_sends, shard_receives, starting():
            process = start_context().Process(
                target=shard_process.run_shard, args=(config, shard_receives, shard_sends), name=f"shard-{number}"
            )
            process.start()
        shard = _Shard(
            number,
            config,
            process,
            Pipe(from_shard, to_shard, blocking=False),
            Holdings(makes_images=config.settings.makes_images),
        )
        self._shards[number] = shard
        self._selector.register(shard.pipe, selectors.EVENT_READ, shard)

    def wait_until_up(self) -> None:
        """Nothing is waited for: work is leased to each shard as soon as it is up."""

    def start_threads(self, start: Start) -> list[threading.Thread]:
        """Start the coordinating thread."""
        return [start("shards", self.run)]

    def abort(self) -> None:
        """Wake the thread, which ends the shards."""
        self._waker.wake()

    def gauges(self) -> Gauges:
        """The shards together."""
        return together([*self._past, *(shard.gauges for shard in list(self._shards.values()))])

    # -- the thread ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Lease and receive until every shard has ended.

        Raises:
            CannotGoOn: shard after shard dies without doing anything, or one of them could not go on.
        """
        self._selector.register(self._waker, selectors.EVENT_READ)
        try:
            while self._shards and not self._stop.aborted.is_set():
                wait_s = self._lease()
                self._send()
                self._receive(min(wait_s, _TICK_S))
            self._end()
        finally:
            self._kill_all()

    def _receive(self, wait_s: float) -> None:
        started_s = time.monotonic()
        for key, _ in self._selector.select(wait_s):
            if key.data is None:
                self._waker.clear()
            else:
                self._receive_from(key.data)
        if time.monotonic() - started_s >= _TICK_S / 2:
            self._watch()

    def _receive_from(self, shard: _Shard) -> None:
        shard.silent_ticks = 0
        try:
            for message in shard.pipe.receive():
                self._handlers[type(message)](shard, message)
        except EOFError:
            self._shard_is_gone(shard)

    def _watch(self) -> None:
        """Kill shards that are stopped rather than dead."""
        for shard in self._shards.values():
            shard.silent_ticks += 1
            if shard.silent_ticks > _SILENT_TICKS:
                shard.process.kill()

    # -- leases --------------------------------------------------------------------------------------------------------

    def _lease(self) -> float:
        """Lease what there is to shards that have room; returns how long nothing will change by itself."""
        if self._stop.draining.is_set():
            if not self._is_draining:
                self._is_draining = True
                self._tell_all(messages.Drain())
            return _TICK_S
        self._lease_local()
        self._share_rate()
        wait_s = self._lease_urls()
        if not self._is_finishing and self._is_done():
            self._is_finishing = True
            self._tell_all(messages.Finish())
        return wait_s

    def _is_done(self) -> bool:
        in_hand = any(shard.holdings.items for shard in self._shards.values())
        nothing_listed = self._backlog.is_finished and (self._is_local or self._scheduler.is_finished)
        return nothing_listed and not in_hand and not self._again

    def _apart(self) -> _Shard | None:
        """The shard that gets suspects only, one at a time: the newest one, while there are any."""
        return self._shards[max(self._shards)] if self._suspects and self._shards else None

    def _those_with(self, has_room: Callable[[_Shard], object]) -> list[_Shard]:
        """Shards with room for more, those with least in hand first."""
        apart = self._apart()
        shards = [shard for shard in self._shards.values() if shard.is_up and shard is not apart and has_room(shard)]
        return sorted(shards, key=lambda shard: shard.holdings.items)

    def _lease_local(self) -> None:
        while shards := self._those_with(_Shard.room_for_local):
            for shard in shards:
                tasks = self._local_tasks(min(shard.room_for_local(), _LOCAL_PORTION))
                if not tasks:
                    return
                shard.outgoing.append(shard.holdings.lease_local(tasks))

    def _local_tasks(self, most: int) -> list[LocalTask]:
        again = [self._again.popleft() for _ in range(min(most, len(self._again)))]
        return again or self._backlog.poll(most)

    def _lease_urls(self) -> float:
        share = 2 * sum(shard.threads for shard in self._shards.values())
        while shards := self._those_with(_Shard.has_room_for_urls):
            for shard in shards:
                found = self._scheduler.poll_batch(share, self._is_new)
                if found is None:
                    return _TICK_S
                if isinstance(found, Wait):
                    return _TICK_S if found.seconds is None else found.seconds
                self._lease_batch(shard, found)
        return _TICK_S

    def _is_new(self, task: UrlTask) -> bool:
        """Whether a task may be one of several in a batch."""
        return not isinstance(task, Kept) and task.id not in self._suspects

    def _lease_batch(self, shard: _Shard, batch: LeaseBatch[UrlTask]) -> None:
        task = batch.tasks[0]
        if isinstance(task, Kept):
            owner = self._shards.get(task.shard)  # None if dead: what it had in hand is done anew
        elif task.id in self._suspects:
            owner = self._apart()
            if owner is None or not owner.is_up or owner.holdings.items:
                self._scheduler.put_again(batch.host, [task], _TICK_S)
                owner = None
        else:
            owner = shard
        if owner is None:
            self._scheduler.batch_done(replace(batch, block=None))
        else:
            owner.outgoing.append(owner.holdings.lease(batch))

    def _share_rate(self) -> None:
        """Divide `--limit-rate` among the shards that download now."""
        limit = self._configs[0].limit_rate
        if limit is None:
            return
        rate = limit / max(sum(shard.holdings.batches > 0 for shard in self._shards.values()), 1)
        if rate != self._rate:
            self._rate = rate
            self._tell_all(messages.SetRate(rate))

    def _send(self) -> None:
        """Send what was leased and told since the last time, to each shard in one piece."""
        for shard in self._shards.values():
            messages_, shard.outgoing = shard.outgoing, []
            with suppress(OSError):  # dead, as its pipe will say
                shard.pipe.send(messages_)

    def _tell_all(self, message: object, but: _Shard | None = None) -> None:
        for shard in self._shards.values():
            if shard is not but:
                shard.outgoing.append(message)

    # -- messages ------------------------------------------------------------------------------------------------------

    def _take_fact(self, shard: _Shard, flat: messages.Flat) -> None:
        self._streak.progress()
        fact = shard.holdings.fact(flat)
        self._suspects.pop(fact.item.id, None)
        self._emit(fact)

    def _take_released(self, shard: _Shard, message: messages.Released) -> None:
        self._scheduler.batch_done(*shard.holdings.released(message.batch, message.returned))

    def _take_rescheduled(self, shard: _Shard, message: messages.Rescheduled) -> None:
        tasks: list[UrlTask] = [Kept(shard.number, number) for number in message.tasks]
        self._scheduler.put_again(message.host, tasks, message.delay_s)

    def _take_pause(self, shard: _Shard, message: messages.PauseHost) -> None:
        self._scheduler.pause(message.host, message.seconds)
        self._tell_all(message, but=shard)

    def _take_failure(self, shard: _Shard, message: messages.HostFailed) -> None:
        self._scheduler.host_failed(message.host, message.failure)
        self._tell_all(message, but=shard)

    def _take_block(self, _: _Shard, message: messages.BlockHost) -> None:
        self._scheduler.block(message.host, message.block, message.seconds)

    def _take_answer(self, _: _Shard, message: messages.HostAnswered) -> None:
        self._scheduler.answered(message.host)

    def _take_claim(self, shard: _Shard, message: messages.Claim) -> None:
        assert self._claims is not None
        source = self._claims.claim(shard.holdings.item(message.item_id), message.sha256)
        shard.outgoing.append(messages.Answer(message.claim, source))

    def _take_problem(self, shard: _Shard, message: messages.Problem) -> None:
        shard.has_ended = True
        raise message.error

    def _take_end(self, shard: _Shard, _: messages.Ended) -> None:
        shard.has_ended = True

    def _take_gauges(self, shard: _Shard, gauges: Gauges) -> None:
        shard.gauges = gauges
        shard.is_up = True

    # -- deaths --------------------------------------------------------------------------------------------------------

    def _shard_is_gone(self, shard: _Shard) -> None:
        """A shard has ended or died; unless the run is at its end, another one takes its place."""
        self._selector.unregister(shard.pipe)
        shard.pipe.close()
        del self._shards[shard.number]
        shard.process.kill()  # closed its pipe, and may still be there
        shard.process.join()
        gauges = replace(shard.gauges, queue_depth=0, worker_rss_bytes=None)
        if shard.has_ended or self._is_draining or self._is_finishing:
            self._past.append(gauges)
            return
        self._past.append(replace(gauges, queue_size=0, threads=0, rebuilds=gauges.rebuilds + 1))
        self._streak.failure(time.monotonic())
        batches, left = shard.holdings.abandoned()
        for batch in batches:
            self._scheduler.batch_done(replace(batch, block=None))
        cause = exit_cause(shard.process.exitcode)
        for task in left:
            self._give_again(task, cause)
        self._start_shard(shard.config)

    def _give_again(self, task: LocalTask, cause: ExitCause) -> None:
        """Do again what a dead shard had in hand, or give it up."""
        if isinstance(task, Fetched):  # its transform processes find out by themselves what kills them
            self._again.append(task)
            return
        if self._is_to_blame(task, cause):
            self._emit(_crashed(task))
        elif isinstance(task.what, Url):
            self._scheduler.put_again(host_of(task.source), [task], 0.0)
        else:
            self._again.append(task)

    def _is_to_blame(self, item: Item, cause: ExitCause) -> bool:
        self._deaths[item.id] += 1
        alone = self._suspects.get(item.id)
        if alone is not None:
            alone.append(cause)
            return is_to_blame(alone)
        if self._deaths[item.id] >= _SUSPECT_DEATHS:
            self._suspects[item.id] = []
        return False

    def _end(self) -> None:
        """After an abort: let the shards keep what they have of unfinished downloads, for a few seconds."""
        self._tell_all(messages.Abort())
        end_s = time.monotonic() + _END_S
        self._is_draining = True
        while self._shards and time.monotonic() < end_s:
            self._send()
            self._receive(_TICK_S)

    def _kill_all(self) -> None:
        for shard in self._shards.values():
            shard.process.kill()
            shard.process.join()


def _crashed(item: Item) -> Failed:
    message = "the processes that fetched it died, one after another; is there too little memory?"
    return Failed(item=item, stage=Stage.DOWNLOAD, kind=FailureKind.WORKER_CRASH, message=message)
