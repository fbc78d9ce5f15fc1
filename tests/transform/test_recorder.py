"""Spans are recorded as they happen, and the sums are right however many there are."""

import itertools

import pytest

from downloader.model.spans import Phase, Span, seconds_by_phase
from downloader.transform.recorder import MAX_SPANS, SpanRecorder


def test_neighbours_of_one_phase_are_one_span() -> None:
    recorder = SpanRecorder("lane")
    for phase, start_s, end_s in (
        (Phase.DECODE, 1.0, 2.0),
        (Phase.DECODE, 2.0, 3.0),
        (Phase.ENCODE, 3.0, 4.0),
        (Phase.DECODE, 4.0, 5.0),
    ):
        recorder.add(phase, start_s, end_s)
    assert recorder.spans() == (
        Span(Phase.DECODE, 1.0, 3.0, "lane"),
        Span(Phase.ENCODE, 3.0, 4.0, "lane"),
        Span(Phase.DECODE, 4.0, 5.0, "lane"),
    )


def test_a_phase_that_ends_by_an_exception_is_kept() -> None:
    recorder = SpanRecorder("lane")
    with pytest.raises(KeyboardInterrupt), recorder.phase(Phase.DECODE):
        raise KeyboardInterrupt
    (span,) = recorder.spans()
    assert span.phase is Phase.DECODE
    assert span.start_s <= span.end_s


def test_a_hundred_thousand_frames_make_few_spans() -> None:
    """Beyond the limit each phase has one more span; the seconds of each are right, and spans do not overlap."""
    recorder = SpanRecorder("lane")
    for at in range(0, 200_000, 2):
        recorder.add(Phase.DECODE, at, at + 1)
        recorder.add(Phase.RESIZE, at + 1, at + 2)
    spans = recorder.spans()
    assert len(spans) == MAX_SPANS + 2
    assert seconds_by_phase(spans) == {Phase.DECODE: 100_000, Phase.RESIZE: 100_000}
    assert all(one.end_s <= other.start_s for one, other in itertools.pairwise(spans))
