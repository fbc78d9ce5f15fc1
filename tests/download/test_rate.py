import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.download.rate import SLOW_WINDOW_S, ByteRate, MinimumSpeed

KIBI = 1024
chunks = st.lists(st.tuples(st.integers(1, 200_000), st.floats(0, 2)), min_size=1, max_size=60)


@given(st.integers(1, 10_000_000), chunks)
def test_nobody_takes_more_than_the_rate(bytes_per_s: int, steps: list[tuple[int, float]]) -> None:
    """Law: a caller that waits as told has never taken more than rate x time, whatever comes when."""
    rate, now_s, taken = ByteRate(bytes_per_s), 0.0, 0
    for size, pause_s in steps:
        now_s += pause_s
        now_s += rate.delay_s(size, now_s)
        taken += size
        assert taken <= bytes_per_s * now_s * (1 + 1e-9) + 1e-6


def test_a_rate_does_not_hold_back_more_than_it_must() -> None:
    """Three seconds of bytes at once take three seconds; time that nobody used is not saved up."""
    rate = ByteRate(100)
    assert rate.delay_s(300, 0.0) == pytest.approx(3.0)
    assert rate.delay_s(100, 50.0) == pytest.approx(1.0)


@given(st.integers(1, 10**6), st.floats(1.05, 3), st.floats(0.1, 5))
def test_a_body_that_keeps_the_least_speed_is_left_alone(least: int, faster: float, step_s: float) -> None:
    """Law: steady bytes above the least speed are never too slow, however long it lasts."""
    speed, now_s = MinimumSpeed(least, 0.0), 0.0
    for _ in range(200):
        now_s += step_s
        assert not speed.too_slow(round(least * faster * step_s) + 1, now_s)


def test_a_slow_body_ends_with_its_first_window() -> None:
    """A byte every second at a least speed of 1 KiB/s: too slow after 30 s, and not before."""
    speed = MinimumSpeed(KIBI, 0.0)
    assert next(second for second in range(1, 41) if speed.too_slow(1, float(second))) == SLOW_WINDOW_S


def test_a_fast_beginning_does_not_excuse_the_rest() -> None:
    """Each window counts for itself: a gigabyte in the first one does not carry a stalled body through the second."""
    speed = MinimumSpeed(KIBI, 0.0)
    assert not speed.too_slow(10**9, 30.0)
    assert speed.too_slow(1, 60.0)


def test_time_that_we_held_back_does_not_count() -> None:
    """--limit-rate below --min-speed: our own waiting is not the server's slowness."""
    speed = MinimumSpeed(KIBI, 0.0)
    for second in range(1, 100):
        speed.waited(1.0)
        assert not speed.too_slow(1, float(second))


def test_a_least_speed_of_nought_allows_everything() -> None:
    """--min-speed 0 turns it off."""
    speed = MinimumSpeed(0, 0.0)
    assert not any(speed.too_slow(1, 100.0 * number) for number in range(1, 20))
