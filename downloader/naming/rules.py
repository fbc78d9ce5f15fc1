"""How the rows of a run are named: rules made once from the settings. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self

from downloader.config.settings import Format, Settings
from downloader.errors import ConfigError
from downloader.model.items import ORIGINAL, File, FileSpan, OutputName, Row
from downloader.naming.names import (
    ORIGINALS,
    VARIANT_FOLDER,
    alternatives,
    beside_metadata,
    fold,
    outside_originals,
)
from downloader.naming.parts import file_name, listed_path, parent_folders
from downloader.naming.segments import bounded_path, safe_segment, split_extension, split_image_extension
from downloader.naming.templates import Template

_ENCODED_EXTENSIONS: Final[Mapping[str, str]] = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif"}
"""The extension of each fixed output format."""
_SAME_EXTENSIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif", "mpo"), "jpg"),
    **dict.fromkeys(("png", "apng", "gif", "bmp", "dib", "tif", "tiff", "svs"), "png"),
    "webp": "webp",
    **dict.fromkeys(("avif", "avifs"), "avif"),
}
"""The extension that `--format same` gives a file, by the extension of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingRules:
    """Gives every row its output name. The same rows in the same order always get the same names.

    By default a URL is named after the last part of its path (its host where there is no path; the query never counts),
    and a file keeps its place in its folder.

    Attributes:
        keeps_bytes: results are the bytes as they came, so names keep their extensions.
        format: the output format; `same` is known in advance for local files only.
        animated: `all` makes the output format of a GIF unknown in advance.
        template: makes the stem, instead of the default.
        keeps_originals: originals are kept too. Items then own every extension of their stem, since an original may
            have any, and a folder `originals` at the top becomes `_originals`.
        variants: the names of the sizes that are made of each item; None for the only one.
    """

    keeps_bytes: bool = False
    format: Format = "same"
    animated: Literal["first", "all"] = "first"
    template: Template | None = None
    keeps_originals: bool = False
    variants: tuple[str | None, ...] = (None,)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The rules of a run.

        Raises:
            ConfigError: the settings about names cannot be used, or contradict each other.
        """
        _check_variants(settings)
        template = _template(settings)
        _check_server_names(settings)
        return cls(
            keeps_bytes=not settings.makes_images,
            format=settings.transform.format,
            animated=settings.transform.animated,
            template=template,
            keeps_originals=settings.keeps_originals,
            variants=settings.transform.variants if settings.makes_images else (None,),
        )

    def names(self, row: Row, index: int, key: str) -> Iterator[tuple[str, OutputName]]:
        """The names to try in order for a row, each with its folded stem; `index` is the row's place in the list."""
        return ((fold(name.stem), name) for name in alternatives(self.name_for(row, index, key), key))

    def name_for(self, row: Row, index: int, key: str) -> OutputName:
        """The name that a row gets unless another item owns it. Only templates use `index` and `key`."""
        name = safe_segment(file_name(row))
        extension: str | None
        if self.keeps_bytes:
            stem, listed = split_extension(name)
            stem, extension = _with_extension(self._place(row, stem, index, key), listed)
        else:
            stem, listed = split_image_extension(name)
            stem = self._place(row, stem, index, key)
            extension = _ENCODED_EXTENSIONS.get(self.format) or self._predicted_extension(row, listed)
        stem = bounded_path(stem, VARIANT_FOLDER)
        if self.keeps_originals:
            return beside_metadata(OutputName(stem=outside_originals(stem), extension=None))
        return beside_metadata(OutputName(stem=stem, extension=extension))

    def _place(self, row: Row, stem: str, index: int, key: str) -> str:
        """The stem as the template wants it, or below the folders that the row came with."""
        if self.template is not None:
            return self.template.render(row, stem=stem, index=index, key=key)
        if listed_path(row) is not None:
            return "/".join((*parent_folders(row), stem))
        return stem

    def _predicted_extension(self, row: Row, listed: str) -> str | None:
        """The extension `--format same` will give a local file, by its name; None where only the decoder can tell."""
        if not isinstance(row.what, File | FileSpan) or (listed == "gif" and self.animated == "all"):
            return None
        return _SAME_EXTENSIONS.get(listed)


def _with_extension(stem: str, extension: str) -> tuple[str, str]:
    """Stem and extension of a path followed by an extension; its last segment is made safe with both."""
    folder, slash, last = stem.rpartition("/")
    last, extension = split_extension(safe_segment(f"{last}.{extension}" if extension else last))
    return folder + slash + last, extension


def _template(settings: Settings) -> Template | None:
    if settings.output.name is None:
        return None
    try:
        template = Template(settings.output.name)
    except ValueError as problem:
        raise ConfigError(f"--name: {problem}") from None
    kept = (settings.source.caption_column, *settings.source.keep_columns)
    if missing := [column for column in template.columns if column not in kept]:
        raise ConfigError(f"--name: the column {missing[0]!r} is not kept; name it with --keep-columns")
    return template


def _check_server_names(settings: Settings) -> None:
    """Refuse names given by servers for images, and beside a template."""
    if not settings.output.trust_server_names:
        return
    if settings.makes_images:
        raise ConfigError("--trust-server-names is for `fetch`: images are named after their URLs")
    if settings.output.name is not None:
        raise ConfigError("--trust-server-names and --name exclude each other")


def _check_variants(settings: Settings) -> None:
    """Refuse names of sizes that are taken by the originals."""
    taken = {ORIGINAL, ORIGINALS}
    names = [size.name for size in settings.transform.resize if size.name and size.name.lower() in taken]
    if names and settings.keeps_originals:
        raise ConfigError(f"--resize: a size cannot be called {names[0]!r} beside --keep-originals")
