"""How many items of an output stand where. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from downloader.model.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many items stand where; `total = succeeded + failed + skipped + pending` by construction of the states."""

    by_state: Mapping[State, int]
    failures: Mapping[str, int]
    skips: Mapping[str, int]
    bytes_downloaded: int
    bytes_written: int
