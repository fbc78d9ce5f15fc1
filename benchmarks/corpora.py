"""The files that are downloaded and transformed: generated, identical on every machine, and cached.

A picture is a *dead leaves* scene: discs over discs, their radii by a power law, which gives edges and areas as
photographs have them (Lee, Mumford and Huang, "Occlusion models for natural images", 2001). Over it lies texture of
equal contrast in every octave, which is the 1/f spectrum of natural images (Field, 1987), and a little sensor grain.
What matters for speed is how many bytes a pixel takes; `make bench` prints it.
"""

import io
import os
import random
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

_MAKING = 1
"""Version of the generator: increase it with every change below, so that cached files are not reused."""

_QUALITIES = (85, 88, 90, 92)
_RATIOS = (4 / 3, 3 / 2, 16 / 9, 1.0, 3 / 4, 2 / 3)
_SCENE_SIDE_PX = 1600
"""Scenes are drawn at most this large and enlarged, as a lens is less sharp than 12 million pixels."""
_LEAVES = 500
_OCTAVES = 7
_CONTRAST = 0.45
"""Of the texture; with `_GRAIN` it decides the bytes a pixel: 0.15 to 0.4, as in photographs of cameras and the web."""
_GRAIN = 7
"""Half the range of the grain, of 255 levels."""
_LEVELS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A folder of files. `images`: pictures, else random bytes that are only downloaded."""

    name: str
    folder: Path
    count: int
    images: bool

    @property
    def names(self) -> list[str]:
        """The files, in order."""
        extension = "jpg" if self.images else "bin"
        return [f"{self.name}-{number:05}.{extension}" for number in range(self.count)]

    @property
    def whole(self) -> bool:
        """Whether this is the corpus at full scale."""
        return self.count == RECIPES[self.name].count

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum((self.folder / name).stat().st_size for name in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a corpus is at full scale: how many files, and what makes one from its number."""

    count: int
    images: bool
    make: Callable[[int], bytes]


def _web(number: int) -> bytes:
    """A picture as on a web page: longer side 500 to 1600 pixels."""
    chance = random.Random(f"web {number}")
    return photograph(chance, chance.randint(500, 1600), chance.choice(_RATIOS))


def _large(number: int) -> bytes:
    """A picture as from a camera: 4000 x 3000 pixels."""
    return photograph(random.Random(f"large {number}"), 4000, 4 / 3)


def _bytes3k(number: int) -> bytes:
    return random.Random(f"bytes3k {number}").randbytes(3_000)


def _bytes100k(number: int) -> bytes:
    return random.Random(f"bytes100k {number}").randbytes(100_000)


RECIPES = {
    "web": Recipe(count=1_500, images=True, make=_web),
    "large": Recipe(count=60, images=True, make=_large),
    "bytes100k": Recipe(count=3_000, images=False, make=_bytes100k),
    "bytes3k": Recipe(count=6_400, images=False, make=_bytes3k),
}


def home() -> Path:
    """Where corpora are kept: `DOWNLOADER_BENCH_DIR`, or a folder in the user's cache."""
    named = os.environ.get("DOWNLOADER_BENCH_DIR")
    return Path(named) if named else Path.home() / ".cache" / "downloader-bench"


def corpus(name: str, scale: float = 1.0) -> Corpus:
    """The corpus with this name, generated if missing. `scale` is the share of its files."""
    recipe = RECIPES[name]
    count = max(ceil(recipe.count * scale), 1)
    folder = home() / f"{name}-{_MAKING}-{count}"
    found = Corpus(name=name, folder=folder, count=count, images=recipe.images)
    if not folder.is_dir():
        _build(found)
    return found


def _build(wanted: Corpus) -> None:
    """Generate all files in a temporary folder, which is renamed when complete."""
    temporary = wanted.folder.with_suffix(".new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        jobs = [(wanted.name, number, str(temporary / name)) for number, name in enumerate(wanted.names)]
        for _ in pool.map(_make_one, *zip(*jobs, strict=True), chunksize=4):
            pass
    temporary.rename(wanted.folder)


def _make_one(name: str, number: int, path: str) -> None:
    Path(path).write_bytes(RECIPES[name].make(number))


def photograph(chance: random.Random, longer_px: int, ratio: float) -> bytes:
    """A JPEG with the statistics of a photograph; `ratio` is width to height."""
    width = longer_px if ratio >= 1 else round(longer_px * ratio)
    height = round(longer_px / ratio) if ratio >= 1 else longer_px
    shrink = min(1.0, _SCENE_SIDE_PX / longer_px)
    scene = _leaves(chance, (round(width * shrink), round(height * shrink)))
    scene = scene.filter(ImageFilter.GaussianBlur(0.8)).resize((width, height), Image.Resampling.BICUBIC)
    texture = _texture(chance, (width, height))
    picture = ImageChops.add(scene, Image.merge("RGB", (texture, texture, texture)), 1, -_LEVELS // 2)
    return _jpeg(picture, chance.choice(_QUALITIES))


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _leaves(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    """Discs over discs, in the colours of one scene."""
    width, height = size
    base = [chance.randint(40, 200) for _ in range(3)]
    image = Image.new("RGB", size, tuple(base))
    draw = ImageDraw.Draw(image)
    largest = min(size) * 0.6
    smallest = max(size) / 120
    for _ in range(_LEAVES):
        # Radii with a density of r^-3: the inverse of its distribution function between the two bounds.
        share = chance.random()
        radius = (smallest**-2 - share * (smallest**-2 - largest**-2)) ** -0.5
        x, y = chance.uniform(0, width), chance.uniform(0, height)
        light = chance.gauss(0, 45)
        colour = tuple(max(0, min(255, round(level + light + chance.gauss(0, 18)))) for level in base)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return image


def _texture(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    """Noise of equal contrast in each octave, around the middle grey, with grain of one pixel on top."""
    width, height = size
    total = Image.new("L", size, _LEVELS // 2)
    for octave in range(1, _OCTAVES + 1):
        cells = (max(width >> octave, 2), max(height >> octave, 2))
        noise = _noise(chance, cells).resize(size, Image.Resampling.BICUBIC)
        total = Image.blend(total, noise, 1 / octave)
    middle = Image.new("L", size, _LEVELS // 2)
    total = Image.blend(middle, total, _CONTRAST)
    grain = Image.blend(middle, _noise(chance, size), 2 * _GRAIN / _LEVELS)
    return ImageChops.add(total, grain, 1, -_LEVELS // 2)


def _noise(chance: random.Random, size: tuple[int, int]) -> Image.Image:
    return Image.frombytes("L", size, chance.randbytes(size[0] * size[1]))
