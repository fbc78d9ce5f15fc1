"""What the report says of a recording in numbers."""

import pytest
from report_cases import recording_of

from downloader.report.recording import (
    histograms_of,
    histograms_of_items,
    lanes_of,
    largest,
    mean,
    phases_of,
    rate,
    rows_of,
)


def test_lanes_are_in_the_order_of_the_pipeline() -> None:
    lanes = lanes_of(recording_of(60, threads=12, processes=2))
    assert [lane.label for lane in lanes] == [
        *(f"download {n}" for n in range(12)),
        "transform 4000",
        "transform 4001",
        "writer",
    ]
    assert [lane.kind for lane in lanes[-3:]] == ["transform", "transform", "other"]
    assert all(0 < lane.busy_share <= 1 for lane in lanes)


def test_tables_add_up_to_what_happened() -> None:
    """The rates of all rows, times their seconds, are the items; no more than 20 rows."""
    recording = recording_of(600)
    rows = rows_of(
        recording,
        [rate(recording, "stored"), largest(recording, "queue_max"), mean(recording, "queue_depth", "queue_samples")],
    )
    starts = [float(row[0].removesuffix(" s")) for row in rows]
    assert len(rows) <= 20
    step = starts[1] - starts[0]
    assert sum(float(row[1]) for row in rows) * step == pytest.approx(600, rel=0.05)
    assert max(int(row[2]) for row in rows) <= 64
    assert rows_of({"bucket_s": 0.2, "series": {}}, []) == []


def test_latencies_come_from_histograms_or_from_items() -> None:
    """In the order of the pipeline; percentiles are off by 5 % at most."""
    phases = {figures.phase: figures for figures in phases_of(histograms_of(recording_of(100)))}
    assert list(phases) == ["connect", "first_byte", "body", "queue", "decode", "resize", "encode", "write"]
    assert phases["decode"].p50_s == pytest.approx(0.012, rel=0.05)
    assert phases["decode"].number == 100
    items = [{"body": 0.1, "decode": 0.01}, {"body": 0.4}]
    made = phases_of(histograms_of_items(items))
    assert [(figures.phase, figures.number) for figures in made] == [("body", 2), ("decode", 1)]
    assert made[0].p99_s == pytest.approx(0.4, rel=0.05)
    assert phases_of({}) == []
