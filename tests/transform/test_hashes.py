"""Perceptual hashes and BlurHashes: near for pictures that look alike, far for others, whatever the file is like."""

import io
import re
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image, ImageDraw

from downloader.config.settings import TransformOptions
from downloader.transform.image import render


def scene(seed: int, size: tuple[int, int] = (400, 300), mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (400, 300), (40 * seed % 256, 90, 160))
    draw = ImageDraw.Draw(image)
    for number in range(9):
        x, y = (seed * 61 + number * 97) % 360, (seed * 37 + number * 53) % 260
        draw.ellipse((x, y, x + 30 + 9 * number, y + 60), fill=(25 * number, (x * 3) % 256, (y * 5) % 256))
    return image.resize(size).convert(mode)


def saved(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002 - as Pillow
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def hashes(data: bytes, **options: Any) -> tuple[str, str]:
    made = render(data, TransformOptions(perceptual_hash=True, blurhash=True, **options))
    assert made.perceptual_hash
    assert made.blurhash
    return made.perceptual_hash, made.blurhash


def bits(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_pictures_that_look_alike_are_near() -> None:
    """Another format, quality or size changes few bits; another picture changes many."""
    first, preview = hashes(saved(scene(1)))
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert len(preview) == 28
    for data in (saved(scene(1), "JPEG", quality=60), saved(scene(1), "WEBP"), saved(scene(1, (200, 150)))):
        assert bits(first, hashes(data)[0]) <= 8
    assert bits(first, hashes(saved(scene(2)))[0]) > 12


def test_they_are_of_the_picture_not_of_its_file() -> None:
    """Orientation, padding and further, larger sizes do not count; transparency lies on the background."""
    plain = hashes(saved(scene(1)), resize="128")
    assert hashes(saved(scene(1)), resize="128x128", fit="pad") == plain
    assert hashes(saved(scene(1)), resize="large=300 small=128") == plain
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = saved(scene(1).transpose(Image.Transpose.ROTATE_180), exif=exif)
    assert hashes(turned, resize="128") == plain
    hidden = scene(2, mode="RGBA")
    hidden.putalpha(0)
    assert hashes(saved(hidden)) == hashes(saved(Image.new("RGB", (400, 300), "white")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode(mode: str) -> None:
    image = scene(1, (50, 40), "L")
    image = image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
    assert hashes(saved(image, "TIFF"))


def test_nothing_is_computed_unless_asked_for() -> None:
    made = render(saved(scene(1)), TransformOptions(blurhash=True))
    assert made.perceptual_hash is None
    assert made.blurhash
    assert render(saved(scene(1)), TransformOptions()).blurhash is None


@pytest.mark.parametrize(("option", "package"), [("--perceptual-hash", "imagehash"), ("--blurhash", "blurhash-rs")])
def test_without_the_libraries(option: str, package: str, tmp_path: Any) -> None:
    """One line before anything is done."""
    script = (
        "import sys, importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name: None if name in {'imagehash', 'blurhash_rs'} else found(name)\n"
        "from downloader.cli.app import execute\n"
        f"sys.exit(execute(['process', '.', '-o', 'out', {option!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"downloader: {option}: needs {package}, which is not installed; the extra 'hashes' brings it, or "
        f"pip install {package}\n"
    )
    assert not (tmp_path / "out").exists()
