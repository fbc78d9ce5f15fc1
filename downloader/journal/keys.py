"""The identity of a row: the same in every run that lists it. Pure."""

from hashlib import sha256

from downloader.model.items import Row

HASH_BYTES = 8
"""Of a key; SQLite's integers hold eight. Rows with the same hash are told apart by their keys."""


def make_key(row: Row, occurrence: int) -> bytes:
    """The stable identity of a row: sha256 over its source and how many times the list named that source before."""
    return sha256(f"{row.source}\0{occurrence}".encode("utf-8", "surrogatepass")).digest()


def hash_of(key: bytes) -> int:
    """The first bytes of a key, as a signed integer."""
    return int.from_bytes(key[:HASH_BYTES], "big", signed=True)
