"""Real images, from the folder named by `DOWNLOADER_CORPUS`; the rest of the suite is complete without them.

The expected result of each file comes from another way through Pillow: a plain, full load.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from statistics import mean
from typing import Any

import psutil
import pytest
from making import shown
from PIL import Image, ImageChops, ImageOps, ImageStat, UnidentifiedImageError

from downloader.config.settings import TransformOptions
from downloader.config.values import Size, parse_sizes
from downloader.model.failures import FailureKind
from downloader.transform import geometry
from downloader.transform.image import ImageError, Picture, render

CORPUS = Path(os.environ.get("DOWNLOADER_CORPUS") or "no-corpus")

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="DOWNLOADER_CORPUS names no folder of images")

FILES = [path for path in sorted(CORPUS.rglob("*")) if path.is_file()]
READ = ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"]
with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
    READ.append("HEIF")

BOX = 256
MAX_PIXELS = TransformOptions().max_pixels
UNREADABLE = {
    FailureKind.NOT_AN_IMAGE,
    FailureKind.UNSUPPORTED_FORMAT,
    FailureKind.CORRUPT_IMAGE,
    FailureKind.TRUNCATED_IMAGE,
}
"""The kinds that fit a file which Pillow does not open or load."""
Expected = tuple[int, int] | set[FailureKind]


def predicted(path: Path) -> Expected:
    """The upright size that a plain, full load gives, or the failure kinds that are acceptable."""
    try:
        with Image.open(path, formats=READ) as image:
            if math.prod(image.size) > MAX_PIXELS:
                return {FailureKind.IMAGE_TOO_LARGE}
            image.load()
            return ImageOps.exif_transpose(image).size
    except UnidentifiedImageError:
        return UNREADABLE
    except Exception:  # noqa: BLE001 - Pillow raises nearly anything for a broken file
        return UNREADABLE - {FailureKind.NOT_AN_IMAGE}


def attempt(data: bytes, settings: TransformOptions) -> Picture | FailureKind:
    try:
        return render(data, settings)
    except ImageError as refused:
        return refused.kind


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (
            TransformOptions(resize=parse_sizes("256")),
            lambda size: ImageOps.contain(Image.new("1", size), (BOX, BOX)).size,
        ),
        (TransformOptions(resize=parse_sizes("64x48"), fit="pad", format="jpeg", metadata="all"), lambda _: (64, 48)),
        (TransformOptions(resize=parse_sizes("50%"), format="png", icc="keep", animated="all"), None),
        (TransformOptions(format="webp", metadata="all-but-gps"), lambda size: size),
    ],
    ids=["default", "pad jpeg", "half png", "webp"],
)
def test_every_file_has_the_outcome_of_a_plain_load(
    settings: TransformOptions, size: Callable[[tuple[int, int]], tuple[int, int]] | None
) -> None:
    """Files that Pillow loads in full give a picture of the right size; all others fail with a fitting kind."""
    wrong = []
    outcomes: Counter[str] = Counter()
    for path in FILES:
        expected, outcome = predicted(path), attempt(path.read_bytes(), settings)
        outcomes["picture" if isinstance(outcome, Picture) else outcome] += 1
        if isinstance(expected, set):
            fits = isinstance(outcome, FailureKind) and outcome in expected
        else:
            fits = isinstance(outcome, Picture) and (outcome.width, outcome.height) == expected
            if isinstance(outcome, Picture) and fits and size and max(expected) > BOX:
                image = shown(outcome)
                fits = max(abs(a - b) for a, b in zip(image.size, size(expected), strict=True)) <= 1
        if not fits:
            wrong.append((path.name, expected, outcome))
    tell({str(name): number for name, number in outcomes.items()})
    assert wrong == []
    assert outcomes["picture"] > 0


def tell(*facts: object) -> None:
    """Printed when run with `-s`."""
    sys.stdout.write("\n" + " ".join(map(str, facts)) + "\n")


def hashes() -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in FILES}


def memory_bytes(process: psutil.Popen) -> int:
    """Memory of a process and all its descendants now (resident, shared pages counted in each)."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.Error:  # it has just ended
            continue
    return total


def test_a_run_over_the_corpus(tmp_path: Path) -> None:
    """Through the real command: one outcome a file, none `internal`, nothing of the input changed, memory bounded.

    The bound is twice --worker-memory and 1 GiB for the parent; what it came to is printed.
    """
    before = hashes()
    command = [sys.executable, "-m", "downloader", "process", str(CORPUS), "--all-files", "-o", str(tmp_path / "out")]
    command += ["-r", "256", "-p", "2", "--progress", "none", "--json", "--keep-originals"]
    peak = 0
    with (tmp_path / "summary").open("w") as out, psutil.Popen(command, stdout=out) as process:
        while process.poll() is None:
            peak = max(peak, memory_bytes(process))
            time.sleep(0.02)
    summary: dict[str, Any] = json.loads((tmp_path / "summary").read_text())
    shown_keys = ("total", "succeeded", "failed", "skipped", "failures", "skips", "duration_s", "peak_rss_bytes")
    tell({key: summary[key] for key in shown_keys}, f"peak of the tree: {peak / 2**20:.0f} MiB")
    listed = subprocess.run(
        [sys.executable, "-m", "downloader", "status", str(tmp_path / "out"), "--items"],
        capture_output=True,
        text=True,
        check=True,
    )
    items = [json.loads(line) for line in listed.stdout.splitlines()]
    assert hashes() == before
    assert sorted(item["source"] for item in items) == sorted(map(str, FILES))
    expected = {str(path): predicted(path) for path in FILES}
    for item in items:
        wanted = expected[item["source"]]
        if isinstance(wanted, set):
            assert item["kind"] in wanted, item
        else:
            assert (item["state"], item["width"], item["height"]) == ("succeeded", *wanted), item
            assert item["outputs"][-1]["sha256"] == before[Path(item["source"])]
    assert summary["failures"].get("internal", 0) == 0
    assert peak < 5 * 2**30


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    error = mean(rms**2 for rms in ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).rms)
    return 10 * math.log10(255**2 / error) if error else math.inf


@pytest.mark.parametrize("side", [128, 256, 512])
def test_scaled_decode_looks_like_full_decode(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against full decode with the same kernel never less than 38 dB, at 256 px a mean of at least 49.

    Only photographs for which a scaled decode is chosen count; for the others both are the same.
    """
    settings = TransformOptions(resize=(Size(width=side, height=side),), format="png")
    found = {}
    for path in FILES:
        data = path.read_bytes()
        scaled = attempt(data, settings)
        if not isinstance(scaled, Picture) or scaled.format != "jpeg":
            continue
        with monkeypatch.context() as patch:
            patch.setattr(geometry, "scaled_decode", lambda _: 1)
            full = render(data, settings)
        value = psnr_db(*(Image.open(BytesIO(picture.renditions[0].data)) for picture in (scaled, full)))
        if value < math.inf:
            found[path.name] = value
    assert found
    worst = min(found, key=found.__getitem__)
    tell(f"{side} px: {len(found)} photos, mean {mean(found.values()):.1f} dB, min {found[worst]:.1f} dB ({worst})")
    assert side != 256 or mean(found.values()) >= 49
    assert found[worst] >= 38
