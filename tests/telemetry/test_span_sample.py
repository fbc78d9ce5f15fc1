"""The sample of spans: bounded, and whole where it is kept."""

import math

from hypothesis import given
from hypothesis import strategies as st

from downloader.telemetry.span_sample import SLICE_S, SpanSample, touches

SPANS = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 3)), max_size=120)


@given(SPANS, st.integers(1, 40))
def test_every_span_that_touches_a_kept_slice_is_there(spans: list[tuple[float, float]], limit: int) -> None:
    """And no other; so within a kept slice one sees what happened. Holds after any number of thinnings."""
    sample = SpanSample(limit)
    for number, (start_s, length_s) in enumerate(spans):
        sample.add(start_s, start_s + length_s, 0, 0, number)
    expected = [n for n, (start_s, length_s) in enumerate(spans) if touches(start_s, start_s + length_s, sample.stride)]
    assert list(sample.items) == expected[:limit]
    assert len(sample) <= limit
    assert sample.seen == len(spans)
    if len(spans) <= limit:
        assert sample.stride == 1


@given(st.floats(0, 1e5), st.floats(0, 50), st.integers(0, 12))
def test_touching_is_having_an_instant_in_a_kept_slice(start_s: float, length_s: float, power: int) -> None:
    stride, end_s = 2**power, start_s + length_s
    slices = range(math.floor(start_s / SLICE_S), math.floor(end_s / SLICE_S) + 1)
    assert touches(start_s, end_s, stride) == any(number % stride == 0 for number in slices)


def test_more_spans_in_one_instant_than_there_is_room_for() -> None:
    """Thinning cannot help; the sample stays bounded all the same."""
    sample = SpanSample(10)
    for number in range(50):
        sample.add(0.0, 0.1, 0, 0, number)
    assert len(sample) == 10
    assert sample.seen == 50
