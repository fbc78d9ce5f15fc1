"""Which addresses --deny-private refuses."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.http.addresses import is_private

V4 = st.ip_addresses(v=4)
CARRIERS = {"mapped": "::ffff:0:0", "NAT64": "64:ff9b::"}


@pytest.mark.parametrize(
    "block",
    [
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "::1/128", "::/128", "fc00::/7", "fe80::/10", "ff00::/8"),
        *("fec0::/10", "2001::/32", "2001:db8::/32", "64:ff9b:1::/48"),
    ],
)
@given(data=st.data())
def test_every_address_of_a_private_block_is_private(block: str, data: st.DataObject) -> None:
    """No address of a listed block is let through, its first and last least of all."""
    network = ip_network(block)
    assert is_private(str(network[0]))
    assert is_private(str(network[-1]))
    assert is_private(str(data.draw(st.ip_addresses(network=network))))


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0"),
        *("223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "2000::", "2001:200::1"),
    ],
)
def test_neighbours_of_private_blocks_are_public(address: str) -> None:
    """Blocks end where the registry says."""
    assert not is_private(address)


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS.keys())
@given(inner=V4)
def test_an_ipv4_address_in_ipv6_is_judged_by_itself(carrier: str, inner: IPv4Address) -> None:
    """Writing 127.0.0.1 as IPv6 does not get around the list; public hosts behind NAT64 stay reachable."""
    assert is_private(str(IPv6Address(int(ip_address(carrier)) + int(inner)))) == is_private(str(inner))


@given(inner=V4, rest=st.integers(0, 2**80 - 1))
def test_6to4_is_judged_by_the_address_it_leads_to(inner: IPv4Address, rest: int) -> None:
    """The IPv4 address in bits 16 to 47 decides."""
    address = IPv6Address((0x2002 << 112) | (int(inner) << 80) | rest)
    assert is_private(str(address)) == is_private(str(inner))


@given(st.one_of(V4, st.ip_addresses(v=6)))
def test_nothing_is_public_that_python_calls_not_global(address: IPv4Address | IPv6Address) -> None:
    """The list is at least as strict as the standard library's (addresses that carry another one aside)."""
    carries = any(address in ip_network(block) for block in ("::ffff:0:0/96", "64:ff9b::/96", "2002::/16"))
    if not address.is_global and not carries:
        assert is_private(str(address))


@given(st.text(max_size=40))
def test_what_is_no_address_is_refused(text: str) -> None:
    """The check fails closed, and never raises."""
    try:
        ip_address(text)
    except ValueError:
        assert is_private(text)
    else:
        assert is_private(text) in {True, False}


@pytest.mark.parametrize("address", ["fe80::1%eth0", "127.1", "0x7f.1", "", "2130706433"])
def test_scoped_and_shorthand_addresses_are_refused(address: str) -> None:
    """Only what a resolver gives out, four numbers or eight groups, can be public."""
    assert is_private(address)
