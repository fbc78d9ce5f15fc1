from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.scheduling.limiter import INITIAL_LIMIT, MAX_LIMIT, ConcurrencyLimiter, Totals

KIBI = 1024
counts = st.integers(0, 10_000)


def driven(windows: int, rate: Callable[[int], float], **shares: float) -> tuple[ConcurrencyLimiter, list[int]]:
    """A limiter over windows of a second, in which a limit brings `rate(limit)` items of 100 KiB; its limits."""
    limiter, now_s, limits = ConcurrencyLimiter(0.0), 0.0, [INITIAL_LIMIT]
    items = errors = waited_s = 0.0
    for window in range(1, windows + 1):
        now_s += 1.0
        items += rate(limiter.limit)
        errors += rate(limiter.limit) * shares.get("errors", 0.0)
        waited_s += limiter.limit * shares.get("waited", 0.0)
        totals = Totals(
            items=int(items),
            bytes=int(items) * 100 * KIBI,
            errors=int(errors),
            waited_s=waited_s,
            held_back=window if shares.get("held_back", 1.0) else 0,
        )
        limits.append(limiter.look(now_s, totals))
    return limiter, limits


@given(
    st.lists(st.builds(Totals, items=counts, bytes=counts, errors=counts, waited_s=st.floats(0, 1e6), held_back=counts))
)
def test_the_limit_has_bounds(looks: list[Totals]) -> None:
    """Law: whatever is counted, also nonsense, there are at least 2 and at most 64 at a time."""
    limiter = ConcurrencyLimiter(0.0)
    for second, totals in enumerate(looks, 1):
        assert 2 <= limiter.look(float(second), totals) <= MAX_LIMIT


@given(st.floats(0.02, 0.5), st.floats(30, 2000))
def test_it_settles_within_seconds_near_the_best(latency_s: float, most_per_s: float) -> None:
    """Law: for servers of any latency and capacity, 8 s are enough to come within a third of what 64 would bring."""

    def rate(limit: int) -> float:
        return min(limit / latency_s, most_per_s)

    limiter, limits = driven(8, rate)
    assert rate(limiter.limit) >= rate(MAX_LIMIT) / 1.5
    _, limits = driven(60, rate)
    assert sum(a != b for a, b in pairwise(limits)) <= 12


def test_what_brings_nothing_is_taken_back() -> None:
    """The processor is the limit: one step up is tried, taken back, and not tried again for a while."""
    limiter, limits = driven(10, lambda _: 500.0)
    assert limits[1] > INITIAL_LIMIT
    assert set(limits[2:]) == {INITIAL_LIMIT}
    assert limiter.why == "more brought no gain"


def test_slow_servers_get_as_many_as_there_may_be() -> None:
    """200 ms away and no end of capacity: 64 within seconds."""
    limiter, limits = driven(8, lambda limit: limit / 0.2)
    assert limits[-1] == MAX_LIMIT
    assert limiter.why == "the largest number that is tried"


@pytest.mark.parametrize(
    ("shares", "why"),
    [({"errors": 0.5}, "servers could not keep up with more"), ({"waited": 0.8}, "transforms are the limit")],
)
def test_trouble_brings_it_down(shares: dict[str, float], why: str) -> None:
    """Failing servers, or a next stage that is behind, lower the limit step by step, to no less than 2."""
    limiter, limits = driven(10, lambda limit: limit * 10.0, **shares)
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] == 2
    assert limiter.why == why


def test_what_is_not_used_is_not_raised() -> None:
    """Few hosts, or a short list: where the limit keeps nobody back it stays."""
    limiter, limits = driven(10, lambda limit: limit * 10.0, held_back=0.0)
    assert set(limits) == {INITIAL_LIMIT}
    assert limiter.why == "there was no use for more"
