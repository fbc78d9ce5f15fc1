"""The file name in Content-Disposition (RFC 6266), read as browsers read it. Pure."""

import re
from base64 import b64decode
from urllib.parse import unquote_to_bytes

from downloader.http.headers import RawField

MAX_CHARS = 4096
"""Of a field that is read: a name can have 255 bytes, so a longer field is none that anybody needs."""
_CHARSETS = re.compile(
    r"us-ascii|ascii|utf-?8|iso-?8859-?[0-9]{1,2}|latin-?1|windows-?125[0-8]|cp125[0-8]|koi8-[ru]|gb2312|gbk|gb18030|big5"
    r"|euc-(?:jp|kr)|shift[_-]jis|iso-2022-jp",
    re.IGNORECASE,
)
"""Character sets of names: those that a recipient must support (RFC 8187, 3.2.1), and others that browsers know."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PARAMETER = re.compile(r"(?P<name>[^\s=*]+)(?:\*(?P<number>0|[1-9][0-9]?))?(?P<encoded>\*)?", re.ASCII)
"""The name of a parameter, with the number of a continuation (RFC 2231, 3)."""
_ENCODED_WORD = re.compile(r"=\?(?P<charset>[A-Za-z0-9_-]+)(?:\*[^?]*)?\?(?P<form>[BbQq])\?(?P<text>[^?\s]*)\?=")
"""A word of mail headers (RFC 2047), which some servers send."""
_BETWEEN_WORDS = re.compile(r"(?<=\?=)\s+(?==\?)")


def disposition_name(value: RawField | None) -> str | None:
    r"""The file name in Content-Disposition, for any disposition; still hostile, so sanitise it.

    `filename*` goes before its continuations and those before `filename`; a malformed one is left out. Only the last
    component of a path (`a/b`, `a\b`) counts; control characters become `_`. Bytes of a plain `filename` are UTF-8 if
    they can be, as in all browsers, else ISO-8859-1 (RFC 6266, 4.3).
    """
    if value is None or len(value) > MAX_CHARS:
        return None
    found = _file_names(decoded_field(value))
    candidates = [*found.extended, _continued(found.pieces), *found.plain]
    return next((name for text in candidates if text and (name := _base_name(text))), None)


class _FileNames:
    """The values of the parameters that hold a file name."""

    def __init__(self) -> None:
        self.extended: list[str | None] = []
        self.plain: list[str] = []
        self.pieces: dict[int, tuple[str, bool]] = {}
        """Continuations, with whether they are percent-encoded."""


def decoded_field(value: RawField | None) -> str:
    """A field value as UTF-8, as all browsers read it, else as ISO-8859-1."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return value or ""


def _file_names(text: str) -> _FileNames:
    """All parameters called `filename`; the disposition before them may be missing."""
    found = _FileNames()
    for parameter in _split(text):
        key, equals, value = parameter.partition("=")
        match = _PARAMETER.fullmatch(key.strip())
        if not equals or match is None or match["name"].lower() != "filename":
            continue
        value, is_encoded = value.strip(), match["encoded"] is not None
        if match["number"] is not None:
            found.pieces.setdefault(int(match["number"]), (_unquoted(value), is_encoded))
        elif is_encoded:
            found.extended.append(_extended(_unquoted(value)))
        else:
            found.plain.append(_plain(_unquoted(value)))
    return found


def _split(text: str) -> list[str]:
    """The parts between semicolons, except those in quoted strings. A quote that is never closed is none."""
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == ";":
            parts.append(text[start:at])
            start = at + 1
        elif text[at] == '"' and text[start:at].rstrip().endswith("="):
            at = _closing_quote(text, at)
        at += 1
    return [*parts, text[start:]]


def _closing_quote(text: str, at: int) -> int:
    """Where the quoted string that begins at a place ends; that place if it does not."""
    end = at + 1
    while end < len(text):
        if text[end] == "\\":
            end += 1
        elif text[end] == '"':
            return end
        end += 1
    return at


def _unquoted(value: str) -> str:
    """A value without its quotes. Only quotes and backslashes are escaped: others are separators of Windows."""
    if not value.startswith('"'):
        return value
    end = _closing_quote(value, 0)
    return re.sub(r'\\(["\\])', r"\1", value[1:end] if end else value[1:])


def _extended(value: str) -> str | None:
    """The text of an ext-value (RFC 8187): character set, language, percent-encoded text; None if it is malformed."""
    charset, first, rest = value.partition("'")
    _, second, text = rest.partition("'")
    return _decoded(charset, unquote_to_bytes(text)) if first and second else None


def _continued(pieces: dict[int, tuple[str, bool]]) -> str | None:
    """The text of a parameter in pieces (RFC 2231, 4.1), as far as they follow each other from 0 on."""
    if 0 not in pieces:
        return None
    text, is_encoded = pieces[0]
    charset = "utf-8"
    if is_encoded:
        charset, _, rest = text.partition("'")
        text = rest.partition("'")[2]
    data, number = b"", 0
    while number in pieces:
        piece, is_encoded = (text, is_encoded) if number == 0 else pieces[number]
        data += unquote_to_bytes(piece) if is_encoded else piece.encode(errors="replace")
        number += 1
    return _decoded(charset, data)


def _plain(text: str) -> str:
    """A plain value, in which Chrome decodes words of mail headers, and else percent-encoding that makes UTF-8."""
    if "=?" in text:
        return _ENCODED_WORD.sub(_word, _BETWEEN_WORDS.sub("", text))
    if "%" not in text or not text.isascii():
        return text
    return _decoded("utf-8", unquote_to_bytes(text)) or text


def _word(match: re.Match[str]) -> str:
    """The text of an encoded word; the word itself if it is malformed."""
    try:
        if match["form"] in "Bb":
            data = b64decode(match["text"] + "=" * (-len(match["text"]) % 4))
        else:
            data = unquote_to_bytes(match["text"].replace("_", " ").replace("%", "%25").replace("=", "%"))
    except ValueError:
        return match[0]
    return _decoded(match["charset"], data) or match[0]


def _decoded(charset: str, data: bytes) -> str | None:
    """Bytes in a character set; None if they are not, or it is unknown."""
    if not _CHARSETS.fullmatch(charset):
        return None
    try:
        return data.decode(charset)
    except (UnicodeError, LookupError):
        return None


def _base_name(text: str) -> str | None:
    """The last component of a path; None if it consists of dots, spaces and control characters."""
    name = re.split(r"[/\\]", text)[-1]
    return _CONTROLS.sub("_", name) if _CONTROLS.sub("", name).strip(" .") else None
