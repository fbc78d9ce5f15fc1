import json

import pytest

from downloader.report.summary import QueueFigures, StageFigures, Summary, advise, bottleneck, share


def stage(busy: float | None) -> StageFigures:
    return StageFigures(workers=2, busy_share=busy, wait_share=0.0, p50_s=0.1, p99_s=0.2)


def queue(full: float | None) -> QueueFigures:
    return QueueFigures(size=8, mean_depth=1.0, full_share=full, empty_share=0.1)


@pytest.mark.parametrize(
    ("download", "transform", "hand_off", "writer", "limit"),
    [
        (stage(0.9), stage(0.2), queue(0.0), 0.1, "download"),
        (stage(0.9), stage(0.2), queue(0.6), 0.1, "transform"),
        (stage(0.2), stage(0.9), queue(0.0), 0.1, "transform"),
        (stage(0.9), stage(0.9), queue(0.9), 0.8, "output"),
        (stage(0.2), stage(0.2), queue(0.2), 0.2, "none"),
        (stage(0.7), stage(0.7), queue(0.5), 0.7, "none"),
        (stage(0.9), None, None, 0.1, "download"),
        (stage(None), stage(None), queue(None), None, "none"),
        (None, stage(0.9), queue(0.0), 0.1, "transform"),
        (None, None, None, None, "none"),
    ],
)
def test_who_the_others_waited_for(
    download: StageFigures | None,
    transform: StageFigures | None,
    hand_off: QueueFigures | None,
    writer: float | None,
    limit: str,
) -> None:
    """Writer above 70 % first, then a queue full over half of the time or busy transforms, then busy downloads."""
    assert bottleneck(download, transform, hand_off, writer) == limit


@pytest.mark.parametrize(
    ("limit", "all_used", "word"),
    [
        ("download", False, "--threads"),
        ("download", True, "--threads"),
        ("transform", False, "--processes"),
        ("transform", True, None),
        ("output", True, "disk"),
        ("none", False, None),
        (None, False, None),
    ],
)
def test_advice_fits_the_limit(limit: str | None, word: str | None, *, all_used: bool) -> None:
    """One piece of advice for each limit; none where nothing can be done, as with every processor in use."""
    advice = advise(limit, {}, 100, all_processors_used=all_used)
    assert len(advice) == (word is not None)
    assert word is None or word in advice[0]


@pytest.mark.parametrize(
    ("failures", "total", "text"),
    [
        ({"dns": 10, "timeout": 3}, 100, "10 of 100 items failed as dns: `status --items --kind dns`"),
        ({"dns": 9}, 100, None),
        ({}, 100, None),
        ({"dns": 0}, 0, None),
    ],
)
def test_advice_on_failures(failures: dict[str, int], total: int, text: str | None) -> None:
    """The most frequent kind is pointed out from a tenth of all items on."""
    advice = advise("none", failures, total, all_processors_used=True)
    assert bool(advice) is (text is not None)
    assert text is None or text in advice[0]


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
        queue=queue(0.0),
        bottleneck="none",
        advice=("x",),
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
            "unchanged",
            "pace",
            "cautions",
            "left_alone",
            "rebuilds",
            "interrupted",
            "gave_up",
        ),
    ]
    timed = {"wait_share": 0.0, "p50_s": 0.1, "p99_s": 0.2}
    assert shown["stages"] == {
        "download": {"threads": 2, "busy_share": 0.3333, **timed},
        "transform": {"processes": 2, "busy_share": 0.5, **timed},
    }
    assert shown["queue"] == {"size": 8, "mean_depth": 1.0, "full_share": 0.0, "empty_share": 0.1}
    assert shown["duration_s"] == 1.235
    assert shown["peak_rss_bytes"] == {"parent": 0, "worker_max": None}


def test_json_of_a_bare_summary_has_the_same_keys() -> None:
    """What is not known is null, not missing."""
    shown = Summary(total=0, succeeded=0, failed=0, skipped=0, pending=0).to_json()
    assert shown["stages"] == {"download": None, "transform": None}
    assert shown["queue"] is shown["bottleneck"] is shown["succeeded_per_s"] is None
