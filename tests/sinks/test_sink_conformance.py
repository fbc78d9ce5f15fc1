"""What every sink does: whole items, durable on return, in order, and again after a crash with the same outcome."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from stores import STORES, Crash, CrashAt, ObservedStore, fetched, images, item

from downloader.model.failures import FailureKind, SkipReason, Stage
from downloader.model.items import Failed, Fetched, Item, Outcome, Skipped, Stored, Transformed, Unchanged
from downloader.model.spans import Phase
from downloader.sinks.files import FilesSink
from downloader.sinks.interface import Result, Sink
from downloader.storage.interface import Store

SINKS: dict[str, Callable[[Store], Sink]] = {"files": FilesSink}
"""Every kind of sink, made over a store."""


@pytest.fixture(params=sorted(SINKS))
def make(request: pytest.FixtureRequest) -> Callable[[Store], Sink]:
    return SINKS[str(request.param)]


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "out").mkdir()
    store = STORES[str(request.param)](tmp_path / "out")
    yield store
    store.close()


@pytest.fixture
def sink(make: Callable[[Store], Sink], store: Store) -> Sink:
    return make(store)


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    return tmp_path / "staging"


def is_intact(sink: Sink, stored: Outcome) -> bool:
    """Whether an item was stored, and each of its outputs reads as recorded."""
    assert isinstance(stored, Stored)
    for output in stored.outputs:
        with sink.open(output) as file:
            content = file.read()
        if (len(content), sha256(content).hexdigest()) != (output.bytes, output.sha256):
            return False
    return True


def without_spans(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [replace(outcome, spans=()) for outcome in outcomes]


def test_outcomes_are_in_order_and_outputs_as_recorded(sink: Sink, staging: Path) -> None:
    """Images in several sizes, bytes as they came, and a name with folders."""
    batch: list[Result] = [
        images(item(1, "a"), staging, variants=("small", "large")),
        fetched(item(2, "b", extension="bin"), staging),
        images(item(3, "deep/c"), staging, to="png"),
    ]
    outcomes = sink.store(batch)
    assert [outcome.item.id for outcome in outcomes] == [1, 2, 3]
    assert all(is_intact(sink, outcome) for outcome in outcomes)
    small, large = outcomes[0].outputs if isinstance(outcomes[0], Stored) else ()
    assert (small.variant, small.format, small.width, small.height) == ("small", "JPG", 4, 3)
    assert small.path != large.path
    assert list(staging.iterdir()) == []


def test_what_is_no_result_passes_through(sink: Sink, staging: Path) -> None:
    """Failures, skips and unchanged items are returned as they are, at their places; an empty batch is nothing."""
    facts: list[Failed | Skipped | Unchanged] = [
        Failed(item=item(1), stage=Stage.DOWNLOAD, kind=FailureKind.DNS, message="no such host"),
        Skipped(item=item(2), stage=Stage.TRANSFORM, reason=SkipReason.TOO_SMALL, message="too small"),
        Unchanged(item=item(3)),
    ]
    first, second, stored, third = sink.store([facts[0], facts[1], images(item(4, "d"), staging), facts[2]])
    assert [first, second, third] == facts
    assert is_intact(sink, stored)
    sink.settle([first, second, stored, third])
    assert is_intact(sink, stored)
    assert sink.store([]) == []


def test_the_span_of_storing_is_that_of_the_batch(sink: Sink, staging: Path) -> None:
    """One `write` span for what was stored and what could not be, with start, end and thread."""
    sink.store([images(item(1, "taken"), staging)])
    batch = [images(item(2, "taken"), staging), images(item(3, "b"), staging)]
    skipped, stored = sink.store(batch)
    assert isinstance(skipped, Skipped)
    assert skipped.spans == stored.spans
    (span,) = stored.spans
    assert (span.phase, span.lane) == (Phase.WRITE, "MainThread")
    assert span.start_s <= span.end_s


def test_everything_is_durable_on_return(make: Callable[[Store], Sink], store: Store, staging: Path) -> None:
    """Every staged file before it is moved, every name after its file."""
    steps: list[tuple[str, tuple[str, ...]]] = []
    sink = make(ObservedStore(store, lambda step, names: steps.append((step, names))))
    batch = [images(item(number, f"{number}/a"), staging, variants=("s", "l")) for number in range(1, 5)]
    outcomes = sink.store(batch)
    durable = {path for step, paths in steps if step == "sync_staged" for path in paths}
    assert durable == {rendition.path for fact in batch for rendition in fact.renditions}
    puts = [(at, names[0], names[1]) for at, (step, names) in enumerate(steps) if step == "put"]
    for at, path, name in puts:
        assert any(step == "sync_staged" and path in paths for step, paths in steps[:at])
        assert any(step == "sync" and name in names for step, names in steps[at:])
    assert {output.path for o in outcomes if isinstance(o, Stored) for output in o.outputs} <= {p[2] for p in puts}


def test_an_item_is_stored_whole_or_not_at_all(sink: Sink, store: Store, staging: Path) -> None:
    """The name of its last image is taken: none of the others is stored, and other items are."""
    sink.store([images(item(1, "a"), staging, b"mine", variants=("large",))])
    before = set(store.names(excluded="-", unlisted=[]))
    skipped, stored = sink.store(
        [images(item(2, "a"), staging, variants=("small", "large")), images(item(3, "b"), staging)]
    )
    assert isinstance(skipped, Skipped)
    assert (skipped.stage, skipped.reason) == (Stage.OUTPUT, SkipReason.EXISTS)
    assert is_intact(sink, stored)
    assert isinstance(stored, Stored)
    assert set(store.names(excluded="-", unlisted=[])) == before | {output.path for output in stored.outputs}


@pytest.mark.parametrize("stem", ["../a", "a/../../b", "../out-too/a"])
def test_a_name_outside_is_a_failure(sink: Sink, store: Store, staging: Path, stem: str) -> None:
    """Naming never gives such names; if one came from elsewhere, nothing is written under it."""
    before = sorted(staging.parent.iterdir())
    failed, stored = sink.store([images(item(1, stem), staging), images(item(2, "good"), staging)])
    assert isinstance(failed, Failed)
    assert (failed.stage, failed.kind) == (Stage.OUTPUT, FailureKind.WRITE)
    assert is_intact(sink, stored)
    assert len(list(store.names(excluded="-", unlisted=[]))) == 1
    assert sorted(staging.parent.iterdir()) == sorted([*before, staging])


def test_an_item_of_an_earlier_run_replaces_its_outputs(sink: Sink, staging: Path) -> None:
    sink.store([images(item(1, "a"), staging, b"old")])
    (again,) = sink.store([images(item(1, "a", renewed=True), staging, b"new")])
    assert is_intact(sink, again)


def new_batch(staging: Path, *, renewed: bool) -> list[Transformed | Fetched | Failed]:
    def of(item_id: int, stem: str, extension: str | None = None) -> Item:
        return item(item_id, stem, extension=extension, renewed=renewed)

    return [
        images(of(1, "a"), staging, variants=("small", "large")),
        Failed(item=of(2, "b"), stage=Stage.DOWNLOAD, kind=FailureKind.DNS, message="no such host"),
        fetched(of(3, "new/c", "bin"), staging),
    ]


def test_after_a_crash_the_same_batch_has_the_same_outcomes(
    make: Callable[[Store], Sink], store: Store, staging: Path
) -> None:
    """Killed before any step, or after the last one and before the commit: the next run makes it all, once."""
    for number in count(1):
        for name in list(store.names(excluded="-", unlisted=[])):
            store.remove(name)
        crash = CrashAt(number)
        with suppress(Crash):
            make(ObservedStore(store, crash.step)).store(new_batch(staging, renewed=False))
        again = make(store)
        outcomes = again.store(new_batch(staging, renewed=True))
        assert [type(outcome) for outcome in outcomes] == [Stored, Failed, Stored]
        assert is_intact(again, outcomes[0])
        assert is_intact(again, outcomes[2])
        if not crash.crashed:
            expected = make(store).store(new_batch(staging, renewed=True))
            assert without_spans(outcomes) == without_spans(expected)
            assert number > 8  # flushed, checked and put three times each, flushed
            break


def test_settling_twice_changes_nothing(sink: Sink, store: Store, staging: Path) -> None:
    outcomes = sink.store([images(item(1, "a"), staging)])
    for _ in range(2):
        sink.settle(outcomes)
        assert is_intact(sink, outcomes[0])
    assert len(list(store.names(excluded="-", unlisted=[]))) == 1
