"""A crew that has gone leaves nothing behind."""

import threading
from pathlib import Path

from downloader.config.settings import TransformOptions
from downloader.transform import worker
from downloader.transform.crew import Crew


def test_no_thread_of_a_crew_outlives_it(tmp_path: Path) -> None:
    """One that did would hold semaphores, of which Python warns the user at its end: so did one run in thirty."""
    before = set(threading.enumerate())
    for let_go in (Crew.release, Crew.dismiss) * 5:
        crew = Crew(1, 4, TransformOptions(), str(tmp_path))
        crew.start()
        crew.wait_until_up()
        crew.channel.put(None)  # starts the thread that fills the queue
        assert crew.submit(worker.consume).result() == []
        let_go(crew)
        assert set(threading.enumerate()) == before
