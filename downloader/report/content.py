"""What the report is made of, gathered elsewhere: plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from downloader.model.counts import FailureGroup
from downloader.report.recording import PhaseFigures, Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An image before and after: `data:` URLs, None where there is nothing to show. `caption` says what it became."""

    source: str
    caption: str
    before: str | None
    after: str | None


class ShownSetting(NamedTuple):
    """A setting as it would be written in TOML, without secrets."""

    name: str
    value: str
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything the page shows.

    `summary` is as `status --json` shows it. `failures` are the largest of `failure_groups` groups. `phases_basis` says
    what the latencies were measured on. `recording` is how the last run went over time, None where that is not known;
    `sources` are those of its items. `settings` are sections with their names, `listed` sources as named. Secrets are
    masked in all of it.
    """

    output: str
    summary: Mapping[str, Any]
    failures: Sequence[FailureGroup] = ()
    failure_groups: int = 0
    phases: Sequence[PhaseFigures] = ()
    phases_basis: str = ""
    recording: Recording | None = None
    sources: Mapping[int, str] = field(default_factory=dict)
    pairs: Sequence[Pair] = ()
    settings: Sequence[tuple[str, Sequence[ShownSetting]]] = ()
    listed: Sequence[str] = ()
