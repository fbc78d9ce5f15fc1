"""Which addresses are public, and which belong to this machine or its networks. Pure.

The lists are written out, because what `ipaddress` calls private differs between Python releases (3.11.10 and 3.12.4
changed it), and a guard should not change with them.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_PRIVATE_V4 = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches this machine
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, with the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
"""Not globally reachable (IANA IPv4 Special-Purpose Address Registry), and multicast (RFC 5771)."""

_GLOBAL_V6 = IPv6Network("2000::/3")
"""All of IPv6 that is given out for global unicast (IANA IPv6 Address Space); the loopback, link-local, unique local,
site-local, multicast and unspecified addresses are all outside it."""

_PRIVATE_V6 = tuple(
    ip_network(block)
    for block in (
        "2001::/23",  # protocol assignments, with Teredo, which carries any IPv4 address
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
"""Exceptions inside `_GLOBAL_V6` (IANA IPv6 Special-Purpose Address Registry)."""

_MAPPED = IPv6Network("::ffff:0:0/96")
"""An IPv4 address in IPv6 notation (RFC 4291, 2.5.5.2)."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""IPv4 behind a translator, the normal way out of an IPv6-only network (RFC 6052)."""
_6TO4 = IPv6Network("2002::/16")
"""IPv4 address in bits 16 to 47 (RFC 3056)."""


def is_private(address: str) -> bool:
    """Whether a numeric address is not that of a public host; true for text that is no address.

    An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4) is judged by that.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return True
    if isinstance(parsed, IPv6Address):
        carried = _carried(parsed)
        if carried is None:
            return parsed not in _GLOBAL_V6 or any(parsed in block for block in _PRIVATE_V6)
        parsed = carried
    return any(parsed in block for block in _PRIVATE_V4)


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one end up at."""
    if address in _MAPPED or address in _NAT64:
        return IPv4Address(address.packed[12:])
    if address in _6TO4:
        return IPv4Address(address.packed[2:6])
    return None
