"""The laws of a trace, for traces that tests make and those of real runs."""

from collections import defaultdict
from itertools import pairwise
from typing import Any


def check_laws(events: list[dict[str, Any]]) -> None:
    """Times and lengths are not negative; lanes have names and no overlaps; no lane is a process's main thread."""
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    processes = {event["pid"] for event in events if event["name"] == "process_name"}
    lanes = defaultdict(list)
    for event in events:
        assert event["pid"] in processes
        assert event.get("ts", 0) >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
            lanes[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert set(lanes) <= named
    assert all(tid >= 1 and tid != pid for pid, tid in named)
    assert len({tid for _, tid in named}) == len(named)
    for spans in lanes.values():
        spans.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
