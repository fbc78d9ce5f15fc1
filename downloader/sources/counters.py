"""Counts of input that becomes no row."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class SourceCounters:
    """What sources have seen and not used so far; they count while they are read.

    Attributes:
        left_alone: files that are no images by their names, hidden files, and hidden folders, each as one.
        options_ignored: option lines of aria2 lists.
        empty: sources in which there was no item at all, as they were named.
    """

    left_alone: int = 0
    options_ignored: int = 0
    empty: list[str] = field(default_factory=list)
