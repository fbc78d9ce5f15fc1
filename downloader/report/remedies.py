"""What to do about failures of each kind, in a sentence. Pure."""

from downloader.model.failures import FailureKind as Kind
from downloader.model.failures import is_transient

_REMEDIES = {
    Kind.INVALID_URL: "correct these rows of the list",
    Kind.DNS: "check the host names; names that exist may resolve later",
    Kind.CONNECT: "the host refused or did not answer; try again later",
    Kind.TLS: "the certificate is not trusted: check the host name, or name its CA with --ca-file",
    Kind.TIMEOUT: "try again later, or allow more with --timeout",
    Kind.TOO_SLOW: "try again later, or allow slower bodies with --min-speed",
    Kind.DEADLINE: "try again later, or allow more for one URL with --deadline",
    Kind.HTTP_STATUS: "404 and 410: gone for good; 401 and 403: credentials (--header, --cookies, --netrc)",
    Kind.REDIRECT: "the server redirects in circles or to nowhere: correct the URLs",
    Kind.BLOCKED: "a rule of this run forbids it (--deny-private)",
    Kind.TOO_LARGE: "allow larger bodies with --max-size",
    Kind.TRUNCATED: "the connection ended early; what came is kept, and a retry resumes",
    Kind.CHECKSUM: "the bytes are not those that the list promises: check --checksum-column, or the source has changed",
    Kind.CONTENT_ENCODING: "the body is compressed in a way that is not understood",
    Kind.PROTOCOL: "the server breaks HTTP; try again later",
    Kind.NOT_AN_IMAGE: "the server sent something else, such as a web page: open one of the URLs in a browser",
    Kind.UNSUPPORTED_FORMAT: "convert these images; HEIC needs the package pillow-heif",
    Kind.CORRUPT_IMAGE: "the image is damaged at its source",
    Kind.TRUNCATED_IMAGE: "the image is cut off at its source; --truncated keep takes what is there",
    Kind.IMAGE_TOO_LARGE: "allow larger images with --max-pixels",
    Kind.OUT_OF_MEMORY: "allow a process more with --worker-memory, or start fewer --processes",
    Kind.TRANSFORM_TIMEOUT: "allow more for one image with --item-timeout",
    Kind.WORKER_CRASH: "the image kills its decoder: keep it away, and report it to the decoder's authors",
    Kind.ENCODE: "the result cannot be written in this format: choose another --format",
    Kind.WRITE: "the output cannot be written: check the disk, permissions and names",
    Kind.NOT_FOUND: "the file is gone, or is no file",
    Kind.PERMISSION: "the file may not be read by this user",
    Kind.INTERNAL: "a defect in downloader: please report it",
}


def remedy(kind: str, http_status: int | None = None) -> str:
    """What to do about failures of a kind; a kind of a newer version has none."""
    try:
        known = Kind(kind)
    except ValueError:
        return ""
    if known is Kind.HTTP_STATUS and is_transient(known, http_status):
        return "the server is overloaded or limits requests: fewer --per-host, a --host-delay, and later `retry`"
    return _REMEDIES[known] + ("; `retry` takes them" if is_transient(known, http_status) else "")
