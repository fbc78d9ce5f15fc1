"""How many items of an output stand where, and what failed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from downloader.model.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many items stand where; `total = succeeded + failed + skipped + pending` by construction of the states.

    `failures` are by kind, `statuses` those among them with an HTTP status as their reason, by that status;
    `failing_hosts` are pairs of a host and its failures, the most first, no more than a few.
    """

    by_state: Mapping[State, int]
    failures: Mapping[str, int]
    skips: Mapping[str, int]
    statuses: Mapping[int, int]
    failing_hosts: tuple[tuple[str, int], ...]
    bytes_downloaded: int
    bytes_written: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failures of one kind, host ("" for files) and status. `examples` are masked sources with their messages."""

    kind: str
    host: str
    http_status: int | None
    items: int
    examples: tuple[tuple[str, str], ...]
