"""How many shards a run has, and what part of it each gets. Pure."""

from dataclasses import replace
from typing import Literal

from downloader.config.settings import Settings

_CPUS_OF_ONE = 4
"""CPUs that one interpreter keeps busy: it feeds 300 to 700 images a second, a transform process makes 100 to 300."""


def shard_count(settings: Settings, *, cpus: int, processes: int) -> int:
    """The number of shards: as asked for, but none without a thread and a transform process of its own."""
    wanted = settings.concurrency.shards
    if wanted == "auto":
        wanted = 1 if cpus <= _CPUS_OF_ONE else cpus // _CPUS_OF_ONE
    threads = settings.concurrency.threads
    limits = [threads] if isinstance(threads, int) and not settings.is_local else []
    limits += [processes] if settings.makes_images else []
    return max(min(wanted, *limits), 1) if limits else wanted


def shares_of(settings: Settings, shards: int, processes: int) -> list[tuple[Settings, int]]:
    """For each shard: the settings with its part of the threads and of the queue, and its transform processes."""
    concurrency = settings.concurrency
    threads = concurrency.threads
    each_processes = _divided(processes, shards)
    each_threads: list[int | Literal["auto"]] = ["auto"] * shards if threads == "auto" else [*_divided(threads, shards)]
    each_queue = _divided(concurrency.queue_size, shards)
    return [
        (replace(settings, concurrency=replace(concurrency, threads=own_threads, queue_size=max(own_queue, 1))), own)
        for own_threads, own_queue, own in zip(each_threads, each_queue, each_processes, strict=True)
    ]


def _divided(number: int, parts: int) -> list[int]:
    """Whole parts of a number that differ by at most one; at least 1 each."""
    least, more = divmod(number, parts)
    return [max(least + (part < more), 1) for part in range(parts)]
