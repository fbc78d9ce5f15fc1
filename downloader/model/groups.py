"""Groups of results: rows of outcomes in the order in which they were recorded, a fixed number to a group. Pure.

A group is one set of files (`00003.tar`, `00003.parquet`, `00003_stats.json`). Its rows have *positions* from 0 on;
group and position make the *key* of a sample.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class RowStatus(StrEnum):
    """What became of a row, in the words of img2dataset."""

    SUCCESS = "success"
    FAILED_TO_DOWNLOAD = "failed_to_download"
    FAILED_TO_RESIZE = "failed_to_resize"


class GroupState(StrEnum):
    """Where a group stands.

    `OPEN`: rows are added. `SEALING`: it is complete, and its files are being put under their final names. `SEALED`:
    they are there. `ABANDONED`: its file was lost before it was complete; its number is not used again.
    """

    OPEN = "open"
    SEALING = "sealing"
    SEALED = "sealed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """The row of one outcome.

    `end` is the length in bytes that the open file of the group has with this row. `offset` and `length` are those of
    the image in that file; None without an image. `at_s` is when the row was made, in seconds since 1970. `reason` is
    the failure kind (with the HTTP status) or skip reason that the statistics count by, or `success`; `message` is
    None on success. `sha256` is that of the source's bytes.
    """

    group: int
    position: int
    end: int
    at_s: float
    status: RowStatus
    reason: str
    message: str | None = None
    width: int | None = None
    height: int | None = None
    original_width: int | None = None
    original_height: int | None = None
    exif: str | None = None
    sha256: str | None = None
    offset: int | None = None
    length: int | None = None


class RecordedRow(NamedTuple):
    """A row, with what the plan says of its item."""

    row: GroupRow
    source: str
    columns: Mapping[str, str]


class Extent(NamedTuple):
    """How many rows a group has, and how many bytes of its open file belong to them."""

    rows: int
    bytes: int
