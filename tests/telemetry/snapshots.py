"""A snapshot of a run with everything in it."""

from dataclasses import replace
from typing import Any

from downloader.model.hosts import HostWait
from downloader.telemetry.snapshot import Snapshot

NOW = Snapshot(
    total=200,
    total_known=True,
    done_before=20,
    downloaded=90,
    not_downloaded=10,
    transformed=50,
    failed=3,
    queue_depth=5,
    queue_size=64,
    bytes_downloaded=3 * 1024**2,
    elapsed_s=10.0,
    downloads_per_s=9.5,
    transforms_per_s=12.0,
    bytes_per_s=2.0 * 1024**2,
    remaining_s=75.0,
    failures={"http_status": 2, "dns": 1},
    statuses={404: 2},
    limit="download",
    waits=(HostWait("a.test", 41, 12.0, "429"), HostWait("b.test", 1, 2.0)),
)


def snapshot(**changes: Any) -> Snapshot:
    """The same with changes."""
    return replace(NOW, **changes)
