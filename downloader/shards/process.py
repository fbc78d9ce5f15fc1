"""A shard: the stages of one interpreter in a process of its own, fed by the coordinator."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing import current_process
from multiprocessing.connection import Connection
from pathlib import Path

from downloader.config.settings import Settings
from downloader.errors import ResourcesExhausted
from downloader.model.items import Fetched, Item, Transformed
from downloader.model.write_errors import check_resources
from downloader.screening import Screening
from downloader.shards import messages
from downloader.shards.feed import Post, ShardFeed, ShardLocalFeed
from downloader.shards.outbox import DurableFacts, Outbox
from downloader.shards.pipe import Pipe
from downloader.sinks.selection import existing_outputs
from downloader.stages import Stages
from downloader.stop import Stop
from downloader.storage.places import open_store
from downloader.supervisor import Supervisor
from downloader.transform.processes import exit_with_parent, prepare

GAUGES_INTERVAL_S = 0.25
"""Seconds between two signs of life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardConfig:
    """What a shard is given at its start.

    `settings` hold its own share of threads and queue; `processes` is its share of the transform processes.
    `is_foreign` says whether the output held files before any run worked on it. `environment` are the variables of the
    run, which may have changed since the fork server was started.
    """

    settings: Settings
    staging: Path
    processes: int
    is_foreign: bool
    environment: Mapping[str, str]

    @property
    def limit_rate(self) -> int | None:
        """Bytes a second of the whole run."""
        return self.settings.download.limit_rate


def configs(shares: Iterable[tuple[Settings, int]], *, staging: Path, is_foreign: bool) -> list[ShardConfig]:
    """What each shard of this run is given, from its settings and its number of transform processes."""
    return [
        ShardConfig(
            settings=settings,
            staging=staging,
            processes=processes,
            is_foreign=is_foreign,
            environment=dict(os.environ),
        )
        for settings, processes in shares
    ]


def run_shard(config: ShardConfig, receiver: Connection, sender: Connection) -> None:
    """Work until the coordinator says that there is nothing more; the main function of the process."""
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.SIG_IGN)  # the coordinator alone handles them
    os.environ.update(config.environment)
    if config.settings.makes_images:
        prepare()  # loads while this process does
    threading.Thread(target=exit_with_parent, daemon=True).start()
    pipe = Pipe(receiver, sender, blocking=True)
    try:
        _Shard(config, pipe).run()
    except BaseException as error:  # noqa: BLE001 - the coordinator raises it
        if _has_run_dry(error):
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does with one that needs too much: another takes over
        pipe.send([messages.Problem.of(error)])


def _has_run_dry(error: BaseException) -> bool:
    """Whether the process has no memory, files or threads left: another one has its own."""
    try:
        check_resources(error)
    except ResourcesExhausted:
        return True
    return isinstance(error, ResourcesExhausted)


class _Shard:
    def __init__(self, config: ShardConfig, pipe: Pipe) -> None:
        settings = config.settings
        self._pipe = pipe
        self._stop = Stop()
        self._outbox = Outbox(pipe.send)
        is_stopped = self._stop.draining.is_set
        self._feed = ShardFeed(self._outbox.post, is_stopped)
        self._local_feed = ShardLocalFeed(is_stopped)
        self._claims = _Claims(self._outbox.post, self._stop.aborted.is_set)
        store = open_store(settings.output.output)
        self._facts = DurableFacts(
            # The files of results that are packed are read, not moved: only the file of their group must be on disk.
            _nothing_lost if settings.makes_groups else store.sync_staged,
            Transformed if settings.makes_images else Fetched,
            self._outbox.post,
        )
        outputs = existing_outputs(settings, store, is_foreign=config.is_foreign)
        self._stages = Stages(
            settings,
            str(config.staging),
            processes=config.processes,
            feed=self._feed,
            local_feed=self._local_feed,
            screening=Screening(outputs, self._claims if settings.source.dedup else None),
            emit=self._facts.emit,
            stop=self._stop,
            name=current_process().name,
        )
        self._gauges_due_s = 0.0
        self._handlers: dict[type, Callable[..., None]] = {
            messages.LeaseUrls: self._feed.lease,
            messages.LeaseLocal: self._local_feed.lease,
            messages.PauseHost: self._feed.host_paused,
            messages.HostFailed: self._feed.host_failed,
            messages.Answer: self._claims.answered,
            messages.SetRate: lambda message: self._stages.limit_rate(message.bytes_per_s),
            messages.Finish: self._finish,
            messages.Drain: lambda _: self._stop.draining.set(),
            messages.Abort: lambda _: self._stop.abort(),
        }

    def run(self) -> None:
        """Start, work, and say what came of it."""
        sender = threading.Thread(target=self._send, name="send", daemon=True)
        sender.start()
        try:
            self._work()
            self._outbox.post(self._stages.gauges())
            self._outbox.post(messages.Ended())
        finally:
            self._outbox.close()
            sender.join()

    def _work(self) -> None:
        """Do everything that comes, until nothing more will; raise what made that impossible."""
        with ExitStack() as stack:
            with self._beating():
                self._stages.start(stack)
                self._stages.wait_until_up()
            supervisor = Supervisor(self._stop, self._stages.abort)
            syncer = supervisor.start("sync", self._facts.run)
            threading.Thread(target=self._receive, name="receive", daemon=True).start()
            threads = self._stages.start_threads(supervisor.start)
            supervisor.watch(threads, self._tick)
        self._facts.close()
        syncer.join()
        supervisor.raise_problem()

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Give signs of life from a thread of its own: until work begins, this one waits for processes."""
        is_up = threading.Event()

        def beat() -> None:
            while not is_up.wait(GAUGES_INTERVAL_S):
                self._outbox.post(messages.ComingUp())

        beating = threading.Thread(target=beat, name="beat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            is_up.set()
            beating.join()

    def _send(self) -> None:
        with suppress(OSError):  # without a coordinator this process ends at once
            self._outbox.run()

    def _receive(self) -> None:
        with suppress(EOFError):
            while True:
                for message in self._pipe.receive():
                    self._handlers[type(message)](message)

    def _finish(self, _: messages.Finish) -> None:
        self._feed.finish()
        self._local_feed.finish()

    def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._gauges_due_s:
            self._gauges_due_s = now_s + GAUGES_INTERVAL_S
            self._outbox.post(self._stages.gauges())


def _nothing_lost(_: list[str]) -> dict[str, str]:
    return {}


class _Claims:
    """Asks the coordinator who had which bytes first; implements `Claims`."""

    def __init__(self, post: Post, aborted: Callable[[], bool]) -> None:
        self._post = post
        self._aborted = aborted
        self._numbers = count()
        self._answers: dict[int, messages.Answer] = {}
        self._changed = threading.Condition()

    def claim(self, item: Item, digest: str) -> str | None:
        """The source of the item that had these bytes first; None where this one is the first."""
        number = next(self._numbers)
        self._post(messages.Claim(number, item.id, digest), urgent=True)
        with self._changed:
            while number not in self._answers and not self._aborted():
                self._changed.wait(0.2)
            answer = self._answers.pop(number, None)
        return answer.source if answer else None

    def answered(self, answer: messages.Answer) -> None:
        """The coordinator has answered."""
        with self._changed:
            self._answers[answer.claim] = answer
            self._changed.notify_all()
