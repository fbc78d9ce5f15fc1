"""Checksums: those that the list gives, and digests of a body checked against them."""

import hashlib
import re
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from downloader.http.errors import FetchError
from downloader.http.headers import Checksum
from downloader.model.failures import FailureKind
from downloader.model.items import Item

_READ_BYTES = 256 * 1024
_THREAD_FROM_BYTES = 8 * 1024**2
"""Of a longer body, the rest is hashed in a thread of its own, while its next bytes are received and written."""
_BATCH_BYTES = 256 * 1024
_MAX_BATCHES = 2
"""Bytes passed to that thread at once, and how many such batches may wait for it: at most 0.75 MiB a download."""


class Digests:
    """Incremental digests of a body, checked against expected checksums; sha256 is always among them.

    Args:
        listed: the checksum that the list gives.
        sent: those that the server sent, the strongest first.
    """

    def __init__(self, listed: Checksum | None, sent: list[Checksum]) -> None:
        self._expected = [*([listed] if listed else []), *sent[:1]]
        names = {"sha256", *(checksum.name for checksum in self._expected)}
        self._hashes = {name: hashlib.new(name) for name in names}
        self._size = 0
        self._thread: ThreadPoolExecutor | None = None
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._waiting: deque[Future[None]] = deque()

    def update(self, data: bytes) -> None:
        """Add the next bytes of the body."""
        self._size += len(data)
        if self._size <= _THREAD_FROM_BYTES:
            self._hash([data])
            return
        self._batch.append(data)
        self._batch_bytes += sys.getsizeof(data)  # a server may send single bytes
        if self._batch_bytes >= _BATCH_BYTES:
            self._hash_in_thread()

    def update_from(self, body: BinaryIO, size: int | None = None) -> None:
        """Add the content of a file, or its first `size` bytes; the file is left at their end."""
        left = sys.maxsize if size is None else size
        while data := body.read(min(_READ_BYTES, left)):
            self.update(data)
            left -= len(data)

    def sha256(self) -> str:
        """In hexadecimal, of the bytes so far."""
        self._settle()
        return self._hashes["sha256"].hexdigest()

    def mismatch(self) -> str | None:
        """The first checksum that does not match, as a message with both values; None if all do."""
        self._settle()
        for name, expected in self._expected:
            found = self._hashes[name].digest()
            if found != expected:
                return f"the {name} of the body is {found.hex()}, but should be {expected.hex()}"
        return None

    def _hash(self, pieces: list[bytes]) -> None:
        for digest in self._hashes.values():
            for data in pieces:
                digest.update(data)

    def _hash_in_thread(self) -> None:
        """Pass on the batch; the thread ends with `_settle`, or with this object if a download breaks off."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="hash")
        if len(self._waiting) == _MAX_BATCHES:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._hash, self._batch))
        self._batch, self._batch_bytes = [], 0

    def _settle(self) -> None:
        """Wait until all bytes are hashed."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
            while self._waiting:
                self._waiting.popleft().result()
        self._hash(self._batch)
        self._batch, self._batch_bytes = [], 0


def checksum_is_listed(item: Item) -> bool:
    """Whether the list gives a checksum of the bytes."""
    return item.request is not None and item.request.checksum is not None


def listed_checksum(item: Item) -> Checksum | None:
    """The checksum that the list gives; raises FetchError if it is malformed."""
    if item.request is None or item.request.checksum is None:
        return None
    try:
        return parse_checksum(item.request.checksum)
    except ValueError as error:
        raise FetchError(
            FailureKind.CHECKSUM, f"the checksum in the list cannot be used: {error}", final=True
        ) from None


_USER_CHECKSUM = re.compile(r"(?P<name>[A-Za-z0-9_/-]+)[:=](?P<hex>[0-9A-Fa-f]+)")


def parse_checksum(text: str) -> Checksum:
    """A checksum as users write it: `sha256:HEX`, `sha-256=HEX` (aria2), `md5:HEX`; any fixed-length hash of hashlib.

    Raises:
        ValueError: it is not a checksum; says why.
    """
    match = _USER_CHECKSUM.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text[:100]!r} is not a checksum; write for example sha256:HEX or md5:HEX")
    name, size_bytes = _hash_named(match["name"])
    if len(match["hex"]) != 2 * size_bytes:
        raise ValueError(f"a {name} checksum has {2 * size_bytes} hex digits, not {len(match['hex'])}")
    return Checksum(name, bytes.fromhex(match["hex"]))


def _hash_named(text: str) -> tuple[str, int]:
    """The name of an algorithm in hashlib, and its digest size; understands `SHA-256`, `sha3-256`, `sha512/256`."""
    asked = text.lower()
    for name in (asked, asked.replace("-", ""), re.sub("[-/]", "_", asked)):
        if name in hashlib.algorithms_available:
            try:
                size_bytes = hashlib.new(name, usedforsecurity=False).digest_size
            except ValueError:  # listed, but disabled by the system's policy
                continue
            if size_bytes:  # the shake family has no fixed size
                return name, size_bytes
    raise ValueError(f"{text[:100]!r} is not a hash known here; write for example sha256:HEX or md5:HEX")
