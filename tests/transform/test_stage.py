"""The transform stage with real processes: dead, stopped and slow workers, and a dead fork server."""

import io
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image
from support import noisy

from downloader.config.settings import TransformOptions
from downloader.config.values import Size
from downloader.handoff import HandOff
from downloader.model.failures import FailureKind
from downloader.model.items import Fact, Failed, Fetched, File, Item, OutputName, Skipped, Transformed
from downloader.model.spans import Phase
from downloader.stop import Stop
from downloader.transform import recovery
from downloader.transform.stage import TransformStage

Outcome = Transformed | Failed | Skipped
END_S = 60.0
"""Seconds within which everything here must end."""


class Stage:
    """A real transform stage with real processes, driven as the pipeline drives it."""

    def __init__(self, folder: Path, *, processes: int = 2, queue_size: int = 8, **settings: object) -> None:
        self.folder = folder
        self.stop = Stop()
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self.handoff = HandOff(queue_size, self.stop)
        wanted = TransformOptions(resize=(Size(width=32, height=32),), **settings)  # type: ignore[arg-type]
        (folder / "staging").mkdir()
        self.stage = TransformStage(wanted, processes, str(folder / "staging"), self.handoff, self._emit, self.stop)
        self.stage.start()
        self.stage.wait_until_up()
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _emit(self, fact: Fact) -> None:
        assert isinstance(fact, Outcome)
        self.outcomes.put(fact)

    def _run(self) -> None:
        try:
            self.stage.run()
        except BaseException as problem:  # noqa: BLE001 - looked at by the test
            self.problem = problem

    def put(self, item_id: int, data: bytes) -> None:
        path = self.folder / f"{item_id}.jpg"
        path.write_bytes(data)
        name = OutputName(stem=str(item_id), extension=None)
        item = Item(id=item_id, key="0" * 64, source=str(path), what=File(str(path)), name=name)
        self.handoff.put(Fetched(item=item, path=str(path), bytes=len(data), staged=False))

    def finish(self) -> dict[int, Outcome]:
        """Close, wait for the end, and give the outcomes by id; each item has exactly one."""
        self.handoff.close()
        self._thread.join(END_S)
        assert not self._thread.is_alive(), "the stage does not end"
        assert self.problem is None, self.problem
        found = [self.outcomes.get_nowait() for _ in range(self.outcomes.qsize())]
        assert len({fact.item.id for fact in found}) == len(found)
        return {fact.item.id: fact for fact in found}

    def worker_at(self, item_id: int) -> int | None:
        """The process that is working on this item now."""
        return next((each.pid for each in self.stage.assignments() if each.item_id == item_id), None)

    def whenever_at(self, item_id: int, do: Callable[[int], None]) -> Iterator[None]:
        """Do something to each process that starts on this item, until the caller resumes this generator."""
        over = threading.Event()
        met: set[int] = set()

        def watch() -> None:
            while not over.is_set():
                pid = self.worker_at(item_id)
                if pid is not None and pid not in met:
                    met.add(pid)
                    do(pid)

        watcher = threading.Thread(target=watch)
        watcher.start()
        yield
        over.set()
        watcher.join()


@pytest.fixture
def stage(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    running = Stage(tmp_path, **getattr(request, "param", {}))
    yield running
    running.stop.abort()


def kinds(outcomes: dict[int, Outcome]) -> dict[int, FailureKind]:
    return {item_id: fact.kind for item_id, fact in outcomes.items() if isinstance(fact, Failed)}


def test_an_idle_worker_killed_in_get_costs_nothing(stage: Stage) -> None:
    """A worker killed while it waits in Queue.get() dies holding its lock; all items still get their outcome."""
    for item_id in range(1, 6):
        stage.put(item_id, noisy(64))
    while stage.handoff.in_flight:
        time.sleep(0.01)
    for pid in stage.stage.pids():
        os.kill(pid, signal.SIGKILL)
    for item_id in range(6, 31):
        stage.put(item_id, noisy(64))
    outcomes = stage.finish()
    assert sorted(outcomes) == list(range(1, 31))
    assert kinds(outcomes) == {}


def test_busy_workers_killed_again_and_again_lose_nothing(stage: Stage) -> None:
    """A dozen workers killed at random while they work: each item has exactly one outcome, and no item is blamed."""
    over = threading.Event()
    killed: set[int] = set()

    def kill_workers() -> None:
        while len(killed) < 12 and not over.wait(0.03):
            for pid in stage.stage.pids()[:1]:  # on a busy machine it may be dead, and not yet replaced
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)

    thread = threading.Thread(target=kill_workers)
    thread.start()
    data = noisy(700)
    for item_id in range(1, 151):
        stage.put(item_id, data)
    thread.join(20)
    outcomes = stage.finish()
    over.set()
    assert sorted(outcomes) == list(range(1, 151))
    assert stage.stage.rebuilds > 3
    assert kinds(outcomes) == {}


def test_only_the_item_that_kills_its_worker_is_blamed(stage: Stage) -> None:
    """A segfault whenever a worker is at one item: that item fails as worker_crash, all others succeed."""
    watch = stage.whenever_at(13, lambda pid: os.kill(pid, signal.SIGSEGV))
    next(watch)
    for item_id in range(1, 41):
        stage.put(item_id, noisy(6000) if item_id == 13 else noisy(64, item_id))
    outcomes = stage.finish()
    next(watch, None)
    assert sorted(outcomes) == list(range(1, 41))
    assert kinds(outcomes) == {13: FailureKind.WORKER_CRASH}
    assert [span.phase for span in outcomes[13].spans] == [Phase.QUEUE, Phase.DECODE]


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool counts as dead after 2.5 s of silence, instead of 10 s at least."""
    monkeypatch.setattr(recovery, "MIN_PATIENCE_S", 0.5)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("stage", [{"item_timeout": 0.5}], indirect=True)
def test_idle_workers_that_are_stopped_are_replaced(stage: Stage) -> None:
    """One of them holds the lock of the queue. Nobody is overdue then, and no process has died."""
    stage.put(1, noisy(64))
    while stage.handoff.in_flight:
        time.sleep(0.01)
    for pid in stage.stage.pids():
        os.kill(pid, signal.SIGSTOP)
    for item_id in range(2, 21):
        stage.put(item_id, noisy(64))
    outcomes = stage.finish()
    assert sorted(outcomes) == list(range(1, 21))
    assert kinds(outcomes) == {}
    assert stage.stage.rebuilds == 1


@pytest.mark.parametrize("stage", [{"item_timeout": 1.0}], indirect=True)
def test_a_worker_stopped_at_an_item_does_not_cost_the_item(stage: Stage) -> None:
    """It hears no alarm, so it is killed; its item, which had no chance, is made by another."""
    stopped: list[int] = []

    def stop_one(pid: int) -> None:
        if not stopped:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)

    watch = stage.whenever_at(5, stop_one)
    next(watch)
    for item_id in range(1, 21):
        stage.put(item_id, noisy(3000) if item_id == 5 else noisy(64))
    outcomes = stage.finish()
    next(watch, None)
    assert stopped
    assert sorted(outcomes) == list(range(1, 21))
    assert kinds(outcomes) == {}


@pytest.mark.crash
@pytest.mark.parametrize("stage", [{"item_timeout": 1.0}], indirect=True)
def test_a_stopped_worker_is_killed_when_its_time_is_up(stage: Stage) -> None:
    """When it happens to the item alone too, it fails as transform_timeout."""
    watch = stage.whenever_at(5, lambda pid: os.kill(pid, signal.SIGSTOP))
    next(watch)
    for item_id in range(1, 21):
        stage.put(item_id, noisy(4000) if item_id == 5 else noisy(64))
    outcomes = stage.finish()
    next(watch, None)
    assert sorted(outcomes) == list(range(1, 21))
    assert kinds(outcomes) == {5: FailureKind.TRANSFORM_TIMEOUT}
    waited, decoded = outcomes[5].spans
    assert (waited.phase, decoded.phase) == (Phase.QUEUE, Phase.DECODE)
    assert waited.end_s == decoded.start_s < decoded.end_s - 1.0
    assert waited.lane == decoded.lane


@pytest.mark.parametrize("stage", [{"item_timeout": 0.2}], indirect=True)
def test_a_slow_image_ends_by_the_soft_alarm(stage: Stage) -> None:
    """An image that takes too long fails as transform_timeout and its worker lives on."""
    stage.put(1, noisy(9000))
    stage.put(2, noisy(64))
    outcomes = stage.finish()
    assert kinds(outcomes) == {1: FailureKind.TRANSFORM_TIMEOUT}
    assert stage.stage.rebuilds == 0


@pytest.mark.parametrize("stage", [{"worker_memory": 256 * 1024**2, "fit": "pad"}], indirect=True)
def test_an_image_over_the_memory_limit_fails_alone(stage: Stage) -> None:
    """A decode that needs more than --worker-memory fails as out_of_memory, and the next image succeeds."""
    out = io.BytesIO()
    Image.new("RGB", (9900, 9900), "red").save(out, "PNG")
    stage.put(1, out.getvalue())
    stage.put(2, noisy(64))
    outcomes = stage.finish()
    assert set(kinds(outcomes)) == {1}
    assert kinds(outcomes)[1] is FailureKind.OUT_OF_MEMORY


def test_the_fork_server_killed_is_survived(stage: Stage) -> None:
    """When the fork server is killed, the run continues with a new one."""
    stage.put(1, noisy(64))
    parents = {psutil.Process(pid).ppid() for pid in stage.stage.pids()} - {os.getpid()}
    if not parents:
        pytest.skip("no fork server on this system")
    for pid in parents:
        os.kill(pid, signal.SIGKILL)
    for item_id in range(2, 31):
        stage.put(item_id, noisy(64))
    outcomes = stage.finish()
    assert sorted(outcomes) == list(range(1, 31))
    assert kinds(outcomes) == {}
