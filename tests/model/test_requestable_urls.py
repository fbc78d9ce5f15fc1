"""What a URL looks like when it is requested."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downloader.model.urls import BadUrl, check_url, requestable


@pytest.mark.parametrize(
    ("url", "requested"),
    [
        ("http://h", "http://h"),
        ("https://h/p?q#f", "https://h/p?q#f"),
        ("HTTP://H:8080/", "http://h:8080/"),
        ("http://u:p@h/", "http://u:p@h/"),
        ("http://u@x:p@h/", "http://u@x:p@h/"),
        ("http://h:/x", "http://h/x"),
        ("http://h?x", "http://h?x"),
        # white space, invisible letters and undecodable bytes
        (" \thttp://h/a\r\n", "http://h/a"),
        ("http://h/a\tb\r\nc", "http://h/abc"),
        ("http://h/\r\nHost: evil", "http://h/Host:%20evil"),
        ("http://h/a b?c d#e f", "http://h/a%20b?c%20d#e%20f"),
        ("http://h/a\u00a0b\u3000c", "http://h/a%C2%A0b%E3%80%80c"),
        ("http://h/\u00ad\u200b\u200c\u200d\ufeff", "http://h/%C2%AD%E2%80%8B%E2%80%8C%E2%80%8D%EF%BB%BF"),
        ("http://h/\u2028\u0085", "http://h/%E2%80%A8%C2%85"),
        ("http://h/\udce9", "http://h/%E9"),
        ("https://h/\u00fc?\u00fc", "https://h/%C3%BC?%C3%BC"),
        # escapes stay, complete or not
        ("http://h/%41%zz%", "http://h/%41%zz%"),
        # backslashes
        ("http:\\\\h\\a\\b?c\\d#e\\f", "http://h/a/b?c\\d#e\\f"),
        ("http://h\\@evil.test/", "http://h/@evil.test/"),
        # host names by UTS 46
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("https://B\u00dcCHER.Example./", "https://xn--bcher-kva.example./"),
        ("https://bu\u0308cher.example/", "https://xn--bcher-kva.example/"),
        ("https://stra\u00dfe.example/", "https://xn--strae-oqa.example/"),
        ("http://\uff25\uff38\uff21\uff2d\uff30\uff2c\uff25.com/", "http://example.com/"),
        ("http://\u4f8b\u3048\u3002jp/", "http://xn--r8jz45g.jp/"),
        ("http://a\u00adb.com/", "http://ab.com/"),
        ("http://i\u2764.example/", "http://xn--i-7iq.example/"),
        ("http://a_b.\u00fc_c.example/", "http://a_b.xn--_c-wka.example/"),
        ("http://ex%61mple.com/", "http://example.com/"),
        ("http://b%C3%BCcher.example/", "http://xn--bcher-kva.example/"),
        # addresses
        ("http://127.0.0.1:80/", "http://127.0.0.1:80/"),
        ("http://255.0.10.199/a", "http://255.0.10.199/a"),
        ("http://127.0.0.010/", "http://127.0.0.8/"),
        ("http://\uff11\uff12\uff17.0.0.1/", "http://127.0.0.1/"),
        ("http://[::1]/x", "http://[::1]/x"),
        ("http://[2001:DB8:0::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/"),
        ("http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]/"),
    ],
)
def test_urls_as_they_are_requested(url: str, requested: str) -> None:
    """As browsers read them, in ASCII; a requested URL stays as it is."""
    assert requestable(url) == requested
    assert requestable(requested) == requested


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not an http"),
        ("ftp://h/", "not an http"),
        ("h/pic.jpg", "not an http"),
        ("//h/pic.jpg", "not an http"),
        ("javascript:alert(1)", "not an http"),
        ("http:h", "not an http"),
        ("http://", "no host"),
        ("http:///pic.jpg", "no host"),
        ("http://:80/", "no host"),
        ("http://u:secret@/", "no host"),
        ("http://h:99999/", "above 65535"),
        ("http://h:1234567890/", "above 65535"),
        ("http://h:x/", "host and port"),
        ("http://[::1/", "host and port"),
        ("http://[::1]x/", "host and port"),
        ("http://u:se/cret@h/", "host and port"),
        ("http://u:secret@h:x/", "host and port"),
        ("http://[::g]/", "IPv6"),
        ("http://[fe80::1%25]/", "zone"),
        ("http://[fe80::1%25a b]/", "zone"),
        ("http://1.2.3.256/", "IPv4"),
        ("http://1.2.3.09/", "IPv4"),
        ("http://1.2.3.00001/", "IPv4"),
        ("http://a b/", "host name"),
        ("http://a%2Fsecret/", "host name"),
        ("http://a%00/", "host name"),
        ("http://a..b/", "host name"),
        ("http://./", "host name"),
        ("http://\u00ad/", "host name"),
        ("http://a\u200cb.example/", "host name"),
        ("http://\ufffd.example/", "host name"),
        (f"http://{'a' * 64}_/", "too long"),
        (f"http://{'a.' * 127}b/", "too long"),
        ("http://" + "\u00fc" * 2000, "too long"),
        ("http://" + "\u00fc" * 63, "too long"),
        ("http://h/a\x00b", "control characters"),
        ("http://h/\x7f", "control characters"),
        ("http://h/\ud800", "cannot be encoded"),
        ("http://h/" + "x" * 65_536, "too long"),
    ],
)
def test_urls_that_cannot_be_fetched(url: str, why: str) -> None:
    """What is no fetchable URL is refused with its reason, which repeats nothing of it."""
    with pytest.raises(BadUrl, match=why) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)
    assert "cret" not in str(caught.value)


@settings(deadline=None)  # the first name that is not ASCII loads tables
@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://h/", "http://h\\", "http://[", "http://u:p@"]))
def test_what_is_requested_cannot_split_a_request(text: str, start: str) -> None:
    """Law: any text is refused, or becomes printable ASCII that stays as it is."""
    try:
        url = requestable(start + text)
    except BadUrl:
        return
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert requestable(url) == url
