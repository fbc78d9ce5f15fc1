import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.http.robots import opt_out


@pytest.mark.parametrize(
    ("values", "directive"),
    [
        ([], None),
        (["all"], None),
        (["noai"], "noai"),
        ([b"NoImageAI"], "noimageai"),
        (["nofollow, noindex"], "noindex"),
        (["nofollow", "noimageindex"], "noimageindex"),
        (["none"], "none"),
        (["noarchive,nosnippet"], None),
        (["noaix, xnoai, no ai"], None),
        (["*: noai"], "noai"),
        # robots
        (["downloader: noai"], "noai"),
        (["Downloader : noindex, noai"], "noindex"),
        (["downloader: nofollow, noai"], "noai"),
        (["otherbot: noai"], None),
        (["otherbot: nofollow, noai"], None),
        (["otherbot: noai", "noindex"], "noindex"),
        (["otherbot: noai, downloader: noindex"], "noindex"),
        (["downloader: nofollow, otherbot: noai"], None),
        (["downloader-pro: noai", "my_downloader: noai"], None),
        # values with colons and commas
        (["unavailable_after: 25 Jun 2010 15:00:00 PST"], None),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], "noai"),
        (["unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], "noai"),
        (["unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noai"], "noai"),
        (["unavailable_after: 2010-06-25T15:00:00, noai"], "noai"),
        (["otherbot: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], None),
        (["downloader: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai"], "noai"),
        (["max-snippet:-1, max-image-preview:large, max-video-preview:0, noai"], "noai"),
        (["max-image-preview: none"], None),
        (["", ",", ":", "::noai", "noai:"], None),
    ],
)
def test_opting_out(values: list[bytes | str], directive: str | None) -> None:
    """X-Robots-Tag: what is said to everybody or to us counts, what is said to another robot does not."""
    assert opt_out(values, "downloader") == directive


@given(st.lists(st.binary(max_size=60) | st.text(max_size=60)))
def test_nothing_raises(values: list[bytes | str]) -> None:
    """Law: a malformed field asks for nothing."""
    opt_out(values, "downloader")
