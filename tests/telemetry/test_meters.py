import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.telemetry.meters import Meter

BOUND = 2 ** (1 / 16) - 1
seconds = st.floats(1e-5, 10_000)


@given(st.lists(seconds, min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_percentile_is_off_by_no_more_than_it_says(times: list[float], share: float) -> None:
    """Against the exact nearest-rank percentile: at most 4.4 % apart."""
    meter = Meter()
    for time_s in times:
        meter.worked(time_s)
    measured = meter.percentile_s(share)
    exact = sorted(times)[math.ceil(share * len(times)) - 1]
    assert measured is not None
    assert exact * (1 - BOUND) * (1 - 1e-9) <= measured <= exact * (1 + BOUND) * (1 + 1e-9)


@given(st.lists(seconds, max_size=50), st.lists(seconds, max_size=50))
def test_work_and_waiting_add_up(worked: list[float], waited: list[float]) -> None:
    """busy_s and wait_s are sums, apart from each other."""
    meter = Meter()
    for time_s in worked:
        meter.worked(time_s)
    for time_s in waited:
        meter.waited(time_s)
    assert (meter.busy_s, meter.wait_s) == (pytest.approx(sum(worked)), pytest.approx(sum(waited)))


def test_without_items_there_is_no_percentile() -> None:
    """None rather than a made-up number."""
    assert Meter().percentile_s(0.5) is None


def test_an_item_of_no_time_is_counted() -> None:
    """Zero seconds, as a coarse clock gives them, are as short as can be measured."""
    meter = Meter()
    meter.worked(0.0)
    assert meter.percentile_s(0.5) == pytest.approx(1e-5, rel=0.1)
