import pytest

from downloader.report.advice import advise, bottleneck


@pytest.mark.parametrize(
    ("download", "transform", "full", "writer", "limit"),
    [
        (0.9, 0.2, 0.0, 0.1, "download"),
        (0.9, 0.2, 0.6, 0.1, "transform"),
        (0.2, 0.9, 0.0, 0.1, "transform"),
        (0.9, 0.9, 0.9, 0.8, "output"),
        (0.2, 0.2, 0.2, 0.2, "none"),
        (0.7, 0.7, 0.5, 0.7, "none"),
        (0.9, None, None, 0.1, "download"),
        (None, 0.9, 0.0, 0.1, "transform"),
        (None, None, None, None, "none"),
    ],
)
def test_which_stage_the_others_waited_for(
    download: float | None, transform: float | None, full: float | None, writer: float | None, limit: str
) -> None:
    """Writer above 70 % first, then a queue full over half of the time or busy transforms, then busy downloads."""
    found = bottleneck(download_busy=download, transform_busy=transform, queue_full=full, writer_busy=writer)
    assert found == limit


@pytest.mark.parametrize(
    ("limit", "idle", "word"),
    [
        ("download", True, "--threads"),
        ("download", False, "--threads"),
        ("transform", True, "--processes"),
        ("transform", False, None),
        ("output", False, "disk"),
        ("none", True, None),
        (None, True, None),
    ],
)
def test_advice_fits_the_limit(limit: str | None, word: str | None, *, idle: bool) -> None:
    """One piece of advice for each limit; none where nothing can be done, as with every processor in use."""
    advice = advise(limit, {}, 100, is_processor_idle=idle)
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
    advice = advise("none", failures, total, is_processor_idle=False)
    assert bool(advice) is (text is not None)
    assert text is None or text in advice[0]
