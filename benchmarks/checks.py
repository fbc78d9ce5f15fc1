"""Check the outputs of a contestant: all files present, of the right size, and similar to the reference.

The reference is the fully decoded original, resized with Lanczos by Pillow. It is not compressed again, so the
difference includes the loss of JPEG at quality 85, which is about the same for all contestants.
"""

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image, ImageChops, ImageStat

from benchmarks.corpora import Corpus

BOX_PX = 256
_LOOKED_AT = 16
"""Images compared pixel by pixel, spread evenly over the corpus."""
_SLACK_PX = 1
"""Programs round half pixels differently."""
_LEAST_DB = 25.0
"""Below it an image is not the same: different content, upside down, or broken."""
_PEAK = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Result of a check.

    `right` of `expected` files are present and correct. `mean_db`: PSNR of a sample to the reference, in dB;
    `mean_bytes`: mean file size.
    """

    expected: int
    right: int
    mean_bytes: float
    mean_db: float | None = None
    least_db: float | None = None

    @property
    def fault(self) -> str | None:
        """Why this run is invalid; None if it is valid."""
        if self.right < self.expected:
            return f"only {self.right} of {self.expected} files are right"
        if self.least_db is not None and self.least_db < _LEAST_DB:
            return f"a picture is only within {self.least_db:.0f} dB of what it should be"
        return None


@dataclass(slots=True)
class Checker:
    """Checks outputs of one corpus; caches the references."""

    corpus: Corpus
    _yardsticks: dict[tuple[str, tuple[int, int]], Image.Image] = field(default_factory=dict)

    def check(self, out: Path) -> Checked:
        """Check everything in an output folder."""
        found = dict(outputs(out, self.corpus))
        sizes = [path.stat().st_size for path in found.values()]
        mean_bytes = statistics.fmean(sizes) if sizes else 0.0
        if not self.corpus.images:
            right = sum(self._same_bytes(name, path) for name, path in found.items())
            return Checked(expected=self.corpus.count, right=right, mean_bytes=mean_bytes)
        right = sum(self._right_size(name, path) for name, path in found.items())
        names = self.corpus.names
        sample = [name for name in names[:: max(len(names) // _LOOKED_AT, 1)] if name in found]
        likeness = [self._likeness_db(name, found[name]) for name in sample]
        return Checked(
            expected=self.corpus.count,
            right=right,
            mean_bytes=mean_bytes,
            mean_db=statistics.fmean(likeness) if likeness else None,
            least_db=min(likeness, default=None),
        )

    def _same_bytes(self, name: str, path: Path) -> bool:
        return path.read_bytes() == (self.corpus.folder / name).read_bytes()

    def _right_size(self, name: str, path: Path) -> bool:
        with Image.open(self.corpus.folder / name) as source, Image.open(path) as image:
            wanted = fitted(source.size)
            return image.format == "JPEG" and all(
                abs(side - right) <= _SLACK_PX for side, right in zip(image.size, wanted, strict=True)
            )

    def _likeness_db(self, name: str, path: Path) -> float:
        with Image.open(path) as image:
            key = (name, image.size)
            if key not in self._yardsticks:
                with Image.open(self.corpus.folder / name) as source:
                    self._yardsticks[key] = source.convert("RGB").resize(image.size, Image.Resampling.LANCZOS)
            return psnr_db(image.convert("RGB"), self._yardsticks[key])


def outputs(out: Path, corpus: Corpus) -> Iterator[tuple[str, Path]]:
    """Each result, with the name of its source file.

    img2dataset numbers its files and stores the URL in a `.json` beside each; all others keep the name.
    """
    known = set(corpus.names)
    for path in out.rglob("*.jpg" if corpus.images else "*.bin"):
        if any(part.startswith(".") for part in path.relative_to(out).parts):
            continue
        sidecar = path.with_suffix(".json")
        name = json.loads(sidecar.read_text())["url"].rpartition("/")[2] if sidecar.exists() else path.name
        if name in known:
            yield name, path


def fitted(size: tuple[int, int]) -> tuple[int, int]:
    """The size of an image fitted into the box; never enlarged."""
    scale = min(BOX_PX / max(size), 1.0)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio of two images of equal size, over all channels, in dB."""
    squares = [rms**2 for rms in ImageStat.Stat(ImageChops.difference(one, other)).rms]
    mean_square = statistics.fmean(squares)
    return math.inf if mean_square == 0 else 10 * math.log10(_PEAK**2 / mean_square)
