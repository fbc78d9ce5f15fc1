"""Every observer takes whatever a run tells it, in any order, and ends cleanly."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from facts import KINDS, a_fact, an_item

from downloader.model.items import Item
from downloader.screening import Duplicates
from downloader.telemetry.counters import RunCounters
from downloader.telemetry.interface import Observer, Observers, Sample
from downloader.telemetry.meters import QueueMeter, StageMeters
from downloader.telemetry.progress import Progress
from downloader.telemetry.timeline import TimelineRecorder
from downloader.telemetry.trace import TraceWriter
from downloader.telemetry.views import Style, view


def progress(style: Style) -> Observer:
    return Progress(view(style, io.StringIO()), RunCounters(), started_s=0.0, grace_s=10.0)


def unowned(_item: Item, _sha256: str) -> None:
    return None


def timeline() -> Observer:
    return TimelineRecorder(Path(os.devnull) / "timeline.json", started_s=0.0)  # that can never be saved


def trace() -> Observer:
    return TraceWriter(Path(os.devnull), started_s=0.0)


OBSERVERS: dict[str, Callable[[], Observer]] = {
    "counters": RunCounters,
    "stage meters": StageMeters,
    "queue meter": QueueMeter,
    "bars": lambda: progress("bar"),
    "plain lines": lambda: progress("plain"),
    "JSON lines": lambda: progress("json"),
    "timeline": timeline,
    "trace": trace,
    "nothing": lambda: progress("none"),
    "duplicates": lambda: Duplicates(unowned),
    "several": lambda: Observers([RunCounters(), StageMeters()]),
}
SAMPLE = Sample(at_s=1.0, listed=9, planned=False, finished_before=2, queue_depth=1, queue_size=8)


@pytest.fixture(params=OBSERVERS)
def observer(request: pytest.FixtureRequest) -> Observer:
    return OBSERVERS[request.param]()


def test_every_kind_of_fact_is_taken(observer: Observer) -> None:
    """Each alone, all in one batch, and an empty batch, among samples."""
    facts = [a_fact(kind, an_item(number)) for number, kind in enumerate(KINDS, 1)]
    for fact in facts:
        observer.facts([fact])
        observer.sample(SAMPLE)
    observer.facts(facts)
    observer.facts([])
    observer.sample(SAMPLE)
    observer.close()


def test_a_run_that_ends_before_it_began(observer: Observer) -> None:
    """Closed without a fact or a sample, as when a run fails at its start."""
    observer.close()
