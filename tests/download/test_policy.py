from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from downloader.download.policy import (
    GiveUp,
    Refusal,
    Retry,
    UseMirror,
    after_failure,
    follow,
    is_same_origin,
    retry_delay_s,
    status_text,
)
from downloader.model.failures import FailureKind, is_transient
from downloader.model.urls import BadUrl, check_url, host_of, masked, origin_of, requestable

START = "https://a.example/dir/pic.jpg"
words = st.text("abcXYZ019-_~", min_size=1, max_size=8)
urls = st.builds(
    "{}://{}{}/{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a.example", "b.example", "A.EXAMPLE"]),
    st.sampled_from(["", ":80", ":443", ":8080"]),
    words,
)


@given(
    st.sampled_from(FailureKind),
    st.one_of(st.none(), st.integers(100, 599)),
    st.integers(1, 120),
    st.integers(0, 100),
    st.floats(-10, 600),
    st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_short_within_the_deadline_and_worth_it(
    kind: FailureKind, status: int | None, attempt: int, retries: int, remaining_s: float, jitter: float
) -> None:
    """A retry waits in [0, 30] s and less than remains; none after `retries`, nor for what will not pass."""
    delay_s = retry_delay_s(kind, status, attempt=attempt, retries=retries, remaining_s=remaining_s, jitter=jitter)
    if attempt > retries or not is_transient(kind, status) or kind is FailureKind.DEADLINE or remaining_s <= 0:
        assert delay_s is None
    if delay_s is not None:
        assert 0 <= delay_s <= min(30, 0.5 * 2 ** (attempt - 1))
        assert delay_s < remaining_s
    elif attempt <= retries and is_transient(kind, status) and kind is not FailureKind.DEADLINE:
        assert remaining_s <= jitter * 30, "given up although there was time"


@pytest.mark.parametrize(("attempt", "expected_s"), [(1, 0.25), (2, 0.5), (3, 1), (6, 8), (7, 15), (8, 15), (100, 15)])
def test_the_ceiling_doubles_up_to_thirty_seconds(attempt: int, expected_s: float) -> None:
    """Full jitter over 0.5 s, 1 s, 2 s, ... 30 s."""
    delay_s = retry_delay_s(FailureKind.CONNECT, None, attempt=attempt, retries=100, remaining_s=100, jitter=0.5)
    assert delay_s == expected_s


@pytest.mark.parametrize(
    ("status", "again"),
    [
        *((status, False) for status in (400, 401, 403, 404, 410, 451)),
        *((status, True) for status in (408, 425, 429, 500, 501, 503, 599)),
    ],
)
def test_statuses_worth_another_attempt(status: int, *, again: bool) -> None:
    """408, 425, 429 and 5xx pass; other client errors do not."""
    delay_s = retry_delay_s(FailureKind.HTTP_STATUS, status, attempt=1, retries=4, remaining_s=100, jitter=0.5)
    assert (delay_s is not None) is again


locations = st.one_of(
    st.none(),
    st.text(max_size=30),
    urls,
    st.builds("{}://{}".format, st.sampled_from(["ftp", "file", "javascript", "HTTP", "httpss"]), words),
    st.sampled_from(
        ["/x", "../y", "?q", "#f", "//b.example/z", "data:,x", "mailto:x@y", "http://[", "//[::1", "\\\\x"]
    ),
)


@settings(deadline=None)  # the first name that is not ASCII loads tables
@given(st.lists(urls, min_size=1, max_size=4), locations, st.integers(0, 5))
@example([START], "http://[", 5)
@example([START], "//[", 5)
def test_a_redirect_is_followed_only_to_where_it_is_safe(chain: list[str], location: str | None, limit: int) -> None:
    """The target is a fetchable URL asked once at most, never https to http, within the limit; never an exception."""
    target = follow(chain, location, limit=limit)
    if isinstance(target, Refusal):
        assert target.message
        return
    assert requestable(target) == target
    assert urlsplit(target).scheme.lower() in {"http", "https"}
    if urlsplit(chain[-1]).scheme == "https":
        assert urlsplit(target).scheme.lower() == "https"
    assert chain.count(target) <= 1
    assert len(chain) <= limit


@given(
    urls, st.lists(st.sampled_from(["/a", "/b", "/c", "/d", "e", "../f"]), min_size=1, max_size=6), st.integers(0, 20)
)
def test_every_chain_of_redirects_ends(start: str, places: list[str], limit: int) -> None:
    """Whatever servers answer, a URL is left after `limit` redirects at the latest."""
    chain = [start]
    for step in range(limit + 1):
        target = follow(chain, places[step % len(places)], limit=limit)
        if isinstance(target, Refusal):
            return
        chain.append(target)
    raise AssertionError("went on beyond the limit")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("next.jpg", "https://a.example/dir/next.jpg"),
        ("/top.jpg", "https://a.example/top.jpg"),
        ("//b.example/x", "https://b.example/x"),
        ("https://b.example/x", "https://b.example/x"),
        ("?size=2", "https://a.example/dir/pic.jpg?size=2"),
        (" \t/a b.jpg\r\n", "https://a.example/a%20b.jpg"),
        ("/a\tb\nc", "https://a.example/abc"),
        ("/go?u=a http://b", "https://a.example/go?u=a%20http://b"),
        ("/a\u00a0b\u200c\u3000.jpg", "https://a.example/a%C2%A0b%E2%80%8C%E3%80%80.jpg"),
        ("/na\udcefve.jpg", "https://a.example/na%EFve.jpg"),
        ("/a\x01b", "https://a.example/a%01b"),
        ("/100%.jpg?%zz%20", "https://a.example/100%.jpg?%zz%20"),
        ("\\\\b.example\\x", "https://b.example/x"),
        ("..\\a?b\\c", "https://a.example/a?b\\c"),
        ("HTTPS://B\u00fccher.Example/x", "https://xn--bcher-kva.example/x"),
        ("https://[::1]:8443/", "https://[::1]:8443/"),
    ],
)
def test_relative_places_are_joined(location: str, target: str) -> None:
    """RFC 9110, 10.2.2: Location is a reference relative to the URL asked."""
    assert follow([START], location, limit=10) == target


@pytest.mark.parametrize(
    ("chain", "location", "why"),
    [
        ([START], None, "without saying where"),
        ([START], "", "without saying where"),
        ([START], "http://a.example/", "https to http"),
        ([START], "ftp://a.example/", "cannot be fetched"),
        ([START], "file:///etc/passwd", "cannot be fetched"),
        ([START], " \t", "without saying where"),
        ([START], "//:80/", "names no host"),
        ([START], "http://[::1", "not a URL"),
        ([START, START], START, "circle"),
        (["https://a.example/1", "https://a.example/2", "https://a.example/1"], "/2", None),
        (["https://a.example/1", "https://a.example/2"] * 2, "/1", "circle"),
    ],
)
def test_refusals_say_why(chain: list[str], location: str | None, why: str | None) -> None:
    """Each refused redirect names its reason; a URL may be asked for twice."""
    refusal = follow(chain, location, limit=10)
    if why is None:
        assert isinstance(refusal, str)
        return
    assert isinstance(refusal, Refusal)
    assert why in refusal.message


def test_circles_in_which_cookies_are_set_end_at_the_limit() -> None:
    """A cookie may change the next response, so only the limit ends them; the message says so."""
    assert follow([START] * 10, START, limit=10, with_cookies=True) == START
    refusal = follow([START] * 11, START, limit=10, with_cookies=True)
    assert isinstance(refusal, Refusal)
    assert "10 times" in refusal.message
    assert "cookies" in refusal.message


def test_a_redirect_inherits_the_fragment() -> None:
    """RFC 9110, 10.2.2: the fragment of the URL asked stays, unless the redirect has its own."""
    assert follow(["https://a.example/1#page"], "/2", limit=1) == "https://a.example/2#page"
    assert follow(["https://a.example/1#page"], "/2#other", limit=1) == "https://a.example/2#other"


@given(urls, urls)
def test_the_users_headers_stay_at_their_origin(first: str, url: str) -> None:
    """They are sent to the same scheme, host and port, and nowhere else."""
    assert is_same_origin(first, url) == (origin_of(first) == origin_of(url))


@given(
    st.sampled_from(FailureKind),
    st.none() | st.integers(100, 599),
    st.booleans(),
    st.integers(1, 6),
    st.integers(0, 5),
    st.floats(-10, 600),
    st.floats(0, 1, exclude_max=True),
)
def test_mirrors_go_before_retries(
    kind: FailureKind,
    status: int | None,
    has_mirror: bool,
    attempt: int,
    retries: int,
    remaining_s: float,
    jitter: float,
) -> None:
    """A mirror is used at once, whatever the failure; after the last one the rules of retries decide."""
    limits = {"attempt": attempt, "retries": retries, "remaining_s": remaining_s, "jitter": jitter}
    delay_s = retry_delay_s(kind, status, **limits)  # type: ignore[arg-type]
    expected = UseMirror() if has_mirror else GiveUp() if delay_s is None else Retry(delay_s)
    assert after_failure(kind, status, has_mirror=has_mirror, **limits) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://a.example/elsewhere", True),
        ("https://A.example:443/", True),
        ("https://a.example:8443/", False),
        ("http://a.example/", False),
        ("https://a.example.evil.example/", False),
        ("https://sub.a.example/", False),
        ("https://a.example@evil.example/", False),
    ],
)
def test_what_is_the_same_origin(url: str, *, same: bool) -> None:
    """RFC 6454: scheme, host and port, default ports filled in; nothing that merely looks alike."""
    assert is_same_origin(START, url) is same


@settings(deadline=None)  # the first name that is not ASCII loads tables
@given(st.text(max_size=40))
def test_checking_a_url_never_fails_otherwise(text: str) -> None:
    """Any text either passes or raises BadUrl."""
    try:
        check_url(text)
    except BadUrl:
        return
    assert host_of(text)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://A.Example/x", "a.example"),
        ("http://h:8080?x", "h:8080"),
        ("http://u:p@h/", "h"),
        ("http://u@evil@h#f", "h"),
        ("http://[::1]:80/", "[::1]:80"),
        ("/home/me/x.jpg", ""),
        ("ftp://h/", ""),
        ("", ""),
    ],
)
def test_the_host_limits_count_by(url: str, host: str) -> None:
    """host_of is host and port in small letters, without credentials; empty where there is none."""
    assert host_of(url) == host


SIGNING = [
    "X-Amz-Signature",
    "x-amz-credential",
    "X-Goog-Signature",
    "sig",
    "Signature",
    "token",
    "access_token",
    "key",
]
secrets = st.text("S3CRET", min_size=6, max_size=12)


@given(
    secrets,
    st.one_of(secrets, st.builds("{}@{}".format, secrets, secrets)),
    secrets,
    st.sampled_from(SIGNING),
    st.sampled_from("?&;"),
)
def test_no_secret_of_a_url_is_shown(user: str, password: str, value: str, name: str, mark: str) -> None:
    """Neither user name nor password nor the value of a signing parameter survives; the rest does."""
    first = "?" if mark == "?" else f"?a=1{mark}"
    shown = masked(f"https://{user}:{password}@host.example/path{first}{name}={value}&w=100#end")
    for secret in (user, *password.split("@"), value):
        assert secret not in shown
    assert "host.example/path" in shown
    assert shown.endswith("&w=100#end")


@given(st.text(max_size=60))
def test_masking_is_idempotent(text: str) -> None:
    """What is masked stays as it is, and masking any text never fails."""
    assert masked(masked(text)) == masked(text)


@given(urls)
def test_plain_urls_are_shown_as_they_are(url: str) -> None:
    """Without secrets nothing is changed."""
    assume("@" not in url)
    assert masked(url) == url


def test_statuses_as_a_person_reads_them() -> None:
    """Number and the standard's phrase; an unknown number alone."""
    assert (status_text(404), status_text(599)) == ("404 Not Found", "599")
