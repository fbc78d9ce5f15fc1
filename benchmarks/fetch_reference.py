"""A reference: plain libcurl threads that write files and hash them, and nothing else.

No journal, checks, retries or fsync: what remains is the least that downloading on threads costs in Python with a
library in C. `python -m benchmarks.fetch_reference URLS OUT THREADS`, in an environment that has pycurl (`make
bench-peers`).
"""

import queue
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pycurl


class _Body:
    """Where one response goes: a file, and its hash."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = sha256()

    def take(self, data: bytes) -> None:
        """Add what has come."""
        self._file.write(data)
        self._hash.update(data)

    def close(self) -> str:
        """Close the file; its hash."""
        self._file.close()
        return self._hash.hexdigest()


def _download(urls: "queue.SimpleQueue[str]", out: Path, digests: dict[str, str]) -> None:
    """One thread with one curl handle, hence one kept connection."""
    curl = pycurl.Curl()
    curl.setopt(pycurl.FAILONERROR, 1)
    while True:
        try:
            url = urls.get_nowait()
        except queue.Empty:
            break
        body = _Body(out / url.rpartition("/")[2])
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.WRITEFUNCTION, body.take)
        curl.perform()
        digests[url] = body.close()
    curl.close()


def main(urls_file: str, out: str, threads: int) -> None:
    """Download all URLs of a list."""
    listed = Path(urls_file).read_text().splitlines()
    urls: queue.SimpleQueue[str] = queue.SimpleQueue()
    for url in listed:
        urls.put(url)
    Path(out).mkdir(exist_ok=True)
    digests: dict[str, str] = {}
    loops = [threading.Thread(target=_download, args=(urls, Path(out), digests)) for _ in range(threads)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    sys.exit(len(digests) != len(set(listed)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
