import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.download.digests import Digests, parse_checksum
from downloader.http.headers import Checksum


def checksum(name: str) -> Checksum:
    return Checksum(name, hashlib.new(name, b"x").digest())


@pytest.mark.parametrize(
    ("text", "name"),
    [("sha256:{}", "sha256"), ("SHA-256={}", "sha256"), ("sha-1={}", "sha1"), ("md5:{}", "md5"),
     ("sha-512:{}", "sha512"), ("sha3-256:{}", "sha3_256"), ("sha3_512:{}", "sha3_512"), ("blake2b:{}", "blake2b"),
     (" sha384:{} ", "sha384")],
)  # fmt: skip
def test_checksums_of_users(text: str, name: str) -> None:
    """Any fixed-length hash of hashlib, in the spellings of coreutils, aria2 and the IANA registry; hex of any case."""
    digest = hashlib.new(name, b"x").hexdigest()
    assert parse_checksum(text.format(digest)) == checksum(name)
    assert parse_checksum(text.format(digest.upper())) == checksum(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [("sha256:12", "64 hex digits, not 2"), ("md5:" + "0" * 33, "32 hex digits, not 33"), ("crc32:00", "not a hash"),
     ("shake_128:00", "not a hash"), ("sha256", "not a checksum"), ("sha256:", "not a checksum"),
     ("", "not a checksum"), ("sha256:xy", "not a checksum"), ("sha256:" + "0 " * 32, "not a checksum"),
     (":00", "not a checksum"), ("md5:\u0660" * 32, "not a checksum"), ("a\0b:00", "not a checksum"),
     ("\udcff:00", "not a checksum")],
)  # fmt: skip
def test_a_bad_checksum_says_why(text: str, message: str) -> None:
    """A user's mistake is named, with what would be right."""
    with pytest.raises(ValueError, match=message):
        parse_checksum(text)


@given(st.text(max_size=40))
def test_a_checksum_is_read_or_refused(text: str) -> None:
    """Law: ValueError is all that bad text can cause."""
    try:
        name, digest = parse_checksum(text)
    except ValueError:
        return
    assert hashlib.new(name).digest_size == len(digest)


@pytest.mark.parametrize("size", [0, 1, 8 * 1024**2, 8 * 1024**2 + 1, 11 * 1024**2 + 7])
def test_a_body_that_is_partly_hashed_in_a_thread(size: int) -> None:
    whole = bytes(range(251)) * (size // 251 + 1)
    edges = [*range(0, size, 100_003), size]
    digests = Digests(None, [])
    for start, stop in pairwise(edges):
        digests.update(whole[start:stop])
    assert digests.sha256() == hashlib.sha256(whole[:size]).hexdigest()
    assert digests.mismatch() is None
