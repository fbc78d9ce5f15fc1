"""The workloads, and the targets for each."""

from dataclasses import dataclass
from typing import Literal

from benchmarks.contestants import (
    ARIA2,
    CURL,
    GM,
    IMG2DATASET,
    LIBCURL,
    OURS,
    SHARDED,
    VIPS,
    Contestant,
    bytes_only,
    from_folder,
    from_web,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`ours` is to be `at_least` times as fast as the fastest of `against`, by the clock or by CPU time."""

    at_least: float
    against: tuple[str, ...]
    ours: str = OURS
    by: Literal["clock", "CPU"] = "clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One row of the comparison.

    `corpus` names the files. `local`: read from a folder, without a server. `latency_s` is that of the server, 0 if it
    answers as fast as it can; with a latency, `threads` requests wait for it at a time, and a perfect client fetches
    `threads / latency_s` items per second.
    """

    name: str
    title: str
    corpus: str
    contestants: tuple[Contestant, ...]
    targets: tuple[Target, ...] = ()
    local: bool = False
    latency_s: float = 0.0
    threads: int = 0

    def ideal_s(self, count: int) -> float | None:
        """Seconds a perfect client takes; None if the server's latency is not the limit."""
        return count * self.latency_s / self.threads if self.latency_s else None


_FETCHES = (
    Target(at_least=0.9, against=(LIBCURL,), by="CPU"),
    Target(at_least=2, against=(ARIA2,)),
    Target(at_least=1, against=(OURS,), ours=SHARDED),
)
"""What is wanted of downloads alone."""

IDEAL = "threads / latency"
"""A hypothetical contestant that only waits for the server."""

WORKS = (
    Work(
        name="web",
        title="JPEGs of 500 to 1600 px from a web server to 256 px",
        corpus="web",
        contestants=from_web(),
        targets=(Target(at_least=2.2, against=(IMG2DATASET,)), Target(at_least=0.9, against=(LIBCURL,))),
    ),
    Work(
        name="large",
        title="JPEGs of 12 megapixels from a web server to 256 px",
        corpus="large",
        contestants=from_web(),
        targets=(Target(at_least=4.5, against=(IMG2DATASET,)), Target(at_least=0.9, against=(LIBCURL,))),
    ),
    Work(
        name="web-folder",
        title="JPEGs of 500 to 1600 px in a folder to 256 px",
        corpus="web",
        contestants=from_folder(),
        targets=(Target(at_least=2, against=(VIPS, GM)),),
        local=True,
    ),
    Work(
        name="large-folder",
        title="JPEGs of 12 megapixels in a folder to 256 px",
        corpus="large",
        contestants=from_folder(),
        targets=(Target(at_least=1.5, against=(VIPS, GM)),),
        local=True,
    ),
    Work(
        name="bytes100k",
        title="download only, files of 100 KB",
        corpus="bytes100k",
        contestants=bytes_only(),
        targets=_FETCHES,
    ),
    Work(
        name="bytes3k",
        title="download only, files of 3 KB",
        corpus="bytes3k",
        contestants=bytes_only(),
        targets=_FETCHES,
    ),
    Work(
        name="latency",
        title="download only, files of 3 KB, a server that answers after 200 ms, 64 at a time",
        corpus="bytes3k",
        contestants=tuple(c for c in bytes_only(64) if c.name in {OURS, CURL}),
        targets=(Target(at_least=0.95, against=(IDEAL,)),),
        latency_s=0.2,
        threads=64,
    ),
)
