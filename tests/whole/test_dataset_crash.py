"""kill -9 of whole runs that pack groups, at many moments: nothing is lost, nothing is there twice."""

import json
import os
import random
import signal
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support import Command, Site, picture

GOOD, BAD, ROWS = 600, 20, 64
KILLS = 20


@pytest.mark.crash
@pytest.mark.parametrize("sink", ["webdataset", "parquet"])
def test_killed_again_and_again(cli: Command, site: Site, sink: str) -> None:
    """One row for each item, one sample for each success, and no group that is not whole at any time."""
    pages = [picture(400, 300, seed=seed) for seed in range(20)]
    site.pages = {f"/{index}.jpg": pages[index % 20] for index in range(GOOD)}
    urls = [f"{site.url}/{index}.jpg" for index in range(GOOD)] + [f"{site.url}/no{index}" for index in range(BAD)]
    random.Random(1).shuffle(urls)
    path = cli.folder / "urls.txt"
    path.write_text("\n".join(urls))
    command = (
        *("run", path, "-o", "out", "--sink", sink, "--shard-size", ROWS, "-r", 100, "-t", 16, "--per-host", 16),
        *("--progress", "none"),
    )
    moments = random.Random(2)
    out = cli.folder / "out"
    for _ in range(KILLS):
        process = cli.start(*command)
        try:
            process.communicate(timeout=moments.uniform(0.5, 1.5))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
        check_groups(out, sink)
    assert cli(*command).code == 1
    rows = check_groups(out, sink)
    assert sorted(row["url"] for row in rows) == sorted(urls)
    assert sum(row["status"] == "success" for row in rows) == GOOD
    assert len({row["key"] for row in rows}) == len(rows)
    assert cli("verify", "out", "--json").json["good"]
    assert list((out / ".downloader" / "groups").iterdir()) == []


def check_groups(out: Path, sink: str) -> list[dict[str, Any]]:
    """The rows of every group that appears whole to its readers, which is checked."""
    rows: list[dict[str, Any]] = []
    for path in sorted(out.glob("*.tar" if sink == "webdataset" else "*.parquet")):
        group = pq.read_table(path.with_suffix(".parquet")).to_pylist()
        statistics = json.loads(path.with_name(f"{path.stem}_stats.json").read_text())
        assert statistics["count"] == len(group)
        keys = [row["key"] for row in group if row["status"] == "success"]
        assert statistics["successes"] == len(keys)
        if sink == "webdataset":
            with tarfile.open(path) as tar:
                assert tar.getnames() == [f"{key}.{field}" for key in keys for field in ("jpg", "json")]
        rows += group
    return rows
