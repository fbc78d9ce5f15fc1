"""Values of settings that are more than a number or a word: how they are written and read. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from urllib.parse import unquote, urlsplit

from downloader.config.fields import Bounds, Checked
from downloader.errors import ConfigError
from downloader.model.urls import masked

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_COUNT_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes from text: `300`, `10K`, `1.5M`, `2G`; the units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; write for example 300, 10K, 1.5M or 2G")
    return int(Decimal(match[1]) * _UNITS[match[2].lower()])


def show_size(size_bytes: int) -> str:
    """The shortest exact text that `parse_size` reads back to the same number."""
    for unit in ("T", "G", "M", "K"):
        factor = _UNITS[unit.lower()]
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


def parse_count(text: str) -> int:
    """A number of things from text: `100M` is a hundred million; the units are powers of 1000."""
    match = _COUNT.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a number; write for example 5000, 100K or 100M")
    return int(Decimal(match[1]) * _COUNT_UNITS[match[2].lower()])


def show_count(number: int) -> str:
    """The shortest exact text that `parse_count` reads back to the same number."""
    for unit in ("G", "M", "K"):
        factor = _COUNT_UNITS[unit.lower()]
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_REMOTE = re.compile(
    r"(?:s3|s3a|gs|gcs|az|abfs|abfss|adl|oci|oss|r2|b2|swift|hdfs|https?|ftps?|sftp|ssh|smb|webdav):/", re.IGNORECASE
)
"""How URLs of remote places begin, also where `pathlib` has made one slash of two."""


def parse_folder(text: str) -> str:
    """The path of a folder of this machine from text: a path, or a `file:` URL (RFC 8089)."""
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[1].lower() != "file":
        return text
    parts = urlsplit(text)
    if parts.netloc not in {"", "localhost"} or not parts.path.strip("/"):
        raise ValueError(f"{masked(text)} is no folder of this machine; write file:///path or the path alone")
    return unquote(parts.path)


_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})


def is_remote(output: str) -> bool:
    """Whether an output is the URL of an object store, not a folder of this machine."""
    scheme = _SCHEME.match(output)
    return scheme is not None and scheme[1].lower() in _OBJECT_STORES


def check_output(output: str) -> None:
    """Refuse URLs that are not of object stores, which pathlib would take for folders called `https:`.

    Raises:
        ValueError: it is one, or it has a password in it, or names no bucket.
    """
    if is_remote(output):
        parts = urlsplit(output)
        if "@" in parts.netloc and parts.scheme in {"s3", "s3a", "gs", "gcs"}:
            raise ValueError(f"{masked(output)} has credentials in it; give them in the environment or in a file")
        if parts.query or parts.fragment or any(part in {".", ".."} for part in parts.path.split("/")):
            raise ValueError(f"{masked(output)} is not the URL of a prefix; write for example s3://bucket/prefix")
        if not parts.netloc:
            raise ValueError(f"{masked(output)} names no bucket; write for example s3://bucket/prefix")
        return
    if _SCHEME.match(output) or _REMOTE.match(output):
        raise ValueError(
            f"{masked(output)} is a URL to which results cannot be written; name a folder, or an object store such as "
            "s3://bucket/prefix"
        )


_SIDE_LIMIT_PX = 65_535
"""The largest side JPEG can hold (ITU-T T.81, 16-bit dimensions); no output format here needs more."""
_Side = Annotated[int, Bounds(at_least=1, at_most=_SIDE_LIMIT_PX)]
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size(Checked):
    """One wanted size: a box, one side, or a percentage.

    `256` and `256x256` are boxes, `800x` fixes the width, `x600` the height, `50%` scales both sides; `thumb=256` names
    the variant. `width` and `height` in pixels; None where that side is free.
    """

    name: str | None = None
    width: _Side | None = None
    height: _Side | None = None
    percent: Annotated[float, Bounds(above=0, at_most=1000)] | None = None

    def __str__(self) -> str:
        """The spec that `parse_sizes` reads back to this value."""
        prefix = f"{self.name}=" if self.name else ""
        if self.percent is not None:
            return f"{prefix}{self.percent!r}%".replace(".0%", "%")
        return f"{prefix}{self.width or ''}x{self.height or ''}"

    def check(self) -> None:
        """Refuse what no spec can say: both sides and percentage, neither, or a name that cannot be in a file name."""
        has_sides = self.width is not None or self.height is not None
        if has_sides == (self.percent is not None):
            raise ConfigError("a size has a width, a height or both, or else a percentage")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ConfigError(f"name: should consist of letters, digits and _, not {self.name!r}")


_SPEC = re.compile(
    rf"(?:(?P<name>{_NAME.pattern})=)?"
    r"(?:(?P<percent>\d+(?:\.\d+)?)%|(?P<square>\d+)|(?P<width>\d+)x(?P<height>\d*)|x(?P<only_height>\d+))"
)


def parse_sizes(text: str) -> tuple[Size, ...]:
    """The sizes of one `--resize` value; several are separated by white space."""
    sizes = tuple(_parse_size_spec(spec) for spec in text.split())
    if not sizes:
        raise ValueError("a size is missing; write for example 256, 256x256, 800x, x600 or 50%")
    return sizes


def _parse_size_spec(spec: str) -> Size:
    match = _SPEC.fullmatch(spec)
    if not match:
        raise ValueError(f"{spec!r} is not a size; write 256, 256x256, 800x, x600 or 50%, named if wanted (thumb=256)")
    width, height = match["square"] or match["width"], match["square"] or match["height"] or match["only_height"]
    try:
        return Size(
            name=match["name"],
            width=int(width) if width else None,
            height=int(height) if height else None,
            percent=float(match["percent"]) if match["percent"] else None,
        )
    except ConfigError as problem:
        raise ValueError(f"{spec!r}: {problem}") from None


def check_names(sizes: Iterable[Size]) -> None:
    """Refuse two sizes of the same name; raises ValueError."""
    names = [size.name for size in sizes if size.name]
    if len(names) != len(set(names)):
        raise ValueError("two sizes have the same name")


def variant_names(sizes: Sequence[Size]) -> tuple[str | None, ...]:
    """What to call each size in a file name: letters, digits and `_` only, each name once.

    A single unnamed size needs no name. Unnamed sizes among several are called by their spec: `256x256`, `800x`,
    `x600`, `50pct`, `12_5pct`.
    """
    if len(sizes) == 1:
        return (sizes[0].name,)
    names: list[str] = []
    for size in sizes:
        name = size.name or "".join(c if c.isalnum() else "_" for c in str(size).replace("%", "pct"))
        count = 2
        unique = name
        while unique in names:
            unique, count = f"{name}_{count}", count + 1
        names.append(unique)
    return tuple(names)


def parse_color(text: str) -> str:
    """A CSS-like colour, `#rgb`, `#rrggbb` or one of a few names, as `#rrggbb`."""
    named = {"white": "#ffffff", "black": "#000000", "gray": "#808080", "grey": "#808080"}
    value = named.get(text.lower(), text.lower())
    if re.fullmatch(r"#[0-9a-f]{3}", value):
        value = "#" + "".join(2 * digit for digit in value[1:])
    if not re.fullmatch(r"#[0-9a-f]{6}", value):
        raise ValueError(f"{text!r} is not a colour; write white, black, gray, #rgb or #rrggbb")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Percent(Checked):
    """A share of something, 0 to 100."""

    percent: Annotated[float, Bounds(at_least=0, at_most=100)]

    def __str__(self) -> str:
        """The text that `parse_budget` reads back to this value."""
        return f"{self.percent!r}%".replace(".0%", "%")


Budget = Annotated[int, Bounds(at_least=0)] | Percent
"""How many failures there may be."""


def parse_budget(text: str) -> int | Percent:
    """A number of failures, or their share of the items: `20`, `5%`."""
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", text.strip())
    if not match or (match[2] and float(match[2]) > 100):  # noqa: PLR2004 - per cent
        raise ValueError(
            f"{text!r} is neither a number of failures nor a share of the items; write for example 20 or 5%"
        )
    return int(match[1]) if match[1] else Percent(percent=float(match[2]))


def parse_header(text: str) -> str:
    """A request header `Name: value` (RFC 9110 field name; no line breaks, which would let a value add headers)."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n\0]", value):
        raise ValueError(f"{name!r} is not a header; write 'Name: value' on one line")
    return f"{name}: {value.strip()}"


def parse_columns(text: str) -> tuple[str, ...]:
    """Names of columns, separated by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if "" in names:
        raise ValueError("the name of a column is missing; write for example title,licence")
    return names
