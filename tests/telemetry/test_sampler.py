"""What processes use, seen from outside."""

import subprocess
import sys
import time

from downloader.telemetry.interface import ProcessUsage
from downloader.telemetry.sampler import OwnUsageMeter, UsageMeter


def test_what_processes_that_are_gone_have_used_still_counts() -> None:
    """CPU time never falls, as pools and shards are replaced; memory is that of those that are there."""
    meter = UsageMeter(interval_s=0.0)
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        until = time.monotonic() + 30
        while (seen := meter.usage([process.pid])).cpu_s < 0.1:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert seen.rss_bytes > 1_000_000
    finally:
        process.kill()
        process.wait()
    after = meter.usage([process.pid])
    assert after.cpu_s >= seen.cpu_s
    assert after.rss_bytes == 0
    assert meter.usage([]) == after


def test_processes_are_not_looked_at_more_often_than_told() -> None:
    meter = UsageMeter(interval_s=1000.0)
    assert meter.usage([]) == ProcessUsage()
    assert meter.usage([1]) == ProcessUsage()


def test_this_process_is_measured_from_the_beginning_of_the_run() -> None:
    usage = OwnUsageMeter().usage()
    assert 0 <= usage.cpu_s < 1
    assert usage.rss_bytes > 1_000_000
