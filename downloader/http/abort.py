"""Ending all network calls of a run at once."""

import select
import socket
import weakref
from contextlib import suppress

from downloader.http.errors import Interrupted


class AbortSignal:
    """Wakes every thread of a run that waits for the network; stays set.

    It is a socket that becomes readable: threads wait for it together with their own. Nothing has to be registered, and
    no socket is shut down while another thread uses it.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        weakref.finalize(self, _close, self._receiver, self._sender)

    def fileno(self) -> int:
        """The file number to wait for: readable once the signal is set."""
        return self._receiver.fileno()

    def set(self) -> None:
        """End all waits, those to come included."""
        self.is_set = True
        with suppress(BlockingIOError):  # set very often already
            self._sender.send(b"\0")  # never read, so that it wakes all

    def wait(self, timeout_s: float) -> None:
        """Sleep; raises Interrupted as soon as the signal is set."""
        if timeout_s > 0 and not self.is_set:
            select.select([self._receiver], [], [], timeout_s)
        self.check()

    def check(self) -> None:
        """Raise Interrupted if the signal is set."""
        if self.is_set:
            raise Interrupted


def _close(*ends: socket.socket) -> None:
    for end in ends:
        end.close()
