"""Connecting to the first of several addresses that answers ("happy eyeballs", RFC 8305)."""

import math
import os
import selectors
import socket
from collections import deque
from contextlib import suppress

from downloader.clock import active_clock
from downloader.http.abort import AbortSignal
from downloader.http.resolver import Address
from downloader.model.write_errors import check_resources

ATTEMPT_DELAY_S = 0.25
"""Seconds an address is given before the next one is tried as well (RFC 8305, section 5: recommended 250 ms)."""
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # epoll would cost three system calls more


def connect_first(addresses: list[Address], end_s: float, abort: AbortSignal) -> socket.socket:
    """A non-blocking socket connected to the first address that answers.

    An address is tried as soon as all before it have failed, and at the latest 250 ms after the previous one; so one
    that swallows packets costs 250 ms, not the timeout. The other attempts are closed.

    Args:
        addresses: in the order in which to try them.
        end_s: when to give up, by the active clock.
        abort: of the run.

    Raises:
        TimeoutError: none answered in time.
        OSError: all failed; the reason of the last one.
        ResourcesExhausted: no socket can be made.
        Interrupted: the run is being aborted.
    """
    with _Selector() as selector:
        selector.register(abort, selectors.EVENT_READ)
        race = _Race(addresses, selector)
        try:
            while race.goes_on:
                abort.check()
                if (winner := race.step(end_s)) is not None:
                    return winner
        finally:
            race.close()
    raise race.last_error


class _Race:
    """Attempts to connect that are under way, and addresses not tried yet."""

    def __init__(self, addresses: list[Address], selector: selectors.BaseSelector) -> None:
        self.last_error: OSError = OSError("no address")
        self._waiting = deque(addresses)
        self._selector = selector
        self._under_way: set[socket.socket] = set()
        self._next_s = 0.0
        """When the next address is to be tried."""

    @property
    def goes_on(self) -> bool:
        return bool(self._waiting or self._under_way)

    def step(self, end_s: float) -> socket.socket | None:
        """Start an attempt, or wait for one; a connected socket if there is one."""
        now_s = active_clock()
        if now_s >= end_s:
            raise TimeoutError
        if self._waiting and (now_s >= self._next_s or not self._under_way):
            self._next_s = now_s + ATTEMPT_DELAY_S
            try:
                self._begin(self._waiting.popleft())
            except OSError as error:
                check_resources(error)
                self.last_error = error
            return None
        until_s = min(end_s, self._next_s) if self._waiting else end_s
        for key, _ in self._selector.select(None if until_s == math.inf else until_s - now_s):
            if isinstance(key.fileobj, socket.socket) and self._has_connected(key.fileobj):
                return key.fileobj
        return None

    def close(self) -> None:
        """Give up all attempts that are under way."""
        for sock in self._under_way:
            sock.close()

    def _begin(self, address: Address) -> None:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            # A request is sent in one piece; waiting for more (Nagle) would only delay it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(BlockingIOError):  # under way
                sock.connect(address.sockaddr)
            self._selector.register(sock, selectors.EVENT_WRITE)
        except BaseException:
            sock.close()
            raise
        self._under_way.add(sock)

    def _has_connected(self, sock: socket.socket) -> bool:
        """The outcome of an attempt; a failed one is closed."""
        self._selector.unregister(sock)
        self._under_way.discard(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number == 0:
            return True
        sock.close()
        self.last_error = OSError(number, os.strerror(number))
        return False
