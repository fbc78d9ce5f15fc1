import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

CHECK = """
import sys, threading
import {module}
heavy = {heavy!r}
assert not heavy & sys.modules.keys(), sorted(heavy & sys.modules.keys())
assert threading.active_count() == 1, threading.enumerate()
"""
SCRIPT = """
from downloader import Settings, run
from downloader.config.settings import ConcurrencyOptions, OutputOptions, RunOptions, Size, TransformOptions

if __name__ == "__main__":
    summary = run(
        Settings(
            sources=("pictures",),
            concurrency=ConcurrencyOptions(threads=2, processes=1),
            transform=TransformOptions(resize=(Size(width=16, height=16),)),
            output=OutputOptions(output="results"),
            run=RunOptions(progress="none"),
        )
    )
    print(summary.total, summary.succeeded, summary.failed, summary.pending)
"""


def python(*arguments: str, cwd: Path) -> str:
    """The output of a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("downloader", {"httpx", "PIL", "typer", "tqdm", "sqlite3", "multiprocessing"}),
        ("downloader.__main__", {"httpx", "PIL", "typer", "tqdm", "sqlite3", "multiprocessing"}),
        ("downloader.transform.worker", {"httpx", "typer", "tqdm", "sqlite3", "psutil"}),
        ("downloader.cli.app", {"httpx", "PIL", "tqdm", "sqlite3"}),
    ],
)
def test_importing_loads_little_and_starts_nothing(tmp_path: Path, module: str, heavy: set[str]) -> None:
    """The package, a worker process and `--help` load no library they do not need, and start no thread."""
    python("-c", CHECK.format(module=module, heavy=heavy), cwd=tmp_path)


def test_the_package_offers_what_it_says(tmp_path: Path) -> None:
    """Settings and Summary are there when asked for; anything else is an AttributeError."""
    text = python(
        "-c",
        "import downloader as d; print(d.Settings().mode, d.Summary.__name__, hasattr(d, 'nothing'))",
        cwd=tmp_path,
    )
    assert text.split() == ["run", "Summary", "False"]


def test_a_script_runs_it_in_its_own_process(tmp_path: Path) -> None:
    """`run(Settings(...))` under a main guard returns the Summary: three pictures, three results on disk."""
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (number * 80, 10, 10)).save(tmp_path / "pictures" / f"{number}.png")
    (tmp_path / "script.py").write_text(SCRIPT)
    assert python("script.py", cwd=tmp_path).split() == ["3", "3", "0", "0"]
    results = sorted((tmp_path / "results").rglob("*.png"))
    assert len(results) == 3
    for path in results:
        with Image.open(path) as image:
            assert image.size == (16, 12)
