"""A body on its way into its staged file."""

import os
from sys import getsizeof
from types import TracebackType
from typing import Self

_BUFFER_BYTES = 256 * 1024
"""Written to disk in pieces of about this size."""
_WRITE = os.O_WRONLY | getattr(os, "O_BINARY", 0)  # which only Windows has
_MAKE = _WRITE | os.O_CREAT | os.O_EXCL


class BodyFile:
    """Writes a file that it makes, or one that there is from byte `at` on; what is behind that goes.

    What `open` would do, without asking the system for the size and the place of every file: two of the fifteen calls
    that a small download takes, each a chance for other threads to take the interpreter's lock away (ADR 0025).

    Raises:
        FileExistsError: there is such a file, where it is to be made.
        OSError: as always with files, from `write` and `flush` as well.
    """

    def __init__(self, path: str, at: int = 0) -> None:
        self._handle = os.open(path, _WRITE if at else _MAKE, 0o666)
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
        """The next bytes; given to the system when there are enough of them, or with `flush`, or at the end."""
        self._pieces.append(data)
        self._waiting_bytes += getsizeof(data)  # a server may send single bytes
        if self._waiting_bytes >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Give all that was written to the system."""
        left = memoryview(b"".join(self._pieces))
        self._pieces, self._waiting_bytes = [], 0
        while left:
            left = left[os.write(self._handle, left) :]
