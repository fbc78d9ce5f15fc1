import contextlib
import socket
import threading

import httpcore
import pytest
from wire import OK, MakeRun, Server, answering, request_of, secured

from downloader.config.settings import DownloadOptions
from downloader.errors import ConfigError
from downloader.http.connection import MAX_IDLE_CONNECTIONS
from downloader.http.errors import FetchError
from downloader.http.proxies import Proxies, Proxy
from downloader.model.failures import FailureKind


class ProxyServer(Server):
    """Sends every tunnel to one port of this machine, and answers other requests itself."""

    def __init__(self, target_port: int = 0, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.heads: list[bytes] = []
        self._target_port = target_port
        self._answer = answer
        super().__init__(self._proxy)

    def _proxy(self, connection: socket.socket) -> None:
        while head := request_of(connection):
            self.heads.append(head)
            if not head.startswith(b"CONNECT "):
                connection.sendall(OK)
                continue
            connection.sendall(self._answer)
            if b" 200 " in self._answer:
                self._tunnel(connection)
            return

    def _tunnel(self, connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._target_port), 10) as target:
            back = threading.Thread(target=self._pump, args=(target, connection))
            back.start()
            self._pump(connection, target)
            back.join(10)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def test_http_goes_through_the_proxy(make_run: MakeRun) -> None:
    """--proxy gets the whole URL and its password; the host is not looked up here; the connection is kept."""
    with ProxyServer() as proxy:
        run = make_run(proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        for _ in range(2):
            assert run.get("http://a.test/b?c=d") == (200, b"ok")
        assert proxy.connections == 1
        assert proxy.heads[0].startswith(b"GET http://a.test/b?c=d HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic bWU6cEBzcw==\r\n" in proxy.heads[0]
        run.transport.close()


def test_https_goes_through_a_tunnel(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """TLS is with the host, not the proxy; the tunnel is kept."""
    with Server(secured(answering, certificate)) as server, ProxyServer(server.port) as proxy:
        run = make_run(proxy=f"127.0.0.1:{proxy.port}", ca_file=certificate[0])
        for _ in range(2):
            assert run.get("https://good.test/") == (200, b"ok")
        assert [head.split(b"\r\n")[0] for head in proxy.heads] == [b"CONNECT good.test:443 HTTP/1.1"]
        run.transport.close()


def test_a_tunnel_that_fails_is_closed(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """Nothing is left of a tunnel to an untrusted host, or of one the proxy refuses; the thread goes on."""
    with Server(secured(answering, certificate)) as server, ProxyServer(server.port) as proxy:
        run = make_run(proxy=f"http://127.0.0.1:{proxy.port}")
        for _ in range(MAX_IDLE_CONNECTIONS + 1):  # if these counted as kept, none else could be
            with pytest.raises(httpcore.ConnectError):
                run.get("https://good.test/")
            assert proxy.open_connections() == 0
        for _ in range(2):
            assert run.get("http://a.test/") == (200, b"ok")
            assert proxy.open_connections() == 1
        assert proxy.connections == MAX_IDLE_CONNECTIONS + 2
        run.transport.close()
    with ProxyServer(answer=b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n") as proxy:
        run = make_run(proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(httpcore.ProxyError, match="407"):
            run.get("https://good.test/")
        assert proxy.open_connections() == 0


def test_variables_name_proxies_and_exceptions(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --proxy the usual variables decide, for each host once; no_proxy is connected to directly."""
    with ProxyServer() as proxy, Server(answering) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        run = make_run()
        assert run.get(f"http://127.0.0.1:{server.port}/")[0] == 200
        assert (proxy.connections, server.connections) == (0, 1)
        assert run.get("http://a.test/")[0] == 200
        assert (proxy.connections, server.connections) == (1, 1)
        run.transport.close()


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("", "a.test", 80, False),
        ("*", "a.test", 80, True),
        ("a.test", "a.test", 80, True),
        ("A.test", "a.test", 80, True),
        ("b.test, a.test", "www.a.test", 80, True),
        (".a.test", "www.a.test", 80, True),
        ("a.test", "nota.test", 80, False),
        ("a.test:8080", "a.test", 8080, True),
        ("a.test:8080", "a.test", 80, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("nonsense/8,fd00::/8", "fd00::1", 80, True),
        ("10.0.0.0/8", "a.test", 80, False),
    ],
)
def test_no_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, port: int, direct: bool) -> None:
    """no_proxy takes names with what is below them, ports, and blocks of addresses."""
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    proxies = Proxies(DownloadOptions())
    assert (proxies.proxy_for("http", host, port) is None) is direct


def test_all_proxy_and_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    """all_proxy serves the scheme that has no variable of its own; --proxy goes before all, for all."""
    monkeypatch.setenv("all_proxy", "http://all.test")
    monkeypatch.setenv("https_proxy", "http://tls.test:3128")
    monkeypatch.setenv("no_proxy", "b.test")
    proxies = Proxies(DownloadOptions())
    assert proxies.proxy_for("http", "a.test", 80) == Proxy("http", "all.test", 80, None, "the proxy variables")
    assert proxies.proxy_for("https", "a.test", 443) == Proxy("http", "tls.test", 3128, None, "the proxy variables")
    chosen = Proxies(DownloadOptions(proxy="http://[2001:db8::1]:1"))
    assert chosen.proxy_for("https", "b.test", 443) == Proxy("http", "2001:db8::1", 1, None)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.test", "https://a.test", "http://", "http://a:b:c", "http://me:secret@:x", "http://me:se/cret@a"),
        *(
            "http://a.test:99999",
            "http://a b",
            "http://[::1",
            "http://[::g]:1",
            "://a",
            "http://a..b",
            "\x1b[31m://secret",
        ),
    ],
)
def test_a_bad_proxy_names_the_option_and_keeps_the_secret(url: str) -> None:
    """A proxy that cannot be used is told at the start, without its password."""
    with pytest.raises(ValueError, match=r"^--proxy: ") as caught:
        Proxies(DownloadOptions(proxy=url))
    assert "secret" not in str(caught.value)
    assert "se/cret" not in str(caught.value)


def test_a_proxy_may_be_written_loosely() -> None:
    """Without a scheme, in capitals, with a name of another alphabet."""
    for url, host in (
        ("a.test:1", "a.test"),
        ("HTTP://A.test:1/", "a.test"),
        ("http://b\u00fccher.test:1", "xn--bcher-kva.test"),
    ):
        found = Proxies(DownloadOptions(proxy=url)).proxy_for("http", "b.test", 80)
        assert found == Proxy("http", host, 1, None)


@pytest.mark.parametrize("variable", [None, "http_proxy", "all_proxy"])
def test_a_proxy_that_does_not_exist_ends_the_run(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """It would fail every item; the message names what to change."""
    if variable:
        monkeypatch.setenv(variable, "http://me:secret@nowhere.test:1")
    run = make_run(proxy=None if variable else "http://me:secret@nowhere.test:1")
    with pytest.raises(ConfigError, match=r"prox.*: nowhere\.test: there is no such host") as caught:
        run.get("http://a.test/")
    assert "secret" not in str(caught.value)


def test_a_proxy_that_does_not_answer_is_named(make_run: MakeRun) -> None:
    """It may be back later, so it is the item's failure."""
    with Server(answering) as server:
        port = server.port
    run = make_run(proxy=f"http://127.0.0.1:{port}")
    with pytest.raises(FetchError) as caught:
        run.get("http://a.test/")
    assert caught.value.kind is FailureKind.CONNECT
    assert f"the proxy 127.0.0.1:{port}: " in caught.value.message


def test_ipv6_addresses_go_through_proxies(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """In brackets, as a URL and as the target of a tunnel (RFC 9110, 7.2 and 9.3.6); TLS is for the bare address."""
    with Server(secured(answering, certificate)) as server, ProxyServer(server.port) as proxy:
        run = make_run(proxy=f"http://127.0.0.1:{proxy.port}", insecure=True)
        assert run.get("http://[2001:db8::1]:8080/a") == (200, b"ok")
        assert proxy.heads[0].startswith(b"GET http://[2001:db8::1]:8080/a HTTP/1.1\r\n")
        assert b"Host: [2001:db8::1]:8080\r\n" in proxy.heads[0]
        assert run.get("https://[2001:db8::1]/a") == (200, b"ok")
        assert proxy.heads[1].startswith(b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n")
        assert b"Host: [2001:db8::1]:443\r\n" in proxy.heads[1]
        run.transport.close()


def test_odd_lines_of_proxies_are_left_out_too(make_run: MakeRun, certificate: tuple[str, str]) -> None:
    """The response to CONNECT is a head like any other, and what follows it belongs to TLS."""
    odd = b"HTTP/1.0 200 Connection established\r\nX Proxy Agent : a\r\nProxy-agent: a\x0cb\r\n\r\n"
    with Server(secured(answering, certificate)) as server, ProxyServer(server.port, odd) as proxy:
        run = make_run(proxy=f"http://127.0.0.1:{proxy.port}", ca_file=certificate[0])
        assert run.get("https://good.test/") == (200, b"ok")
        run.transport.close()


@pytest.mark.parametrize(("no_proxy", "direct"), [("::1", True), ("[::1]", True), ("::2", False), ("::/64", True)])
def test_no_proxy_for_ipv6(monkeypatch: pytest.MonkeyPatch, no_proxy: str, direct: bool) -> None:
    """Addresses are compared as such, with and without brackets."""
    monkeypatch.setenv("http_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (Proxies(DownloadOptions()).proxy_for("http", "::1", 80) is None) is direct
