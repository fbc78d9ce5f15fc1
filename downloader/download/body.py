"""The body of a response: reading it within limits, and writing it into a staged file."""

import os
from collections.abc import Iterator
from sys import getsizeof
from types import TracebackType
from typing import Self

from downloader.clock import active_clock
from downloader.config.settings import DownloadOptions
from downloader.config.values import show_size
from downloader.download.rate import ByteRate, MinimumSpeed
from downloader.http.abort import AbortSignal
from downloader.http.coding import decoder
from downloader.http.errors import FetchError
from downloader.http.response import Response
from downloader.model.failures import FailureKind

_BUFFER_BYTES = 256 * 1024
"""Written to disk in pieces of about this size."""
_WRITE = os.O_WRONLY | getattr(os, "O_BINARY", 0)  # only Windows has it
_CREATE = _WRITE | os.O_CREAT | os.O_EXCL


class BodyReader:
    """Reads bodies: decoded, no faster than `--limit-rate` and no slower than `--min-speed`.

    Args:
        settings: of the run.
        rate: the limit of the run, or None.
        abort: of the run.

    Attributes:
        received_bytes: of all bodies so far, also of those that are not complete.
    """

    def __init__(self, settings: DownloadOptions, rate: ByteRate | None, abort: AbortSignal) -> None:
        self.received_bytes = 0
        self._settings = settings
        self._rate = rate
        self._abort = abort

    def decoded(self, response: Response) -> Iterator[bytes]:
        """The body piece by piece, without its content coding.

        Raises:
            FetchError: it is too slow.
            Interrupted: the run is being aborted.
            CodingError: it cannot be decoded.
        """
        if not response.coding:
            yield from self.raw(response)
            return
        decode = decoder(response.coding, self._settings.max_size)
        for chunk in self.raw(response):
            yield from decode.decode(chunk)
        decode.finish()

    def raw(self, response: Response) -> Iterator[bytes]:
        """The body piece by piece, as received. Raises as `decoded` does."""
        speed = MinimumSpeed(self._settings.min_speed, active_clock())
        for chunk in response.body:
            self._abort.check()
            self.received_bytes += len(chunk)
            if speed.too_slow(len(chunk), active_clock()):
                least = show_size(self._settings.min_speed)
                raise FetchError(FailureKind.TOO_SLOW, f"slower than {least} a second; --min-speed allows less")
            if self._rate is not None:
                delay_s = self._rate.delay_s(len(chunk), active_clock())
                self._abort.wait(delay_s)
                speed.waited(delay_s)
            yield chunk


class BodyFile:
    """Writes a new file, or an existing one from byte `at` on, where it is truncated.

    Like `open`, but without asking the system for the size and position of the file: two of the fifteen system calls
    that a small download takes, each a chance for other threads to take the interpreter's lock.

    Raises:
        FileExistsError: the file to create exists.
        OSError: as with any file, from `write` and `flush` as well.
    """

    def __init__(self, path: str, at: int = 0) -> None:
        self._handle = os.open(path, _WRITE if at else _CREATE, 0o666)
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        if at:
            os.ftruncate(self._handle, at)
            os.lseek(self._handle, at, os.SEEK_SET)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            os.close(self._handle)

    def write(self, data: bytes) -> None:
        """Add bytes; they are passed to the system once there are enough, with `flush`, or at the end."""
        self._pieces.append(data)
        self._waiting_bytes += getsizeof(data)  # a server may send single bytes
        if self._waiting_bytes >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass everything written so far to the system."""
        left = memoryview(b"".join(self._pieces))
        self._pieces, self._waiting_bytes = [], 0
        while left:
            left = left[os.write(self._handle, left) :]
