from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.http.cookies import MAX_COOKIE_BYTES, MAX_COOKIES, MAX_FIELDS, ChainCookies, CookieStore, cookie_field

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SET_BY = "https://www.a.example/dir/page"


def sent(url: str, *fields: bytes, header: str | None = None, set_by: str = SET_BY) -> str | None:
    """The Cookie field of a request after a response with these Set-Cookie fields."""
    cookies = ChainCookies()
    cookies.receive(set_by, fields, NOW)
    given = [header] if header else []
    field = cookie_field(url, NOW.timestamp(), listed=CookieStore(), given=given, set_by_chain=cookies)
    return None if field is None else field.decode("latin-1")


@pytest.mark.parametrize(
    ("field", "url", "cookie"),
    [
        (b"k=1", SET_BY, "k=1"),
        (b"k=1; Path=/", "https://www.a.example/", "k=1"),
        (b' k = "a b" ; HttpOnly', SET_BY, 'k="a b"'),
        (b"k=a=b", SET_BY, "k=a=b"),
        (b"k=", SET_BY, "k="),
        (b"k=\xe9", SET_BY, "k=\xe9"),
        # the path is that of the response's folder, unless it says otherwise
        (b"k=1", "https://www.a.example/", None),
        (b"k=1", "https://www.a.example/dir/other", "k=1"),
        (b"k=1", "https://www.a.example/directory", None),
        (b"k=1; Path=/dir/", "https://www.a.example/dir/x", "k=1"),
        (b"k=1; Path=nonsense", "https://www.a.example/dir/x", "k=1"),
        # hosts
        (b"k=1; Path=/", "https://a.example/", None),
        (b"k=1; Path=/", "https://x.www.a.example/", None),
        (b"k=1; Path=/", "https://www.a.example.:8443/", "k=1"),
        (b"k=1; Path=/; Domain=.A.example", "https://img.a.example/", "k=1"),
        (b"k=1; Path=/; Domain=a.example", "https://a.example/", "k=1"),
        (b"k=1; Path=/; Domain=a.example", "https://nota.example/", None),
        (b"k=1; Path=/; Domain=b.example", "https://b.example/", None),
        (b"k=1; Path=/; Domain=x.www.a.example", "https://x.www.a.example/", None),
        # TLS
        (b"k=1; Path=/; Secure", "http://www.a.example/", None),
        (b"k=1; Path=/", "http://www.a.example/", "k=1"),
        # time
        (b"k=1; Max-Age=60", SET_BY, "k=1"),
        (b"k=1; Max-Age=0", SET_BY, None),
        (b"k=1; Max-Age=-1; Expires=Fri, 27 Nov 2099 00:00:00 GMT", SET_BY, None),
        (b"k=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", SET_BY, "k=1"),
        (b"k=1; Max-Age=x; Expires=Thu, 01-Jan-1970 00:00:00 GMT", SET_BY, None),
        (b"k=1; Expires=Fri, 27 Nov 2099 00:00:00 GMT", SET_BY, "k=1"),
        (b"k=1; Expires=nonsense", SET_BY, "k=1"),
        # none
        (b"k", SET_BY, None),
        (b"=1", SET_BY, None),
        (b"", SET_BY, None),
        (b"k=a\rb", SET_BY, None),
        (b"k=" + b"a" * MAX_COOKIE_BYTES, SET_BY, None),
    ],
)
def test_which_cookies_are_sent(field: bytes, url: str, cookie: str | None) -> None:
    """RFC 6265, 5: by host, path, scheme and time."""
    assert sent(url, field) == cookie


def test_addresses_have_no_subdomains() -> None:
    """RFC 6265, 5.1.3: a domain that an address ends with is not above it."""
    assert sent("http://1.127.0.0.1/", b"k=1; Domain=127.0.0.1; Path=/", set_by="http://127.0.0.1/") is None
    assert sent("http://127.0.0.1/", b"k=1; Domain=0.0.1; Path=/", set_by="http://127.0.0.1/") is None
    assert sent("http://127.0.0.1/", b"k=1; Domain=127.0.0.1", set_by="http://127.0.0.1/") == "k=1"
    assert sent("http://[::1]/", b"k=1", set_by="http://[::1]/") == "k=1"


def test_a_secure_cookie_needs_a_secure_response() -> None:
    """As in browsers."""
    assert sent(SET_BY, b"k=1; Secure; Path=/", set_by="http://www.a.example/") is None


def test_the_chain_goes_before_the_users_cookies() -> None:
    """A cookie that is set replaces the user's of the same name, and one that is removed takes it away."""
    assert sent(SET_BY, b"k=1", header="a=b; k=0; c=d") == "a=b; k=1; c=d"
    assert sent(SET_BY, b"k=; Max-Age=0", header="a=b; k=0") == "a=b"
    assert sent(SET_BY, b"k=; Max-Age=0", header="k=0") is None
    assert sent("https://other.example/", b"k=1", header="k=0") == "k=0"


def test_the_most_specific_path_wins() -> None:
    """Two cookies of one name differ in their paths."""
    assert sent(SET_BY, b"k=dir; Path=/dir", b"k=root; Path=/") == "k=dir"


def test_cookies_are_bounded() -> None:
    """A server cannot set any number of them."""
    cookies = ChainCookies()
    assert not cookies
    for number in range(10):
        cookies.receive(SET_BY, [b"k%d-%d=1" % (number, index) for index in range(100)], NOW)
    names = cookies.sent_to(SET_BY, NOW.timestamp())
    assert len(names) == len(cookies) == MAX_COOKIES
    assert b"k0-%d" % MAX_FIELDS not in names


@given(st.lists(st.binary(max_size=40), max_size=4), st.sampled_from([SET_BY, "http://h", "http://[::1]/", ""]))
def test_nothing_hostile_raises_or_splits(fields: list[bytes], url: str) -> None:
    """Law: whatever is set, a header stays one line."""
    header = sent(url, *fields, b"k=1", set_by=url)
    assert header is None or not set(header) & set("\r\n\0")
