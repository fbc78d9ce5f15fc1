"""Single segments of a path, made safe on every system, and their extensions. Pure."""

import re
from hashlib import sha256
from typing import Final
from unicodedata import normalize

MAX_SEGMENT_BYTES: Final = 150
"""The longest segment of a stem. Of the 255 bytes a name may have on ext4, APFS and NTFS, 105 stay free: 65 for `-` and
a whole key, 9 for the suffix added when the extension was wrong, 5 for `.avif`, and 26 for the variant."""
MAX_PATH_BYTES: Final = 600
"""The longest stem, folders and all. Linux takes paths of 4,095 bytes, macOS of 1,023: beside 170 bytes for what
follows a stem and 10 for the folder of originals, 240 stay free for the output folder. The 259 characters of Windows
without long paths are not kept: one segment can take most of them."""

IMAGE_EXTENSIONS: Final = frozenset(
    "jpg jpeg jpe jfif pjpeg pjp mpo png apng webp gif avif avifs bmp dib tif tiff svs heic heif jxl jp2 ico".split()  # noqa: SIM905
)
"""Extensions of image names, in lower case. Only these are removed from a name to make its stem: `v1.2` keeps its dot.
So do images that nothing here reads (`.svg`, `.psd`, raw ones): often they lie beside a JPEG of the same name, whose
stem they must not take."""

_UNNAMED = "unnamed"
_CUT_CHARS = 16
"""Digits of the hash that stands for folders which were cut."""
_MAX_INPUT_CHARS = 4096
"""Longer input is cut before it is normalised (PATH_MAX of Linux): normalising a hostile name takes quadratic time."""
_DEVICES = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\xb9\xb2\xb3])"
_RESERVED = re.compile(rf"{_DEVICES} *(?:\.|\Z)", re.IGNORECASE)
"""Names that Windows reserves for devices, with any extension (Microsoft, "Naming Files, Paths, and Namespaces")."""
_ORDINARY = re.compile(
    rf"(?!{_DEVICES}(?:\.|\Z))[a-z0-9_-](?:[a-z0-9_.-]{{0,{MAX_SEGMENT_BYTES - 2}}}[a-z0-9_-])?",
    re.IGNORECASE | re.ASCII,
)
"""Names that are safe as they are. Nearly all names match, so that this is the only test they go through."""
UNSAFE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # control characters: C0, DEL, C1
    r'<>:"/\\|?*'  # separators, and characters that Windows forbids
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidi controls: they make gpj.exe read as exe.jpg
    r"\u2028\u2029\ufeff"  # line separators and the byte order mark
    r"\ud800-\udfff]"  # surrogates: undecodable bytes, which UTF-8 cannot write
)
"""Characters that no segment may hold."""
_SHORT_EXTENSION = re.compile(r"[A-Za-z0-9]{1,16}")


def safe_segment(text: str) -> str:
    """One file or folder name made safe: never empty, at most `MAX_SEGMENT_BYTES` long in UTF-8, idempotent.

    Unsafe characters become `_`; leading and trailing dots and spaces are removed (which covers `..` and `.bashrc`);
    names of Windows devices get a `_` in front; a name that is too long is shortened before its extension.
    """
    if _ORDINARY.fullmatch(text):
        return text
    text = normalize("NFC", text[:_MAX_INPUT_CHARS])
    text = _shortened(UNSAFE.sub("_", text).strip(" ."))
    if _RESERVED.match(text):
        text = _shortened(f"_{text}")
    return text or _UNNAMED


def _shortened(text: str) -> str:
    """The text within the limit; characters stay whole, and a short extension is kept."""
    if len(text.encode()) <= MAX_SEGMENT_BYTES:
        return text
    head, dot, extension = text.rpartition(".")
    if not _SHORT_EXTENSION.fullmatch(extension):
        head, dot, extension = text, "", ""
    room_bytes = MAX_SEGMENT_BYTES - len(dot + extension)
    return head.encode()[:room_bytes].decode(errors="ignore").rstrip(" .") + dot + extension


def bounded_path(stem: str, kept: str) -> str:
    """A path of safe segments within `MAX_PATH_BYTES`: where it is longer, a hash stands for its innermost folders.

    Paths that were cut differ where the whole ones did. The last segment and the segments called `kept` stay.
    """
    if len(stem.encode()) <= MAX_PATH_BYTES:
        return stem
    *folders, last = stem.split("/")
    room_bytes = MAX_PATH_BYTES - len(last.encode()) - _CUT_CHARS - 2 * folders.count(kept) - 2
    fitting = 0
    while fitting < len(folders) and (room_bytes := room_bytes - len(folders[fitting].encode()) - 1) >= 0:
        fitting += 1
    cut = folders[fitting:]
    mark = sha256("/".join(cut).encode()).hexdigest()[:_CUT_CHARS]
    return "/".join((*folders[:fitting], mark, *(folder for folder in cut if folder == kept), last))


def split_extension(name: str) -> tuple[str, str]:
    """A safe name split at its last dot, whatever follows it; the extension is empty where there is no dot."""
    stem, dot, extension = name.rpartition(".")
    return (stem, extension) if dot else (name, "")


def split_image_extension(name: str) -> tuple[str, str]:
    """A safe name without its image extension, and that extension in lower case; empty where there is none."""
    stem, _, extension = name.rpartition(".")
    extension = extension.lower()
    if not stem or extension not in IMAGE_EXTENSIONS:
        return name, ""
    return stem.rstrip(" ."), extension
