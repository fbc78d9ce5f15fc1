import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.report.summary import QueueFigures, StageFigures, Summary, merge, share
from downloader.scheduling.circuit_breaker import SetAside
from downloader.telemetry.meters import Histogram


def stage(busy: float) -> StageFigures:
    durations = Histogram()
    durations.add(0.1)
    return StageFigures(workers=2, available_s=10.0, busy_s=10 * busy, wait_s=1.0, durations=durations)


@pytest.mark.parametrize(
    ("part", "whole", "expected"), [(1, 4, 0.25), (5, 4, 1), (-1, 4, 0), (1, 0, None), (0, -1, None)]
)
def test_shares_lie_between_nought_and_one(part: float, whole: float, expected: float | None) -> None:
    """A share of time is in [0, 1], and None where no time passed."""
    assert share(part, whole) == expected


def test_json_has_the_keys_that_users_script_against() -> None:
    """The JSON form has exactly these keys, round-trips through JSON, and rounds shares."""
    full = Summary(
        total=3,
        succeeded=1,
        failed=1,
        skipped=1,
        pending=0,
        failures={"dns": 1},
        skips={"exists": 1},
        duration_s=1.23456,
        download=stage(1 / 3),
        transform=stage(0.5),
        queue=QueueFigures(size=8, samples=10, depths=10, full=0, empty=1),
        new=1,
    )
    shown = json.loads(json.dumps(full.to_json()))
    assert list(shown) == [
        *("total", "succeeded", "failed", "skipped", "pending", "failures", "skips", "bytes_downloaded"),
        *("bytes_written", "duration_s", "succeeded_per_s", "attempted_per_s", "stages", "queue", "bottleneck"),
        *(
            "advice",
            "peak_rss_bytes",
            "versions",
            "new",
            "changed",
            "unchanged",
            "statuses",
            "failing_hosts",
            "bottleneck_reason",
            "parent_cpu_s",
            "pace",
            "cautions",
            "left_alone",
            "set_aside",
            "groups",
            "shards",
            "rebuilds",
            "interrupted",
            "gave_up",
        ),
    ]
    timed = {"wait_share": 0.1, "p50_s": 0.1007, "p99_s": 0.1007}
    assert shown["stages"] == {
        "download": {"threads": 2, "busy_share": 0.3333, **timed},
        "transform": {"processes": 2, "busy_share": 0.5, **timed},
    }
    assert shown["queue"] == {"size": 8, "mean_depth": 1.0, "full_share": 0.0, "empty_share": 0.1}
    assert shown["duration_s"] == 1.235
    assert shown["peak_rss_bytes"] == {"parent": 0, "worker_max": None}


def test_json_of_a_bare_summary_has_the_same_keys() -> None:
    """What is not known is null, not missing."""
    shown = Summary().to_json()
    assert shown["stages"] == {"download": None, "transform": None}
    assert shown["queue"] is shown["bottleneck"] is shown["succeeded_per_s"] is None


numbers = st.integers(0, 50)
kinds = st.dictionaries(st.sampled_from(["dns", "timeout", "tls"]), st.integers(1, 9))
histograms = st.dictionaries(st.integers(-20, 20), st.integers(1, 5)).map(lambda found: Histogram(Counter(found)))
figures = st.none() | st.builds(
    StageFigures, workers=numbers, available_s=numbers, busy_s=numbers, wait_s=numbers, durations=histograms
)
queues = st.none() | st.builds(QueueFigures, size=numbers, samples=numbers, depths=numbers, full=numbers, empty=numbers)
summaries = st.builds(
    Summary,
    total=numbers,
    succeeded=numbers,
    failed=numbers,
    failures=kinds,
    skips=kinds,
    duration_s=numbers,
    new=numbers,
    download=figures,
    transform=figures,
    queue=queues,
    peak_rss_worker_bytes=st.none() | numbers,
    cautions=st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(tuple),
    interrupted=st.booleans(),
    gave_up=st.none() | st.sampled_from(["x", "y"]),
    set_aside=st.dictionaries(st.sampled_from(["a.test", "b.test"]), st.integers(1, 9)).map(
        lambda hosts: tuple(
            SetAside(host=host, items=items, reason="down")
            for host, items in sorted(hosts.items(), key=lambda entry: (-entry[1], entry[0]))
        )
    ),
    versions=st.dictionaries(st.sampled_from(["python", "httpx"]), st.sampled_from(["1", "2"])),
)


@given(summaries, summaries, summaries)
def test_merging_is_associative(a: Summary, b: Summary, c: Summary) -> None:
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(summaries)
def test_an_empty_summary_changes_nothing(a: Summary) -> None:
    assert merge(a, Summary()) == merge(Summary(), a) == a


@given(summaries, summaries)
def test_merged_counts_are_sums_and_percentiles_those_of_all_items(a: Summary, b: Summary) -> None:
    """Percentiles cannot be averaged: they come from the merged histograms."""
    both = merge(a, b)
    assert (both.total, both.failed, both.new) == (a.total + b.total, a.failed + b.failed, a.new + b.new)
    assert sum(both.failures.values()) == sum(a.failures.values()) + sum(b.failures.values())
    if a.download and b.download:
        assert both.download
        assert both.download.durations == a.download.durations.merged(b.download.durations)
