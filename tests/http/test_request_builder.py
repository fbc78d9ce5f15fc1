"""Requests built from URLs."""

import httpx
from hypothesis import given
from hypothesis import strategies as st

from downloader.config.settings import DownloadOptions
from downloader.http.base_transport import target_of
from downloader.http.cookies import CookieStore
from downloader.http.request_builder import Header, RequestBuilder
from downloader.model.urls import BadUrl, requestable

HOSTS = st.sampled_from(
    ["a.test", "A.test", "1.2.3.4", "b.test:80", "b.test:8080", "[::1]", "xn--bcher-kva.test", "a.test."]
)
TAILS = st.text("ab./_~-%2f?&=#{}|'\"<>^;:@!$()*+, é", max_size=12)
URLS = st.builds(
    "{}://{}{}{}".format, st.sampled_from(["http", "https"]), HOSTS, st.sampled_from(["/", "?", "#"]), TAILS
)
HEADERS: st.SearchStrategy[list[Header]] = st.lists(
    st.tuples(st.sampled_from(["Range", "X-A", "accept", "Cookie"]), st.sampled_from(["a=1", "b=2"])), max_size=2
)


def builder() -> RequestBuilder:
    return RequestBuilder(DownloadOptions(), CookieStore(), None)


@given(requests=st.lists(st.tuples(URLS, HEADERS), min_size=1, max_size=4))
def test_what_is_remembered_of_an_origin_changes_no_request(requests: list[tuple[str, list[Header]]]) -> None:
    """A builder that has built others builds the same request as a new one, and both have the target of httpx."""
    used = builder()
    for text, headers in requests:
        try:
            url = requestable(text)
            plain = httpx.URL(url)
        except (BadUrl, httpx.InvalidURL):
            continue
        request = used.build(url, headers, use_netrc=False)
        assert target_of(request) == plain.raw_path
        assert (request.url.scheme, request.url.raw_host, request.url.port) == (
            plain.scheme,
            plain.raw_host,
            plain.port,
        )
        assert request.headers.raw == builder().build(url, headers, use_netrc=False).headers.raw
        assert request.headers["host"] == plain.netloc.rpartition(b"@")[2].decode("ascii")
