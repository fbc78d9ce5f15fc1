"""kill -9 between any two steps of the durable order: what is recorded is there, and the next run makes the rest."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import durable_runs
import pytest
from durable_runs import CASES, URLS, run_once

from downloader.places import STATE_FOLDER
from downloader.sinks.reading import ResultReader
from downloader.storage.local import LocalStore
from downloader.workspace import GROUPS_FOLDER, open_output

ORDER = ["sync_staged", "check", "put", "sync", "record", "settle"]
SLOW = {"webdataset, not full", "parquet"}
"""The others reach each of their steps too."""
RECORDED = ["record", "settle"]
SEALED = ["begin_sealing", "sync_staged", "check", "put", "sync", "end_sealing"]
"""Steps by which groups appear: when they are full, or at the end of the run."""
STEPS = {
    "run": [*ORDER, "clear"],
    "fetch": ORDER,  # the staged bytes have become the results
    "overwrite": [*ORDER, "clear"],
    "other format": [*ORDER, "remove", "clear"],
    "webdataset": [*RECORDED, *SEALED, "clear"],
    "webdataset, not full": [*RECORDED, "clear", *SEALED],
    "parquet": [*RECORDED, *SEALED, "clear"],
    "parquet, not full": [*RECORDED, "clear", *SEALED],
}


def files(out: Path) -> dict[str, bytes]:
    """Every file of an output; statistics without the times in them."""
    return {path.name: timeless(path.name, path.read_bytes()) for path in out.iterdir() if path.is_file()}


def timeless(name: str, content: bytes) -> bytes:
    if not name.endswith("_stats.json"):
        return content
    return json.dumps(
        {key: value for key, value in json.loads(content).items() if "time" not in key and key != "duration"}
    ).encode()


def states(out: Path) -> dict[str, str]:
    """The state of each item; every item that is recorded as stored has its files, whole."""
    with open_output(out) as view:
        records = list(view.records())
    reader = ResultReader(LocalStore(out), out / STATE_FOLDER / GROUPS_FOLDER)
    for record in records:
        for output in record["outputs"] if record["state"] == "succeeded" else ():
            where = SimpleNamespace(**{"member": None, "offset": None, **output})
            with reader.open(where) as file:
                assert sha256(file.read()).hexdigest() == output["sha256"]
    assert len({record["key"] for record in records}) == len(records)
    return {record["source"]: record["state"] for record in records}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.crash if name in SLOW else ()) for name in CASES]
)
def test_kill_9_between_any_two_steps(tmp_path: Path, name: str) -> None:
    """One run for each step it is killed before, then another run: one outcome for each item, the files of a run that
    nobody disturbed, and nothing in staging.

    Files of an earlier format are the exception: they are removed after the commit, and stay where that was prevented.
    """
    case = CASES[name]
    subprocess.run([sys.executable, durable_runs.__file__, name, str(tmp_path)], check=True, timeout=120)
    *killed, last = (path.stem for path in sorted(tmp_path.glob("*.steps"), key=lambda path: int(path.stem)))
    undisturbed = files(tmp_path / last)
    for number in killed:
        out, steps = tmp_path / number, steps_of(tmp_path, number)
        assert len(steps) == int(number) - 1
        states(out)
        run_once(out, case)
        assert states(out) == dict.fromkeys(URLS, "succeeded")
        found = files(out)
        if name == "other format" and "record" in steps:
            found = {path: content for path, content in found.items() if not path.endswith(".jpg")}
        assert found == undisturbed
        assert list((out / STATE_FOLDER / "staging").iterdir()) == []
        groups = out / STATE_FOLDER / GROUPS_FOLDER
        assert not groups.exists() or list(groups.iterdir()) == []
    assert list(dict.fromkeys(steps_of(tmp_path, last))) == STEPS[name]


def steps_of(folder: Path, number: str) -> list[str]:
    return (folder / f"{number}.steps").read_text().splitlines()
