"""Pipes between processes of which one end never waits: neither for the rest of a piece, nor for room."""

import multiprocessing
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from downloader.shards.messages import dumps, loads

_LENGTH = struct.Struct("!I")
_READ_BYTES = 64 * 1024
"""The size of a pipe on Linux."""


class Pipe:
    """Two one-way pipes, seen from one process. One thread sends, one receives.

    Args:
        receiver: where messages come from.
        sender: where they go.
        blocking: whether to wait for messages and for room. Otherwise a process at the other end that is stopped, even
            in the middle of a piece, keeps nobody waiting.
    """

    def __init__(self, receiver: Connection, sender: Connection, *, blocking: bool) -> None:
        self._receiver = receiver
        self._sender = sender
        self._received = bytearray()
        self._unsent = bytearray()
        for end in (receiver, sender):
            os.set_blocking(end.fileno(), blocking)

    def fileno(self) -> int:
        """The file number to wait for: readable when messages have come."""
        return self._receiver.fileno()

    def send(self, messages: Sequence[object]) -> None:
        """Send messages as one piece, as far as there is room; raises OSError if there is nobody left to read."""
        if messages:
            data = dumps(messages)
            self._unsent += _LENGTH.pack(len(data)) + data
        with suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: os.write(self._sender.fileno(), self._unsent)]

    def receive(self) -> list[Any]:
        """The messages that have come; raises EOFError once there are none left and the other end is closed."""
        try:
            data = os.read(self._receiver.fileno(), _READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise EOFError
        self._received += data
        return self._pieces()

    def _pieces(self) -> list[Any]:
        found: list[Any] = []
        at = 0
        while len(self._received) - at >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._received, at)
            end = at + _LENGTH.size + size
            if end > len(self._received):
                break
            found += loads(bytes(self._received[at + _LENGTH.size : end]))
            at = end
        del self._received[:at]
        return found

    def close(self) -> None:
        """Close both."""
        self._receiver.close()
        self._sender.close()


class Waker:
    """Wakes a thread that waits for files to become readable. Its pipe is closed with the last reference to it."""

    def __init__(self) -> None:
        self._receiver, self._sender = multiprocessing.Pipe(duplex=False)
        for end in (self._receiver, self._sender):
            os.set_blocking(end.fileno(), False)

    def fileno(self) -> int:
        """The file number to wait for."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """Make it readable; any thread may call this."""
        with suppress(BlockingIOError):  # woken very often already
            os.write(self._sender.fileno(), b"\0")

    def clear(self) -> None:
        """Make it unreadable again, before looking at what has changed."""
        with suppress(BlockingIOError):
            os.read(self._receiver.fileno(), _READ_BYTES)
