"""The file name in Content-Disposition (RFC 6266). Pure."""

import re
from email.message import Message

from downloader.http.headers import RawField

_CHARSETS = {"utf-8", "iso-8859-1"}
"""Those that a recipient must support (RFC 8187, 3.2.1)."""

MAX_CHARS = 4096
"""Of a field that is read: a name can have 255 bytes, and the parser takes quadratic time (10 s for 200,000 chars)."""
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""Control characters except the tab, which is white space."""


def disposition_name(value: RawField | None) -> str | None:
    r"""The file name in Content-Disposition, for any disposition; still hostile, so sanitise it.

    `filename*` goes before `filename`, which is used if the other is missing or malformed. Only the last component of a
    path (`a/b`, `a\b`) counts; a name that contains control characters, or only dots and spaces, is none. Bytes of a
    plain `filename` are UTF-8 if they can be, as in all browsers, else ISO-8859-1 (RFC 6266, 4.3).
    """
    if value is None:
        return None
    values = _file_names(decoded_field(value))
    extended = (_extended(*value) for value in values if isinstance(value, tuple))
    plain = (value for value in values if isinstance(value, str))
    return next((name for text in (*extended, *plain) if (name := _base_name(text))), None)


def _file_names(text: str) -> list[str | tuple[str | None, str | None, str]]:
    """The values of `filename`, and of `filename*` as a charset, a language and a percent-decoded text."""
    if len(text) > MAX_CHARS or _CONTROLS.search(text):
        return []
    header = Message()
    header["content-disposition"] = text
    try:
        parameters = header.get_params([], "content-disposition")
    except Exception:  # noqa: BLE001 - the parser is made for mail, not for hostile input
        return []
    return [value for name, value in parameters if name.lower() == "filename"]


def decoded_field(value: RawField | None) -> str:
    """A field value as UTF-8, as all browsers read it, else as ISO-8859-1."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")
    return value or ""


def _extended(charset: str | None, _language: str | None, text: str) -> str:
    """The text of an ext-value (RFC 8187); empty if it is malformed or in another character set."""
    if (charset or "").lower() not in _CHARSETS or not charset:
        return ""
    try:
        return text.encode("latin-1").decode(charset)
    except UnicodeError:
        return ""


def _base_name(text: str) -> str | None:
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        return None
    name = re.split(r"[/\\]", text)[-1]
    return name if name.strip(" .") else None
