"""Names that servers give to files, for `fetch --trust-server-names`. Pure."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from downloader.model.items import Fetched, Item, OutputName, Request, Row
from downloader.naming.rules import NamingRules

_DRIVE = re.compile(r"\A\s*[A-Za-z]:")
"""A drive of Windows before a name."""

Rename = Callable[[Item, Iterator[tuple[str, OutputName]]], Item]
"""Gives an item the first of some names that no other item owns."""


def server_names(rename: Rename, rules: NamingRules) -> Callable[[Fetched], Fetched]:
    """What gives a fetched item the name that its server has for it, unless its list has one."""

    def renamed(fetched: Fetched) -> Fetched:
        item = fetched.item
        name = _DRIVE.sub("", fetched.server_name or "")
        if not name.strip(" .") or (item.request and item.request.name):
            return fetched
        row = Row(source=item.source, what=item.what, request=Request(name=name))
        return replace(fetched, item=rename(item, rules.names(row, 0, item.key)))

    return renamed
