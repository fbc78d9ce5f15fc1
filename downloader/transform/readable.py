"""What is read from a file's structure before a decoder sees it."""

from dataclasses import dataclass, field
from typing import Any

from downloader.model.failures import FailureKind, Warn
from downloader.transform.picture import ImageError

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """What a decoder is given, and what the file says that the decoder does not.

    `info` replaces what Pillow finds under these names: `icc_profile`, `exif`, `xmp`.
    `visible` is the part of the stored pixels that belongs to the picture. `turn` is its EXIF orientation where the
    container says it, not EXIF.
    """

    data: bytes
    info: dict[str | tuple[int, int], Any] = field(default_factory=dict)
    visible: Box | None = None
    turn: int | None = None
    warnings: tuple[Warn, ...] = ()


def ends_early(name: str) -> ImageError:
    """The failure of a file that lacks some of its pixels."""
    advice = "fetch it again, or take what is there with --truncated keep"
    return ImageError(FailureKind.TRUNCATED_IMAGE, f"the {name} image ends early: {advice}")


def damaged(name: str, reason: str) -> ImageError:
    """The failure of a file that is not what its format prescribes."""
    return ImageError(
        FailureKind.CORRUPT_IMAGE, f"the {name} image is damaged ({reason}): fetch it again or replace it"
    )


def unsupported(what: str) -> ImageError:
    """The failure of an intact file of a kind that is not read; `what` is such as "a lossless JPEG"."""
    return ImageError(
        FailureKind.UNSUPPORTED_FORMAT, f"this is {what}, which is not supported: convert it to PNG first"
    )
