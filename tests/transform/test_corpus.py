"""Real images, from a folder that `DOWNLOADER_CORPUS` names; the rest of the suite is complete without them."""

import os
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from downloader.config.settings import Transform, parse_sizes
from downloader.model.failures import FailureKind
from downloader.transform.image import Unusable, Unwanted, render

CORPUS = os.environ.get("DOWNLOADER_CORPUS")

pytestmark = pytest.mark.skipif(not CORPUS, reason="DOWNLOADER_CORPUS names no folder of images")


@pytest.mark.parametrize(
    "settings",
    [
        Transform(resize=parse_sizes("256")),
        Transform(resize=parse_sizes("64x48"), fit="pad", format="jpeg", metadata="all", truncated="keep"),
        Transform(resize=parse_sizes("64x48"), fit="crop", format="webp", icc="keep", animated="all"),
    ],
    ids=["default", "pad jpeg", "crop webp"],
)
def test_every_file_has_an_outcome(settings: Transform) -> None:
    """Pitfall 20: any file of the corpus gives pictures of the size they claim, or a refusal that is not `internal`."""
    outcomes = Counter(outcome(path, settings) for path in sorted(Path(CORPUS or "").rglob("*")) if path.is_file())
    assert outcomes["picture"] > 0, outcomes
    assert outcomes[FailureKind.INTERNAL] == 0, outcomes


def outcome(path: Path, settings: Transform) -> str:
    try:
        picture = render(path.read_bytes(), settings)
    except Unusable as refused:
        return refused.kind
    except Unwanted as left_out:
        return left_out.reason
    for rendition in picture.renditions:
        image = Image.open(BytesIO(rendition.data))
        image.load()
        assert image.size == (rendition.width, rendition.height), path
    return "picture"
