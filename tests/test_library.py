import io
import subprocess
import sys
from pathlib import Path

import pytest
import unmeasured
from PIL import Image

from downloader import FailureKind, ImageError, ImageSkipped, SkipReason, TransformOptions, process_image

EXAMPLES = Path(__file__).parents[1] / "examples" / "library.py"

CHECK = """
import sys, threading
import {module}
heavy = {heavy!r}
assert not heavy & sys.modules.keys(), sorted(heavy & sys.modules.keys())
assert threading.active_count() == 1, threading.enumerate()
"""
SCRIPT = """
import gc, logging, signal
from pathlib import Path
from downloader import ConcurrencyOptions, OutputOptions, RunOptions, Settings, TransformOptions, run

def host():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    loggers = {name: logging.getLogger(name).level for name in ("", "downloader", "httpx", "httpcore")}
    return handlers, loggers, logging.root.handlers, gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()

if __name__ == "__main__":
    before = host()
    summary = run(
        Settings(
            sources=Path("pictures"),
            mode="MODE",
            concurrency=ConcurrencyOptions(threads=2, processes=1),
            transform=TransformOptions(resize="16x16"),
            output=OutputOptions(output=Path("results")),
            run=RunOptions(progress="none"),
        )
    )
    print(summary.total, summary.succeeded, summary.failed, summary.pending, host() == before)
"""


def python(*arguments: str, cwd: Path) -> str:
    """The output of a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=unmeasured.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
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


def test_everything_public_is_there_when_asked_for(tmp_path: Path) -> None:
    """Each name of `__all__` can be imported, in any order, and is listed by `dir`; other names are AttributeErrors."""
    code = (
        "import random, downloader as d; names = random.Random({seed}).sample(d.__all__, len(d.__all__)); "
        "kinds = [type(getattr(d, name)).__name__ for name in names]; "
        "print('module' in kinds, {{*names}} - {{*dir(d)}}, hasattr(d, 'nothing'))"
    )
    for seed in range(3):
        assert python("-c", code.format(seed=seed), cwd=tmp_path).split() == ["False", "set()", "False"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (number * 80, 10, 10)).save(folder / f"{number}.png")
    return folder


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("mode", ["run", "process"])
def test_a_script_runs_it_in_its_own_process(tmp_path: Path, mode: str) -> None:
    """`run(Settings(...))` under a main guard makes three results of three pictures, and leaves its process as it was.

    Signal handlers, levels and handlers of loggers, and the garbage collector are those from before.
    """
    (tmp_path / "script.py").write_text(SCRIPT.replace("MODE", mode))
    assert python("script.py", cwd=tmp_path).split() == ["3", "3", "0", "0", "True"]
    results = sorted((tmp_path / "results").rglob("*.png"))
    assert len(results) == 3
    for path in results:
        with Image.open(path) as image:
            assert image.size == (16, 12)


def test_the_examples_run(tmp_path: Path, pictures: Path) -> None:
    """The file of examples is a script that works: thumbnails of a folder."""
    assert python(str(EXAMPLES), str(pictures), str(tmp_path / "out"), cwd=tmp_path).split() == ["3", "0", "{}"]
    assert len(list((tmp_path / "out").rglob("*.webp"))) == 3


def test_one_image_is_processed_in_memory(pictures: Path) -> None:
    """`process_image` takes bytes or a path, and gives every wanted size; nothing is written."""
    path = pictures / "0.png"
    options = TransformOptions(resize="small=8 large=20x", format="jpeg")
    for image in (path, str(path), path.read_bytes()):
        made = process_image(image, options)
        assert [(one.variant, one.format, one.width, one.height) for one in made.renditions] == [
            ("small", "jpeg", 8, 6),
            ("large", "jpeg", 20, 15),
        ]
        with Image.open(io.BytesIO(made.renditions[1].data)) as opened:
            assert opened.size == (20, 15)
    assert sorted(found.name for found in pictures.iterdir()) == ["0.png", "1.png", "2.png"]


def test_an_image_that_cannot_be_processed_is_an_exception(pictures: Path) -> None:
    """What cannot be decoded, what the options leave out, and a file that is not there."""
    with pytest.raises(ImageError) as unusable:
        process_image(b"GIF89a and nothing more")
    assert unusable.value.kind in {FailureKind.CORRUPT_IMAGE, FailureKind.TRUNCATED_IMAGE}
    with pytest.raises(ImageSkipped) as unwanted:
        process_image(pictures / "0.png", TransformOptions(min_side=100))
    assert unwanted.value.reason is SkipReason.TOO_SMALL
    with pytest.raises(FileNotFoundError):
        process_image(pictures / "absent.png")
