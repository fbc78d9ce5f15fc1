"""X-Robots-Tag: whether the owner of a resource opts out. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from downloader.http.headers import RawField, field_text

_OPT_OUT: Final = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Directives that opt out. `none` is Google's short form of `noindex, nofollow`."""
_VALUED: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
"""Directives with a value after a colon, which are not names of robots."""
_ROBOT = re.compile(r"\*|[a-z_][a-z0-9_.-]*")
"""The name of a robot before a colon; it never begins with a digit, as the parts of a date do."""


def opt_out(values: Iterable[RawField], token: str) -> str | None:
    """The first directive of the X-Robots-Tag fields that asks all robots, or the robot `token`, not to use a resource.

    A field is a list of directives; `name:` before one limits it and the rest of the field to that robot, until the
    next name (Google, "Robots meta tag, data-nosnippet, and X-Robots-Tag specifications"). Case is
    ignored. Dates of `unavailable_after` contain commas and colons, and are skipped.
    """
    ours = {"*", token.lower()}
    for value in values:
        for robot, directive in _directives(field_text(value).lower()):
            if directive in _OPT_OUT and robot in ours:
                return directive
    return None


def _directives(text: str) -> Iterator[tuple[str, str]]:
    """Each directive of one field, with the robot it is for; `*` is all robots."""
    robot = "*"
    for element in text.split(","):
        head, colon, rest = (part.strip() for part in element.partition(":"))
        if not colon:
            yield robot, head
        elif head not in _VALUED and _ROBOT.fullmatch(head):
            robot = head
            yield robot, rest
