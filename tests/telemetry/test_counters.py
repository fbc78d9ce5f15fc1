"""Counting what a run has done: one count for each fact, outcomes once each."""

from dataclasses import replace

import pytest
from facts import a_fact, an_item

from downloader.model.failures import FailureKind, Stage
from downloader.model.items import (
    Fact,
    Failed,
    Fetched,
    File,
    Partial,
    RecheckRequested,
    Requeued,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
)
from downloader.telemetry.counters import RunCounters


def test_every_kind_of_fact_is_counted_once() -> None:
    counters = RunCounters()
    kinds: tuple[type[Fact], ...] = (Fetched, Transformed, Stored, Unchanged, Failed, Skipped)
    counters.facts([a_fact(kind, an_item()) for kind in kinds])
    assert (counters.fetched, counters.transformed) == (1, 1)
    assert (counters.succeeded, counters.unchanged, counters.failures, counters.skipped) == (1, 1, 1, 1)
    assert counters.done == 4
    assert (counters.bytes_downloaded, counters.bytes_written) == (10, 7)


@pytest.mark.parametrize("kind", [Partial, Requeued, RecheckRequested])
def test_facts_that_are_no_progress_count_nothing(kind: type[Fact]) -> None:
    counters = RunCounters()
    counters.facts([a_fact(kind, an_item())])
    assert counters == RunCounters()


def test_failures_are_counted_by_kind_over_several_batches() -> None:
    counters = RunCounters()
    failed = a_fact(Failed, an_item())
    assert isinstance(failed, Failed)
    for kind in (FailureKind.DNS, FailureKind.TIMEOUT, FailureKind.DNS):
        counters.facts([replace(failed, kind=kind)])
    assert counters.failed == {"dns": 2, "timeout": 1}
    assert counters.failures == 3


@pytest.mark.parametrize(
    ("stage", "ended"), [(Stage.SOURCE, 1), (Stage.DOWNLOAD, 1), (Stage.TRANSFORM, 0), (Stage.OUTPUT, 0)]
)
def test_items_that_end_before_the_transform(stage: Stage, ended: int) -> None:
    failed = a_fact(Failed, an_item())
    assert isinstance(failed, Failed)
    counters = RunCounters()
    counters.facts([replace(failed, stage=stage)])
    assert counters.ended_before_transform == ended


def test_local_files_are_not_downloaded() -> None:
    counters = RunCounters()
    counters.facts([a_fact(Fetched, replace(an_item(), what=File("/photos/a.jpg")))])
    assert (counters.fetched, counters.bytes_downloaded) == (1, 0)
