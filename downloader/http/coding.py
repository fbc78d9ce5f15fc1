"""Decoding the content coding of a body, step by step and within bounds. Pure.

Requests ask for no coding (`Accept-Encoding: identity`), but some servers apply one anyway (RFC 9110, 8.4). A few coded
bytes can hold gigabytes, so nothing is decoded at once: every step yields about `STEP_BYTES`, and is counted before it
is passed on. `br` and `zstd` are decoded if a library is installed that supports such a bound: brotli or brotlicffi
from 1.2 on, and `compression.zstd` (Python 3.14) or its backport `backports.zstd`; the package `zstandard` does not.
"""

import importlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

STEP_BYTES: Final = 64 * 1024
"""Maximum output requested from a decoder at a time."""
MAX_LAYERS: Final = 5
"""Codings applied one after the other that are decoded; curl and urllib3 have the same limit."""
BOMB_RATIO: Final = 1000
"""Maximum of decoded bytes for each coded byte, beyond `BOMB_FROM_BYTES`. No photo comes near; deflate reaches 1032."""
BOMB_FROM_BYTES: Final = 1024**2
MAX_TAIL_BYTES: Final = 64 * 1024
"""Maximum of what may follow complete streams of gzip, and is left out."""
_SLICE_BYTES = 16 * 1024
"""Input given to a decoder at a time: zlib copies what it has not consumed, at every step."""
_ZSTD_WINDOW_LOG = 23
"""A window of 8 MiB, the largest allowed for a content coding (RFC 9659)."""


_UNDECODABLE: Final = frozenset(
    [
        "aes128gcm",
        "br",
        "bzip2",
        "compress",
        "dcb",
        "dcz",
        "exi",
        "lz4",
        "lzma",
        "pack200-gzip",
        "sdch",
        "snappy",
        "x-bzip",
        "x-bzip2",
        "x-compress",
        "x-lzma",
        "x-snappy-framed",
        "x-xz",
        "x-zstd",
        "xpress",
        "xz",
        "zlib",
        "zstd",
    ]
)
"""Codings that are not decoded, or not without a library: the registry of IANA, and others that have been in use."""
_DECODABLE: Final = frozenset({"gzip", "x-gzip", "deflate"})


class CodingError(Exception):
    """A body cannot be decoded."""


class UnknownCoding(CodingError):
    """A coding, or a number of codings, that cannot be decoded."""


class LimitExceeded(CodingError):
    """More decoded bytes than the limit allows."""


class DecompressionBomb(CodingError):
    """A few bytes that decode to very many."""


class TruncatedStream(CodingError):
    """The coded data ended before its end marker."""


class CorruptStream(CodingError):
    """The coded data is invalid, or followed by other data where that is not tolerated."""


_GZIP_MAGIC = b"\x1f\x8b"


class _Engine(Protocol):
    """Decodes one stream; the interface that bz2, lzma and zstd have in the standard library."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    """Gzip, zlib or raw deflate, by `wbits` as zlib counts them."""

    def __init__(self, wbits: int) -> None:
        self._raw = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._raw.eof

    @property
    def unused_data(self) -> bytes:
        return self._raw.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        decoded = self._raw.decompress(self._raw.unconsumed_tail + data, max_length)
        self.needs_input = not self._raw.unconsumed_tail and len(decoded) < max_length
        return decoded


class _Deflate:
    """`deflate` is the zlib format (RFC 9110, 8.4.1.2), but some send it raw, or gzip: the first two bytes tell."""

    def __init__(self) -> None:
        self._head = b""
        self._zlib: _Zlib | None = None

    @property
    def eof(self) -> bool:
        return self._zlib is not None and self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return self._zlib is None or self._zlib.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data if self._zlib else b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        if self._zlib is None:
            self._head += data
            if len(self._head) < 2:  # noqa: PLR2004 - the header of zlib, RFC 1950, 2.2
                return b""
            self._zlib = _Zlib(_deflate_wbits(self._head))
            data = self._head
        return self._zlib.decompress(data, max_length)


def _deflate_wbits(head: bytes) -> int:
    """The format of a body called `deflate`, by its beginning, as zlib counts it."""
    if head.startswith(_GZIP_MAGIC):  # begins neither of the others
        return 16 + zlib.MAX_WBITS
    is_zlib = head[0] & 0x8F == 0x08 and int.from_bytes(head[:2], "big") % 31 == 0  # noqa: PLR2004 - RFC 1950, 2.2
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


class _Brotli:
    """Brotli by either library; both call data after the end an error."""

    unused_data = b""

    def __init__(self, raw: Any) -> None:  # noqa: ANN401 - a decompressor of an optional, untyped library
        self._raw = raw
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return bool(self._raw.is_finished())

    def decompress(self, data: bytes, max_length: int) -> bytes:
        decoded: bytes = self._raw.process(data, output_buffer_limit=max_length)
        self.needs_input = not decoded  # `can_accept_more_data` of brotli 1.2 says yes while output is pending
        return decoded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coding:
    """How a coding is decoded.

    `start` begins a stream, and `error` is raised for bad data. `magic` is how another stream begins that may follow:
    those of gzip (RFC 1952, 2.2) and zstd (RFC 8878, 3) are joined. With `has_tail` anything else that follows a
    complete stream, whose checksum was right, is left out, as by browsers and gzip(1). Raw deflate has no checksum, so
    what follows may mean that it was none.
    """

    start: Callable[[], _Engine]
    error: type[Exception]
    magic: bytes | None = None
    has_tail: bool = False


def codings(content_encoding: str) -> list[str]:
    """The codings that Content-Encoding names, in lower case, in the order they were applied.

    Other words (`utf-8`, `none`, `binary`, `aws-chunked`, a media type) change no bytes and do not count, as in
    browsers. Parameters are dropped, since no coding has any.
    """
    names = (part.partition(";")[0].strip(" \t\"'").lower() for part in content_encoding.split(","))
    return [name for name in names if name in _DECODABLE or name in _UNDECODABLE]


def _coding(name: str) -> _Coding:
    """The coding of a name in lower case (RFC 9110, 8.4.1)."""
    match name:
        case "gzip" | "x-gzip":
            return _Coding(start=lambda: _Zlib(16 + zlib.MAX_WBITS), error=zlib.error, magic=_GZIP_MAGIC, has_tail=True)
        case "deflate":
            return _Coding(start=_Deflate, error=zlib.error)
        case "br" if brotli := _library("brotli", "brotlicffi", needs="can_accept_more_data"):
            return _Coding(start=lambda: _Brotli(brotli.Decompressor()), error=brotli.error)
        case "zstd" if zstd := _library("compression.zstd", "backports.zstd"):
            window = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
            return _Coding(start=lambda: zstd.ZstdDecompressor(options=window), error=zstd.ZstdError, magic=b"")
    raise UnknownCoding(f"content coding {name[:50]!r}")


def _library(*names: str, needs: str | None = None) -> Any:  # noqa: ANN401 - an optional, untyped library
    """The first library that is installed, and whose decompressor has the method `needs`; else None."""
    for name in names:
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        if needs is None or hasattr(library.Decompressor, needs):
            return library
    return None


class _Layer:
    """One coding being decoded."""

    def __init__(self, coding: _Coding) -> None:
        self._coding = coding
        self._engine = coding.start()
        self._rest = b""
        """What has followed a complete stream so far, as long as it may be the beginning of another."""
        self._tail_bytes = 0
        """What followed and is left out."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded data, in non-empty pieces."""
        try:
            while data:
                if self._engine.eof and not (data := self._next_stream(data)):
                    return
                yield from _steps(self._engine, data)
                data = self._engine.unused_data if self._engine.eof else b""
        except self._coding.error as error:
            raise CorruptStream("invalid coded data") from error

    def finish(self) -> None:
        if not self._engine.eof or self._rest:
            raise TruncatedStream("the coded data ends early")

    def _next_stream(self, data: bytes) -> bytes:
        """What of the data belongs to another stream, which is begun; empty if it is a tail, or too short to tell."""
        self._rest, data = b"", self._rest + data
        magic = self._coding.magic
        if magic is not None and not self._tail_bytes:
            if data.startswith(magic):
                self._engine = self._coding.start()
                return data
            if magic.startswith(data):
                self._rest = data
                return b""
        self._tail_bytes += len(data)
        if not self._coding.has_tail or self._tail_bytes > MAX_TAIL_BYTES:
            raise CorruptStream("something follows the coded data")
        return b""


def _steps(engine: _Engine, data: bytes) -> Iterator[bytes]:
    """Feed data to an engine, and yield its output."""
    while True:
        decoded = engine.decompress(data, STEP_BYTES)
        data = b""
        if decoded:
            yield decoded
        if engine.eof or engine.needs_input:
            return


class Decoder:
    """Decodes the codings of one body; made by `decoder`, unusable after an exception."""

    def __init__(self, layers: list[_Layer], limit_bytes: int | None) -> None:
        self._layers = layers
        self._limit_bytes = limit_bytes
        self._coded_bytes = 0
        self._made_bytes = [0] * len(layers)
        self.decoded_bytes = 0

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """The decoded bytes of the next chunk of the body, in pieces; consume them before passing the next chunk.

        Raises:
            LimitExceeded: the limit is exceeded.
            DecompressionBomb: a layer yields more than `BOMB_RATIO` times its input.
            CorruptStream: the data is invalid.
        """
        for start in range(0, len(chunk), _SLICE_BYTES):
            data = chunk[start : start + _SLICE_BYTES]
            self._coded_bytes += len(data)
            for piece in self._through(0, data):
                self.decoded_bytes += len(piece)
                if self._limit_bytes is not None and self.decoded_bytes > self._limit_bytes:
                    raise LimitExceeded(f"decodes to more than {self._limit_bytes} bytes")
                yield piece

    def finish(self) -> None:
        """The body has ended.

        Raises:
            TruncatedStream: the coded data has not.
        """
        for layer in self._layers:
            layer.finish()

    def _through(self, depth: int, data: bytes) -> Iterator[bytes]:
        """Pass the data through the layers from `depth` on."""
        if depth == len(self._layers):
            yield data
            return
        for piece in self._layers[depth].decode(data):
            self._made_bytes[depth] += len(piece)
            if self._made_bytes[depth] > max(BOMB_FROM_BYTES, BOMB_RATIO * self._coded_bytes):
                raise DecompressionBomb(f"decodes to more than {BOMB_RATIO} times its size")
            yield from self._through(depth + 1, piece)


def decoder(content_encoding: str, limit_bytes: int | None = None) -> Decoder:
    """A decoder for the value of Content-Encoding, read by `codings`.

    No coding passes bytes on as they are, counted against the limit like any others.

    Raises:
        UnknownCoding: one of the codings is unknown, or there are more than `MAX_LAYERS`.
    """
    names = codings(content_encoding)
    if len(names) > MAX_LAYERS:
        raise UnknownCoding(f"{len(names)} content codings one upon the other")
    return Decoder([_Layer(_coding(name)) for name in reversed(names)], limit_bytes)
