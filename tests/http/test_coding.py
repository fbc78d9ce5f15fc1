import gzip
import importlib
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloader.http.coding import (
    BOMB_FROM_BYTES,
    MAX_LAYERS,
    MAX_TAIL_BYTES,
    STEP_BYTES,
    CodingError,
    CorruptStream,
    DecompressionBomb,
    LimitExceeded,
    TruncatedStream,
    UnknownCoding,
    decoder,
)

MB = 1024**2


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def brotli(data: bytes) -> bytes:
    packed: bytes = importlib.import_module("brotli").compress(data, quality=5)
    return packed


def zstd(data: bytes) -> bytes:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    packed: bytes = importlib.import_module(name).compress(data)
    return packed


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
    "br": ("br", brotli),
    "zstd": ("zstd", zstd),
}
every_coding = pytest.mark.parametrize(("name", "pack"), PACKERS.values(), ids=PACKERS)


def decoded(name: str, data: bytes, chunk: int = 1000, limit: int | None = None) -> bytes:
    """The whole of a coded body, as a client would decode it."""
    undo = decoder(name, limit)
    got = b"".join(piece for start in range(0, len(data), chunk) for piece in undo.decode(data[start : start + chunk]))
    undo.finish()
    assert undo.decoded_bytes == len(got)
    return got


PHOTO = random.Random(0).randbytes(100_000) + b"\0" * 200_000


@every_coding
@pytest.mark.parametrize("chunk", [1, 777, 10**6])
def test_decoding_gives_the_bytes_back(name: str, pack: Callable[[bytes], bytes], chunk: int) -> None:
    """Every coding, fed in chunks of any size, gives back what was coded."""
    assert decoded(name, pack(PHOTO), chunk) == PHOTO
    assert decoded(name, pack(b""), chunk) == b""


@given(st.binary(max_size=2000), st.integers(1, 50), st.sampled_from(["gzip", "zlib", "raw"]))
def test_any_bytes_survive(data: bytes, chunk: int, key: str) -> None:
    """Law: decoding undoes coding, whatever the bytes and the chunks."""
    name, pack = PACKERS[key]
    assert decoded(name, pack(data), chunk) == data


@every_coding
def test_every_cut_is_noticed(name: str, pack: Callable[[bytes], bytes]) -> None:
    """A coded stream that ends early is TruncatedStream wherever it was cut; nobody takes it for a whole body."""
    data = pack(b"a body of some length" * 3)
    for end in range(len(data)):
        with pytest.raises(TruncatedStream):
            decoded(name, data[:end])


@pytest.mark.parametrize("key", ["zlib", "raw", "br", "zstd"])
def test_what_follows_the_end_is_noticed(key: str) -> None:
    """Trailing garbage is CorruptStream, in the chunk of the end as in one of its own."""
    name, pack = PACKERS[key]
    data = pack(b"body") + b"garbage" * 5
    for chunk in (len(data), len(data) - 35, 1):
        with pytest.raises(CorruptStream):
            decoded(name, data, chunk)


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 1000, b"garbage" * 5, b"\n", b"\0\x1f\x8b", b"x\x1f\x8b"])
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
def test_what_follows_gzip_is_left_out(tail: bytes, chunk: int) -> None:
    """Zeros and garbage after members whose checksums are right are no part of the body, as in browsers and gzip(1)."""
    assert decoded("gzip", gzip.compress(b"one,") + gzip.compress(b"two") + tail, chunk) == b"one,two"


@pytest.mark.parametrize("tail", [b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08\0"])
def test_another_member_that_breaks_off_is_noticed(tail: bytes) -> None:
    """What begins as another member is none that may be left out."""
    for chunk in (1, 10_000):
        with pytest.raises(TruncatedStream):
            decoded("gzip", gzip.compress(b"one") + tail, chunk)


def test_another_member_that_is_damaged_is_noticed() -> None:
    """A wrong checksum of the second member fails the body."""
    with pytest.raises(CorruptStream):
        decoded("gzip", gzip.compress(b"one") + gzip.compress(b"two")[:-8] + bytes(8))


def test_a_long_tail_is_noticed() -> None:
    """Something that goes on and on is no padding."""
    with pytest.raises(CorruptStream):
        decoded("gzip", gzip.compress(b"body") + bytes(MAX_TAIL_BYTES + 1))
    assert decoded("gzip", gzip.compress(b"body") + bytes(MAX_TAIL_BYTES)) == b"body"


def test_gzip_under_the_name_of_deflate() -> None:
    """Some servers mix the two up; the first two bytes tell."""
    for chunk in (1, 10_000):
        assert decoded("deflate", gzip.compress(PHOTO), chunk) == PHOTO


@every_coding
def test_what_is_not_coded_is_corrupt(name: str, pack: Callable[[bytes], bytes]) -> None:
    """A JPEG that is only said to be coded never passes for a body."""
    assert pack(b"")  # the library is there
    with pytest.raises(CorruptStream):
        decoded(name, b"\xff\xd8\xff\xe0" + PHOTO)


@pytest.mark.parametrize("key", ["gzip", "zlib"])
@given(at=st.integers(0, 10**6), by=st.integers(1, 255))
def test_changed_bytes_are_noticed(key: str, at: int, by: int) -> None:
    """Formats with a checksum: whatever byte is changed, other bytes than the true ones never come out."""
    name, pack = PACKERS[key]
    data = bytearray(pack(b"a body of some length" * 3))
    data[at % len(data)] ^= by
    with suppress(CodingError):  # some bits decide nothing: the time in the header, the padding at the end
        assert decoded(name, bytes(data)) == b"a body of some length" * 3


@pytest.mark.parametrize("key", ["gzip", "zstd"])
def test_streams_may_follow_each_other(key: str) -> None:
    """RFC 1952, 2.2 and RFC 8878, 3: several members are one body; a second one cut off is noticed."""
    name, pack = PACKERS[key]
    data = pack(b"one,") + pack(b"") + pack(b"two")
    for chunk in (1, 7, 1000):
        assert decoded(name, data, chunk) == b"one,two"
    with pytest.raises(TruncatedStream):
        decoded(name, data[:-1])


def test_layers_come_off_last_first() -> None:
    """RFC 9110, 8.4: codings are listed in the order they were applied; `identity` and empty elements are none."""
    data = zlib.compress(gzip.compress(PHOTO))
    assert decoded("gzip, identity, , DEFLATE", data) == PHOTO
    assert decoded('aws-chunked,"gzip", utf-8, deflate;q=1', data) == PHOTO
    with pytest.raises(CorruptStream):
        decoded("deflate, gzip", data)
    with pytest.raises(TruncatedStream):
        decoded("gzip, gzip", gzip.compress(gzip.compress(PHOTO)[:-1]))


@pytest.mark.parametrize(
    "name",
    [
        *("", "identity", " Identity ,", ",", "UTF-8", "utf8", "none", "binary", "8bit", "base64", "image/jpeg", "*"),
        *("aws-chunked", "amz-1.0", "chunked", "iso-8859-1", "text/html; charset=utf-8", "no", "null", '""', "\xe9"),
        *("identity, utf-8", "br2"),
    ],
)
def test_no_coding_passes_bytes_on(name: str) -> None:
    """Words that name no coding change no bytes; they are counted against the limit too."""
    assert decoded(name, PHOTO) == PHOTO
    with pytest.raises(LimitExceeded):
        decoded(name, PHOTO, limit=len(PHOTO) - 1)


@pytest.mark.parametrize(
    "name", ["compress", "gzip, exi", "x-bzip2", "xz", "sdch", "utf-8, compress", ", ".join(["gzip"] * 6)]
)
def test_unknown_codings_are_named_before_any_byte(name: str) -> None:
    """What cannot be undone is told at once; more than five layers are refused (urllib3 GHSA-gm62)."""
    with pytest.raises(UnknownCoding):
        decoder(name)


def test_five_layers_are_still_undone() -> None:
    """The limit itself is allowed."""
    data = b"body"
    for _ in range(MAX_LAYERS):
        data = gzip.compress(data)
    assert decoded(", ".join(["gzip"] * MAX_LAYERS), data) == b"body"


@every_coding
def test_the_limit_counts_decoded_bytes(name: str, pack: Callable[[bytes], bytes]) -> None:
    """`--max-size` holds for what comes out: the limit itself passes, one byte more does not."""
    data = pack(PHOTO)
    assert decoded(name, data, limit=len(PHOTO)) == PHOTO
    with pytest.raises(LimitExceeded):
        decoded(name, data, limit=len(PHOTO) - 1)


@pytest.mark.parametrize("key", ["gzip", "zlib", "raw", "br", "zstd"])
def test_a_bomb_is_defused_in_flat_memory(key: str) -> None:
    """Even without a limit, 64 MiB of zeros from a few bytes stop early, and never stand in memory."""
    name, pack = PACKERS[key]
    data = pack(bytes(64 * MB))
    undo = decoder(name)
    largest = 0
    tracemalloc.start()
    with pytest.raises(DecompressionBomb):  # noqa: PT012 - the pieces must not be kept
        for piece in undo.decode(data):
            largest = max(largest, len(piece))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert largest <= 2 * STEP_BYTES
    assert peak < 2 * MB
    assert undo.decoded_bytes < 50 * MB


def test_a_bomb_within_a_bomb() -> None:
    """The ratio counts over all layers, against the bytes that crossed the wire."""
    data = gzip.compress(gzip.compress(bytes(64 * MB)))
    undo = decoder("gzip, gzip")
    with pytest.raises(DecompressionBomb):
        list(undo.decode(data))
    assert undo.decoded_bytes <= BOMB_FROM_BYTES + STEP_BYTES


def test_an_inner_flood_that_decodes_to_nothing_is_a_bomb_too() -> None:
    """Every layer is counted: empty gzip members without end make no output, and yet are stopped."""
    members = gzip.compress(b"", mtime=0) * (8 * MB // 20)
    undo = decoder("gzip, gzip, gzip")
    with pytest.raises(DecompressionBomb):
        list(undo.decode(gzip.compress(gzip.compress(members))))
    assert undo.decoded_bytes == 0


def test_plain_areas_are_no_bomb() -> None:
    """A white image may shrink by more than a thousand as long as it is small, and by less at any size."""
    assert len(decoded("gzip", gzip.compress(bytes(BOMB_FROM_BYTES)))) == BOMB_FROM_BYTES
    data = b"".join(bytes(20_000) + random.Random(n).randbytes(30) for n in range(300))
    assert decoded("gzip", gzip.compress(data)) == data


@given(st.sampled_from(["gzip", "deflate", "gzip, deflate"]), st.binary(max_size=300))
def test_hostile_bytes_end_in_one_of_our_exceptions(name: str, data: bytes) -> None:
    """Law: whatever the bytes, decoding ends, and only with a CodingError."""
    with suppress(CodingError):
        decoded(name, data, limit=MB)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Nothing optional is installed but what the test puts in."""
    installed: dict[str, Any] = {}

    def find(name: str) -> Any:
        if name in installed:
            return installed[name]
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", find)
    return installed


@pytest.mark.parametrize("name", ["br", "zstd"])
def test_without_a_library_the_coding_is_unknown(name: str, no_library: dict[str, Any]) -> None:
    """The optional codings are just not known where nothing is installed."""
    assert not no_library
    with pytest.raises(UnknownCoding):
        decoder(name)


def test_a_library_without_bounds_is_not_used(no_library: dict[str, Any]) -> None:
    """Brotli before 1.2 makes all of a chunk at once, so it counts as not installed."""
    no_library["brotli"] = SimpleNamespace(Decompressor=object, error=ValueError)
    with pytest.raises(UnknownCoding):
        decoder("br")
