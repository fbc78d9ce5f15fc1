"""What a run knows of a host, as others see it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostWait:
    """A host that is asked nothing for `seconds`: how many of its `items` wait, and why, such as "429", or ""."""

    host: str
    items: int
    seconds: float
    reason: str = ""
