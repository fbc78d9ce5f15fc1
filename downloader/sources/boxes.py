"""Boxes to blur, as tables have them. Pure."""

import json
from typing import Any

from downloader.model.items import RelativeBox

_MAX_BOXES = 10_000
_SHAPE = "[[left, top, right, bottom], ...] with shares of the sides from 0 to 1"


def parse_boxes(text: str) -> tuple[RelativeBox, ...]:
    """The boxes in a cell: a JSON array of arrays of four numbers; none if it is empty or null.

    Raises:
        ValueError: it holds something else; says what it should be.
    """
    if not text.strip():
        return ()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"not JSON; write {_SHAPE}") from None
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MAX_BOXES or not all(map(_is_box, value)):
        raise ValueError(f"no boxes; write {_SHAPE}")
    return tuple((float(left), float(top), float(right), float(bottom)) for left, top, right, bottom in value)


def _is_box(value: Any) -> bool:  # noqa: ANN401 - any value of JSON
    if not isinstance(value, list) or len(value) != 4 or not all(type(edge) in {int, float} for edge in value):  # noqa: PLR2004
        return False
    left, top, right, bottom = value
    return bool(0 <= left <= right <= 1 and 0 <= top <= bottom <= 1)
