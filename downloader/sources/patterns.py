"""Patterns in place of file names: `{00000..00099}.tar`, `{a,b}.csv`, `lists/*.parquet`, and folders of lists.

A shell expands most of them itself; a configuration file, a quoted argument and a program that uses this as a library
do not.
"""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from downloader.errors import SourceError
from downloader.sources.folder import entries, is_image_name

MAX_NAMES: Final = 100_000
"""Names that one argument may stand for."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_MAX_BRACES: Final = 50
"""Braces in one argument; 17 with two parts each stand for more than `MAX_NAMES` already."""
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")
_TAR = re.compile(r"\.tar\Z", re.IGNORECASE)
_PEEKED_BYTES: Final = 4096
_LIST_NAME = re.compile(r"\.(?:(?:txt|csv|tsv|jsonl)(?:\.gz|\.zst)?|parquet|tar)\Z", re.IGNORECASE)


def expanded(arguments: Sequence[str], *, is_local: bool = False) -> tuple[str, ...]:
    """The sources that arguments stand for, in order. What names something, or has no pattern, stands for itself.

    With `is_local` a folder stands for its tars only, since lists are of no use without a network.

    Raises:
        SourceError: a pattern matches nothing, or too much.
    """
    return tuple(name for argument in arguments for name in _expand(argument, is_local=is_local))


def _expand(argument: str, *, is_local: bool) -> Sequence[str]:
    if argument == "-" or _URL.match(argument):
        return [argument]
    if os.path.isdir(argument):  # noqa: PTH112 - unlike Path, returns False for text that cannot be a path
        return _lists_in(argument, _TAR if is_local else _LIST_NAME) or [argument]
    if os.path.exists(argument) or not (_BRACES.search(argument) or glob.has_magic(argument)):  # noqa: PTH110 - as above
        return [argument]
    if len(_BRACES.findall(argument)) > _MAX_BRACES:
        raise SourceError(f"{argument}: has more than {_MAX_BRACES} braces; give it in parts")
    patterns = _bounded(braces(argument), argument)
    names = _bounded((name for pattern in patterns for name in _matching(pattern)), argument)
    if not names:
        raise SourceError(f"{argument}: no file matches; a pattern is taken literally only if such a file exists")
    return names


def _matching(pattern: str) -> Sequence[str]:
    if not glob.has_magic(pattern):
        return [pattern]
    return sorted(_bounded(glob.iglob(pattern, recursive=True), pattern))  # noqa: PTH207 - text, as it was written


def _bounded(names: Iterable[str], argument: str) -> list[str]:
    found = list(islice(names, MAX_NAMES + 1))
    if len(found) > MAX_NAMES:
        raise SourceError(f"{argument}: stands for more than {MAX_NAMES} names; give it in parts")
    return found


def braces(text: str) -> Iterator[str]:
    """What braces stand for, as in a shell: `{a,b}` for each of its parts, `{08..11}` for numbers of the same width.

    Braces with neither a comma nor a range stand for themselves.
    """
    for found in _BRACES.finditer(text):
        if (alternatives := _alternatives(found[1])) is not None:
            head, tail = text[: found.start()], text[found.end() :]
            for alternative in alternatives:
                for rest in braces(tail):
                    yield f"{head}{alternative}{rest}"
            return
    yield text


def _alternatives(inner: str) -> Iterator[str] | None:
    if match := _RANGE.fullmatch(inner):
        first, last = int(match[1]), int(match[2])
        is_padded = any(len(end) > 1 and end.startswith("0") for end in match.groups())
        width = max(map(len, match.groups())) if is_padded else 0
        step = 1 if first <= last else -1
        return (f"{number:0{width}}" for number in range(first, last + step, step))
    return iter(inner.split(",")) if "," in inner else None


def _lists_in(folder: str, wanted: re.Pattern[str]) -> list[str]:
    """The lists and tars of a folder that holds nothing else to be taken: no image, and no other folder.

    A `.txt` is a list there if it begins with a URL: it may well be notes. A table beside a tar of the same name, as
    `--sink webdataset` and img2dataset write it, tells of the images in the tar, and is no list.
    """
    lists = []
    try:
        for name, kind in islice(entries(folder), MAX_NAMES + 1):
            if name.startswith("."):
                continue
            if kind == "folder" or is_image_name(name):
                return []
            path = os.path.join(folder, name)  # noqa: PTH118 - text, as it was written
            if kind == "file" and wanted.search(name) and (not name.lower().endswith(".txt") or _begins_with_url(path)):
                lists.append(path)
    except OSError:  # the folder itself is checked later
        return []
    tars = {path[: -len(".tar")] for path in lists if _TAR.search(path)}
    lists = [path for path in lists if not (path.endswith(".parquet") and path.removesuffix(".parquet") in tars)]
    return lists if len(lists) <= MAX_NAMES else []


def _begins_with_url(path: str) -> bool:
    """Whether a file begins with a URL, or cannot be read: then the check of the sources says so."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - text, as it was written
            lines = [line.strip() for line in file.read(_PEEKED_BYTES).splitlines()]
    except OSError:
        return True
    first = next((line for line in lines if line and not line.startswith(b"#")), b"")
    return first.removeprefix(b"\xef\xbb\xbf").lower().startswith((b"http://", b"https://"))
