import math

import pytest
from facts import an_item
from hypothesis import given
from hypothesis import strategies as st

from downloader.model.failures import FailureKind, Stage
from downloader.model.items import Failed, Fetched, Transformed
from downloader.model.spans import Phase, Span
from downloader.telemetry.interface import Sample
from downloader.telemetry.meters import Histogram, QueueMeter, StageMeters

BOUND = 2 ** (1 / 16) - 1
seconds = st.floats(1e-5, 10_000)


def histogram(times: list[float]) -> Histogram:
    made = Histogram()
    for time_s in times:
        made.add(time_s)
    return made


@given(st.lists(seconds, min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_percentile_is_off_by_no_more_than_it_says(times: list[float], share: float) -> None:
    """Against the exact nearest-rank percentile: at most 4.4 % apart."""
    measured = histogram(times).percentile_s(share)
    exact = sorted(times)[math.ceil(share * len(times)) - 1]
    assert measured is not None
    assert exact * (1 - BOUND) * (1 - 1e-9) <= measured <= exact * (1 + BOUND) * (1 + 1e-9)


@given(st.lists(seconds, max_size=50), st.lists(seconds, max_size=50))
def test_merged_histograms_are_those_of_all_durations(some: list[float], others: list[float]) -> None:
    assert histogram(some).merged(histogram(others)) == histogram(some + others)


def test_without_durations_there_is_no_percentile() -> None:
    """None rather than a made-up number."""
    assert Histogram().percentile_s(0.5) is None


def test_a_duration_of_nothing_is_counted() -> None:
    """Zero seconds, as a coarse clock gives them, are as short as can be measured."""
    assert histogram([0.0]).percentile_s(0.5) == pytest.approx(1e-5, rel=0.1)


def test_stages_are_measured_by_the_spans_of_facts() -> None:
    """Downloads by their five phases, transforms by theirs; the time in the queue and of the writer is neither's."""
    item = an_item()
    fetched = Fetched(
        item=item,
        path="x",
        bytes=1,
        staged=True,
        spans=(
            Span(Phase.CONNECT, 0.0, 1.0, "download-0"),
            Span(Phase.BODY, 1.0, 3.0, "download-0"),
        ),
    )
    transformed = Transformed(
        item=item,
        renditions=(),
        width=1,
        height=1,
        sha256="",
        spans=(Span(Phase.QUEUE, 3.0, 100.0, "transform-1"), Span(Phase.DECODE, 100.0, 100.5, "transform-1")),
    )
    meters = StageMeters()
    meters.facts([fetched, transformed])
    assert (meters.download.busy_s, meters.download.durations.total) == (3.0, 1)
    assert (meters.transform.busy_s, meters.transform.durations.total) == (0.5, 1)


def test_a_failed_transform_counts_with_the_time_it_took() -> None:
    """A failure says how long it took as well: it does not pull the median down to nothing."""
    meters = StageMeters()
    spans = (Span(Phase.DECODE, 0.0, 2.0, "transform-1"),)
    failure = Failed(
        item=an_item(), stage=Stage.TRANSFORM, kind=FailureKind.CORRUPT_IMAGE, message="damaged", spans=spans
    )
    meters.facts([failure])
    assert meters.transform.durations.percentile_s(0.5) == pytest.approx(2.0, rel=BOUND)


def test_an_item_that_never_came_to_a_stage_is_not_counted_there() -> None:
    meters = StageMeters()
    meters.facts([Failed(item=an_item(), stage=Stage.SOURCE, kind=FailureKind.INVALID_URL, message="no URL")])
    assert meters.download.durations.total == meters.transform.durations.total == 0


def test_the_queue_is_measured_by_samples() -> None:
    """Depth, full and empty looks; the largest process seen; without a queue nothing is measured."""
    meter = QueueMeter()
    for depth, rss in ((0, 5), (8, 9), (4, None)):
        meter.sample(
            Sample(
                at_s=0.0,
                listed=1,
                planned=True,
                finished_before=0,
                queue_depth=depth,
                queue_size=8,
                worker_rss_bytes=rss,
            )
        )
    assert (meter.samples, meter.depths, meter.full, meter.empty) == (3, 12, 1, 1)
    assert meter.peak_worker_rss_bytes == 9
    without = QueueMeter()
    without.sample(Sample(at_s=0.0, listed=1, planned=True, finished_before=0))
    assert without.samples == 0
