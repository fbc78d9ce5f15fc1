"""A worker pool that has ended leaves nothing behind."""

import threading
from pathlib import Path

from downloader.config.settings import TransformOptions
from downloader.transform.pool import WorkerPool
from downloader.transform.worker import WorkerConfig


def test_no_thread_of_a_pool_outlives_it(tmp_path: Path) -> None:
    """One that did would hold semaphores, which Python reports as leaked at exit: so did one run in thirty."""
    before = set(threading.enumerate())
    for end in (WorkerPool.shutdown, WorkerPool.terminate) * 5:
        pool = WorkerPool(1, 4, WorkerConfig(settings=TransformOptions(), staging=str(tmp_path)))
        pool.start()
        pool.wait_until_up()
        pool.keep_busy()
        pool.channel.put(None)  # starts the queue's feeder thread
        assert list(pool.results(10)) == []
        end(pool)
        assert set(threading.enumerate()) == before
