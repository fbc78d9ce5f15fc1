"""Every setting of a run: its meaning, default, bounds and flag, in one table. Pure and frozen.

One section a class. A field made by `option` is at once a command line flag, a TOML key (`[section] field`) and an
environment variable (`DOWNLOADER_SECTION__FIELD`); `downloader.config.load` reads those, and nothing else does. Values
are checked when a section is made, and may be given as they are written on the command line. This module imports
nothing that is slow to load: `--help` and every worker process need it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Any, Literal, cast

from downloader.config.fields import Accepts, Bounds, Checked, Section, option
from downloader.config.values import (
    Budget,
    Percent,
    Size,
    check_names,
    check_output,
    parse_budget,
    parse_color,
    parse_columns,
    parse_count,
    parse_folder,
    parse_header,
    parse_size,
    parse_sizes,
    show_count,
    show_size,
    variant_names,
)

Threads = Annotated[int, Bounds(at_least=1, at_most=1024)]
Processes = Annotated[int, Bounds(at_least=1, at_most=256)]
Seconds = Annotated[float, Bounds(above=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyOptions(Section):
    """How much runs at the same time."""

    threads: Threads | Literal["auto"] = option(
        16, "download threads; auto finds a good number", "-t", metavar="N|auto"
    )
    processes: Processes | Literal["auto"] = option(
        "auto", "transform processes; auto is one per CPU", "-p", metavar="N|auto"
    )
    shards: Annotated[int, Bounds(at_least=1, at_most=64)] | Literal["auto"] = option(
        "auto",
        "processes that share the threads and transform processes; auto is 1 up to 4 CPUs, then one per 4",
        metavar="N|auto",
    )
    queue_size: Annotated[int, Bounds(at_least=1, at_most=100_000)] = option(
        64, "largest number of files waiting between download and transform", metavar="N"
    )
    per_host: Annotated[int, Bounds(at_least=1, at_most=1024)] = option(
        8, "downloads from one host at the same time", metavar="N"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadOptions(Section):
    """How bytes are fetched."""

    timeout: Seconds = option(10.0, "seconds to connect, and for each read", metavar="S")
    deadline: Seconds = option(300.0, "seconds for one URL, all attempts together", metavar="S")
    retries: Annotated[int, Bounds(at_least=0, at_most=100)] = option(
        4, "further attempts after a transient failure", metavar="N"
    )
    max_size: Accepts[Annotated[int, Bounds(at_least=1)] | None, int | str | None] = option(
        256 * 1024**2, "largest body accepted (fetch: no limit)", metavar="SIZE", parse=parse_size, show=show_size
    )
    header: Accepts[tuple[str, ...], str | Sequence[str]] = option(
        (), "request header 'Name: value'; repeatable", metavar="'K: V'", parse=lambda text: (parse_header(text),)
    )
    user_agent: str | None = option(None, "User-Agent to send instead of downloader/VERSION", metavar="TEXT")
    max_redirects: Annotated[int, Bounds(at_least=0, at_most=100)] = option(
        10, "redirects followed for one URL", metavar="N"
    )
    min_speed: Accepts[Annotated[int, Bounds(at_least=0)], int | str] = option(
        1024,
        "give up on bodies slower than this, a second, over 30 s",
        metavar="SIZE",
        parse=parse_size,
        show=show_size,
    )
    limit_rate: Accepts[Annotated[int, Bounds(at_least=1)] | None, int | str | None] = option(
        None, "bytes a second for all downloads together", metavar="SIZE", parse=parse_size, show=show_size
    )
    host_delay: Annotated[float, Bounds(at_least=0)] = option(
        0.0, "seconds between two requests to one host", metavar="S"
    )
    host_failures: Annotated[int, Bounds(at_least=1, at_most=10_000)] | Literal["off"] = option(
        16,
        "attempts in a row that fail before the other items of a host are set aside for `retry`",
        metavar="N|off",
    )
    proxy: str | None = option(
        None, "proxy for all requests; none takes it from http_proxy, https_proxy, all_proxy, no_proxy", metavar="URL"
    )
    cookies: Accepts[str | None, str | PurePath | None] = option(
        None, "cookies to send, in Netscape format", metavar="FILE"
    )
    netrc: bool = option(False, "read passwords from ~/.netrc")
    ca_file: Accepts[str | None, str | PurePath | None] = option(
        None, "CA certificates to trust instead of the default ones", metavar="FILE"
    )
    insecure: bool = option(False, "do not verify certificates")
    client_cert: Accepts[str | None, str | PurePath | None] = option(
        None, "client certificate with its key (PEM)", metavar="FILE"
    )
    segments: Annotated[int, Bounds(at_least=1, at_most=64)] = option(
        1, "segments of a large file that are fetched at the same time", metavar="N"
    )
    deny_private: bool = option(False, "refuse hosts on private networks, and this machine")
    transport: Literal["auto", "httpcore", "httptools"] = option(
        "auto", "package that speaks HTTP; auto is httptools, which takes less CPU than httpcore"
    )
    opt_out: Literal["respect", "ignore"] = option("respect", "X-Robots-Tag noai, noimageai, noindex, noimageindex")


Fit = Literal["inside", "outside", "crop", "pad", "stretch"]
Gravity = Literal["center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"]
Format = Literal["same", "jpeg", "png", "webp", "avif"]
Metadata = Literal["none", "copyright", "all-but-gps", "all"]
Quality = Annotated[int, Bounds(at_least=1, at_most=100)]


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

    compress_level: Annotated[int, Bounds(at_least=0, at_most=9)] = option(4, "0 (not at all) to 9 (small and slow)")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebpOptions(Section):
    """How WebP is written.

    Measured on photographs of 256 and 1,024 px: method 2 takes half the time of libwebp's default 4, for 1 to 3 % more
    bytes.
    """

    quality: Quality | None = option(None, "1 to 100; none takes the quality of [transform]; effort where lossless")
    method: Annotated[int, Bounds(at_least=0, at_most=6)] = option(2, "effort, 0 (fast) to 6 (small and slow)")
    lossless: bool = option(False, "keep every pixel as it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class AvifOptions(Section):
    """How AVIF is written. Speed 6 is the default of libavif's avifenc and of Pillow."""

    quality: Quality | None = option(None, "1 to 100; none takes the quality of [transform]")
    speed: Annotated[int, Bounds(at_least=0, at_most=10)] = option(6, "0 (small and slow) to 10 (fast)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformOptions(Section):
    """What becomes of each image."""

    resize: Accepts[tuple[Size, ...], str | Size | Sequence[str | Size]] = option(
        (),
        "wanted size: 256, 256x256, 800x, x600, 50%; repeatable, nameable (thumb=256)",
        "-r",
        metavar="SPEC",
        parse=parse_sizes,
        show=str,
        check=check_names,
    )
    fit: Fit = option("inside", "how the image is fitted into the box")
    enlarge: bool = option(False, "scale small images up to the box")
    gravity: Gravity = option("center", "what crop keeps and where pad puts the image")
    background: str = option("#ffffff", "colour behind transparency and padding", metavar="COLOR", parse=parse_color)
    format: Format = option("same", "output format", "-f")
    quality: Quality = option(85, "quality of jpeg, webp and avif", "-q", metavar="N")
    metadata: Metadata = option("copyright", "metadata kept in the output")
    icc: Literal["srgb", "keep"] = option("srgb", "convert colours to sRGB, or keep the profile")
    animated: Literal["first", "all"] = option("first", "frames taken of an animation")
    truncated: Literal["fail", "keep"] = option("fail", "what to do with a truncated image")
    max_pixels: Accepts[Annotated[int, Bounds(at_least=1)], int | str] = option(
        100_000_000, "largest image decoded, in pixels, frames counted", metavar="N", parse=parse_count, show=show_count
    )
    item_timeout: Seconds = option(30.0, "seconds for one image", metavar="S")
    worker_memory: Accepts[Annotated[int, Bounds(at_least=256 * 1024**2)], int | str] = option(
        2 * 1024**3, "memory one transform process may use", metavar="SIZE", parse=parse_size, show=show_size
    )
    min_size: Accepts[Annotated[int, Bounds(at_least=1)] | None, int | str | None] = option(
        None, "skip images with a smaller file than this", metavar="SIZE", parse=parse_size, show=show_size
    )
    min_side: Annotated[int, Bounds(at_least=1)] | None = option(
        None, "skip images with a shorter side below this", metavar="PX"
    )
    max_aspect: Annotated[float, Bounds(at_least=1)] | None = option(
        None, "skip images with a longer : shorter side above this", metavar="R"
    )
    perceptual_hash: bool = option(False, "keep a pHash of each image, by which those that look alike are found")
    blurhash: bool = option(False, "keep a BlurHash of each image, a preview of 28 characters")
    jpeg: JpegOptions = field(default_factory=JpegOptions)
    png: PngOptions = field(default_factory=PngOptions)
    webp: WebpOptions = field(default_factory=WebpOptions)
    avif: AvifOptions = field(default_factory=AvifOptions)

    @property
    def variants(self) -> tuple[str | None, ...]:
        """The names of the sizes that are made of each image; None for the only one, unless it was given a name."""
        return variant_names(self.resize) if self.resize else (None,)


TableFormat = Literal["parquet", "csv", "jsonl"]
"""A format of tables that are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions(Section):
    """Where results go and how they are named."""

    output: Accepts[str, str | PurePath] = option(
        "downloads",
        "folder for the results, or the URL of an object store, such as s3://bucket/prefix",
        "-o",
        metavar="DIR|URL",
        parse=parse_folder,
        check=check_output,
    )
    sink: Literal["files", "webdataset", "parquet"] = option(
        "files", "files, tars for training (00000.tar), or tables with the images in them (00000.parquet)"
    )
    shard_size: Annotated[int, Bounds(at_least=1, at_most=1_000_000)] = option(
        10_000, "rows of each tar or table", metavar="N"
    )
    image_column: Literal["binary", "struct"] = option(
        "binary", "images in --sink parquet: as bytes, or as a struct that the datasets library shows as images"
    )
    name: str | None = option(
        None, "file name template; fields: stem ext parent key index host variant column[x]", metavar="TEMPLATE"
    )
    overwrite: Literal["never", "changed", "always"] = option(
        "never", "existing results: keep them, ask the source whether it has changed, or replace them"
    )
    trust_server_names: bool = option(False, "fetch only: name files as their servers do")
    metadata_file: Literal["none", "parquet", "csv", "jsonl"] = option(
        "none", "table of all files, written to the output folder as metadata.parquet, .csv or .jsonl"
    )
    keep_originals: bool = option(False, "keep the original bytes of every image, in OUT/originals")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions(Section):
    """How sources are read."""

    input_format: Literal["auto", "txt", "csv", "tsv", "jsonl", "parquet", "aria2"] = option(
        "auto", "format of lists; auto tells it from their names"
    )
    url_column: str = option("url", "column of a table that holds URLs", metavar="NAME")
    caption_column: str | None = option(None, "column that holds captions; kept as by --keep-columns", metavar="NAME")
    keep_columns: Accepts[tuple[str, ...], str | Sequence[str]] = option(
        (), "columns shown in `status` and usable in --name; repeatable", metavar="A,B", parse=parse_columns
    )
    name_column: str | None = option(None, "column that holds names for the results", metavar="NAME")
    checksum_column: str | None = option(None, "column that holds checksums: sha256:HEX, md5:HEX", metavar="NAME")
    bbox_column: str | None = option(
        None,
        "column that holds boxes to blur, such as faces: [[left, top, right, bottom], ...] from 0 to 1",
        metavar="NAME",
    )
    all_files: bool = option(False, "take every file of a folder, not only those named like images")
    dedup: bool = option(False, "skip items with the same bytes as an earlier item")

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """The columns that are kept beside the results, the caption among them; each once."""
        caption = (self.caption_column,) if self.caption_column is not None else ()
        return tuple(dict.fromkeys((*caption, *self.keep_columns)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(Section):
    """How the run reports, and how many failures are acceptable."""

    state_dir: Accepts[str | None, str | PurePath | None] = option(
        None, "folder for the state of outputs given as URLs; none is the user's state folder", metavar="DIR"
    )
    progress: Literal["auto", "bar", "plain", "json", "json-items", "none"] = option(
        "auto", "how progress is shown on stderr; json-items shows every outcome, too"
    )
    quiet: bool = option(False, "say nothing unless something fails")
    log_level: Literal["debug", "info", "warning", "error"] = option(
        "warning", "least severe log message shown on stderr"
    )
    report: bool = option(True, "write the report, OUT/.downloader/report.html, at the end of the run")
    trace: Accepts[str | None, str | PurePath | None] = option(
        None, "write what every thread and process did, for ui.perfetto.dev; ends in .gz: compressed", metavar="FILE"
    )
    allow_failures: Accepts[Budget, int | str | Percent] = option(
        0,
        "failures, or share of the items, that still exit with 0",
        metavar="N|P%",
        parse=parse_budget,
    )
    max_failures: Accepts[Budget | None, int | str | Percent | None] = option(
        None,
        "stop the run at more failures than this, or than this share of the finished items",
        metavar="N|P%",
        parse=parse_budget,
    )

    def shows_summary(self, *, good: bool) -> bool:
        """Whether the summary is shown as text: always, unless progress is silent; then only if something failed."""
        if self.progress in {"json", "json-items"}:
            return False
        return not good or not (self.quiet or self.progress == "none")


Mode = Literal["run", "fetch", "process"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Checked):
    """Everything one run needs to know. `sources` as named on the command line; `mode` is the command.

    Raises ConfigError, which is a ValueError, if a value is wrong, as every section does.
    """

    sources: Accepts[tuple[str, ...], str | PurePath | Sequence[str | PurePath]] = field(default=cast("Any", ()))
    mode: Mode = "run"
    concurrency: ConcurrencyOptions = field(default_factory=ConcurrencyOptions)
    download: DownloadOptions = field(default_factory=DownloadOptions)
    transform: TransformOptions = field(default_factory=TransformOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    source: SourceOptions = field(default_factory=SourceOptions)
    run: RunOptions = field(default_factory=RunOptions)

    @property
    def makes_groups(self) -> bool:
        """Whether results are packed into groups, of `shard_size` rows each."""
        return self.output.sink != "files"

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
