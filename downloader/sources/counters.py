"""Counts of input that becomes no row."""

from dataclasses import dataclass


@dataclass(slots=True)
class SourceCounters:
    """What sources have seen and not used so far; they count while they are read.

    Attributes:
        left_alone: files that are no images. Files in hidden folders are not counted.
        options_ignored: option lines of aria2 lists.
    """

    left_alone: int = 0
    options_ignored: int = 0
