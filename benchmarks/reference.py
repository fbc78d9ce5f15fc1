"""A reference: plain libcurl threads that feed our transform, and nothing else.

No journal, checks, retries or fsync: what remains is the least that downloading on threads and transforming in
processes costs in Python. `python -m benchmarks.reference URLS OUT THREADS PROCESSES`, in an
environment that has pycurl beside this project (`make bench-peers`).
"""

import queue
import sys
import threading
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from tempfile import TemporaryDirectory

import pycurl

from downloader.config.settings import TransformOptions
from downloader.config.values import parse_sizes
from downloader.transform.image import render

_ROOM = 64
"""Size of the queue between the two, as in ours."""


def _download(urls: "queue.SimpleQueue[str]", staging: Path, hand_on: "Queue[str | None]") -> None:
    """One thread with one curl handle, hence one kept connection."""
    curl = pycurl.Curl()
    curl.setopt(pycurl.FAILONERROR, 1)
    while True:
        try:
            url = urls.get_nowait()
        except queue.Empty:
            break
        path = staging / url.rpartition("/")[2]
        with path.open("wb") as body:
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.WRITEDATA, body)
            curl.perform()
        hand_on.put(str(path))
    curl.close()


def _transform(taken: "Queue[str | None]", out: str) -> None:
    """One process; ends when it takes None."""
    settings = TransformOptions(resize=parse_sizes("256x256"), quality=85)
    while (path := taken.get()) is not None:
        (image,) = render(Path(path).read_bytes(), settings).renditions
        (Path(out) / Path(path).name).write_bytes(image.data)
        Path(path).unlink()


def main(urls_file: str, out: str, threads: int, processes: int) -> None:
    """Download and transform all URLs of a list."""
    urls: queue.SimpleQueue[str] = queue.SimpleQueue()
    for line in Path(urls_file).read_text().splitlines():
        urls.put(line)
    Path(out).mkdir(exist_ok=True)
    context = get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.reference"])
    files: Queue[str | None] = context.Queue(_ROOM)
    workers = [context.Process(target=_transform, args=(files, out)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    with TemporaryDirectory(dir=Path(out).parent) as staging:
        loops = [threading.Thread(target=_download, args=(urls, Path(staging), files)) for _ in range(threads)]
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join()
        for _ in workers:
            files.put(None)
        for worker in workers:
            worker.join()
    sys.exit(any(worker.exitcode for worker in workers))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
