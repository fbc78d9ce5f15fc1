"""What a row says about the name of its result: a file name, folders, a host. Pure."""

import re
from urllib.parse import unquote

from downloader.model.items import File, FileSpan, Row
from downloader.naming.segments import safe_segment

_URL = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#]*)([^?#]*)", re.IGNORECASE)
_LOCAL_HOST = "local"
"""The host of a local file, for templates."""


def listed_path(row: Row) -> str | None:
    """The relative path that a list asks for, or a file has in its folder; None where there is only a URL. Unsafe."""
    if row.request and row.request.name:
        return row.request.name.replace("\\", "/")
    if isinstance(row.what, File | FileSpan):
        return row.inside or row.source.rpartition("/")[2]
    return None


def file_name(row: Row) -> str:
    """The last part of the listed path or of the URL's path; the host where a URL has no path. Unsafe."""
    path = listed_path(row)
    if path is not None:
        return path.rpartition("/")[2]
    authority, path = _split_url(row.source)
    name = path.rstrip("/").rpartition("/")[2]
    # Decoded after splitting, never before: %2F must not make a folder (CVE-2025-11563 of wcurl).
    return (unquote(name) if "%" in name else name) or _host_of(authority)


def parent_folders(row: Row) -> list[str]:
    """The folders of the listed path or of the URL's path, each made safe."""
    path = listed_path(row)
    if path is not None:
        names = path.split("/")[:-1]
    else:
        names = [unquote(name) for name in _split_url(row.source)[1].rstrip("/").split("/")[:-1]]
    return [safe_segment(name) for name in names if name]


def host_name(row: Row) -> str:
    """The host of a URL, without port or credentials; `local` for a local file. Unsafe."""
    return _LOCAL_HOST if isinstance(row.what, File | FileSpan) else _host_of(_split_url(row.source)[0])


def _split_url(url: str) -> tuple[str, str]:
    """Authority and path of a URL; text that is no URL counts as a path."""
    match = _URL.match(url)
    return (match[1], match[2]) if match else ("", url)


def _host_of(authority: str) -> str:
    """The host within `user:password@host:port`, in lower case; an IPv6 address without its brackets."""
    address = authority.rpartition("@")[2]
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0].lower()
