"""The network under HTTP: sockets, TLS, proxies; with `client` the home of HTTP.

httpcore speaks HTTP over streams that are opened here, through its public `NetworkBackend`. That is what makes limits
hold that it has no notion of: a deadline for everything including the name look-up, a bound on endless headers, which
addresses may be connected to, and a way to end every blocking call of the run at once.
"""

import importlib.util
import math
import os
import select
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import httpcore
import httpx  # noqa: TID251 - with client.py the home of HTTP

from downloader.config.settings import DownloadOptions
from downloader.download.addresses import is_private
from downloader.download.dns import Address, ResolveProblem, Resolver
from downloader.model.urls import masked

HEADER_LIMIT_BYTES = 256 * 1024
"""Most bytes of all response headers of a request, interim responses and the proxy's answer included, after which it
is a flood: about curl's limit of 300 KiB (lib/http.h, MAX_HTTP_RESP_HEADER_SIZE). h11 bounds one header block only."""
ATTEMPT_DELAY_S = 0.25
"""Seconds an address is given before the next one is tried as well (RFC 8305, section 5: recommended 250 ms)."""
_LOOK_S = 0.25
"""Seconds between two looks at whether the run has stopped, while connecting."""
_LONGEST_POLL_MS = 2**31 - 1
"""24 days, the most that poll() takes."""
KEPT_CONNECTIONS = 8
"""Connections a thread keeps, for the hosts it saw last."""
KEPT_S = 30.0
"""Seconds a connection is kept idle; servers close theirs after 5 s (Apache) to 75 s (nginx)."""
_PROXY_PORTS = {"http": 80, "socks5": 1080, "socks5h": 1080}
"""Proxies that can be used, and their ports where the URL gives none (RFC 9110, 4.2.1; RFC 1928, 3)."""
_HOSTS_DECIDED = 4096
"""Hosts for which the choice of a proxy is remembered."""

Origin = tuple[bytes, bytes, int | None]
"""Scheme, host, and port where it is not the usual one: what a connection can be used for."""


class Overdue(Exception):
    """The deadline of the item has passed."""


class Aborted(Exception):
    """The run ends now."""


class HeaderFlood(Exception):
    """More header than any honest server sends."""


class Blocked(Exception):
    """The host is at an address that may not be connected to; the message says so to the user."""


@dataclass(slots=True)
class Watch:
    """What one thread's current request may take, and what it took. One for each transport, set before each request.

    `deadline_s`, `stopped` and `timings_s` are set by the client; the transport resets the rest with each request.
    """

    deadline_s: float = math.inf
    """Monotonic."""
    stopped: Callable[[], bool] = lambda: False
    """Whether the run ends now."""
    timings_s: dict[str, float] = field(default_factory=dict)
    """Gets `dns`, `connect` and `tls` where they happen; what is there is added to, as with each redirect."""
    header_limit_bytes: int = HEADER_LIMIT_BYTES
    headers_done: bool = True
    """The response's headers have come, so that what is read now is the body."""
    bytes_read: int = 0
    """Since the request began."""

    def begin(self) -> None:
        """A request goes out."""
        self.headers_done = False
        self.bytes_read = 0

    def time_left_s(self, timeout_s: float | None) -> float:
        """Seconds that the next step may take: the time-out, but not beyond the deadline.

        Raises:
            Aborted: the run ends now.
            Overdue: there is no time left.
        """
        if self.stopped():
            raise Aborted
        left_s = self.deadline_s - time.monotonic()
        if left_s <= 0:
            raise Overdue
        return left_s if timeout_s is None else min(timeout_s, left_s)

    def received(self, size_bytes: int) -> None:
        """Count what was read; raises HeaderFlood."""
        self.bytes_read += size_bytes
        if not self.headers_done and self.bytes_read > self.header_limit_bytes:
            raise HeaderFlood

    def took(self, phase: str, started_s: float) -> None:
        """Note the seconds of a phase that began at `started_s` (monotonic)."""
        self.timings_s[phase] = self.timings_s.get(phase, 0.0) + time.monotonic() - started_s


class Sockets:
    """All open sockets of a run, so that it can end at once although threads are blocked in them."""

    def __init__(self) -> None:
        self.aborted = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, sock: socket.socket) -> None:
        """From here on `abort` reaches this socket; raises Aborted if it was called before."""
        with self._lock:
            if self.aborted:
                raise Aborted
            self._open.add(sock)

    def discard(self, sock: socket.socket) -> None:
        """The socket is about to be closed, or given over to TLS."""
        with self._lock:
            self._open.discard(sock)

    def abort(self) -> None:
        """Wake every thread that reads or writes; nothing can be connected from now on."""
        # Under the lock no socket is closed meanwhile, so that its number cannot belong to another file by now.
        with self._lock:
            self.aborted = True
            for sock in self._open:
                with suppress(OSError):  # not connected any more
                    # SSLSocket's own shutdown would pull the TLS state from under the thread that is reading.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Stream(httpcore.NetworkStream):
    """One connection, plain or TLS.

    A plain socket never blocks: it is tried, and waited for only where there is nothing yet. One that blocks is waited
    for by Python every time, and each system call is a chance for other threads to take the interpreter's lock away.
    """

    def __init__(self, sock: socket.socket, watch: Watch, sockets: Sockets) -> None:
        self._socket = sock
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        if not self._is_tls:
            sock.settimeout(0)
        self._has_asked = False
        """Something was sent, so that the answer has hardly come yet."""
        self._watch = watch
        self._sockets = sockets
        try:
            sockets.add(sock)
        except Aborted:
            sock.close()
            raise

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come, at most `max_bytes`; empty at the end. Raises, as all here, Overdue or Aborted as well."""
        limit_s = self._limit(timeout)
        try:
            data = self._socket.recv(max_bytes) if self._is_tls else self._receive(max_bytes, limit_s)
        except TimeoutError as problem:
            self._watch.time_left_s(None)
            raise httpcore.ReadTimeout(f"no data for {limit_s:.3g} s") from problem
        except OSError as problem:
            self._check_aborted()
            raise httpcore.ReadError(str(problem)) from problem
        if not data:
            self._check_aborted()  # else our own shutdown would look like the regular end of a body
        self._watch.received(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        left = memoryview(buffer)
        try:
            while left:
                limit_s = self._limit(timeout)
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    _wait_for(self._socket, limit_s, to_read=False)
            self._has_asked = True
        except TimeoutError as problem:
            self._watch.time_left_s(None)
            raise httpcore.WriteTimeout(str(problem)) from problem
        except OSError as problem:
            self._check_aborted()
            raise httpcore.WriteError(str(problem)) from problem

    def _receive(self, max_bytes: int, limit_s: float) -> bytes:
        """What a plain socket has; raises TimeoutError where nothing comes in time."""
        is_to_wait, self._has_asked = self._has_asked, False
        while True:
            if is_to_wait:
                _wait_for(self._socket, limit_s, to_read=True)
            try:
                return self._socket.recv(max_bytes)
            except BlockingIOError:
                is_to_wait = True

    def close(self) -> None:
        """Close the socket, whatever is under way."""
        self._sockets.discard(self._socket)
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "Stream":
        """The same connection with TLS; closed if none comes about. `timeout` is for the handshake as a whole."""
        started_s = time.monotonic()
        secure: Stream | None = None
        try:
            self._socket.settimeout(_seconds(self._limit(timeout)))
            self._sockets.discard(self._socket)  # its number goes over to the TLS socket
            wrapped = ssl_context.wrap_socket(
                self._socket,
                server_hostname=server_hostname.rstrip(".")
                if server_hostname
                else None,  # `example.org.` is a name too
                do_handshake_on_connect=False,  # so that `abort` reaches it
            )
            secure = Stream(wrapped, self._watch, self._sockets)
            wrapped.do_handshake()
        except BaseException as problem:
            (secure or self).close()
            if isinstance(problem, TimeoutError):
                self._watch.time_left_s(None)
                raise httpcore.ConnectTimeout(str(problem)) from problem
            if isinstance(problem, OSError):
                self._check_aborted()
                raise httpcore.ConnectError(str(problem)) from problem
            raise
        self._watch.took("tls", started_s)
        return secure

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        """What httpcore asks about a connection."""
        match info:
            case "socket":
                return self._socket
            case "ssl_object":
                return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
            case "is_readable":
                return _is_readable(self._socket)
            case "client_addr":
                return self._socket.getsockname()
            case "server_addr":
                return self._socket.getpeername()
        return None

    def _limit(self, timeout_s: float | None) -> float:
        """Seconds that the next step may take; a TLS socket is told."""
        limit_s = self._watch.time_left_s(timeout_s)
        if self._is_tls and self._socket.gettimeout() != _seconds(limit_s):  # setting it is a system call
            self._socket.settimeout(_seconds(limit_s))
        return limit_s

    def _check_aborted(self) -> None:
        if self._sockets.aborted:
            raise Aborted


def _is_readable(sock: socket.socket) -> bool:
    """Whether a read would return at once: on an idle connection, that the server has closed it."""
    return sock.fileno() < 0 or _is_ready(sock, 0, to_read=True)


def _wait_for(sock: socket.socket, limit_s: float, *, to_read: bool) -> None:
    """Return once the socket can be read or written; raises TimeoutError."""
    if not _is_ready(sock, limit_s, to_read=to_read):
        raise TimeoutError("timed out")


def _is_ready(sock: socket.socket, limit_s: float, *, to_read: bool) -> bool:
    if not hasattr(select, "poll"):  # Windows
        wanted = ([sock], []) if to_read else ([], [sock])
        return any(select.select(*wanted, [], _seconds(limit_s)))
    poll = select.poll()  # unlike select, good for file numbers above 1023
    poll.register(sock, select.POLLIN if to_read else select.POLLOUT)
    return bool(poll.poll(min(limit_s * 1000, _LONGEST_POLL_MS)))


def _seconds(limit_s: float) -> float | None:
    """A limit as sockets take it."""
    return None if limit_s == math.inf else limit_s


class Backend(httpcore.NetworkBackend):
    """Opens connections for one thread.

    Args:
        resolver: of the run.
        sockets: of the run.
        watch: of the thread.
        deny_private: connect to public addresses only.
    """

    def __init__(self, resolver: Resolver, sockets: Sockets, watch: Watch, *, deny_private: bool) -> None:
        self._resolver = resolver
        self._sockets = sockets
        self._watch = watch
        self._deny_private = deny_private
        self.opened: list[Stream] = []
        """Streams opened since this list was last emptied."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore's signature; we set none
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - as above
    ) -> Stream:
        """Connect to whichever address of the host answers first. `timeout` is for look-up and connection together.

        Raises:
            ResolveProblem: the host has no address.
            Blocked: one of its addresses is private, and that is denied.
            httpcore.ConnectError: none of the addresses accepts; caused by the OSError of the last.
            httpcore.ConnectTimeout: none answered in time.
            Overdue: none answered before the deadline.
            Aborted: the run ends now.
        """
        end_s = time.monotonic() + self._watch.time_left_s(timeout)
        addresses = self._resolve(host, port, end_s)
        if self._deny_private:
            _check_public(host, addresses)
        started_s = time.monotonic()
        try:
            sock = connect_first(addresses, end_s, self._check)
        except OSError as problem:
            self._resolver.forget(host)  # it may have moved
            self._check()
            if isinstance(problem, TimeoutError):
                raise httpcore.ConnectTimeout("no answer") from problem
            raise httpcore.ConnectError(str(problem)) from problem
        self._watch.took("connect", started_s)
        stream = Stream(sock, self._watch, self._sockets)
        self.opened.append(stream)
        return stream

    def _resolve(self, host: str, port: int, end_s: float) -> list[Address]:
        known = self._resolver.known(host, port)
        if known is not None:
            return known
        started_s = time.monotonic()
        try:
            return self._resolver.resolve(host, port, end_s - started_s, stopped=self._ended)
        except ResolveProblem:
            self._check()
            raise
        finally:
            self._watch.took("dns", started_s)

    def _ended(self) -> bool:
        return self._sockets.aborted or self._watch.stopped()

    def _check(self) -> None:
        """Raise Aborted or Overdue where that is so."""
        if self._sockets.aborted:
            raise Aborted
        self._watch.time_left_s(None)


def _check_public(host: str, addresses: list[Address]) -> None:
    """Raise Blocked unless all addresses are public: one that is not is reason enough to distrust the name."""
    for address in addresses:
        if is_private(address.host):
            where = "is" if address.host == host else f"is at {address.host},"
            raise Blocked(f"{host} {where} an address of a private network, which --deny-private refuses")


def connect_first(addresses: list[Address], end_s: float, check: Callable[[], None]) -> socket.socket:
    """A socket connected to the first address that answers ("happy eyeballs", RFC 8305).

    An address is tried as soon as all before it have failed, and 250 ms after the one before it at the latest; so one
    that swallows packets costs 250 ms and not the time-out. The others are closed.

    Args:
        addresses: in the order to try them.
        end_s: monotonic time to give up at.
        check: called every 0.25 s; raises to end this.

    Raises:
        TimeoutError: none answered in time.
        OSError: all have failed; the last one's reason.
    """
    waiting = deque(addresses)
    next_s = 0.0
    last: OSError = OSError("no address")
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                check()
                now_s = time.monotonic()
                if now_s >= end_s:
                    raise TimeoutError
                if waiting and (now_s >= next_s or not selector.get_map()):
                    next_s = now_s + ATTEMPT_DELAY_S
                    try:
                        _begin(waiting.popleft(), selector)
                    except OSError as problem:
                        last = problem
                    continue
                soonest_s = min(end_s, next_s if waiting else math.inf)
                for key, _ in selector.select(min(soonest_s - now_s, _LOOK_S)):
                    sock: socket.socket = key.fileobj  # type: ignore[assignment]
                    selector.unregister(sock)
                    problem_now = _outcome(sock)
                    if problem_now is None:
                        return sock
                    last = problem_now
        finally:
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
    raise last


def _begin(address: Address, selector: selectors.BaseSelector) -> None:
    """Start connecting; the selector tells when that has an outcome."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # The request goes out in one piece; waiting for more (Nagle) only delays it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):  # under way
            sock.connect(address.sockaddr)
        selector.register(sock, selectors.EVENT_WRITE)
    except BaseException:
        sock.close()
        raise


def _outcome(sock: socket.socket) -> OSError | None:
    """Why an attempt failed, which closes it; None if it is connected."""
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number == 0:
        return None
    sock.close()
    return OSError(number, os.strerror(number))


class _SharedContext(ssl.SSLContext):
    """One TLS set-up for all threads.

    httpcore sets the protocols at each connect. On a context that other threads take connections from at that moment,
    OpenSSL would free the list while it is being copied (SSL_CTX_set_alpn_protos is not thread-safe, and Python calls
    SSL_new without its own lock); so it is set once, here, to what httpcore would say.
    """

    def __init__(self, *_: object) -> None:
        super().set_alpn_protocols(["http/1.1"])

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Set already."""


def ssl_context(settings: DownloadOptions) -> ssl.SSLContext:
    """The TLS set-up that all connections of a run share: TLS 1.2 or later, certificates checked.

    Trusted are `--ca-file`, else what the usual variables SSL_CERT_FILE and SSL_CERT_DIR name, else certifi's list.

    Raises:
        ValueError: a file cannot be used; the message names the option.
    """
    context = _SharedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, settings.ca_file)
    if settings.client_cert is not None:
        try:
            context.load_cert_chain(settings.client_cert, password=_no_password)
        except OSError as problem:
            said = _said(problem, "holds no certificate with its key (PEM)")
            raise ValueError(f"--client-cert {settings.client_cert}: {said}") from problem
        except ValueError as problem:
            raise ValueError(f"--client-cert {settings.client_cert}: {problem}") from problem
    return context


def _trust(context: ssl.SSLContext, ca_file: str | None) -> None:
    variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)
    if ca_file is not None:
        name, path = "--ca-file", ca_file
    elif variable is not None:
        name, path = variable, os.environ[variable]
    else:
        name, path = "certifi", certifi.where()
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except OSError as problem:
        raise ValueError(f"{name} {path}: {_said(problem, 'holds no usable certificates (PEM)')}") from problem


def _said(problem: OSError, unusable: str) -> str:
    """What is wrong with a certificate file: OpenSSL's own words are for programmers."""
    return unusable if isinstance(problem, ssl.SSLError) else str(problem.strerror)


def _no_password() -> str:
    """OpenSSL would ask on the terminal, and wait."""
    raise ValueError("its key is protected by a password, which cannot be given here")


class Proxies:
    """Which proxy a request goes through: `--proxy` for all, else what the usual variables say.

    The variables are `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, the last with names, suffixes, ports, and
    blocks of addresses (`10.0.0.0/8`); on Windows and macOS the system's settings stand in for them.

    Raises:
        ValueError: a proxy's URL is of no use, or `--deny-private` is asked for as well: a proxy looks names up itself.
    """

    def __init__(self, settings: DownloadOptions) -> None:
        self._all = settings.proxy
        found = {} if settings.proxy else getproxies()
        self._no_proxy = found.get("no", "")
        wanted = {} if self._no_proxy.strip() == "*" else found
        self._by_scheme = {
            scheme: proxy for scheme in ("http", "https") if (proxy := wanted.get(scheme) or wanted.get("all"))
        }
        origin = "--proxy" if self._all else "the proxy variables"
        urls = {self._all} if self._all else set(self._by_scheme.values())
        self._parsed = {url: _parsed_proxy(url, origin) for url in urls}
        if self._parsed and settings.deny_private:
            raise ValueError(f"--deny-private cannot be kept with a proxy ({origin}): it looks the names up itself")

    def __bool__(self) -> bool:
        return bool(self._parsed)

    def proxy_for(self, scheme: str, host: str, port: int) -> "Proxy | None":
        """The proxy for a host; None to connect directly."""
        url = self._all or self._by_scheme.get(scheme)
        if url is None or (self._all is None and self._bypassed(host, port)):
            return None
        return self._parsed[url]

    def _bypassed(self, host: str, port: int) -> bool:
        return bool(proxy_bypass(f"{host}:{port}")) or _in_blocks(host, self._no_proxy.split(","))


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is, and how to log in."""

    scheme: str
    host: str
    port: int
    auth: tuple[bytes, bytes] | None


def _parsed_proxy(url: str, origin: str) -> Proxy:
    """A proxy's URL; one without a scheme is http, as with curl."""
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not host.isascii():
        raise ValueError(f"{origin}: not the URL of a proxy")  # which is not shown: where its password is, is unclear
    if parts.scheme not in _PROXY_PORTS:
        raise ValueError(f"{origin}: {masked(url)}: only http:// and socks5:// proxies can be used")
    if parts.scheme != "http" and importlib.util.find_spec("socksio") is None:
        raise ValueError(f"{origin}: {masked(url)}: SOCKS needs the package socksio (pip install socksio)")
    auth = (unquote(parts.username).encode(), unquote(parts.password or "").encode()) if parts.username else None
    return Proxy(parts.scheme, host, port or _PROXY_PORTS[parts.scheme], auth)


def _in_blocks(host: str, blocks: Iterable[str]) -> bool:
    """Whether a host, given as an address, lies in one of the blocks; what is no block is left to `proxy_bypass`."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for block in blocks:
        try:
            if "/" in block and address in ip_network(block.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


class Transport(httpx.BaseTransport):
    """Sends the requests of one thread by httpcore, whose exceptions, and those of `Backend`, pass through it.

    Args:
        context: the run's TLS set-up.
        backend: opens the connections.
        watch: of the thread.
        proxies: which of them to use.
    """

    def __init__(self, context: ssl.SSLContext, backend: Backend, watch: Watch, proxies: Proxies) -> None:
        self._context = context
        self._backend = backend
        self._watch = watch
        self._pools: dict[Proxy | None, httpcore.ConnectionPool] = {None: self._new_pool(None)}
        self._proxy_for = lru_cache(_HOSTS_DECIDED)(proxies.proxy_for) if proxies else None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and receive the head of its response; the body is read from the response's stream."""
        pool = self._pool_for(request.url)
        self._watch.begin()
        self._backend.opened.clear()
        try:
            response = pool.handle_request(_translated(request))
        except BaseException:
            self._clean_up(pool)
            raise
        self._watch.headers_done = True
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )

    def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            pool.close()

    def proxy_for(self, url: httpx.URL) -> Proxy | None:
        """The proxy that a request for a URL goes through; None for none."""
        if self._proxy_for is None:
            return None
        return self._proxy_for(url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))

    def _pool_for(self, url: httpx.URL) -> httpcore.ConnectionPool:
        proxy = self.proxy_for(url)
        if proxy not in self._pools:
            self._pools[proxy] = self._new_pool(proxy)
        return self._pools[proxy]

    def _new_pool(self, proxy: Proxy | None) -> httpcore.ConnectionPool:
        options: dict[str, Any] = {
            "ssl_context": self._context,
            "max_connections": None,
            "max_keepalive_connections": KEPT_CONNECTIONS,
            "keepalive_expiry": KEPT_S,
            "network_backend": self._backend,
        }
        if proxy is None:
            return httpcore.ConnectionPool(**options)
        url = httpcore.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/")
        kind = httpcore.HTTPProxy if proxy.scheme == "http" else httpcore.SOCKSProxy
        return kind(proxy_url=url, proxy_auth=proxy.auth, **options)

    def _clean_up(self, pool: httpcore.ConnectionPool) -> None:
        """Close what a failed request leaves: httpcore keeps tunnels and SOCKS connections that did not come about."""
        for connection in pool.connections:
            if not connection.is_idle():  # a thread has one request at a time, so that this is none of another
                connection.close()
        for stream in self._backend.opened:
            stream.close()


class _Body(httpx.SyncByteStream):
    """A response's body as it comes."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        assert isinstance(self._response.stream, Iterable)
        return iter(self._response.stream)

    def close(self) -> None:
        self._response.close()


def _translated(request: httpx.Request) -> httpcore.Request:
    """The request as httpcore takes it."""
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        ),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )
