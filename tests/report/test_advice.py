import pytest

from downloader.report.advice import Evidence, advise, bottleneck, reason
from downloader.scheduling.circuit_breaker import SetAside


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
    evidence = Evidence(download_busy=download, transform_busy=transform, queue_full=full, writer_busy=writer)
    assert bottleneck(evidence) == limit
    assert (reason(evidence) is None) == (limit == "none")


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (Evidence(download_busy=0.91), "busy 91 % of the time: downloads are the limit; more --threads"),
        (
            Evidence(queue_full=0.83, processes=2, cpus=8),
            "the queue was full 83 % of the time: transforms are the limit, and 6 of 8 cores have no process; raise",
        ),
        (Evidence(transform_busy=0.9, processes=8, cpus=8), None),
        (Evidence(writer_busy=0.75), "stored 75 % of the time: the disk is the limit"),
        (Evidence(parent_cpu=0.97, cpus=8, download_busy=0.9), "used 97 % of a core, and can use no more than one"),
        (Evidence(parent_cpu=0.97, cpus=8, shards=4), "4 shards are more than it can feed"),
        (Evidence(parent_cpu=0.97, cpus=1), None),
        (Evidence(), None),
    ],
)
def test_advice_fits_the_limit(evidence: Evidence, text: str | None) -> None:
    """One piece of advice for each limit, with its figures; none where nothing can be done."""
    advice = advise(evidence)
    assert len(advice) == (text is not None)
    assert text is None or text in advice[0]


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (Evidence(total=100, failures={"timeout": 10, "dns": 3}), "10 of 100 items failed as timeout: `status OUT"),
        (Evidence(total=100, failures={"timeout": 9}), None),
        (Evidence(total=0, failures={"dns": 0}), None),
        (Evidence(total=1000, failures={"dns": 12}), "for 1 % of the items no address was found (dns)"),
        (Evidence(total=1000, failures={"dns": 9}), None),
        (Evidence(total=9, failures={"checksum": 9}), "is --checksum-column right?"),
        (Evidence(total=90, succeeded=85, failures={"checksum": 5}), None),
        (Evidence(total=900, succeeded=899, failures={"out_of_memory": 1}), "--worker-memory allows: raise it"),
        (
            Evidence(total=900, failures={"tls": 20}, failing_hosts=[("a.test", 19), ("b.test", 1)]),
            "95 % of the failures are of one host, a.test",
        ),
        (Evidence(total=900, failures={"tls": 20}, failing_hosts=[("a.test", 17), ("b.test", 3)]), None),
        (Evidence(total=900, failures={"tls": 9}, failing_hosts=[("a.test", 9)]), None),
    ],
)
def test_advice_on_failures(evidence: Evidence, text: str | None) -> None:
    """The most frequent kind from a tenth of all items on; likely causes of some kinds; a host that fails alone."""
    advice = advise(evidence)
    assert len(advice) == (text is not None)
    assert text is None or text in advice[0]


def test_advice_on_hosts_that_were_set_aside() -> None:
    """Three have a sentence of their own, the others one together."""
    hosts = [SetAside(host=f"{name}.test", items=9, reason="it hangs") for name in "abcde"]
    *own, others = advise(Evidence(set_aside=hosts))
    assert len(own) == 3
    assert "9 items of a.test were set aside: it hangs" in own[0]
    assert others.startswith("18 items of 2 other hosts")
