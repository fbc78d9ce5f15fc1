"""Tars of images, read in place: each image is a row that names its bytes by offset and length; nothing is unpacked.

A WebDataset is such a tar: members with the same key, which is their path up to the first dot of its last part, are one
sample, and stand next to each other. Fields of the `.json` of a sample, and its `.txt`, are the columns of its images.
"""

import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Final, cast

from downloader.errors import SourceError
from downloader.model.items import FileSpan, Invalid, Row
from downloader.sources.access import check_readable
from downloader.sources.counters import SourceCounters
from downloader.sources.folder import is_image_name
from downloader.sources.tabular import text_of

_MAX_HEADER_BYTES: Final = 1024**2
"""The longest name or header of further attributes that is read; tar itself has no limit."""
_MAX_TEXT_BYTES: Final = 1024**2
"""The longest `.json` or `.txt` member of which columns are made."""
_LONG_HEADERS: Final = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)
_BLOCK_BYTES: Final = 512


class _Member(tarfile.TarInfo):
    """A member whose headers are read only up to a bound: a hostile tar can announce gigabytes."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _LONG_HEADERS and self.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        found: tarfile.TarInfo = cast("Any", super())._proc_member(tar)  # noqa: SLF001 - made to be overridden
        return found


@dataclass(slots=True)
class _Sample:
    """The members of one key."""

    key: str
    images: list[tarfile.TarInfo] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """The texts of `.json` and `.txt`, by that extension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TarSource:
    """A tar of images.

    Attributes:
        path: the file, as named by the user.
        all_files: takes members of any name; `.json` and `.txt` of a sample with an image stay its columns.
        caption: the column that holds captions, which a `.txt` member fills where the `.json` does not.
        kept: the columns that are kept.
        counters: count the members that are left alone.
    """

    path: str
    all_files: bool
    caption: str | None
    kept: Sequence[str]
    counters: SourceCounters

    def check(self) -> None:
        """Make sure that the file may be read, and is a tar that is not compressed.

        Raises:
            SourceError: it cannot be used.
        """
        check_readable(self.path)
        try:
            with self._open():
                pass
        except tarfile.TarError:
            raise SourceError(f"{self.path}: is no tar, or damaged from its beginning on") from None
        except OSError as problem:
            raise SourceError(f"{self.path}: cannot be read: {problem.strerror or problem}") from problem

    def rows(self) -> Iterator[Row]:
        """The rows of the images, in the order of the tar; damage is a row as well, and what comes before it is kept.

        Raises:
            SourceError: the tar cannot be opened any more.
        """
        try:
            tar = self._open()
        except (tarfile.TarError, OSError) as problem:
            raise SourceError(f"{self.path}: cannot be read: {problem}") from problem
        with tar:
            yield from self._rows(tar)

    def _open(self) -> tarfile.TarFile:
        return tarfile.open(self.path, "r:", tarinfo=_Member, encoding="utf-8", errors="surrogateescape")

    def _rows(self, tar: tarfile.TarFile) -> Iterator[Row]:
        sample = _Sample("")
        damage: Row | None = None
        while True:
            try:
                member = tar.next()
            except (tarfile.TarError, OSError, ValueError) as problem:
                damage = self._damage(tar, sample, str(problem))
                break
            cast("Any", tar).members = []  # otherwise all of them are held
            if member is None:
                damage = self._damage_at_end(tar, sample)
                break
            key = sample_key(member.name)
            if key != sample.key:
                yield from self._rows_of(sample)
                sample = _Sample(key)
            self._add(tar, sample, member)
        yield from self._rows_of(sample)
        if damage is not None:
            yield damage

    def _add(self, tar: tarfile.TarFile, sample: _Sample, member: tarfile.TarInfo) -> None:
        extension = member.name.rpartition(".")[2].lower()
        if member.isdir():
            return
        if is_image_name(member.name):
            sample.images.append(member)
        elif extension in {"json", "txt"} and member.isreg():
            if self.kept and member.size <= _MAX_TEXT_BYTES:
                sample.texts[extension] = _text(tar, member)
        elif self.all_files:
            sample.images.append(member)
        else:
            self.counters.left_alone += 1

    def _rows_of(self, sample: _Sample) -> Iterator[Row]:
        if not sample.images:
            return
        columns = self._columns(sample.texts)
        for member in sample.images:
            source = f"{PurePath(self.path).as_posix()}/{member.name.lstrip('/')}"
            yield Row(source=source, what=self._span(member), inside=member.name, where=self.path, columns=columns)

    def _span(self, member: tarfile.TarInfo) -> FileSpan | Invalid:
        where = f"{self.path}: {member.name}"
        if member.issym() or member.islnk():
            return Invalid(f"{where}: a link to {member.linkname} within the tar; only files are read")
        if member.issparse():
            return Invalid(f"{where}: a sparse file, whose bytes do not stand together; pack it without --sparse")
        if not member.isreg():
            return Invalid(f"{where}: no file, but a device or the like")
        return FileSpan(self.path, member.offset_data, member.size)

    def _columns(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The kept columns of a sample, empty where it has none."""
        if not self.kept:
            return {}
        values = _fields(texts.get("json", ""))
        if "txt" in texts:
            values.setdefault("txt", texts["txt"])
            if self.caption is not None and not values.get(self.caption):
                values[self.caption] = texts["txt"]
        return {name: text_of(values.get(name)) for name in self.kept}

    def _damage(self, tar: tarfile.TarFile, sample: _Sample, reason: str) -> Row | None:
        """The row of damage, unless the last image is cut off: that fails by itself."""
        if sample.images:
            last = sample.images[-1]
            if last.offset_data + last.size > Path(self.path).stat().st_size:
                return None
        reason = f"{self.path}: damaged at byte {tar.offset} ({reason}); the members before are kept"
        return Row(source=self.path, what=Invalid(reason), where=self.path)

    def _damage_at_end(self, tar: tarfile.TarFile, sample: _Sample) -> Row | None:
        """A header that is none ends a tar silently: it is damage unless it is a block of zeros, or there is none."""
        with Path(self.path).open("rb") as file:
            file.seek(tar.offset)
            block = file.read(_BLOCK_BYTES)
        if not block.strip(b"\0") or tar.offset >= os.path.getsize(self.path):  # noqa: PTH202 - text
            return None
        return self._damage(tar, sample, "no header of a member")


def sample_key(name: str) -> str:
    """The key of the sample that a member belongs to: its path up to the first dot of the last part."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _text(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    return file.read().decode(errors="replace") if file is not None else ""


def _fields(text: str) -> dict[str, Any]:
    """The fields of a JSON object; none if it is something else."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
