"""Every decision about sizes: what is resized to what, what is cropped, what is padded. Pure arithmetic.

Sizes are `(width, height)` and boxes `(left, top, right, bottom)`, in pixels. *Upright* is how a person sees the image;
*stored* is how its rows are laid out in the file. The two differ by one of the eight orientations of EXIF (tag 0x0112,
EXIF 2.32 section 4.6.4 A): 2 to 4 mirror or turn by 180 degrees, 5 to 8 also swap the sides.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from downloader.config.settings import Fit, Gravity
from downloader.config.values import Size

Sides = tuple[int, int]
Box = tuple[float, float, float, float]

SCALED_DECODE_MARGIN = 1.95
"""The least number of decoded pixels per output pixel that a scaled JPEG decode must leave, along both axes.

At 2 the result cannot be distinguished from a full decode. 1.95 rather than 2, because for a 4000 px photograph resized
to 256 px a decode at 1/8 leaves 1.953: a limit of exactly 2 would decode four times as many pixels for it.
"""

SCALED_DECODES = (8, 4, 2)
"""The reductions that libjpeg can do while decoding and Pillow's `draft` offers, largest first."""

_ACROSS = {"west": 0.0, "east": 1.0}
_DOWN = {"north": 0.0, "south": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizePlan:
    """How one requested size is made from an upright source.

    Think of the whole source as resized to `scaled`; of that, `kept` remains and is laid on a canvas of size `final`
    with its top left corner at `offset`. `scale` holds the factors of both axes before rounding.
    """

    source: Sides
    scale: tuple[float, float]
    scaled: Sides
    kept: tuple[int, int, int, int]
    final: Sides
    offset: Sides

    @property
    def kept_size(self) -> Sides:
        """The sides of the part that is kept, which resampling has to produce."""
        left, top, right, bottom = self.kept
        return right - left, bottom - top

    @property
    def padded(self) -> bool:
        """Whether the canvas shows around the image."""
        return self.kept_size != self.final

    @property
    def region(self) -> Box:
        """The part of the upright source that is kept, in source pixels."""
        left, top, right, bottom = self.kept
        (width, height), (across, down) = self.source, self.scaled
        # multiplied before it is divided, so that the far edge is exact
        return left * width / across, top * height / down, right * width / across, bottom * height / down


def plan(
    source: Sides, size: Size | None, *, fit: Fit = "inside", enlarge: bool = False, gravity: Gravity = "center"
) -> ResizePlan:
    """Plan one requested size; None keeps the size of the source.

    One scale factor comes from the tight side (the smaller ratio for `inside` and `pad`, the larger one for `outside`
    and `crop`); `stretch` has one per axis. Each side becomes `max(1, round(side * scale))`, halves to even, so that
    the binding side is exactly the requested one. Without `enlarge` no factor is above 1. A size that leaves one side
    free follows the given side in every fit, `stretch` included: there is no box to stretch to.
    """
    box = _box(source, size)
    scale = _scale(source, size, box, fit)
    if not enlarge:
        scale = (min(scale[0], 1.0), min(scale[1], 1.0))
    scaled = _round_sides(source, scale)
    kept_size = final = scaled
    if fit == "crop":
        kept_size = final = _per_side(min, scaled, box)
    elif fit == "pad":
        final = _per_side(max, scaled, box)
    left, top = _place(scaled, kept_size, gravity)
    return ResizePlan(
        source=source,
        scale=scale,
        scaled=scaled,
        kept=(left, top, left + kept_size[0], top + kept_size[1]),
        final=final,
        offset=_place(final, kept_size, gravity),
    )


def _box(source: Sides, size: Size | None) -> tuple[int | None, int | None]:
    """The requested box; None for a side that is free."""
    if size is None:
        return None, None
    if size.percent is not None:
        return _round_sides(source, (size.percent / 100, size.percent / 100))
    return size.width, size.height


def _scale(source: Sides, size: Size | None, box: tuple[int | None, int | None], fit: Fit) -> tuple[float, float]:
    """The factors of both axes, before any limit."""
    if size is None:
        return 1.0, 1.0
    if size.percent is not None:
        return size.percent / 100, size.percent / 100
    ratios = [wanted / side for wanted, side in zip(box, source, strict=True) if wanted is not None]
    if fit == "stretch" and len(ratios) == 2:  # noqa: PLR2004 - both axes
        return ratios[0], ratios[1]
    factor = max(ratios) if fit in {"outside", "crop"} else min(ratios)
    return factor, factor


def _round_sides(sides: Sides, scale: tuple[float, float]) -> Sides:
    return max(1, round(sides[0] * scale[0])), max(1, round(sides[1] * scale[1]))


def _per_side(choose: Callable[[int, int], int], sides: Sides, box: tuple[int | None, int | None]) -> Sides:
    """`choose` between each side and that of the box; a free side of the box changes nothing."""
    width, height = (side if wanted is None else choose(side, wanted) for side, wanted in zip(sides, box, strict=True))
    return width, height


def _place(outer: Sides, inner: Sides, gravity: Gravity) -> Sides:
    """The position of `inner` in `outer`; an odd spare pixel goes to the right or below."""
    across = next((share for name, share in _ACROSS.items() if name in gravity), 0.5)
    down = next((share for name, share in _DOWN.items() if name in gravity), 0.5)
    return int((outer[0] - inner[0]) * across), int((outer[1] - inner[1]) * down)


def swaps_sides(orientation: int) -> bool:
    """Whether width and height of the stored image are those of the upright one, swapped."""
    return orientation >= 5  # noqa: PLR2004 - EXIF 0x0112: 5 to 8 turn by 90 degrees


def turned(sides: Sides, orientation: int) -> Sides:
    """Upright sides from stored ones, and vice versa."""
    return (sides[1], sides[0]) if swaps_sides(orientation) else sides


def stored_region(region: Box, upright: Sides, orientation: int) -> Box:
    """The box of the stored image that corresponds to `region` of the upright one."""
    left, top, right, bottom = region
    width, height = upright
    # Turning a stored image upright swaps its axes (5 to 8), then mirrors one or both; here that is undone in reverse.
    if orientation in {2, 3, 6, 7}:
        left, right = width - right, width - left
    if orientation in {3, 4, 7, 8}:
        top, bottom = height - bottom, height - top
    return (top, left, bottom, right) if swaps_sides(orientation) else (left, top, right, bottom)


def scaled_decode(plans: Iterable[ResizePlan]) -> int:
    """The largest reduction while decoding that leaves every plan its margin; 1 decodes in full."""
    largest = max(max(plan.scale) for plan in plans)
    return next((factor for factor in SCALED_DECODES if factor * largest * SCALED_DECODE_MARGIN <= 1), 1)


def pixels(sides: Sides, frames: int = 1) -> int:
    """Pixels of all frames together."""
    return sides[0] * sides[1] * frames


def aspect_ratio(sides: Sides) -> float:
    """The longer side divided by the shorter one; never below 1."""
    return max(sides) / min(sides)
