"""Decisions about groups of results: keys, names of files, rows, statistics. Pure.

Keys, columns, statuses and statistics are those of img2dataset (rom1504/img2dataset 1.47: writer.py, downloader.py,
logger.py), so that programs that read its output read this one.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from downloader.config.settings import Settings
from downloader.errors import ConfigError
from downloader.model.failures import FailureKind, Stage
from downloader.model.groups import GroupRow, RowStatus
from downloader.model.items import Failed, Skipped

_GROUP_DIGITS = 5
"""img2dataset's `oom_shard_count`."""
_EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif"}
_OWN_COLUMNS = (
    "key",
    "status",
    "error_message",
    "width",
    "height",
    "original_width",
    "original_height",
    "exif",
    "sha256",
)
_NAME = re.compile(r"(\d{5,})(\.tar|\.parquet|_stats\.json)")

Value = str | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What the groups of one output are like; it is the same for all of them.

    Attributes:
        kind: of the sink: tars beside tables, or tables that hold the images.
        group_rows: rows of each group but the last.
        extension: of the images, without the dot; also their column in a table.
        has_structs: whether that column holds a struct of bytes and path, as the `datasets` library has images.
        caption: the column of the list that holds captions; None without captions.
        kept: further columns of the list.
    """

    kind: Literal["webdataset", "parquet"]
    group_rows: int
    extension: str
    has_structs: bool = False
    caption: str | None = None
    kept: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: Settings) -> "Dataset":
        """The dataset that the settings ask for; raises ConfigError if there can be none."""
        check_settings(settings)
        return cls(
            kind="webdataset" if settings.output.sink == "webdataset" else "parquet",
            group_rows=settings.output.shard_size,
            extension=_EXTENSIONS[settings.transform.format],
            has_structs=settings.output.image_column == "struct",
            caption=settings.source.caption_column,
            kept=_kept(settings),
        )

    @property
    def has_listed(self) -> bool:
        """Whether there are columns of the list besides the URL."""
        return self.caption is not None or bool(self.kept)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of text and numbers, in order: those of the list first."""
        return ("url", *(("caption",) if self.caption is not None else ()), *self.kept, *_OWN_COLUMNS)

    def key(self, group: int, position: int) -> str:
        """The key of a sample: group number and position, without a dot."""
        digits = len(str(self.group_rows - 1)) if self.group_rows > 1 else 0
        return f"{group * 10**digits + position:0{_GROUP_DIGITS + digits}d}"

    def values(self, row: GroupRow, source: str, columns: Mapping[str, str]) -> dict[str, Value]:
        """The row by column; None where nothing is known."""
        listed = {"caption": columns.get(self.caption, "")} if self.caption is not None else {}
        return {
            "url": clean(source),
            **{name: clean(text) for name, text in listed.items()},
            **{name: clean(columns.get(name, "")) for name in self.kept},
            "key": self.key(row.group, row.position),
            "status": row.status.value,
            "error_message": clean(row.message) if row.message is not None else None,
            "width": row.width,
            "height": row.height,
            "original_width": row.original_width,
            "original_height": row.original_height,
            "exif": clean(row.exif) if row.exif is not None else None,
            "sha256": row.sha256,
        }

    def document(self, values: Mapping[str, Value]) -> str:
        """The row as the JSON of its sample: a text that is not known is empty, so that no type is known late."""
        texts = {"error_message", "exif", "sha256"}
        return json.dumps(
            {name: "" if value is None and name in texts else value for name, value in values.items()}, indent=4
        )


def _kept(settings: Settings) -> tuple[str, ...]:
    source = settings.source
    return tuple(name for name in dict.fromkeys(source.keep_columns) if name not in {source.caption_column, "url"})


def for_sink(settings: Settings) -> Settings:
    """The settings with what the sink decides: a dataset has one image format, and `same` is JPEG for it."""
    if not settings.makes_groups or settings.transform.format != "same":
        return settings
    return replace(settings, transform=replace(settings.transform, format="jpeg"))


def check_settings(settings: Settings) -> None:
    """Refuse what makes no sense with groups of results.

    Raises:
        ConfigError: naming the option and what to do instead.
    """
    if not settings.makes_groups:
        return
    sink = f"--sink {settings.output.sink}"
    output, source = settings.output, settings.source
    if not settings.makes_images:
        raise ConfigError(
            f"{sink}: a dataset has one image format, and fetch keeps any; use `downloader run --format jpeg`, "
            "or `fetch` with --sink files"
        )
    if len(settings.transform.resize) > 1:
        raise ConfigError(f"{sink}: a dataset has one size of each image; give one --resize, and a run for each size")
    if output.keep_originals:
        raise ConfigError(f"{sink}: --keep-originals is for --sink files; `fetch` in another output keeps the bytes")
    if output.metadata_file != "none":
        raise ConfigError(f"{sink}: --metadata-file is for --sink files; each group has a table of its own")
    if output.overwrite != "never":
        raise ConfigError(
            f"{sink}: --overwrite {output.overwrite} is for --sink files; what is packed is not changed: name another "
            "output with -o"
        )
    if output.name is not None or source.name_column is not None:
        option = "--name" if output.name is not None else "--name-column"
        raise ConfigError(f"{sink}: {option} is for --sink files; samples are named by group and position")
    reserved = {*_OWN_COLUMNS, "caption", *_EXTENSIONS.values()}
    if taken := [name for name in _kept(settings) if name in reserved]:
        raise ConfigError(
            f"{sink}: --keep-columns {taken[0]}: the dataset has a column of its own with this name; rename it in the "
            "list"
        )


def status_of(fact: Failed | Skipped) -> tuple[RowStatus, str, str]:
    """Status, reason and message of an item without a result.

    What was left out counts as a failure, so that there is a row for every outcome. The reason is short, so that the
    statistics can count by it.
    """
    kind = fact.kind if isinstance(fact, Failed) else fact.reason
    is_late = fact.stage in {Stage.TRANSFORM, Stage.OUTPUT}
    status = RowStatus.FAILED_TO_RESIZE if is_late else RowStatus.FAILED_TO_DOWNLOAD
    reason = kind.value
    if isinstance(fact, Failed) and kind is FailureKind.HTTP_STATUS and fact.http_status is not None:
        reason = f"{kind.value} {fact.http_status}"
    return status, reason, f"{reason}: {fact.message}"


def group_name(number: int) -> str:
    """The name that the files of a group begin with."""
    return f"{number:0{_GROUP_DIGITS}d}"


def file_names(number: int) -> tuple[str, str, str]:
    """The names of everything that a group may consist of: table, statistics, tar."""
    name = group_name(number)
    return f"{name}.parquet", f"{name}_stats.json", f"{name}.tar"


def group_of(name: str) -> int | None:
    """The number of the group that a file belongs to by its name; None if it belongs to none."""
    match = _NAME.fullmatch(name)
    if match is None or name not in file_names(int(match[1])):
        return None
    return int(match[1])


def clean(text: str) -> str:
    """Text that can be written as UTF-8: bytes of file names that are none, and halves of surrogates, are replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


@dataclass(slots=True)
class Statistics:
    """What a group holds, counted row by row."""

    first_s: float = 0.0
    last_s: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def count(self, row: GroupRow) -> None:
        """Count a row."""
        if not self.statuses:
            self.first_s = row.at_s
        self.last_s = row.at_s
        self.statuses[row.status.value] += 1
        self.reasons[row.reason] += 1

    def to_json(self) -> dict[str, Any]:
        """The keys of img2dataset."""
        return {
            "count": self.statuses.total(),
            "successes": self.statuses[RowStatus.SUCCESS.value],
            "failed_to_download": self.statuses[RowStatus.FAILED_TO_DOWNLOAD.value],
            "failed_to_resize": self.statuses[RowStatus.FAILED_TO_RESIZE.value],
            "duration": round(self.last_s - self.first_s, 3),
            "start_time": self.first_s,
            "end_time": self.last_s,
            "status_dict": dict(self.reasons.most_common()),
        }
