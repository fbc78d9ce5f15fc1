"""What can be told from the text of a URL alone. Pure."""

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote, unquote_to_bytes, urlsplit

_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 64 * 1024
"""Characters of the longest URL asked for; servers refuse far shorter ones (RFC 9110, 4.1 asks for 8,000)."""
_MAX_HOST_CHARS = 253
_MAX_LABEL_CHARS = 63
"""Of a host name and of each of its labels (RFC 1035, 2.3.4), without the dot at its end."""
_MAX_PORT = 65535
_MAX_PORT_DIGITS = 9
"""Leading zeros included."""

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ORDINARY = re.compile(
    rf"https?://(?:(?:{_OCTET}\.){{3}}{_OCTET}(?=[:/])"
    r"|(?![0-9.]+[:/])[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,7})(?::(?:[0-9]{1,4}|[1-5][0-9]{4}))?/[!-\[\]-~]{0,2000}"
)
"""URLs that need no closer look: nearly all of a list. Ignoring case would more than double the time."""
_MAX_OCTET_DIGITS = 4
_IPV4 = re.compile(r"[0-9]+(?:\.[0-9]+){3}")

_ENDS = " \t\r\n\v\f"
"""White space, which is no part of a URL at its ends (WHATWG URL Standard, "URL parsing": controls neither)."""
_IN_BETWEEN = str.maketrans(dict.fromkeys("\t\r\n"))
"""Characters that are no part of a URL anywhere (the same), since it may have been wrapped."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_TO_ENCODE = re.compile(r"[^!-~]+")
_PARTS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_AUTHORITY_PARTS = re.compile(r"(?P<userinfo>.*@)?(?P<host>\[[^\[\]@]*\]|[^\[\]:@]*)(?::(?P<port>[0-9]*))?", re.DOTALL)
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")
"""Forbidden domain code points (WHATWG URL Standard, "Host miscellaneous")."""
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")


class BadUrl(ValueError):
    """Not a URL that can be fetched; the message says why, and repeats nothing of it, since it may hold a password."""


def check_url(url: str) -> None:
    """Raise BadUrl unless this is an absolute http or https URL with a host, as `requestable` reads it."""
    requestable(url)


def requestable(url: str) -> str:
    """The form in which a URL is requested: ASCII, with its host name as DNS has it; raises BadUrl if there is none.

    Read as browsers read it (WHATWG URL Standard): white space around it, and tabs and line ends within it, do not
    count; backslashes are slashes; everything outside ASCII, and spaces, are percent-encoded as UTF-8. Bytes that could
    not be decoded (surrogate escapes) are encoded as they are. Other control characters are refused, as by curl.
    """
    if _ORDINARY.fullmatch(url):
        return url
    if len(url) > _LONGEST_URL:
        raise BadUrl("the URL is too long")
    text = _plain(url)
    if _CONTROLS.search(text):
        raise BadUrl("the URL contains control characters")
    match = _PARTS.fullmatch(text)
    scheme = match["scheme"].lower() if match else ""
    if match is None or scheme not in _PORTS:
        raise BadUrl("not an http or https URL")
    return f"{scheme}://{_authority(match['authority'])}{_percent_encoded(match['rest'])}"


def ascii_reference(text: str) -> str:
    """A URL, or a reference relative to one, in ASCII, read as by `requestable`; raises BadUrl."""
    return _percent_encoded(_plain(text))


def _plain(text: str) -> str:
    """The text without the white space that does not count, and with slashes in place of backslashes."""
    text = text.strip(_ENDS).translate(_IN_BETWEEN)
    if "\\" not in text:
        return text
    end = min((at for mark in "?#" if (at := text.find(mark)) >= 0), default=len(text))
    return text[:end].replace("\\", "/") + text[end:]


def _percent_encoded(text: str) -> str:
    """The text with what is not printable ASCII percent-encoded; escapes that are there stay."""
    try:
        return _TO_ENCODE.sub(
            lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode(errors="surrogateescape")), text
        )
    except UnicodeEncodeError:
        raise BadUrl("the URL contains characters that cannot be encoded") from None


def _authority(text: str) -> str:
    """User name, host and port in ASCII."""
    match = _AUTHORITY_PARTS.fullmatch(text)
    if match is None:
        raise BadUrl("the URL has no valid host and port")
    port = match["port"] or ""
    if len(port) > _MAX_PORT_DIGITS or int(port or 0) > _MAX_PORT:
        raise BadUrl(f"the port of the URL is above {_MAX_PORT}")
    host = match["host"]
    if not host:
        raise BadUrl("the URL names no host")
    name = _ipv6(host[1:-1]) if host.startswith("[") else _host_name(host)
    return _percent_encoded(match["userinfo"] or "") + name + (f":{port}" if port else "")


def _ipv6(text: str) -> str:
    """An IPv6 address in brackets, with a zone as RFC 6874 writes it."""
    address, percent, zone = text.partition("%")
    zone = zone.removeprefix("25")
    try:
        address = str(IPv6Address(address))
    except ValueError:
        raise BadUrl("the URL has no valid IPv6 address in its brackets") from None
    if percent and not _ZONE.fullmatch(zone):
        raise BadUrl("the zone of the IPv6 address is not valid")
    return f"[{address}%25{zone}]" if percent else f"[{address}]"


def _ipv4(text: str) -> str:
    """An IPv4 address without leading zeros, which mean octal numbers (WHATWG URL Standard, "IPv4 number parser")."""
    try:
        numbers = [
            int(number, 8 if number.startswith("0") else 10)
            for number in text.split(".")
            if len(number) <= _MAX_OCTET_DIGITS
        ]
        return str(IPv4Address(bytes(numbers)))
    except ValueError:
        raise BadUrl("the URL has no valid IPv4 address for its host") from None


def _host_name(host: str) -> str:
    """A host name in ASCII and lower case, as DNS has it."""
    if "%" in host:
        host = unquote_to_bytes(host).decode(errors="replace")
    name = host.lower() if host.isascii() else _idna(host)
    if _IPV4.fullmatch(name):
        return _ipv4(name)
    labels = name.removesuffix(".").split(".")
    if _FORBIDDEN_IN_HOST.search(name) or not all(labels):
        raise BadUrl("the host name of the URL is not valid")
    if len(name.removesuffix(".")) > _MAX_HOST_CHARS or max(map(len, labels)) > _MAX_LABEL_CHARS:
        raise BadUrl("the host name of the URL is too long")
    return name


def _idna(host: str) -> str:
    """A host name in ASCII by UTS 46, non-transitional, as in all browsers: mapped first, then encoded by labels."""
    if len(host) > 4 * _MAX_HOST_CHARS:  # the mapping takes quadratic time
        raise BadUrl("the host name of the URL is too long")
    import idna  # noqa: PLC0415 - its tables take 10 ms, and few lists have such names

    try:
        labels = idna.uts46_remap(host, std3_rules=False, transitional=False).split(".")
        return ".".join(label if label.isascii() else _a_label(label) for label in labels)
    except (idna.IDNAError, UnicodeError):
        raise BadUrl("the host name of the URL is not valid") from None


def _a_label(label: str) -> str:
    """A mapped label in ASCII. IDNA 2008 has no emoji and no underscores beside other letters; browsers allow both."""
    import idna  # noqa: PLC0415 - as above

    try:
        return idna.alabel(label).decode("ascii")
    except idna.InvalidCodepointContext:
        raise
    except idna.IDNAError:
        return "xn--" + label.encode("punycode").decode("ascii")


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what credentials belong to (RFC 6454)."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme, 0)


_AUTHORITY = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)


def host_of(url: str) -> str:
    """Host and port as written, in small letters: what per-host limits count by; empty where there is none.

    Tolerant and quick, since it is asked for every row of a list, good or bad.
    """
    match = _AUTHORITY.match(url)
    return match[1].rpartition("@")[2].lower() if match else ""


def last_segment(url: str) -> str | None:
    """The last part of the path, decoded, with separators in it made harmless; None where the path has none."""
    segment = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    return re.sub(r"[/\\]", "_", segment) or None


_USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"([?&;](?:x-(?:amz|goog|ms)-(?:signature|credential|security-token)|sig|signature|token|access_token|auth|key|api_?key"
    r"|apikey|password|passwd|secret|policy|key-pair-id)=)[^&;#]*",
    re.IGNORECASE,
)


def masked(url: str) -> str:
    """A URL fit to be shown: without user name, password, and the values of signing parameters."""
    url = _USERINFO.sub(r"\1***@", url) if "@" in url else url
    return _SECRET_VALUE.sub(r"\1***", url) if "=" in url else url
