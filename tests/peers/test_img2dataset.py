"""The same 2,000 rows through img2dataset and through `--sink webdataset`: samples, columns and statistics are equal.

Where img2dataset is not installed (`make bench-peers` does that), what it made once is compared: `facts.json`, written
by `python tests/peers/test_img2dataset.py` from a run of img2dataset 1.47.0.
"""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sample_list import PORT, SHARD, facts, make_list
from support import served

pytestmark = pytest.mark.img2dataset

ROOT = Path(__file__).parents[2]
PEER = ROOT / ".venv-bench" / "img2dataset" / "bin" / "img2dataset"
STORED = Path(__file__).with_name("facts.json")
ENVIRONMENT = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}


def run_theirs(folder: Path) -> dict[str, Any]:
    line = [PEER, folder / "list.parquet", "--input_format", "parquet", "--output_format", "webdataset"]
    line += [
        "--output_folder",
        folder / "theirs",
        "--caption_col",
        "caption",
        "--save_additional_columns",
        '["licence"]',
    ]
    line += ["--number_sample_per_shard", SHARD, "--thread_count", 16]
    subprocess.run([*map(str, line)], check=True, env=ENVIRONMENT, capture_output=True, timeout=300)
    return facts(folder / "theirs")


def run_ours(folder: Path) -> dict[str, Any]:
    line = [sys.executable, "-m", "downloader", "run", folder / "list.parquet", "-o", folder / "ours"]
    line += ["--config", ROOT / "config" / "img2dataset.toml", "--name", "none", "--metadata-file", "none"]
    line += ["--sink", "webdataset", "--shard-size", SHARD, "--caption-column", "caption", "--keep-columns", "licence"]
    done = subprocess.run([*map(str, line)], check=False, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    return facts(folder / "ours")


def to_store(found: dict[str, Any]) -> dict[str, Any]:
    """Facts that do not depend on the encoder that made the pictures, with a digest in place of 2,000 rows."""
    rows = json.dumps([[url, *row[:-1]] for url, row in found["rows"].items()]).encode()
    return {**found, "rows": f"{len(found['rows'])} rows, sha256 {sha256(rows).hexdigest()}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("img2dataset")
    with served(port=PORT) as site:
        make_list(site, folder / "list.parquet")
        yield folder


@pytest.fixture(scope="module")
def ours(folder: Path) -> dict[str, Any]:
    return run_ours(folder)


def test_as_it_was_once(ours: dict[str, Any]) -> None:
    """What img2dataset 1.47.0 made of the list, as stored."""
    assert to_store(ours) == json.loads(STORED.read_text())


@pytest.mark.skipif(not PEER.exists(), reason="`make bench-peers` installs img2dataset")
def test_beside_it(folder: Path, ours: dict[str, Any]) -> None:
    """Keys, columns with their types, members, captions, sides, checksums and counts; the stored facts are true."""
    theirs = run_theirs(folder)
    assert ours == theirs
    assert to_store(theirs) == json.loads(STORED.read_text())


if __name__ == "__main__":
    with TemporaryDirectory() as name, served(port=PORT) as site:
        make_list(site, Path(name, "list.parquet"))
        STORED.write_text(json.dumps(to_store(run_theirs(Path(name))), indent=2) + "\n")
