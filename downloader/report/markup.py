"""HTML from plain values. Pure. Every text goes through `text`: what servers, lists and file names say stays text."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


def visible(value: object) -> str:
    """A text in which characters that cannot be seen, or that turn the direction of others, are shown by their numbers.

    Among them are control characters, bidirectional ones, and bytes of a file name that are no text.
    """
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in str(value))


def text(value: object) -> str:
    """A value as text in HTML, also within quotes."""
    return escape(visible(value), quote=True)


def foreign(value: object) -> str:
    """Text of a stranger: kept from changing the direction of what stands around it."""
    return f"<bdi>{text(value)}</bdi>"


def shortened(value: str, limit: int) -> str:
    """A text with its middle left out where it is longer than `limit` characters."""
    half = (limit - 1) // 2
    return value if len(value) <= limit else f"{value[:half]}…{value[-half:]}"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are HTML. Columns whose heads begin with `#` are numbers; the first cell of a row heads it."""
    classes = [' class="n"' if head.startswith("#") else "" for head in heads]
    head = "".join(
        f'<th scope="col"{mark}>{text(name.removeprefix("#"))}</th>' for name, mark in zip(heads, classes, strict=True)
    )
    body = "".join(f"<tr>{_cells(row, classes)}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}"><table><caption>{text(caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[str], classes: Sequence[str]) -> str:
    first, *others = row
    cells = [f'<th scope="row"{classes[0]}>{first}</th>']
    cells += [f"<td{mark}>{cell}</td>" for cell, mark in zip(others, classes[1:], strict=True)]
    return "".join(cells)


def folded(label: str, content: str) -> str:
    """Content that is shown on request."""
    return f"<details><summary>{text(label)}</summary>{content}</details>"


def section(identity: str, title: str, content: str) -> str:
    """A part of the page with its heading."""
    heading = f'<h2 id="{identity}-h">{text(title)}</h2>'
    return f'<section id="{identity}" aria-labelledby="{identity}-h">{heading}{content}</section>'


def data_block(identity: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON that a script of the page reads: inert, since no `<` can end its element."""
    inert = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")
    return f'<script type="application/json" id="{identity}">{inert}</script>'


def source_hash(content: str) -> str:
    """What a Content-Security-Policy calls an inline script or style that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def data_url(media_type: str, data: bytes) -> str:
    """Bytes as a URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def count(number: float) -> str:
    """A whole number with separators."""
    return f"{number:,.0f}"


def size(number: float) -> str:
    """Bytes in a unit that fits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:  # noqa: PLR2004 - the step between units
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds in a unit that fits."""
    if seconds < 1e-3:  # noqa: PLR2004 - a millisecond
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 120:  # noqa: PLR2004 - up to here seconds read better
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "\u2013" if share is None else f"{100 * share:.0f} %"
