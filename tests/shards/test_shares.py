"""How many shards there are, and what each gets."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.config.settings import ConcurrencyOptions, Mode, Settings
from downloader.shards.shares import shard_count, shares_of

Auto = Literal["auto"]


def settings(
    shards: int | Auto = "auto", *, threads: int | Auto = 16, queue_size: int = 64, mode: Mode = "run"
) -> Settings:
    return Settings(mode=mode, concurrency=ConcurrencyOptions(shards=shards, threads=threads, queue_size=queue_size))


@pytest.mark.parametrize(("cpus", "number"), [(1, 1), (2, 1), (4, 1), (5, 1), (8, 2), (16, 4), (64, 16)])
def test_auto_is_one_up_to_four_cpus_then_one_per_four(cpus: int, number: int) -> None:
    assert shard_count(settings(threads=64), cpus=cpus, processes=cpus) == number


@pytest.mark.parametrize(
    ("wanted", "threads", "processes", "mode", "number"),
    [
        (4, 2, 8, "run", 2),
        (4, 8, 3, "run", 3),
        (4, 8, 1, "fetch", 4),
        (4, 1, 4, "process", 4),
        (4, "auto", 8, "run", 4),
        (4, "auto", 1, "fetch", 4),
    ],
)
def test_no_shard_is_without_a_thread_or_a_process(
    wanted: int, threads: int | Auto, processes: int, mode: Mode, number: int
) -> None:
    """`fetch` has no transform processes, and `process` no download threads, that would limit it."""
    assert shard_count(settings(wanted, threads=threads, mode=mode), cpus=2, processes=processes) == number


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64), st.integers(1, 500))
def test_shares_add_up(shards: int, threads: int, processes: int, queue_size: int) -> None:
    """`--threads`, `--processes` and `--queue-size` stay totals; shares differ by at most one."""
    whole = settings(shards, threads=threads, queue_size=queue_size)
    number = shard_count(whole, cpus=2, processes=processes)
    shares = shares_of(whole, number, processes)
    own_threads = [share.concurrency.threads for share, _ in shares]
    own_processes = [own for _, own in shares]
    assert len(shares) == number
    assert sum(int(own) for own in own_threads) == threads
    assert sum(own_processes) == processes
    assert max(own_processes) - min(own_processes) <= 1
    assert sum(share.concurrency.queue_size for share, _ in shares) == max(queue_size, number)


def test_each_shard_finds_its_own_number_of_threads() -> None:
    shares = shares_of(settings(2, threads="auto"), 2, 2)
    assert [share.concurrency.threads for share, _ in shares] == ["auto", "auto"]
