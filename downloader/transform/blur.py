"""Blurring parts of a picture so that faces are not recognised.

As in the ImageNet of blurred faces (Yang and others, "A Study of Face Obfuscation in ImageNet", 2022): every box is
grown by a tenth of its longer side on each side, the whole picture is blurred with a standard deviation of a tenth of
the longest side of any box, and the blurred picture shows through a mask of the boxes that is blurred as much.
"""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFilter

from downloader.model.items import RelativeBox
from downloader.transform.geometry import ResizePlan

_SHARE = 0.1
"""Of the longer side of a box: its growth, and the standard deviation of the blur."""
_MIN_SIGMA_PX = 1.0


def blurred(frame: Image.Image, plan: ResizePlan, boxes: Sequence[RelativeBox]) -> Image.Image:
    """The kept part of a resized picture with its boxes blurred; the frame itself if none is within it."""
    grown = [_grown(_placed(box, plan)) for box in boxes]
    inside = [box for box in grown if _is_inside(box, frame.size)]
    if not inside:
        return frame
    mask = Image.new("L", frame.size)
    draw = ImageDraw.Draw(mask)
    for left, top, right, bottom in inside:
        draw.rectangle((math.floor(left), math.floor(top), math.ceil(right) - 1, math.ceil(bottom) - 1), fill=255)
    sides = [max(right - left, bottom - top) for left, top, right, bottom in inside]
    blur = ImageFilter.GaussianBlur(max(max(sides) / (1 + 2 * _SHARE) * _SHARE, _MIN_SIGMA_PX))
    return Image.composite(frame.filter(blur), frame, mask.filter(blur))


def _placed(box: RelativeBox, plan: ResizePlan) -> RelativeBox:
    """A box in pixels of the kept part."""
    (width, height), (left, top, _, _) = plan.scaled, plan.kept
    return box[0] * width - left, box[1] * height - top, box[2] * width - left, box[3] * height - top


def _grown(box: RelativeBox) -> RelativeBox:
    left, top, right, bottom = box
    growth = _SHARE * max(right - left, bottom - top)
    return left - growth, top - growth, right + growth, bottom + growth


def _is_inside(box: RelativeBox, size: tuple[int, int]) -> bool:
    left, top, right, bottom = box
    return right > 0 and bottom > 0 and left < size[0] and top < size[1]
