"""Spans: when each phase of an item's work began and ended, and in which lane. Pure.

Times are `time.monotonic()` seconds, which all processes of one machine share since its start; they mean nothing on
another machine or after a restart.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Phase(StrEnum):
    """What was being done. The values are the keys of `timings_s` in `status --items`."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    FIRST_BYTE = "first_byte"
    """From the request until its response's head has come."""
    BODY = "body"
    QUEUE = "queue"
    """From the hand-off until a transform process takes the file."""
    DECODE = "decode"
    RESIZE = "resize"
    ENCODE = "encode"
    """Encoding, and writing the result into the staging folder."""
    WRITE = "write"
    """Making the results of an item's batch durable under their final names."""


class Span(NamedTuple):
    """One phase of one item. A tuple, as there are some ten an item, and they cross processes."""

    phase: Phase
    start_s: float
    end_s: float
    lane: str
    """The thread (`download-3`) or process (`transform-4711`) that did it."""


Spans = tuple[Span, ...]


def seconds_by_phase(spans: Iterable[Span]) -> dict[str, float]:
    """Seconds spent in each phase that occurred; phases that occurred several times are added up."""
    seconds: dict[str, float] = {}
    for phase, start_s, end_s, _ in spans:
        seconds[phase] = seconds.get(phase, 0.0) + end_s - start_s
    return seconds
