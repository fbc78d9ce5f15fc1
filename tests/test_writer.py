"""The writer: the order of its steps, and that a stopped writer holds nobody up. `test_durability` has its crashes."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from stores import ObservedStore, fetched, images, item

from downloader.errors import JournalError
from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Fact, Failed, Fetched, Outcome, Skipped, Stored, Transformed
from downloader.model.spans import Phase
from downloader.sinks.files import FilesSink
from downloader.storage.interface import Store
from downloader.storage.local import LocalStore
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Observers
from downloader.writer import Writer


def failure(item_id: int) -> Failed:
    return Failed(item=item(item_id, f"f{item_id}"), stage=Stage.DOWNLOAD, kind=FailureKind.DNS, message="no such host")


class ObservedSink(FilesSink):
    """A files sink that notes its steps."""

    def __init__(self, store: Store, steps: list[str]) -> None:
        super().__init__(store)
        self._steps = steps

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        self._steps.append("settle")
        super().settle(outcomes)


class Bench:
    """A writer over a folder; records into a list."""

    def __init__(self, folder: Path, results: type[Transformed] | type[Fetched] = Transformed) -> None:
        self.out = folder / "out"
        self.out.mkdir()
        self.staging = folder / "staging"
        self.staging.mkdir()
        self.steps: list[str] = []
        self.recorded: list[Fact] = []
        self.counters = RunCounters()
        self.store = LocalStore(self.out)
        observed = ObservedStore(self.store, lambda step, _: self.steps.append(step))
        self.writer = Writer(
            ObservedSink(observed, self.steps),
            self._record,
            Observers([self.counters]),
            results=results,
            prepare=lambda fetched: replace(fetched, attempts=9),
        )

    def _record(self, facts: Sequence[Fact]) -> None:
        self.steps.append(f"record, staged: {sorted(path.name for path in self.staging.iterdir())}")
        self.recorded += facts

    def write(self, *facts: Fact) -> None:
        """Write these facts and end."""
        for fact in facts:
            self.writer.emit(fact)
        self.writer.close()
        self.writer.run()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()


@pytest.fixture
def fetch_bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, results=Fetched)
    yield bench
    bench.store.close()


# -- what is written, and in which order -------------------------------------------------------------------------------


def test_the_order_of_durability(bench: Bench) -> None:
    """Files, names, folders, the journal; fetched bytes are removed only then."""
    body, image = fetched(item(), bench.staging), images(item(), bench.staging)
    bench.write(body, image)
    assert bench.steps == [
        "sync_staged",
        "check",
        "put",
        "sync",
        "record, staged: ['1.body']",
        "settle",
    ]
    assert [type(fact) for fact in bench.recorded] == [Fetched, Transformed, Stored]
    assert [path.name for path in bench.out.iterdir()] == ["a.jpg"]
    assert list(bench.staging.iterdir()) == []
    assert (bench.counters.fetched, bench.counters.succeeded, bench.counters.done) == (1, 1, 1)
    assert bench.writer.busy_s > 0


def test_fetched_bytes_are_results_without_a_transform_stage(fetch_bench: Bench) -> None:
    bench = fetch_bench
    bench.write(fetched(item(extension="bin"), bench.staging, b"bytes"), failure(2))
    assert [type(fact) for fact in bench.recorded] == [Fetched, Stored, Failed]
    assert (bench.out / "a.bin").read_bytes() == b"bytes"
    assert list(bench.staging.iterdir()) == []
    assert bench.counters.failed == {FailureKind.DNS: 1}


@pytest.mark.parametrize("outcome", [failure(1), replace(failure(1), stage=Stage.TRANSFORM)])
def test_fetched_bytes_stay_until_there_is_an_outcome(bench: Bench, outcome: Failed) -> None:
    """Whether fetched in this batch, in one before it, or by an earlier run."""
    now, earlier, open_ = (fetched(item(item_id), bench.staging) for item_id in (1, 2, 3))
    bench.writer.adopt(earlier)
    bench.write(now, open_, outcome, replace(outcome, item=earlier.item))
    assert [path.name for path in bench.staging.iterdir()] == ["3.body"]


def test_a_users_own_file_is_never_removed(bench: Bench, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(b"mine")
    of = item()
    bench.write(Fetched(item=of, path=str(mine), bytes=4, staged=False), images(of, bench.staging))
    assert mine.read_bytes() == b"mine"


def test_images_that_cannot_be_stored(bench: Bench) -> None:
    """Only the outcome is recorded, with the spans of making and storing; staged files are removed after that."""
    (bench.out / "a.jpg").write_bytes(b"mine")
    bench.write(fetched(item(), bench.staging), images(item(), bench.staging))
    body, skipped = bench.recorded
    assert isinstance(body, Fetched)
    assert isinstance(skipped, Skipped)
    assert [span.phase for span in skipped.spans] == [Phase.DECODE, Phase.WRITE]
    assert "record, staged: ['1.None.new', '1.body']" in bench.steps
    assert list(bench.staging.iterdir()) == []


def test_bytes_that_cannot_be_stored(fetch_bench: Bench) -> None:
    bench = fetch_bench
    (bench.out / "a.bin").write_bytes(b"mine")
    bench.write(fetched(item(extension="bin"), bench.staging))
    assert [type(fact) for fact in bench.recorded] == [Fetched, Skipped]
    assert "record, staged: ['1.body']" in bench.steps
    assert list(bench.staging.iterdir()) == []


def test_fetched_items_are_prepared_first(fetch_bench: Bench) -> None:
    fetch_bench.write(fetched(item(), fetch_bench.staging))
    assert [fact.attempts for fact in fetch_bench.recorded if isinstance(fact, Fetched)] == [9]


def test_more_facts_than_fit_in_a_batch(bench: Bench) -> None:
    writer = threading.Thread(target=bench.writer.run)
    writer.start()
    for number in range(3000):
        bench.writer.emit(failure(number))
    bench.writer.close()
    writer.join(30)
    assert [fact.item.id for fact in bench.recorded] == list(range(3000))


# -- tasks -------------------------------------------------------------------------------------------------------------


def test_a_task_runs_in_the_writer_thread_after_the_facts_before_it(bench: Bench) -> None:
    writer = threading.Thread(target=bench.writer.run, name="writer")
    writer.start()
    seen: list[tuple[str, int]] = []
    for number in (1, 2):
        bench.writer.emit(failure(number))
        bench.writer.call(lambda: seen.append((threading.current_thread().name, len(bench.recorded))))
        assert len(seen) == number
    bench.writer.close()
    writer.join(10)
    assert seen == [("writer", 1), ("writer", 2)]


def test_tasks_of_several_threads_each_run_once(bench: Bench) -> None:
    writer = threading.Thread(target=bench.writer.run)
    writer.start()
    done: list[int] = []
    callers = [threading.Thread(target=bench.writer.call, args=(partial(done.append, n),)) for n in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)
    bench.writer.close()
    writer.join(10)
    assert sorted(done) == list(range(20))


def test_a_task_that_raises_stops_the_writer(bench: Bench) -> None:
    def task() -> None:
        raise JournalError("database or disk is full")

    caller = threading.Thread(target=bench.writer.call, args=(task,))
    caller.start()
    with pytest.raises(JournalError):
        bench.writer.run()
    caller.join(10)
    assert not caller.is_alive()


def test_after_the_end_nobody_waits(bench: Bench) -> None:
    """Neither with more facts than there is room for, nor for a task, which does not run."""
    bench.write()

    def late() -> None:
        for number in range(5000):
            bench.writer.emit(failure(number))
        bench.writer.call(lambda: bench.recorded.append(failure(1)))

    caller = threading.Thread(target=late, daemon=True)
    caller.start()
    caller.join(10)
    assert not caller.is_alive()
    assert bench.recorded == []


def test_facts_and_tasks_behind_the_end_are_dropped(bench: Bench) -> None:
    bench.writer.close()
    bench.writer.emit(failure(1))
    late = threading.Thread(target=bench.writer.call, args=(lambda: bench.recorded.append(failure(2)),), daemon=True)
    late.start()
    bench.writer.run()
    late.join(10)
    assert not late.is_alive()
    assert bench.recorded == []


@pytest.mark.parametrize("facts", [1, 5000])
def test_a_writer_that_cannot_record_lets_everybody_go(tmp_path: Path, facts: int) -> None:
    """The disk fills up under the journal: the error is raised; threads that emit, call or close do not wait."""

    def full(_: Sequence[Fact]) -> None:
        raise JournalError("database or disk is full")

    store = LocalStore(tmp_path)
    writer = Writer(FilesSink(store), full, RunCounters(), results=Transformed)
    problems: list[BaseException] = []

    def work() -> None:
        try:
            writer.run()
        except JournalError as problem:
            problems.append(problem)
        writer.drain()

    def emit() -> None:
        for number in range(1, facts + 1):
            writer.emit(failure(number))
        if facts > 1:
            writer.call(lambda: None)
        writer.close()

    emitter = threading.Thread(target=emit)
    emitter.start()
    if facts == 1:
        emitter.join(10)  # so that the end is in the very batch that fails
    thread = threading.Thread(target=work)
    thread.start()
    for each in (emitter, thread):
        each.join(10)
        assert not each.is_alive()
    store.close()
    assert len(problems) == 1
