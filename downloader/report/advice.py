"""Which stage limits a run, and what would make the next one better. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from downloader.scheduling.circuit_breaker import SetAside

_FULL_SHARE = 0.5
"""A queue that is full more than half of the time says that transforms are slower than downloads."""
_BUSY_SHARE = 0.7
_CORE_SHARE = 0.85
"""A process that uses so much of one core has none left: the interpreter's lock lets it use one."""
_NOTABLE_SHARE = 0.1
"""Failures of one kind that are worth a sentence, as a share of all items."""
_DNS_SHARE = 0.01
_ONE_HOST_SHARE = 0.9
_FEW = 10
"""Fewer failures than this say nothing of their host."""
_CHECKSUMS = 3
_MAX_HOSTS = 3
"""Hosts that get a sentence of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What advice is drawn from; shares are between 0 and 1, and None where nothing is known.

    `failing_hosts` are pairs of a host and its failures, the most first. `cpus` are those that the run may use, 0 if
    that is not known. `parent_cpu` is the share of one core that the program's first process used.
    """

    total: int = 0
    succeeded: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    failing_hosts: Sequence[tuple[str, int]] = ()
    set_aside: Sequence[SetAside] = ()
    download_busy: float | None = None
    transform_busy: float | None = None
    queue_full: float | None = None
    writer_busy: float | None = None
    parent_cpu: float | None = None
    processes: int = 0
    cpus: int = 0
    shards: int = 1

    @property
    def failed(self) -> int:
        """Items that failed."""
        return sum(self.failures.values())


def bottleneck(evidence: Evidence) -> str:
    """Which stage the others waited for: `download`, `transform`, `output` or `none`."""
    if (evidence.writer_busy or 0) > _BUSY_SHARE:
        return "output"
    if (evidence.queue_full or 0) > _FULL_SHARE or (evidence.transform_busy or 0) > _BUSY_SHARE:
        return "transform"
    if (evidence.download_busy or 0) > _BUSY_SHARE:
        return "download"
    return "none"


def reason(evidence: Evidence) -> str | None:
    """How it is known which stage is the limit; None where none is."""
    match bottleneck(evidence):
        case "output":
            return f"results were being stored {_percent(evidence.writer_busy)} of the time"
        case "transform" if (evidence.queue_full or 0) > _FULL_SHARE:
            return f"the queue was full {_percent(evidence.queue_full)} of the time"
        case "transform":
            return f"transform processes were busy {_percent(evidence.transform_busy)} of the time"
        case "download":
            return f"download threads were busy {_percent(evidence.download_busy)} of the time"
    return None


def cautions(*, insecure: bool, options_ignored: int, empty_sources: Sequence[str] = ()) -> tuple[str, ...]:
    """What the user should know of how a run is done."""
    found = []
    if insecure:
        found.append("certificates are not checked (--insecure): anybody on the way may have changed what came")
    if options_ignored:
        found.append(f"{options_ignored} option lines of aria2 lists have no meaning here and were ignored")
    found += [f"no items in {source}" for source in empty_sources]
    return tuple(found)


def advise(evidence: Evidence) -> list[str]:
    """What would make the next run faster or more complete, most useful first."""
    return [
        *_on_set_aside(evidence.set_aside),
        *_on_failures(evidence),
        *_on_speed(evidence),
    ]


def _on_speed(evidence: Evidence) -> list[str]:
    if (evidence.parent_cpu or 0) > _CORE_SHARE and evidence.cpus > 1:
        used = f"the program's own process used {_percent(evidence.parent_cpu)} of a core"
        if evidence.shards == 1:
            return [f"{used}, and can use no more than one: raise --shards"]
        return [f"{used}: {evidence.shards} shards are more than it can feed"]
    known_by = reason(evidence)
    match bottleneck(evidence):
        case "download":
            return [f"{known_by}: downloads are the limit; more --threads may help, if the servers allow it"]
        case "transform" if evidence.processes < evidence.cpus:
            idle = evidence.cpus - evidence.processes
            cores = f"{idle} of {evidence.cpus} cores have no process"
            return [f"{known_by}: transforms are the limit, and {cores}; raise --processes"]
        case "output":
            return [f"{known_by}: the disk is the limit; a faster one for the output would help"]
    return []


def _on_failures(evidence: Evidence) -> list[str]:
    explained = _explained(evidence)
    advice = list(explained.values())
    if evidence.failing_hosts and evidence.failed >= _FEW:
        host, items = evidence.failing_hosts[0]
        if items >= _ONE_HOST_SHARE * evidence.failed:
            advice.append(f"{_percent(items / evidence.failed)} of the failures are of one host, {host}")
    if evidence.failed and evidence.total:
        kind, number = max(evidence.failures.items(), key=lambda entry: entry[1])
        if number >= _NOTABLE_SHARE * evidence.total and kind not in explained:
            advice.append(
                f"{number} of {evidence.total} items failed as {kind}: `status OUT --failed --kind {kind}` lists them"
            )
    return advice


def _explained(evidence: Evidence) -> dict[str, str]:
    """Kinds of failure with a likely cause, and what to do about each."""
    found = {}
    failures = evidence.failures
    checksum = failures.get("checksum", 0)
    if checksum >= _CHECKSUMS and checksum >= _ONE_HOST_SHARE * (checksum + evidence.succeeded):
        found["checksum"] = f"{checksum} checksums were wrong and hardly any was right: is --checksum-column right?"
    dns = failures.get("dns", 0)
    if dns >= max(_DNS_SHARE * evidence.total, _FEW):
        found["dns"] = (
            f"for {_percent(dns / evidence.total)} of the items no address was found (dns); that is often temporary, "
            "and `retry` asks again"
        )
    if memory := failures.get("out_of_memory", 0):
        found["out_of_memory"] = f"{memory} images needed more than --worker-memory allows: raise it"
    return found


def _on_set_aside(set_aside: Sequence[SetAside]) -> list[str]:
    advice = [
        f"{entry.items} items of {entry.host} were set aside: {entry.reason}; `retry` takes them when it is well again"
        for entry in set_aside[:_MAX_HOSTS]
    ]
    if others := set_aside[_MAX_HOSTS:]:
        items = sum(entry.items for entry in others)
        advice.append(f"{items} items of {len(others)} other hosts were set aside as well: `retry` takes them")
    return advice


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0):.0f} %"
