"""What one exchange of an attempt leads to."""

from dataclasses import dataclass

from downloader.download.fetch_task import Reschedule
from downloader.model.items import Fetched, Skipped, Unchanged


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Another request of the same attempt."""


@dataclass(frozen=True, slots=True)
class FetchInOne:
    """The file cannot be fetched in segments: the server has another version now, or does not do what it promised."""


@dataclass(frozen=True, slots=True)
class Superseded:
    """Nothing is left to do for this segment: another one completes the file, or has given it up."""


LastStep = FetchInOne | Superseded | Fetched | Unchanged | Skipped | Reschedule
"""What ends an attempt that did not fail."""
Step = AskAgain | LastStep
