"""What `render` returns, and the two exceptions it raises.

Imports no image library, so that code which only handles results does not load one.
"""

from dataclasses import dataclass

from downloader.model.failures import FailureKind, SkipReason, Warn

_REASON_LIMIT = 200
"""Characters of a library's error text that go into a message."""


def plain(error: BaseException) -> str:
    """A library's error text, made fit for a message: one short line of printable characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in text)[:_REASON_LIMIT]


class ImageError(Exception):
    """No output can be made of these bytes; becomes `Failed`.

    `kind` is its stable name, `message` a sentence for the user: what happened and what to do.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(kind, message)  # both as arguments, so that the exception can be pickled
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return self.message


class ImageSkipped(Exception):
    """The image is fine, but the settings leave it out; becomes `Skipped`."""

    def __init__(self, reason: SkipReason, message: str) -> None:
        super().__init__(reason, message)  # both as arguments, so that the exception can be pickled
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One finished image in memory.

    `variant` names the size it was made for (None where there is only one, unnamed). `extension` comes without the dot
    and follows the encoder; `format` is the encoder's name in lower case. Sides are in pixels.
    """

    variant: str | None
    extension: str
    format: str
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that was made of one source.

    `format` is the source's: `heif`, or one of `sniff.FORMATS`. `width` and `height` are those of the upright source,
    in pixels. `exif` is the source's EXIF as a JSON object, where that was asked for and there is any.
    `perceptual_hash` and `blurhash` are those of its smallest rendition, where they are wanted.
    """

    renditions: tuple[Encoded, ...]
    format: str
    width: int
    height: int
    warnings: tuple[Warn, ...]
    perceptual_hash: str | None = None
    blurhash: str | None = None
    exif: str | None = None
