"""The coordinator: leases work to shard processes and takes in their facts, in one thread.

It has what there must be one of, the scheduler with its limits per host and the claims on equal bytes; stages are in
the shards. A shard that dies costs time only: what it had in hand is leased to others, and another shard is started.
"""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from downloader.local import Task as LocalTask
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Failed, Fetched, Item
from downloader.scheduling.backlog import Backlog
from downloader.scheduling.interface import Emit
from downloader.scheduling.scheduler import Scheduler
from downloader.screening import Claims
from downloader.shards import messages
from downloader.shards.holdings import Kept, UrlTask
from downloader.shards.leasing import Leasing
from downloader.shards.members import TICK_S, Members, Shard
from downloader.shards.process import ShardConfig
from downloader.shards.suspects import Suspects
from downloader.stages import Start
from downloader.stop import Stop
from downloader.telemetry.interface import Gauges
from downloader.transform.processes import resume_helpers
from downloader.transform.recovery import FailureStreak, exit_cause

_END_S = 5.0
"""Seconds that shards get to end by themselves after an abort."""


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
    ) -> None:
        self._configs = list(configs)
        self._scheduler = scheduler
        self._emit = emit
        self._claims = claims
        self._stop = stop
        self._members = Members()
        self._suspects = Suspects()
        is_local = self._configs[0].settings.is_local
        self._leasing = Leasing(None if is_local else scheduler, backlog, self._members, self._suspects)
        scheduler.on_change = backlog.on_change = self._members.wake
        self._streak = FailureStreak()
        self._is_ending = False
        """Whether the shards were told to end, so that none is replaced."""
        self._rate: float | None = None
        """Bytes a second that each shard was last told to keep to."""
        self._handlers: dict[type, Callable[[Shard, Any], None]] = {
            tuple: self._take_fact,
            messages.Released: self._take_released,
            messages.Rescheduled: self._take_rescheduled,
            messages.PauseHost: self._take_pause,
            messages.HostFailed: self._take_failure,
            messages.BlockHost: self._take_block,
            messages.HostAnswered: self._take_answer,
            messages.Claim: self._take_claim,
            messages.Problem: self._take_problem,
            messages.ComingUp: lambda *_: None,  # any message is a sign of life
            messages.Ended: self._take_end,
            Gauges: Shard.show,
        }

    def task(self, item: Item) -> UrlTask:
        """The item itself: what its attempts learn stays in the shard that makes them."""
        return item

    # -- start ---------------------------------------------------------------------------------------------------------

    def start(self, stack: ExitStack) -> None:
        """Start the shard processes, without waiting for them."""
        stack.callback(self._members.kill_all)
        for config in self._configs:
            self._members.start(config)

    def wait_until_up(self) -> None:
        """Nothing is waited for: work is leased to each shard as soon as it is up."""

    def start_threads(self, start: Start) -> list[threading.Thread]:
        """Start the coordinating thread."""
        return [start("shards", self.run)]

    def abort(self) -> None:
        """Wake the thread, which ends the shards."""
        self._members.wake()

    def gauges(self) -> Gauges:
        """The shards together."""
        return self._members.gauges()

    # -- the thread ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Lease and receive until every shard has ended.

        Raises:
            CannotGoOn: shard after shard dies without doing anything, or one of them could not go on.
        """
        try:
            while self._members and not self._stop.aborted.is_set():
                wait_s = self._lease()
                self._members.send()
                self._receive(min(wait_s, TICK_S))
            self._abort()
        finally:
            self._members.kill_all()
            resume_helpers()

    def _lease(self) -> float:
        """Lease, or tell the shards to end; returns for how long nothing will change by itself."""
        if self._is_ending:
            return TICK_S
        if self._stop.draining.is_set():
            self._end(messages.Drain())
            return TICK_S
        wait_s = self._leasing.lease()
        self._share_rate()
        if self._leasing.is_done:
            self._end(messages.Finish())
        return wait_s

    def _end(self, message: object) -> None:
        self._is_ending = True
        self._members.tell_all(message)

    def _share_rate(self) -> None:
        """Divide `--limit-rate` among the shards that download now."""
        limit = self._configs[0].limit_rate
        if limit is None:
            return
        rate = limit / max(sum(shard.holdings.batches > 0 for shard in self._members), 1)
        if rate != self._rate:
            self._rate = rate
            self._members.tell_all(messages.SetRate(rate))

    def _receive(self, wait_s: float) -> None:
        for shard, received in self._members.receive(wait_s):
            if received is None:
                self._shard_is_gone(shard)
            else:
                for message in received:
                    self._handlers[type(message)](shard, message)

    def _abort(self) -> None:
        """After an abort: let the shards keep what they have of unfinished downloads, for a few seconds."""
        self._end(messages.Abort())
        end_s = time.monotonic() + _END_S
        while self._members and time.monotonic() < end_s:
            self._members.send()
            self._receive(TICK_S)

    # -- messages ------------------------------------------------------------------------------------------------------

    def _take_fact(self, shard: Shard, flat: messages.Flat) -> None:
        self._streak.progress()
        fact = shard.holdings.fact(flat)
        self._suspects.clear(fact.item.id)
        self._emit(fact)

    def _take_released(self, shard: Shard, message: messages.Released) -> None:
        self._scheduler.batch_done(*shard.holdings.released(message.batch, message.returned))

    def _take_rescheduled(self, shard: Shard, message: messages.Rescheduled) -> None:
        tasks: list[UrlTask] = [Kept(shard.number, number) for number in message.tasks]
        self._scheduler.put_again(message.host, tasks, message.delay_s)

    def _take_pause(self, shard: Shard, message: messages.PauseHost) -> None:
        self._scheduler.pause(message.host, message.seconds)
        self._members.tell_all(message, but=shard)

    def _take_failure(self, shard: Shard, message: messages.HostFailed) -> None:
        self._scheduler.host_failed(message.host, message.failure)
        self._members.tell_all(message, but=shard)

    def _take_block(self, _: Shard, message: messages.BlockHost) -> None:
        self._scheduler.block(message.host, message.block, message.seconds)

    def _take_answer(self, _: Shard, message: messages.HostAnswered) -> None:
        self._scheduler.answered(message.host)

    def _take_claim(self, shard: Shard, message: messages.Claim) -> None:
        assert self._claims is not None
        source = self._claims.claim(shard.holdings.item(message.item_id), message.sha256)
        shard.outgoing.append(messages.Answer(message.claim, source))

    def _take_problem(self, shard: Shard, message: messages.Problem) -> None:
        shard.has_ended = True
        raise message.error

    def _take_end(self, shard: Shard, _: messages.Ended) -> None:
        shard.has_ended = True

    # -- deaths --------------------------------------------------------------------------------------------------------

    def _shard_is_gone(self, shard: Shard) -> None:
        """A shard has ended or died; unless the run is at its end, another one takes its place."""
        is_replaced = not shard.has_ended and not self._is_ending
        cause = exit_cause(self._members.remove(shard, is_replaced=is_replaced))
        if not is_replaced:
            return
        self._streak.failure(time.monotonic())
        batches, left = shard.holdings.abandoned()
        for batch in batches:
            self._scheduler.batch_done(replace(batch, block=None))
        for task in left:
            # Of bytes that were fetched, transform processes find out by themselves what kills them.
            if not isinstance(task, Fetched) and self._suspects.died(task.id, cause):
                self._emit(_crashed(task))
            else:
                self._leasing.again(task)
        self._members.start(shard.config)
        self._rate = None  # the new one has to be told


def _crashed(item: Item) -> Failed:
    message = "the processes that fetched it died, one after another; is there too little memory?"
    return Failed(item=item, stage=Stage.DOWNLOAD, kind=FailureKind.WORKER_CRASH, message=message)
