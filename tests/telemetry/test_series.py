"""Numbers over time in constant memory: nothing is lost, whatever the length of the run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.telemetry.series import FIRST_WIDTH_S, MAX_BUCKETS, Grid

SECONDS = st.floats(0, 1e6, allow_nan=False)


@given(st.lists(st.tuples(SECONDS, st.floats(0, 1e3)), max_size=40))
def test_sums_and_largest_values_survive_every_doubling(entries: list[tuple[float, float]]) -> None:
    grid = Grid()
    counted, most = grid.series(), grid.series(max)
    for at_s, value in entries:
        counted.put(grid.bucket(at_s), value)
        most.put(grid.bucket(at_s), value)
    assert sum(counted.values) == pytest.approx(sum(value for _, value in entries))
    assert max(most.values, default=0) == max((value for _, value in entries), default=0)
    assert len(counted.values) <= MAX_BUCKETS


@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=20))
def test_a_span_is_spread_over_the_buckets_that_it_covers(spans: list[tuple[float, float]]) -> None:
    """Its seconds add up, and no bucket gets more than its width from one span."""
    grid = Grid()
    busy = grid.series()
    for first, second in spans:
        start_s, end_s = sorted((first, second))
        grid.spread(busy, start_s, end_s, end_s - start_s)
    assert sum(busy.values) == pytest.approx(sum(abs(second - first) for first, second in spans), abs=1e-6)
    assert max(busy.values) <= len(spans) * grid.width_s * (1 + 1e-9)
    assert len(busy.values) <= MAX_BUCKETS


def test_a_short_run_is_shown_in_fine_buckets() -> None:
    grid = Grid()
    series = grid.series()
    grid.spread(series, 0.1, 0.5, 4.0)
    assert list(series.values) == pytest.approx([1.0, 2.0, 1.0])
    assert grid.width_s == FIRST_WIDTH_S
    series.put(grid.bucket(FIRST_WIDTH_S * MAX_BUCKETS), 1.0)
    assert grid.width_s == 2 * FIRST_WIDTH_S
    assert list(series.values[:2]) == pytest.approx([3.0, 1.0])
