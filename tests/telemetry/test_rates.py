import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.telemetry.rates import RecentRate, RecentShare


def test_a_rate_follows_the_last_seconds() -> None:
    """Fast at first, then nothing for longer than the window: the rate is that of now, not the average."""
    rate = RecentRate(5.0)
    assert rate.look(0.0, 0) == 0
    assert rate.look(1.0, 20) == 20
    assert rate.look(2.0, 40) == 20
    assert rate.look(4.0, 40) == 10
    assert rate.look(7.0, 40) == 0
    assert rate.look(8.0, 41) == pytest.approx(1 / 6)  # since 2.0


@given(st.lists(st.floats(0.01, 3.0), min_size=2, max_size=60), st.floats(0.1, 1000.0))
def test_a_steady_growth_has_that_rate(steps: list[float], per_s: float) -> None:
    rate, now_s = RecentRate(5.0), 0.0
    rate.look(now_s, 0.0)
    for step in steps:
        now_s += step
        assert rate.look(now_s, per_s * now_s) == pytest.approx(per_s)


def test_many_looks_take_little_memory() -> None:
    """A thousand looks a second are not remembered one by one."""
    rate = RecentRate(5.0)
    for step in range(20_000):
        rate.look(step / 1000, step)
    assert len(rate._points) < 30  # noqa: SLF001 - memory cannot be seen otherwise


def test_a_share_follows_the_last_seconds() -> None:
    share = RecentShare(4.0)
    assert share.look(0.0, value=True) == 1
    assert share.look(1.0, value=False) == 1
    assert share.look(2.0, value=False) == 0.5
    assert share.look(4.0, value=True) == 0.25
    assert share.look(8.0, value=True) == 1
    assert share.look(8.0, value=True) == 1
