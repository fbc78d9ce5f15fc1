"""The nouns of the image work: what `render` gives back, and the two ways an image can refuse.

No import of an image library here, so that whoever handles results does not load one.
"""

from dataclasses import dataclass

from downloader.model.failures import FailureKind, SkipReason, Warn

_REASON_LIMIT = 200
"""Characters of a library's error text that go into a message."""


def plain(error: BaseException) -> str:
    """A library's error text made fit for a message: one short line of printable characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in text)[:_REASON_LIMIT]


class Unusable(Exception):
    """No output can be made of these bytes; becomes `Failed`.

    `kind` is the stable word for it, `message` one sentence for a person: what happened and what to do.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(kind, message)  # both as arguments, so that the exception can be pickled
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return self.message


class Unwanted(Exception):
    """The image is fine but the settings leave it out; becomes `Skipped`."""

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
    and follows the encoder; `format` is the encoder's name in small letters. Sides are in pixels.
    """

    variant: str | None
    extension: str
    format: str
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything made of one source.

    `format` is that of the source, `heif` or one of `sniff.FORMATS`. `width` and `height` are the upright source in
    pixels. `timings_s` has the keys `decode`, `resize` (colour included) and `encode`, in seconds.
    """

    renditions: tuple[Encoded, ...]
    format: str
    width: int
    height: int
    warnings: tuple[Warn, ...]
    timings_s: dict[str, float]
