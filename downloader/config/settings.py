"""Every setting of a run: its meaning, default, bounds and flag, in one table. Pure and frozen.

One section a class. A field made by `option` is at once a command line flag, a TOML key (`[section] field`) and an
environment variable (`DOWNLOADER_SECTION__FIELD`); `downloader.config.load` fills and checks them, and nothing else
reads flags, files or the environment. This module imports no third-party code that is slow to load, so that `--help`
stays quick and a worker process can import it cheaply.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_COUNT_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes from text: `300`, `10K`, `1.5M`, `2G`; the units are powers of 1024."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        message = f"{text!r} is not a size; write for example 300, 10K, 1.5M or 2G"
        raise ValueError(message)
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
        message = f"{text!r} is not a number; write for example 5000, 100K or 100M"
        raise ValueError(message)
    return int(Decimal(match[1]) * _COUNT_UNITS[match[2].lower()])


def show_count(number: int) -> str:
    """The shortest exact text that `parse_count` reads back to the same number."""
    for unit in ("G", "M", "K"):
        factor = _COUNT_UNITS[unit.lower()]
        if number and number % factor == 0:
            return f"{number // factor}{unit}"
    return str(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One wanted size: a box, one side, or a percentage.

    `256` and `256x256` are boxes, `800x` fixes the width, `x600` the height, `50%` scales both sides; `thumb=256` names
    the variant. `width` and `height` in pixels; None where that side is free.
    """

    name: str | None = None
    width: int | None = None
    height: int | None = None
    percent: float | None = None

    def __str__(self) -> str:
        """The spec that `parse_sizes` reads back to this value."""
        prefix = f"{self.name}=" if self.name else ""
        if self.percent is not None:
            return f"{prefix}{self.percent!r}%".replace(".0%", "%")
        return f"{prefix}{self.width or ''}x{self.height or ''}"


def variant_names(sizes: tuple[Size, ...]) -> tuple[str | None, ...]:
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


_LARGEST_PERCENT = 1000
_SIDE_LIMIT_PX = 65_535
"""The largest side JPEG can hold (ITU-T T.81, 16-bit dimensions); no output format here needs more."""
_SPEC = re.compile(
    r"(?:(?P<name>[A-Za-z0-9_]+)=)?"
    r"(?:(?P<percent>\d+(?:\.\d+)?)%|(?P<square>\d+)|(?P<width>\d+)x(?P<height>\d*)|x(?P<only_height>\d+))"
)


def parse_sizes(text: str) -> tuple[Size, ...]:
    """The sizes of one `--resize` value; several are separated by white space."""
    sizes = tuple(_parse_size_spec(spec) for spec in text.split())
    if not sizes:
        message = "a size is missing; write for example 256, 256x256, 800x, x600 or 50%"
        raise ValueError(message)
    return sizes


def _parse_size_spec(spec: str) -> Size:
    match = _SPEC.fullmatch(spec)
    if not match:
        message = f"{spec!r} is not a size; write 256, 256x256, 800x, x600 or 50%, named if wanted (thumb=256)"
        raise ValueError(message)
    name = match["name"]
    if match["percent"]:
        percent = float(match["percent"])
        if not 0 < percent <= _LARGEST_PERCENT:
            message = f"{spec!r}: a percentage lies above 0 and at most at {_LARGEST_PERCENT}"
            raise ValueError(message)
        return Size(name=name, percent=percent)
    width = match["square"] or match["width"]
    height = match["square"] or match["height"] or match["only_height"]
    sides = {"width": int(width) if width else None, "height": int(height) if height else None}
    for side in sides.values():
        if side is not None and not 1 <= side <= _SIDE_LIMIT_PX:
            message = f"{spec!r}: a side lies between 1 and {_SIDE_LIMIT_PX} pixels"
            raise ValueError(message)
    return Size(name=name, **sides)


def parse_color(text: str) -> str:
    """A CSS-like colour, `#rgb`, `#rrggbb` or one of a few names, as `#rrggbb`."""
    named = {"white": "#ffffff", "black": "#000000", "gray": "#808080", "grey": "#808080"}
    value = named.get(text.lower(), text.lower())
    if re.fullmatch(r"#[0-9a-f]{3}", value):
        value = "#" + "".join(2 * digit for digit in value[1:])
    if not re.fullmatch(r"#[0-9a-f]{6}", value):
        message = f"{text!r} is not a colour; write white, black, gray, #rgb or #rrggbb"
        raise ValueError(message)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Percent:
    """A share of something, 0 to 100."""

    percent: float

    def __str__(self) -> str:
        """The text that `parse_budget` reads back to this value."""
        return f"{self.percent!r}%".replace(".0%", "%")


Budget = Annotated[int, Ge(0)] | Percent
"""How many failures there may be."""


def parse_budget(text: str) -> int | Percent:
    """A number of failures, or their share of the items: `20`, `5%`."""
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", text.strip())
    if not match or (match[2] and float(match[2]) > 100):  # noqa: PLR2004 - per cent
        message = f"{text!r} is neither a number of failures nor a share of the items; write for example 20 or 5%"
        raise ValueError(message)
    return int(match[1]) if match[1] else Percent(percent=float(match[2]))


def parse_header(text: str) -> str:
    """A request header `Name: value` (RFC 9110 field name; no line breaks, which would let a value add headers)."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n\0]", value):
        message = f"{name!r} is not a header; write 'Name: value' on one line"
        raise ValueError(message)
    return f"{name}: {value.strip()}"


def parse_columns(text: str) -> tuple[str, ...]:
    """Names of columns, separated by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if "" in names:
        message = "the name of a column is missing; write for example title,licence"
        raise ValueError(message)
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How a setting is written by a user.

    `parse` turns text into the value (None: the type's own reading); `show` turns the value into text again.
    """

    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    show: Callable[[Any], str] = str


def option(
    default: Any,  # noqa: ANN401 - of any option
    text: str,
    *flags: str,
    metavar: str | None = None,
    parse: Callable[[str], Any] | None = None,
    show: Callable[[Any], str] = str,
) -> Any:  # noqa: ANN401 - as dataclasses.field
    """A field of a section: its default, its one-line meaning and its extra flags (`--field-name` is always there)."""
    return field(
        default=default, metadata={"option": Option(help=text, flags=flags, metavar=metavar, parse=parse, show=show)}
    )


class Section:
    """A group of settings: one TOML table."""

    __slots__ = ()
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    @classmethod
    def options(cls) -> dict[str, Option]:
        """The options of this section by field name, in order; tables within it are not among them."""
        return {f.name: f.metadata["option"] for f in fields(cls) if "option" in f.metadata}  # type: ignore[arg-type]


Threads = Annotated[int, Ge(1), Le(1024)]
Processes = Annotated[int, Ge(1), Le(256)]
Seconds = Annotated[float, Gt(0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyOptions(Section):
    """How much runs at the same time."""

    threads: Threads | Literal["auto"] = option(
        16, "download threads; auto finds out how many help", "-t", metavar="N|auto"
    )
    processes: Processes | Literal["auto"] = option(
        "auto", "transform processes; auto is one per CPU", "-p", metavar="N|auto"
    )
    queue_size: Annotated[int, Ge(1), Le(100_000)] = option(
        64, "files that may wait between download and transform", metavar="N"
    )
    per_host: Annotated[int, Ge(1), Le(1024)] = option(8, "downloads from one host at the same time", metavar="N")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions(Section):
    """How bytes are fetched."""

    timeout: Seconds = option(10.0, "seconds to connect, and for each read", metavar="S")
    deadline: Seconds = option(300.0, "seconds for one URL, all attempts together", metavar="S")
    retries: Annotated[int, Ge(0), Le(100)] = option(4, "further attempts after a passing failure", metavar="N")
    max_size: Annotated[int, Ge(1)] | None = option(
        256 * 1024**2, "largest body taken (fetch: no limit)", metavar="SIZE", parse=parse_size, show=show_size
    )
    header: tuple[str, ...] = option(
        (), "request header 'Name: value'; repeatable", metavar="'K: V'", parse=lambda text: (parse_header(text),)
    )
    user_agent: str | None = option(None, "User-Agent to send instead of downloader/VERSION", metavar="TEXT")
    max_redirects: Annotated[int, Ge(0), Le(100)] = option(10, "redirects followed for one URL", metavar="N")
    min_speed: Annotated[int, Ge(0)] = option(
        1024,
        "give up on bodies slower than this, a second, over 30 s",
        metavar="SIZE",
        parse=parse_size,
        show=show_size,
    )
    limit_rate: Annotated[int, Ge(1)] | None = option(
        None, "bytes a second for all downloads together", metavar="SIZE", parse=parse_size, show=show_size
    )
    host_delay: Annotated[float, Ge(0)] = option(0.0, "seconds between two requests to one host", metavar="S")
    proxy: str | None = option(None, "proxy for all requests (default: the usual variables)", metavar="URL")
    cookies: str | None = option(None, "cookies to send, in Netscape format", metavar="FILE")
    netrc: bool = option(False, "take passwords from ~/.netrc")
    ca_file: str | None = option(None, "certificates to trust instead of the usual ones", metavar="FILE")
    insecure: bool = option(False, "do not check certificates")
    client_cert: str | None = option(None, "client certificate with its key (PEM)", metavar="FILE")
    segments: Annotated[int, Ge(1), Le(64)] = option(
        1, "parts in which a large file is fetched at the same time", metavar="N"
    )
    deny_private: bool = option(False, "refuse hosts on private networks, and this machine")
    transport: Literal["auto", "httpcore", "httptools"] = option(
        "auto", "package that speaks HTTP; auto is httptools (extra fast) where it is installed, else httpcore"
    )
    opt_out: Literal["respect", "ignore"] = option("respect", "X-Robots-Tag noai, noimageai, noindex, noimageindex")


Fit = Literal["inside", "outside", "crop", "pad", "stretch"]
Gravity = Literal["center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"]
Format = Literal["same", "jpeg", "png", "webp", "avif"]
Metadata = Literal["none", "copyright", "all-but-gps", "all"]
Quality = Annotated[int, Ge(1), Le(100)]


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegOptions(Section):
    """How JPEG is written.

    The defaults are those of libjpeg and of sharp: baseline, since progressive scans cost a second pass, and colour at
    half the resolution both ways, which photographs do not show.
    """

    quality: Quality | None = option(None, "1 to 100; none takes the quality of [transform]")
    progressive: bool = option(False, "store several scans, from coarse to fine")
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = option("4:2:0", "resolution of colour; 4:4:4 is full")


@dataclass(frozen=True, slots=True, kw_only=True)
class PngOptions(Section):
    """How PNG is written.

    Measured on photographs of 256 and 1,024 px: level 4 takes half the time of zlib's default 6, for at most 6 % more
    bytes.
    """

    compress_level: Annotated[int, Ge(0), Le(9)] = option(4, "0 (not at all) to 9 (small and slow)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebpOptions(Section):
    """How WebP is written.

    Measured on photographs of 256 and 1,024 px: method 2 takes half the time of libwebp's default 4, for 1 to 3 % more
    bytes.
    """

    quality: Quality | None = option(None, "1 to 100; none takes the quality of [transform]; effort where lossless")
    method: Annotated[int, Ge(0), Le(6)] = option(2, "effort, 0 (fast) to 6 (small and slow)")
    lossless: bool = option(False, "keep every pixel as it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class AvifOptions(Section):
    """How AVIF is written. Speed 6 is the default of libavif's avifenc and of Pillow."""

    quality: Quality | None = option(None, "1 to 100; none takes the quality of [transform]")
    speed: Annotated[int, Ge(0), Le(10)] = option(6, "0 (small and slow) to 10 (fast)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformOptions(Section):
    """What is made of each image."""

    resize: tuple[Size, ...] = option(
        (),
        "wanted size: 256, 256x256, 800x, x600, 50%; repeatable, nameable (thumb=256)",
        "-r",
        metavar="SPEC",
        parse=parse_sizes,
        show=str,
    )
    fit: Fit = option("inside", "how the image meets the box")
    enlarge: bool = option(False, "let small images grow to the box")
    gravity: Gravity = option("center", "what crop keeps and where pad puts the image")
    background: str = option("#ffffff", "colour behind transparency and padding", metavar="COLOR", parse=parse_color)
    format: Format = option("same", "output format", "-f")
    quality: Quality = option(85, "quality of jpeg, webp and avif", "-q", metavar="N")
    metadata: Metadata = option("copyright", "metadata kept in the output")
    icc: Literal["srgb", "keep"] = option("srgb", "convert colours to sRGB, or keep the profile")
    animated: Literal["first", "all"] = option("first", "frames taken of an animation")
    truncated: Literal["fail", "keep"] = option("fail", "what to do with an image that ends early")
    max_pixels: Annotated[int, Ge(1)] = option(
        100_000_000, "largest image decoded, in pixels, frames counted", metavar="N", parse=parse_count, show=show_count
    )
    item_timeout: Seconds = option(30.0, "seconds for one image", metavar="S")
    worker_memory: Annotated[int, Ge(256 * 1024**2)] = option(
        2 * 1024**3, "memory one transform process may use", metavar="SIZE", parse=parse_size, show=show_size
    )
    min_side: Annotated[int, Ge(1)] | None = option(None, "skip images with a shorter side below this", metavar="PX")
    max_aspect: Annotated[float, Ge(1)] | None = option(
        None, "skip images with a longer : shorter side above this", metavar="R"
    )
    jpeg: JpegOptions = field(default_factory=JpegOptions)
    png: PngOptions = field(default_factory=PngOptions)
    webp: WebpOptions = field(default_factory=WebpOptions)
    avif: AvifOptions = field(default_factory=AvifOptions)

    @property
    def variants(self) -> tuple[str | None, ...]:
        """The names of the sizes that are made of each image; None for the only one, unless it was given a name."""
        return variant_names(self.resize) if self.resize else (None,)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions(Section):
    """Where results go and how they are named."""

    output: str = option("downloads", "folder for the results", "-o", metavar="DIR")
    name: str | None = option(
        None, "file name template; fields: stem ext parent key index host variant column[x]", metavar="TEMPLATE"
    )
    overwrite: Literal["never", "changed", "always"] = option(
        "never", "results that are there already: keep, ask the source whether it has changed, or make anew"
    )
    trust_server_names: bool = option(False, "fetch only: name files as their servers do")
    keep_originals: bool = option(False, "keep the bytes of every image as they came, in OUT/originals")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions(Section):
    """How sources are read."""

    input_format: Literal["auto", "txt", "csv", "tsv", "jsonl", "parquet", "aria2"] = option(
        "auto", "format of lists; auto goes by their names"
    )
    url_column: str = option("url", "column of a table that holds the URLs", metavar="NAME")
    caption_column: str | None = option(None, "column that holds captions; kept like the following", metavar="NAME")
    keep_columns: tuple[str, ...] = option(
        (), "columns shown in `status` and usable in --name; repeatable", metavar="A,B", parse=parse_columns
    )
    name_column: str | None = option(None, "column that holds names for the results", metavar="NAME")
    checksum_column: str | None = option(None, "column that holds checksums: sha256:HEX, md5:HEX", metavar="NAME")
    all_files: bool = option(False, "take every file of a folder, whatever its name")
    dedup: bool = option(False, "skip items whose bytes another item had before")

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """The columns that are kept beside the results, the caption among them; each once."""
        caption = (self.caption_column,) if self.caption_column is not None else ()
        return tuple(dict.fromkeys((*caption, *self.keep_columns)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(Section):
    """How the run shows itself, and how many failures it may have."""

    progress: Literal["auto", "bar", "plain", "json", "none"] = option("auto", "how progress is shown on stderr")
    log_level: Literal["debug", "info", "warning", "error"] = option(
        "warning", "least severe log message shown on stderr"
    )
    allow_failures: Budget = option(
        0,
        "exit with 0 in spite of so many failures, or so many per cent of the items",
        metavar="N|P%",
        parse=parse_budget,
    )
    max_failures: Budget | None = option(
        None,
        "stop once a run has more failures than this, or than this share of the items done",
        metavar="N|P%",
        parse=parse_budget,
    )


Mode = Literal["run", "fetch", "process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything one run needs to know. `sources` as named on the command line; `mode` is the command."""

    sources: tuple[str, ...] = ()
    mode: Mode = "run"
    concurrency: ConcurrencyOptions = field(default_factory=ConcurrencyOptions)
    download: DownloadOptions = field(default_factory=DownloadOptions)
    transform: TransformOptions = field(default_factory=TransformOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    source: SourceOptions = field(default_factory=SourceOptions)
    run: RunOptions = field(default_factory=RunOptions)
    __pydantic_config__: ClassVar = {"extra": "forbid"}

    @property
    def makes_images(self) -> bool:
        """Whether images are transformed; `fetch` keeps bytes as they come."""
        return self.mode != "fetch"

    @property
    def is_local(self) -> bool:
        """Whether only files of this machine are taken, and no network is touched."""
        return self.mode == "process"

    @property
    def keeps_originals(self) -> bool:
        """Whether originals are kept beside the results; the results of `fetch` are originals themselves."""
        return self.output.keep_originals and self.makes_images


TABLES: dict[str, type[Section]] = {
    "concurrency": ConcurrencyOptions,
    "download": DownloadOptions,
    "transform": TransformOptions,
    "transform.jpeg": JpegOptions,
    "transform.png": PngOptions,
    "transform.webp": WebpOptions,
    "transform.avif": AvifOptions,
    "output": OutputOptions,
    "source": SourceOptions,
    "run": RunOptions,
}
"""Every table of the configuration by its TOML name."""

SECTIONS = {name: home for name, home in TABLES.items() if "." not in name}
"""The tables whose options are flags too; those within another one are for files and the environment."""
