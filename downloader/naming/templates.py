"""`--name` templates: parsed and checked once, rendered for every row. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Final

from downloader.model.items import Row
from downloader.naming.names import VARIANT_FOLDER
from downloader.naming.parts import host_name, parent_folders
from downloader.naming.segments import UNSAFE, safe_segment, split_image_extension


@dataclass(frozen=True, slots=True)
class _Field:
    """One `{name:spec}` of a template; `column` is the x of `column[x]`."""

    name: str
    spec: str = ""
    column: str | None = None

    def render(self, row: Row, values: Mapping[str, str | int]) -> str:
        """The value for a row; made safe later, as a part of its segment."""
        value = values[self.name] if self.column is None else row.columns.get(self.column, "")
        return format(value, self.spec)


_Piece = str | _Field
_Segment = tuple[_Piece, ...]

_TEXT_FIELDS: Final = ("stem", "parent", "key", "host")
_FIELDS: Final = (*_TEXT_FIELDS, "index", "ext", "variant", "column[NAME]")
_COLUMN = re.compile(r"column\[([^\[\]]+)\]")
_TEXT_SPEC = re.compile(r"(?:\.[0-9]{1,3})?")
_INDEX_SPEC = re.compile(r"(?:0[1-9][0-9]?)?d?")

_PARENT = (_Field("parent"),)
_VARIANT = (_Field("variant"),)
_MISPLACED: Final[Mapping[_Piece, str]] = {
    _Field("ext"): "{ext} can only end the template, as '.{ext}'",
    _Field("variant"): "{variant} can only be a folder, as in '{variant}/{stem}', or the end, as '-{variant}'",
}


class Template:
    """A checked `--name` template, such as `{host}/{parent}/{stem}-{key:.8}`.

    Slashes in the template make folders. `{parent}` as a folder of its own stands for all folders of the row; slashes
    in any other value become `_`, so no value can lead out of the output folder. Text fields take `:.N` (the first N
    characters), `index` takes `:0Nd` (leading zeros).

    The extension follows the encoder: the template may end in `.{ext}`, which changes nothing. `-{variant}` is appended
    to the rendered name, unless `{variant}` is one of the template's folders, which is left out where there are no
    variants. No other place is allowed, because two rows could get the same name there.

    Attributes:
        text: the template as written.
        columns: the columns of a table that it uses.

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
        fields = [piece for segment in (*self._folders, self._last) for piece in segment if isinstance(piece, _Field)]
        self.columns = tuple(field.column for field in fields if field.column is not None)

    def render(self, row: Row, *, stem: str, index: int, key: str) -> str:
        """The stem of an output name: a relative path of safe segments, or `*` for the folder of a variant."""
        parent = parent_folders(row)
        values: dict[str, str | int] = {
            "stem": stem,
            "parent": "/".join(parent),
            "key": key,
            "host": host_name(row),
            "index": index,
        }
        names: list[str] = []
        for segment in self._folders:
            if segment == _VARIANT:
                names.append(VARIANT_FOLDER)
            elif segment == _PARENT:
                names.extend(parent)
            else:
                names.append(_render(segment, row, values))
        names.append(_render(self._last, row, values))
        return "/".join(names)

    def _check(self) -> None:
        for segment in self._folders:
            if segment != _VARIANT:
                _check_segment(segment)
        _check_segment(self._last)
        end = self._last[-1]
        if isinstance(end, str) and split_image_extension(f"x{end}")[1]:
            raise ValueError(f"the extension follows the output format; leave {end!r} out, or write '.{{ext}}'")


def _pieces(text: str) -> Iterator[_Piece]:
    """The literal texts and the fields of a template, in order."""
    for literal, name, spec, conversion in Formatter().parse(text):
        if literal:
            yield literal
        if name is not None:
            yield _field(name, spec or "", conversion)


def _field(name: str, spec: str, conversion: str | None) -> _Field:
    """A field, if there is one of this name that takes this format."""
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
    return _Field("column" if column else name, spec, column[1] if column else None)


def _segments(pieces: Iterator[_Piece]) -> list[list[_Piece]]:
    """The pieces, split at the slashes of the literal texts."""
    segments: list[list[_Piece]] = [[]]
    for piece in pieces:
        if isinstance(piece, _Field):
            segments[-1].append(piece)
            continue
        first, *others = piece.split("/")
        segments[-1].append(first)
        segments.extend([part] for part in others)
    return [[piece for piece in segment if piece != ""] for segment in segments]


def _without_endings(last: list[_Piece]) -> list[_Piece]:
    """The last segment without `-{variant}` and `.{ext}`, which are added to every name anyway."""
    for mark, name in ((".", "ext"), ("-", "variant")):
        match last:
            case [*others, str(literal), _Field(name=field)] if field == name and literal.endswith(mark):
                last = [*others, literal[:-1]] if literal != mark else others
    return last


def _check_segment(segment: _Segment) -> None:
    """Refuse a segment that is empty, is not safe as written, or has a field in the wrong place."""
    if not segment:
        raise ValueError("a name or folder name is empty; a template is a path below the output folder")
    literals = [piece for piece in segment if isinstance(piece, str)]
    for literal in literals:
        if unsafe := UNSAFE.search(literal):
            raise ValueError(f"{unsafe[0]!r} cannot be part of a name on every system")
    if len(literals) == len(segment) and safe_segment("".join(literals)) != "".join(literals):
        raise ValueError(f"{''.join(literals)!r} cannot be a name on every system")
    for piece in segment:
        if piece in _MISPLACED:
            raise ValueError(_MISPLACED[piece])


def _render(segment: _Segment, row: Row, values: Mapping[str, str | int]) -> str:
    return safe_segment("".join(piece if isinstance(piece, str) else piece.render(row, values) for piece in segment))
