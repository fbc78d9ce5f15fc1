"""Runs of the real journal, writer, sink and store that kill themselves with SIGKILL just before one of their steps.

As a program (`durable_runs.py CASE FOLDER`): for n = 1, 2, ... a process of its own makes `FOLDER/n` and dies before
its step n, until one gets through. Steps are those of the store, the record of the facts, the settling of the sink,
and each removal of staged bytes. The steps taken are listed in `FOLDER/n.steps`.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from facts import names, url_row
from stores import ObservedStore, fetched, images

from downloader.journal import Journal
from downloader.model.items import Fact, Fetched, Item, Outcome, Transformed
from downloader.planner import plan_sources
from downloader.sinks.files import FilesSink
from downloader.sinks.grouping import Dataset
from downloader.sinks.groups import GroupSink
from downloader.sinks.tables import check_installed
from downloader.storage.interface import Store
from downloader.storage.local import LocalStore
from downloader.telemetry.counters import RunCounters
from downloader.workspace import Workspace
from downloader.writer import Writer

STEMS = ("a", "b")
URLS = [f"https://h/{stem}" for stem in STEMS]


class Case(NamedTuple):
    """What a run makes of the items.

    Attributes:
        results: images, or with `Fetched` the bytes as they came.
        extension: of the images.
        replaces: whether everything is made anew, over the results of an earlier run.
        dataset: what groups the results are packed into; None for a file each.
    """

    results: type[Transformed] | type[Fetched]
    extension: str = "jpg"
    replaces: bool = False
    dataset: Dataset | None = None


CASES = {
    "run": Case(Transformed),
    "fetch": Case(Fetched),
    "overwrite": Case(Transformed, replaces=True),
    "other format": Case(Transformed, extension="png", replaces=True),
    "webdataset": Case(Transformed, dataset=Dataset(kind="webdataset", group_rows=1, extension="jpg")),
    "webdataset, not full": Case(Transformed, dataset=Dataset(kind="webdataset", group_rows=3, extension="jpg")),
    "parquet": Case(Transformed, dataset=Dataset(kind="parquet", group_rows=1, extension="jpg")),
    "parquet, not full": Case(Transformed, dataset=Dataset(kind="parquet", group_rows=3, extension="jpg")),
}


class SteppingSink(FilesSink):
    """A files sink that tells when it settles."""

    def __init__(self, store: Store, step: Callable[[str], None], *, replace: bool, is_foreign: bool) -> None:
        super().__init__(store, replace=replace, is_foreign=is_foreign)
        self._step = step

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        self._step("settle")
        super().settle(outcomes)


class SteppingGroupSink(GroupSink):
    """A sink of groups that tells when it settles."""

    def __init__(
        self, store: Store, step: Callable[[str], None], folder: Path, case: Dataset, journal: Journal
    ) -> None:
        super().__init__(store, folder, case, SteppingRecords(journal, step))
        self._step = step

    def settle(self, outcomes: Sequence[Outcome], /) -> None:
        self._step("settle")
        super().settle(outcomes)


class SteppingRecords:
    """The groups of a journal; tells when they begin and end to be sealed."""

    def __init__(self, journal: Journal, step: Callable[[str], None]) -> None:
        self.groups, self.next_group = journal.groups, journal.next_group
        self.group_extent, self.group_rows = journal.group_extent, journal.group_rows
        self.columns_of, self.abandon_group = journal.columns_of, journal.abandon_group
        self._journal = journal
        self._step = step

    def begin_sealing(self, number: int) -> None:
        self._step("begin_sealing")
        self._journal.begin_sealing(number)

    def end_sealing(self, number: int) -> None:
        self._step("end_sealing")
        self._journal.end_sealing(number)


def run_once(out: Path, case: Case, step: Callable[[str], None] = lambda _: None) -> None:
    """A run as the pipeline does it, in one thread; `step` is called before each step of the durable order."""

    def record(facts: Sequence[Fact]) -> None:
        step("record")
        workspace.journal.record(facts)

    with Workspace.create(out) as workspace:
        store = LocalStore(out)
        observed = ObservedStore(store, lambda name, _: step(name))
        sink = (
            SteppingSink(observed, step, replace=case.replaces, is_foreign=workspace.is_foreign)
            if case.dataset is None
            else SteppingGroupSink(observed, step, workspace.groups, case.dataset, workspace.journal)
        )
        writer = Writer(sink, record, RunCounters(), results=case.results)
        for adopted in workspace.recover(keep_fetched=case.results is Transformed):
            writer.adopt(adopted)
        sink.recover()
        workspace.journal.begin_plan()
        list(plan_sources(workspace.journal, map(url_row, URLS), names, "always" if case.replaces else "never"))
        for task in [*workspace.journal.open_urls(0, 100), *workspace.journal.open_local(0, 100)]:
            for fact in _facts_of(task[1], workspace.staging, case):
                writer.emit(fact)
        writer.close()
        writer.run()
        sink.finish()
        sink.close()


def _facts_of(task: Item | Fetched, staging: Path, case: Case) -> Iterator[Fact]:
    of = task if isinstance(task, Item) else task.item
    content = of.name.stem.encode() * 1000 + case.extension.encode()
    if isinstance(task, Item):
        yield fetched(of, staging, content)
    if case.results is Transformed:
        yield images(of, staging, content, variants=(None, "large") if not case.dataset else (None,), to=case.extension)


class KillBefore:
    """Kills this process just before its step `number`; lists the steps in a file."""

    def __init__(self, number: int, listing: Path) -> None:
        self._left = number
        self._listing = listing.open("w", buffering=1)

    def __call__(self, name: str) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._listing.write(f"{name}\n")

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook: each removal of staged bytes is a step."""
        if event == "os.remove" and str(arguments[0]).endswith(".body"):
            self("clear")


def main(case: Case, folder: Path) -> None:
    if case.dataset is not None:
        check_installed("tests")  # imports it once, not in each run
    for number in count(1):
        out = folder / str(number)
        if case.replaces:
            run_once(out, case._replace(extension="jpg", replaces=False))
        pid = os.fork()
        if pid == 0:
            kill = KillBefore(number, folder / f"{number}.steps")
            sys.addaudithook(kill.audit)
            run_once(out, case, kill)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == 0:
            break
        assert status == -signal.SIGKILL, status


if __name__ == "__main__":
    main(CASES[sys.argv[1]], Path(sys.argv[2]))
