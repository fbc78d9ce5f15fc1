"""Which proxy a request goes through."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from downloader.config.settings import DownloadOptions
from downloader.model.urls import BadUrl, masked, requestable

_PORTS = {"http": 80, "socks5": 1080, "socks5h": 1080}
"""Schemes of proxies that can be used, and their default ports (RFC 9110, 4.2.1; RFC 1928, 3)."""

_MAX_SCHEME_CHARS = 20


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy is, and how to log in. `origin` is the option or variable that names it, for messages."""

    scheme: str
    host: str
    port: int
    auth: tuple[bytes, bytes] | None
    origin: str = "--proxy"


class Proxies:
    """Chooses the proxy for a host: `--proxy` for all, else what the usual variables say.

    The variables are `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, the last with names, suffixes, ports, and
    blocks of addresses (`10.0.0.0/8`); on Windows and macOS the system's settings take their place.

    Raises:
        ValueError: a proxy's URL cannot be used, or `--deny-private` is set as well: a proxy resolves names itself.
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
        self._parsed = {url: _parse(url, origin) for url in urls}
        if self._parsed and settings.deny_private:
            raise ValueError(f"--deny-private cannot be kept with a proxy ({origin}): it looks the names up itself")

    def __bool__(self) -> bool:
        return bool(self._parsed)

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for a host; None to connect directly."""
        url = self._all or self._by_scheme.get(scheme)
        if url is None or (self._all is None and self._is_bypassed(host, port)):
            return None
        return self._parsed[url]

    def _is_bypassed(self, host: str, port: int) -> bool:
        return bool(proxy_bypass(f"{host}:{port}")) or _is_in_blocks(host, self._no_proxy.split(","))


def _parse(url: str, origin: str) -> Proxy:
    """A proxy's URL; one without a scheme is http, as with curl."""
    scheme, _, rest = (url if "://" in url else f"http://{url}").strip().partition("://")
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise ValueError(f"{origin}: only http:// and socks5:// proxies can be used, not {_shown(scheme)}://")
    try:
        parts = urlsplit(requestable(f"http://{rest}"))  # any scheme has the same form
    except BadUrl as problem:  # the URL is not shown: which part is the password is unclear
        raise ValueError(f"{origin}: not the URL of a proxy, as http://HOST:PORT: {problem}") from None
    if scheme != "http" and importlib.util.find_spec("socksio") is None:
        raise ValueError(f"{origin}: {masked(url)}: SOCKS needs the package socksio (pip install socksio)")
    auth = (unquote(parts.username).encode(), unquote(parts.password or "").encode()) if parts.username else None
    assert parts.hostname is not None
    return Proxy(scheme, parts.hostname, parts.port or _PORTS[scheme], auth, origin)


def _shown(scheme: str) -> str:
    return scheme if scheme.isascii() and scheme.isprintable() and len(scheme) <= _MAX_SCHEME_CHARS else "others"


def _is_in_blocks(host: str, blocks: Iterable[str]) -> bool:
    """Whether a host is an address in one of the blocks, or one of them; names are left to `proxy_bypass`."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for block in blocks:
        try:
            if address in ip_network(block.strip().strip("[]"), strict=False):
                return True
        except ValueError:
            continue
    return False
