"""`python -m benchmarks.coordinator`: how many items a second the coordinator can lease and record.

Its shards are stubs that answer each lease at once, with a small file of their own as the result. So everything is
real that does not grow with the number of shards: the plan, the scheduler, the pipes, renames, journal, counters.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, process_time
from typing import Any

from downloader import Settings, run
from downloader.config.settings import ConcurrencyOptions, OutputOptions, RunOptions
from downloader.model.items import Fetched, Validator
from downloader.model.spans import Phase, Span
from downloader.shards import messages, process
from downloader.shards.pipe import Pipe
from downloader.shards.process import ShardConfig
from downloader.telemetry.interface import Gauges

_BODY = os.urandom(3 * 1024)
_PHASES = (Phase.FIRST_BYTE, Phase.BODY)


def stub_shard(config: ShardConfig, receiver: Connection, sender: Connection) -> None:
    """The main function of a stub: takes leases until it is told that there is nothing more."""
    pipe = Pipe(receiver, sender, blocking=True)
    pipe.send([Gauges(threads=4)])
    while True:
        told: list[Any] = []
        for message in pipe.receive():
            if isinstance(message, messages.LeaseUrls):
                told += [_fetched(config, task) for task in message.tasks if not isinstance(task, int)]
                told.append(messages.Released(message.batch, 0))
            elif isinstance(message, messages.Finish):
                pipe.send([*told, messages.Ended()])
                return
        pipe.send(told)


def _fetched(config: ShardConfig, task: messages.Flat) -> messages.Flat:
    item = messages.unpack_item(task)
    path = f"{config.staging}/{item.id}.body"
    with open(path, "xb", buffering=0) as body:  # noqa: PTH123 - as the download stage does
        body.write(_BODY)
    now_s = monotonic()
    return messages.pack_fact(
        Fetched(
            item=item,
            path=path,
            bytes=len(_BODY),
            staged=True,
            sha256="0" * 64,
            media_type="image/jpeg",
            final_url=item.source,
            http_status=200,
            attempts=1,
            validator=Validator(etag='"0123456789abcdef"'),
            spans=tuple(Span(phase, now_s, now_s, "download-1") for phase in _PHASES),
        )
    )


def measure(items: int, shards: int) -> dict[str, float]:
    """Run once: items a second, and the CPU of this process in milliseconds an item."""
    process.run_shard = stub_shard
    with TemporaryDirectory(prefix="coordinator-", dir=Path.cwd()) as scratch:
        urls = Path(scratch) / "urls.txt"
        urls.write_text("".join(f"http://host-{index % 500}.test/{index}.jpg\n" for index in range(items)))
        settings = Settings(
            sources=(str(urls),),
            mode="fetch",
            concurrency=ConcurrencyOptions(shards=shards, threads=8 * shards),
            output=OutputOptions(output=f"{scratch}/out"),
            run=RunOptions(progress="none"),
        )
        started_s, cpu_s = monotonic(), process_time()
        summary = run(settings)
        seconds, cpu_s = monotonic() - started_s, process_time() - cpu_s
    if summary.succeeded != items:
        raise SystemExit(f"only {summary.succeeded} of {items} were recorded")
    return {"shards": shards, "items_per_s": round(items / seconds), "cpu_ms_per_item": round(1e3 * cpu_s / items, 3)}


def main(arguments: Sequence[str]) -> None:
    """Measure with several numbers of shards, and print one JSON object a line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coordinator", description=__doc__)
    parser.add_argument("--items", type=int, default=40_000, help="URLs of a run (40000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs with each number of shards (3)")
    options = parser.parse_args(arguments)
    for _ in range(options.rounds):
        for shards in (2, 4, 8):
            print(json.dumps(measure(options.items, shards)))


if __name__ == "__main__":
    main(sys.argv[1:])
