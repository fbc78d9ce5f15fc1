"""Short values by which pictures can be compared or previewed: a perceptual hash and a BlurHash.

The libraries come with the extra `hashes`. They are loaded when the first value is wanted, and have no types here.
"""

import importlib
import os
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from downloader.config.settings import TransformOptions
from downloader.transform import color

_MAX_SIDE_PX: Final = 256
"""Larger pictures are reduced first: both values are made of some 32 x 32 pixels."""
_BLUR_PX: Final = 32
_COMPONENTS: Final = (4, 3)
"""Across and down: what blurha.sh recommends for pictures that are wider than high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHashes:
    """Values of one picture; None where they are not wanted."""

    perceptual_hash: str | None = None
    blurhash: str | None = None


NO_HASHES: Final = ImageHashes()


def hashes_of(frame: Image.Image, settings: TransformOptions) -> ImageHashes:
    """The values of a finished picture, as a viewer sees it on the background of the settings."""
    small = frame.convert("RGB") if frame.mode == "L" else color.flatten(frame, settings.background)
    if max(small.size) > _MAX_SIDE_PX:
        small = small.copy()
        small.thumbnail((_MAX_SIDE_PX, _MAX_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return ImageHashes(
        perceptual_hash=_perceptual_hash(small) if settings.perceptual_hash else None,
        blurhash=_blurhash(small) if settings.blurhash else None,
    )


def _perceptual_hash(image: Image.Image) -> str:
    """The pHash of 64 bits as 16 hex digits: pictures that look alike differ in few bits."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each of its threads takes memory, of which a worker has little
    library: Any = importlib.import_module("imagehash")
    return str(library.phash(image))


def _blurhash(image: Image.Image) -> str:
    library: Any = importlib.import_module("blurhash_rs")
    tiny = image.resize((_BLUR_PX, _BLUR_PX), Image.Resampling.BILINEAR, reducing_gap=1.0)
    return str(library.blurhash_encode(tiny, *_COMPONENTS))
