"""Which stage limits a run, and what would make the next one better. Pure."""

from collections.abc import Mapping, Sequence

from downloader.scheduling.circuit_breaker import SetAside

_FULL_SHARE = 0.5
"""A queue that is full more than half of the time says that transforms are slower than downloads."""
_BUSY_SHARE = 0.7
_NOTABLE_SHARE = 0.1
"""Failures of one kind that are worth a sentence, as a share of all items."""
_MAX_HOSTS = 3
"""Hosts that get a sentence of their own."""


def bottleneck(
    *,
    download_busy: float | None,
    transform_busy: float | None,
    queue_full: float | None,
    writer_busy: float | None,
) -> str:
    """Which stage the others waited for: `download`, `transform`, `output` or `none`. All arguments are shares."""
    if (writer_busy or 0) > _BUSY_SHARE:
        return "output"
    if (queue_full or 0) > _FULL_SHARE or (transform_busy or 0) > _BUSY_SHARE:
        return "transform"
    if (download_busy or 0) > _BUSY_SHARE:
        return "download"
    return "none"


def cautions(*, insecure: bool, options_ignored: int, empty_sources: Sequence[str] = ()) -> tuple[str, ...]:
    """What the user should know of how a run is done."""
    found = []
    if insecure:
        found.append("certificates are not checked (--insecure): anybody on the way may have changed what came")
    if options_ignored:
        found.append(f"{options_ignored} option lines of aria2 lists have no meaning here and were ignored")
    found += [f"no items in {source}" for source in empty_sources]
    return tuple(found)


def advise(
    limit: str | None,
    failures: Mapping[str, int],
    total: int,
    *,
    is_processor_idle: bool,
    set_aside: Sequence[SetAside] = (),
) -> list[str]:
    """What would make the next run faster or more complete, most useful first. `limit` is the bottleneck."""
    advice = _on_hosts(set_aside)
    if limit == "download":
        advice.append("downloads are the limit: more --threads may help, if the servers allow it")
    if limit == "transform" and is_processor_idle:
        advice.append("transforms are the limit: more --processes would help")
    if limit == "output":
        advice.append("writing is the limit: a faster disk for the output would help")
    if failures and total:
        kind, number = max(failures.items(), key=lambda entry: entry[1])
        if number >= _NOTABLE_SHARE * total:
            advice.append(f"{number} of {total} items failed as {kind}: `status --items --kind {kind}` lists them")
    return advice


def _on_hosts(set_aside: Sequence[SetAside]) -> list[str]:
    advice = [
        f"{entry.items} items of {entry.host} were set aside: {entry.reason}; `retry` takes them when it is well again"
        for entry in set_aside[:_MAX_HOSTS]
    ]
    if others := set_aside[_MAX_HOSTS:]:
        items = sum(entry.items for entry in others)
        advice.append(f"{items} items of {len(others)} other hosts were set aside as well: `retry` takes them")
    return advice
