"""Whole output names: when two of them clash, the alternatives then, and the paths of finished files. Pure.

An `OutputName` owns `{stem}.{extension}`, or the stem with every extension where only the decoder can tell it. An empty
extension means none at all (`fetch` keeps the name `README` as it is), and such a stem has no dot in its last segment:
the extension always follows the last dot, so two names can mean the same file only if they clash. A template may ask
for a folder for each variant; the stem then has the segment `*` in its place, which no safe segment can be.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Final
from unicodedata import category, normalize

from downloader.model.items import OutputName

ORIGINALS: Final = "originals"
"""The folder of kept originals, below the output folder."""
METADATA_FILES: Final = frozenset(("metadata.parquet", "metadata.csv", "metadata.jsonl"))
"""What a table of all files in the output folder may be called; no result has one of these names."""
VARIANT_FOLDER: Final = "*"
"""The segment of a stem that stands for the folder of a variant."""


def fold(stem: str) -> str:
    """The stem as the least discerning file system compares it: case and invisible characters do not count.

    The place of a variant's folder does not count either, since there is no such folder where there are no variants.
    """
    stem = stem.replace(f"{VARIANT_FOLDER}/", "")
    if stem.isascii():
        return stem.lower()
    # Canonical caseless matching (Unicode 3.13, D145), and what HFS+ ignores: format characters such as U+200D.
    folded = normalize("NFD", normalize("NFD", stem).casefold())
    return normalize("NFC", "".join(char for char in folded if category(char) != "Cf"))


def clashes(a: OutputName, b: OutputName) -> bool:
    """Whether two names could mean the same file on some file system."""
    if fold(a.stem) != fold(b.stem):
        return False
    return a.extension is None or b.extension is None or fold(a.extension) == fold(b.extension)


def alternatives(name: OutputName, key: str) -> Iterator[OutputName]:
    """Names to try in order: the name itself, then with 8 digits of the key, then with the whole key.

    After these come numbers without end, because a hostile list can name files after the keys of its other rows.
    """
    yield name
    yield OutputName(stem=f"{name.stem}-{key[:8]}", extension=name.extension)
    yield OutputName(stem=f"{name.stem}-{key}", extension=name.extension)
    number = 2
    while True:
        yield OutputName(stem=f"{name.stem}-{key}-{number}", extension=name.extension)
        number += 1


def output_path(name: OutputName, key: str, variant: str | None, extension: str) -> str:
    """The path of a finished file, relative to the output folder: `{stem}.{ext}`, or `{stem}-{variant}.{ext}`.

    `extension` is the encoder's. Where the name was given another one (a PNG called `.jpg`), `-{key[:8]}` is added,
    since the item does not own the name with this extension. `variant` comes from the settings and holds no `-` or `/`.
    """
    stem = name.stem
    if name.extension is not None and name.extension != extension:
        stem = f"{stem}-{key[:8]}"
    if VARIANT_FOLDER in stem:
        stem = stem.replace(f"{VARIANT_FOLDER}/", f"{variant}/" if variant else "")
    elif variant:
        stem = f"{stem}-{variant}"
    return f"{stem}.{extension}" if extension else stem


def original_path(name: OutputName, extension: str) -> str:
    """The path of a kept original, relative to the output folder: `originals/{stem}.{extension}`.

    No other item has this path: where originals are kept, an item owns its stem with every extension, and no stem
    begins with this folder (see `outside_originals`).
    """
    return f"{ORIGINALS}/{name.stem.replace(f'{VARIANT_FOLDER}/', '')}.{extension}"


def outside_originals(stem: str) -> str:
    """The stem, with its topmost folder renamed to `_originals` where it is the folder of originals."""
    *folders, last = stem.split("/")
    return "/".join((*_renamed(folders, {ORIGINALS}), last))


def beside_metadata(name: OutputName) -> OutputName:
    """The name, with a `_` before it, or before its topmost folder, where that is the name of a metadata file."""
    if "metadata" not in fold(name.stem):
        return name
    *folders, last = name.stem.split("/")
    if any(folder != VARIANT_FOLDER for folder in folders):
        return OutputName(stem="/".join((*_renamed(folders, METADATA_FILES), last)), extension=name.extension)
    is_taken = fold(f"{last}.{name.extension}" if name.extension else last) in METADATA_FILES
    return OutputName(stem="/".join((*folders, f"_{last}")), extension=name.extension) if is_taken else name


def _renamed(folders: Sequence[str], taken: Container[str]) -> list[str]:
    """Folders, the topmost one with a `_` before it if its name is taken; folders of variants do not count."""
    top = next((index for index, folder in enumerate(folders) if folder != VARIANT_FOLDER), None)
    return [f"_{folder}" if index == top and fold(folder) in taken else folder for index, folder in enumerate(folders)]
