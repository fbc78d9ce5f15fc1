"""Decides the output name of every item. Pure: the same rows in the same order always get the same names.

    claim_for(row)              the name an item asks for, as a `OutputName`
    alternatives(claim, key)    the names it asks for next, should another item own that one
    clashes(a, b), fold(stem)   whether two claims could name one file, on any file system
    output_path(claim, ...)     the path of one finished file, relative to the output folder
    original_path(claim, ...)   the path of its original, where those are kept

Names come from strangers: URLs, file names, table cells. Every segment of a path goes through `safe_segment`, which
applies the rules of POSIX and of Windows on every platform, so an output folder can be copied anywhere.

An `OutputName` owns `{stem}.{extension}`, or the stem with every extension where only the decoder can tell it. An
empty extension is none at all (`fetch` keeps the name `README` as it is), and such a stem has no dot in its last
segment: the extension always follows the last dot, so two names can mean the same file only if they clash. A template
may ask for a folder per variant; the stem then holds the segment `*`, which no safe name can contain, in its place.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Final, Literal
from unicodedata import category, normalize
from urllib.parse import unquote

from downloader.config.settings import Format, Mode
from downloader.model.items import File, FileSpan, OutputName, Row

SEGMENT_LIMIT_BYTES: Final = 150
"""The longest segment of a stem. Of the 255 bytes a name may have on ext4, APFS and NTFS, 105 stay free: 65 for `-` and
a whole key, 9 for the mark of a lying extension, 5 for `.avif`, and 26 for the variant."""

STEM_EXTENSIONS: Final = frozenset(
    "jpg jpeg jpe jfif pjpeg pjp png apng webp gif avif bmp dib tif tiff heic heif jxl jp2 svg ico".split()  # noqa: SIM905
)
"""Endings of image names, lower case. Only these are taken off a name to make its stem: `v1.2` keeps its dot."""

ORIGINALS: Final = "originals"
"""The folder of originals below the output folder."""

_NAMELESS = "unnamed"
_VARIANT_FOLDER = "*"
_FORMAT_EXTENSIONS: Final[Mapping[str, str]] = {"jpeg": "jpg", "png": "png", "webp": "webp", "avif": "avif"}
_SAME_EXTENSIONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("jpg", "jpeg", "jpe", "jfif"), "jpg"),
    **dict.fromkeys(("png", "gif", "bmp", "dib", "tif", "tiff"), "png"),
    "webp": "webp",
    "avif": "avif",
}
"""What `--format same` makes of a file, by the extension of its name."""

_LONGEST_READ_CHARS = 4096
"""As much of a name as is looked at (PATH_MAX of Linux): time to normalise is quadratic in a hostile name's length."""
_DEVICES = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\xb9\xb2\xb3])"
_RESERVED = re.compile(rf"{_DEVICES} *(?:\.|\Z)", re.IGNORECASE)
"""Names Windows gives to devices, with any extension (Microsoft, "Naming Files, Paths, and Namespaces")."""
_ORDINARY = re.compile(
    rf"(?!{_DEVICES}(?:\.|\Z))[a-z0-9_-](?:[a-z0-9_.-]{{0,{SEGMENT_LIMIT_BYTES - 2}}}[a-z0-9_-])?",
    re.IGNORECASE | re.ASCII,
)
"""Names that are safe as they are: nearly all, and this one test is what they cost."""
_HOSTILE = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # control characters: C0, DEL, C1
    r'<>:"/\\|?*'  # separators, and what Windows forbids
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi controls: they make gpj.exe read as exe.jpg
    r"\u2028\u2029\ufeff"  # line separators and the byte order mark
    r"\ud800-\udfff]"  # surrogates: undecodable bytes, which UTF-8 cannot write
)
_SHORT_ENDING = re.compile(r"[A-Za-z0-9]{1,16}")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)([^?#]*)", re.IGNORECASE)


def safe_segment(text: str) -> str:
    """One file or folder name made harmless: never empty, at most `SEGMENT_LIMIT_BYTES` long in UTF-8, idempotent.

    What is dangerous becomes `_`; dots and spaces at either end go (so `..` and `.bashrc` are harmless); names of
    Windows devices get a `_` before them; a name too long loses characters before its extension.
    """
    if _ORDINARY.fullmatch(text):
        return text
    text = normalize("NFC", text[:_LONGEST_READ_CHARS])
    text = _cut(_HOSTILE.sub("_", text).strip(" ."))
    if _RESERVED.match(text):
        text = _cut(f"_{text}")
    return text or _NAMELESS


def _cut(text: str) -> str:
    """The text within the limit, whole characters only, a short extension kept."""
    if len(text.encode()) <= SEGMENT_LIMIT_BYTES:
        return text
    head, dot, tail = text.rpartition(".")
    if not _SHORT_ENDING.fullmatch(tail):
        head, dot, tail = text, "", ""
    room_bytes = SEGMENT_LIMIT_BYTES - len(dot + tail)
    return head.encode()[:room_bytes].decode(errors="ignore").rstrip(" .") + dot + tail


def fold(stem: str) -> str:
    """The stem as the least discerning file system compares it: case and invisible characters do not count.

    Nor does the place of a variant's folder, which may be no folder at all.
    """
    stem = stem.replace(f"{_VARIANT_FOLDER}/", "")
    if stem.isascii():
        return stem.lower()
    # Canonical caseless matching (Unicode 3.13, D145), and what HFS+ ignores: format characters such as U+200D.
    folded = normalize("NFD", normalize("NFD", stem).casefold())
    return normalize("NFC", "".join(char for char in folded if category(char) != "Cf"))


def clashes(a: OutputName, b: OutputName) -> bool:
    """Whether the two claims could name one file, on a file system that ignores case as well."""
    if fold(a.stem) != fold(b.stem):
        return False
    return a.extension is None or b.extension is None or fold(a.extension) == fold(b.extension)


def alternatives(claim: OutputName, key: str) -> Iterator[OutputName]:
    """What to try in turn when names collide: the claim itself, then with 8 digits of the key, then with all of it.

    Goes on with numbers for ever, because a hostile list can name files after the keys of its other rows.
    """
    yield claim
    yield OutputName(stem=f"{claim.stem}-{key[:8]}", extension=claim.extension)
    yield OutputName(stem=f"{claim.stem}-{key}", extension=claim.extension)
    number = 2
    while True:
        yield OutputName(stem=f"{claim.stem}-{key}-{number}", extension=claim.extension)
        number += 1


def output_path(claim: OutputName, key: str, variant: str | None, extension: str) -> str:
    """Where a finished file goes, relative to the output folder: `{stem}.{ext}`, or `{stem}-{variant}.{ext}`.

    `extension` is the encoder's. Where the claim foretold another one (a PNG named `.jpg`), the name gets `-{key[:8]}`,
    since the name with this extension is not ours. `variant` is a name of the settings; it holds no `-` and no `/`.
    """
    stem = claim.stem
    if claim.extension is not None and claim.extension != extension:
        stem = f"{stem}-{key[:8]}"
    if _VARIANT_FOLDER in stem:
        stem = stem.replace(f"{_VARIANT_FOLDER}/", f"{variant}/" if variant else "")
    elif variant:
        stem = f"{stem}-{variant}"
    return f"{stem}.{extension}" if extension else stem


def original_path(claim: OutputName, extension: str) -> str:
    """Where the original of an item goes, relative to the output folder: `originals/{stem}.{extension}`.

    Nobody else's file: where originals are kept, an item owns its stem with every extension, and no stem of an item
    begins with this folder (see `claim_for`).
    """
    return f"{ORIGINALS}/{claim.stem.replace(f'{_VARIANT_FOLDER}/', '')}.{extension}"


def claim_for(
    row: Row,
    *,
    mode: Mode,
    format: Format,  # noqa: A002 - the setting's own name
    template: "Template | None" = None,
    animated: Literal["first", "all"] = "first",
    index: int = 0,
    key: str = "",
    keep_originals: bool = False,
) -> OutputName:
    """The name an item asks for.

    By default the last part of the URL's path (its host where there is no path; the query never counts), or the place
    of the file in its folder. The extension is that of the output format; for `same` the one that a local file's name
    foretells, and None for a URL. `fetch` keeps name and extension as they are. Only templates use `index` and `key`.

    With `keep_originals` the claim is for every extension, since the original may have any, and a folder `originals` at
    the top becomes `_originals`.
    """
    name = safe_segment(_last_name(row))
    if mode == "fetch":
        stem, extension = _split(name)
    else:
        stem, ending = _image_stem(name)
        extension = _FORMAT_EXTENSIONS.get(format) or _foretold(row, ending, animated)
    if template is not None:
        stem = template.render(row, stem=stem, index=index, key=key)
        if mode == "fetch":
            folder, slash, last = stem.rpartition("/")
            last, extension = _split(safe_segment(f"{last}.{extension}" if extension else last))
            stem = folder + slash + last
    elif "/" in (row.inside or (row.request and row.request.name) or "").replace("\\", "/"):
        stem = "/".join((*_safe_parent(row), stem))
    if keep_originals:
        return OutputName(stem=_beside_originals(stem), extension=None)
    return OutputName(stem=stem, extension=extension)


def _beside_originals(stem: str) -> str:
    """The stem, its topmost folder renamed where it is the one of the originals."""
    *folders, last = stem.split("/")
    top = next((index for index, name in enumerate(folders) if name != _VARIANT_FOLDER), None)
    if top is not None and fold(folders[top]) == ORIGINALS:
        folders[top] = f"_{folders[top]}"
    return "/".join((*folders, last))


def _split(name: str) -> tuple[str, str | None]:
    """A safe name at its last dot; without one, the extension is empty."""
    stem, dot, extension = name.rpartition(".")
    return (stem, extension) if dot else (name, "")


def _image_stem(name: str) -> tuple[str, str]:
    """A safe name without its image extension, and that extension in lower case ("" for none)."""
    stem, _, ending = name.rpartition(".")
    ending = ending.lower()
    if not stem or ending not in STEM_EXTENSIONS:
        return name, ""
    return stem.rstrip(" ."), ending


def _foretold(row: Row, ending: str, animated: str) -> str | None:
    """The extension `--format same` will give a file, by its name; None where only the decoder can tell."""
    if not isinstance(row.what, File | FileSpan) or (ending == "gif" and animated == "all"):
        return None
    return _SAME_EXTENSIONS.get(ending)


def _last_name(row: Row) -> str:
    """The raw name of a row: anything at all may be in it."""
    if row.request and row.request.name:
        return row.request.name.replace("\\", "/").rpartition("/")[2]
    if isinstance(row.what, File | FileSpan):
        return (row.inside or row.source).rpartition("/")[2]
    authority, path = _url_parts(row.source)
    name = path.rstrip("/").rpartition("/")[2]
    # Decoded after splitting, never before: %2F must not make a folder (CVE-2025-11563 of wcurl).
    return (unquote(name) if "%" in name else name) or _host(authority)


def _safe_parent(row: Row) -> list[str]:
    """The folders of a row, each made safe: those below the folder named as source, or those of the URL's path."""
    if row.request and row.request.name:
        names = row.request.name.replace("\\", "/").split("/")[:-1]
    elif isinstance(row.what, File | FileSpan):
        names = (row.inside or "").split("/")[:-1]
    else:
        names = [unquote(name) for name in _url_parts(row.source)[1].rstrip("/").split("/")[:-1]]
    return [safe_segment(name) for name in names if name]


def _url_parts(url: str) -> tuple[str, str]:
    """Authority and path of a URL; what is no URL at all counts as a path."""
    match = _URL.match(url)
    return (match[1], match[2]) if match else ("", url)


def _host(authority: str) -> str:
    """The host within `user:password@host:port`, an IPv6 address without brackets: secrets and ports name no file."""
    address = authority.rpartition("@")[2]
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0].lower()


@dataclass(frozen=True, slots=True)
class _Field:
    """One `{name:spec}` of a template; `column` is the x of `column[x]`."""

    name: str
    spec: str
    column: str | None

    def show(self, row: Row, values: Mapping[str, str | int]) -> str:
        """The text that stands here for one row; it is made safe later, with what stands around it."""
        value = values[self.name] if self.column is None else row.columns.get(self.column, "")
        return format(value, self.spec)


_Segment = tuple[str | _Field, ...]
_TEXT_FIELDS: Final = ("stem", "parent", "key", "host")
_FIELDS: Final = (*_TEXT_FIELDS, "index", "ext", "variant", "column[NAME]")
_COLUMN = re.compile(r"column\[([^\[\]]+)\]")
_TEXT_SPEC = re.compile(r"(?:\.[0-9]{1,3})?")
_INDEX_SPEC = re.compile(r"(?:0[1-9][0-9]?)?d?")
_LOCAL_HOST = "local"
"""What `{host}` says for a local file."""


class Template:
    """A checked `--name` template, `{host}/{parent}/{stem}-{key:.8}` say: how a row becomes a stem.

    Slashes in the template make folders. `{parent}` as a folder of its own stands for the folders the row came in, as
    many as there are; slashes in any other value become `_`, so no value can lead out of the output folder. Text fields
    take `:.N` (the first N characters), `index` takes `:0Nd` (zeros in front).

    The extension follows the encoder: `.{ext}` may end the template and changes nothing. The variant is appended as
    `-{variant}` to whatever the template gives, unless `{variant}` is one of its folders; there it leaves no trace when
    there are no variants. Those are its only two places, because anywhere else two rows could meet in one name.

    Raises:
        ValueError: the template cannot be used; the message names the part and says what is allowed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            *folders, last = _segments(_pieces(text))
            self._folders: tuple[_Segment, ...] = tuple(map(tuple, folders))
            self._last: _Segment = tuple(_without_endings(last))
            self._check()
        except ValueError as error:
            raise ValueError(f"name template {text!r}: {error}") from None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it takes values from."""
        fields = (piece for segment in (*self._folders, self._last) for piece in segment if isinstance(piece, _Field))
        return tuple(piece.column for piece in fields if piece.column is not None)

    def render(self, row: Row, *, stem: str, index: int, key: str) -> str:
        """The stem of a claim: a relative path, every segment safe (or `*`, the place of the variant's folder)."""
        host = _LOCAL_HOST if isinstance(row.what, File | FileSpan) else _host(_url_parts(row.source)[0])
        parent = _safe_parent(row)
        values: dict[str, str | int] = {
            "stem": stem,
            "parent": "/".join(parent),
            "key": key,
            "host": host,
            "index": index,
        }
        names: list[str] = []
        for segment in self._folders:
            if _is_field(segment, "variant"):
                names.append(_VARIANT_FOLDER)
            elif _is_field(segment, "parent"):
                names.extend(parent)
            else:
                names.append(_show(segment, row, values))
        names.append(_show(self._last, row, values))
        return "/".join(names)

    def _check(self) -> None:
        for segment in self._folders:
            if not _is_field(segment, "variant"):
                _check_segment(segment)
        _check_segment(self._last)
        end = self._last[-1]
        if isinstance(end, str) and _image_stem(f"x{end}")[1]:
            raise ValueError(f"the extension follows the output format; leave {end!r} out, or write '.{{ext}}'")


def _pieces(text: str) -> Iterator[str | _Field]:
    """The literal texts and the fields of a template, in order."""
    for literal, name, spec, conversion in Formatter().parse(text):
        if literal:
            yield literal
        if name is not None:
            yield _field(name, spec or "", conversion)


def _field(name: str, spec: str, conversion: str | None) -> _Field:
    column = _COLUMN.fullmatch(name)
    if not column and name not in _FIELDS[:-1]:
        raise ValueError(f"there is no field {name!r}; there are {', '.join(_FIELDS)}")
    if conversion:
        raise ValueError(f"'!{conversion}' after {name!r} has no meaning here")
    if name == "index":
        if not _INDEX_SPEC.fullmatch(spec):
            raise ValueError(f"{{index:{spec}}} cannot be read; write {{index}} or, with zeros in front, {{index:05d}}")
    elif spec and (name in {"ext", "variant"} or not _TEXT_SPEC.fullmatch(spec)):
        raise ValueError(f"{{{name}:{spec}}} cannot be read; texts other than ext and variant take {{key:.8}} or such")
    return _Field(name="column" if column else name, spec=spec, column=column[1] if column else None)


def _segments(pieces: Iterator[str | _Field]) -> list[list[str | _Field]]:
    """The pieces between the slashes of the literal texts."""
    segments: list[list[str | _Field]] = [[]]
    for piece in pieces:
        if isinstance(piece, _Field):
            segments[-1].append(piece)
            continue
        first, *others = piece.split("/")
        segments[-1].append(first)
        segments.extend([part] for part in others)
    return [[piece for piece in segment if piece != ""] for segment in segments]


def _without_endings(last: list[str | _Field]) -> list[str | _Field]:
    """The last segment without `-{variant}.{ext}`, both of which are added to every name anyway."""
    for mark, name in ((".", "ext"), ("-", "variant")):
        match last:
            case [*others, str(literal), _Field(name=field)] if field == name and literal.endswith(mark):
                last = [*others, literal[:-1]] if literal != mark else others
    return last


def _check_segment(segment: _Segment) -> None:
    literals = [piece for piece in segment if isinstance(piece, str)]
    if not segment:
        raise ValueError("a name or folder name is empty; a template is a path below the output folder")
    for literal in literals:
        if bad := _HOSTILE.search(literal):
            raise ValueError(f"{bad[0]!r} cannot be part of a name on every system")
    if len(literals) == len(segment) and safe_segment("".join(literals)) != "".join(literals):
        raise ValueError(f"{''.join(literals)!r} cannot be a name on every system")
    for piece in segment:
        if piece in _MISPLACED:
            raise ValueError(_MISPLACED[piece])


_MISPLACED: Final[Mapping[str | _Field, str]] = {
    _Field("ext", "", None): "{ext} can only end the template, as '.{ext}'",
    _Field(
        "variant", "", None
    ): "{variant} can only be a folder, as in '{variant}/{stem}', or the end, as '-{variant}'",
}


def _is_field(segment: _Segment, name: str) -> bool:
    """Whether the segment is that field and nothing else."""
    return segment == (_Field(name, "", None),)


def _show(segment: _Segment, row: Row, values: Mapping[str, str | int]) -> str:
    return safe_segment("".join(piece if isinstance(piece, str) else piece.show(row, values) for piece in segment))
