"""Whether a content coding is the compression of the file itself, as with `data.tar.gz`. Pure.

Many servers send such files with `Content-Encoding: gzip` (Apache by its own default, `AddEncoding x-gzip .gz`).
`fetch` keeps their bytes as served, like wget, curl and Firefox: published checksums are of these.
"""

from collections.abc import Iterable

_EXTENSIONS = {
    "gzip": ("gz", "gzip", "tgz", "taz", "tpz", "svgz", "emz", "wmz", "vgz", "gzi", "bgz"),
    "x-gzip": ("gz", "gzip", "tgz", "taz", "tpz", "svgz", "emz", "wmz", "vgz", "gzi", "bgz"),
    "compress": ("z", "taz", "tz"),
    "x-compress": ("z", "taz", "tz"),
    "bzip2": ("bz2", "bz", "tbz", "tbz2", "tb2"),
    "x-bzip2": ("bz2", "bz", "tbz", "tbz2", "tb2"),
    "x-bzip": ("bz2", "bz", "tbz", "tbz2", "tb2"),
    "xz": ("xz", "txz"),
    "x-xz": ("xz", "txz"),
    "lzma": ("lzma", "tlz"),
    "x-lzma": ("lzma", "tlz"),
    "zstd": ("zst", "zstd", "tzst"),
    "br": ("br", "tbr"),
    "lz4": ("lz4",),
}
"""Extensions of files that are compressed in the format of a coding, in lower case."""
_MEDIA_TYPES = {
    "gzip": frozenset(
        f"application/{name}"
        for name in (
            "gzip",
            "x-gzip",
            "x-gunzip",
            "x-gtar-compressed",
            "x-compressed-tar",
            "x-tgz",
            "tar+gzip",
            "x-tar-gz",
        )
    ),
    "compress": frozenset({"application/x-compress", "application/x-compressed"}),
    "bzip2": frozenset({"application/x-bzip2", "application/x-bzip", "application/x-bzip-compressed-tar"}),
    "xz": frozenset({"application/x-xz", "application/x-xz-compressed-tar"}),
    "zstd": frozenset({"application/zstd", "application/x-zstd", "application/x-zstd-compressed-tar"}),
}
"""Media types of such files."""


def is_own_compression(coding: str, media_type: str | None, names: Iterable[str]) -> bool:
    """Whether a body should keep its only coding, by the media type or the names that its file has (hostile text)."""
    if media_type in _MEDIA_TYPES.get(coding.removeprefix("x-"), ()):
        return True
    endings = tuple(f".{extension}" for extension in _EXTENSIONS.get(coding, ()))
    return bool(endings) and any(name.lower().endswith(endings) for name in names)
