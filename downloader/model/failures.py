"""The words for what went wrong: stable names that users script against."""

from enum import StrEnum


class Stage(StrEnum):
    """Where an item was when it got its outcome."""

    SOURCE = "source"
    DOWNLOAD = "download"
    TRANSFORM = "transform"
    OUTPUT = "output"


class FailureKind(StrEnum):
    """Why an item failed."""

    INVALID_URL = "invalid_url"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    TOO_SLOW = "too_slow"
    DEADLINE = "deadline"
    HTTP_STATUS = "http_status"
    REDIRECT = "redirect"
    BLOCKED = "blocked"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    CHECKSUM = "checksum"
    CONTENT_ENCODING = "content_encoding"
    PROTOCOL = "protocol"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    CORRUPT_IMAGE = "corrupt_image"
    TRUNCATED_IMAGE = "truncated_image"
    IMAGE_TOO_LARGE = "image_too_large"
    OUT_OF_MEMORY = "out_of_memory"
    TRANSFORM_TIMEOUT = "transform_timeout"
    WORKER_CRASH = "worker_crash"
    ENCODE = "encode"
    WRITE = "write"
    NOT_FOUND = "not_found"
    PERMISSION = "permission"
    INTERNAL = "internal"


TRANSIENT_KINDS = frozenset(
    {
        FailureKind.DNS,
        FailureKind.CONNECT,
        FailureKind.TIMEOUT,
        FailureKind.TOO_SLOW,
        FailureKind.DEADLINE,
        FailureKind.TRUNCATED,
        FailureKind.PROTOCOL,
    }
)
"""Kinds that may pass when tried again, whatever the answer was."""


def is_transient(kind: FailureKind, http_status: int | None = None) -> bool:
    """Whether trying again later may help.

    Of the HTTP statuses: 408 Request Timeout, 425 Too Early, 429 Too Many Requests (RFC 9110, 8470, 6585), every 5xx.
    """
    if kind is FailureKind.HTTP_STATUS:
        return http_status in {408, 425, 429, *range(500, 600)}
    return kind in TRANSIENT_KINDS


class SkipReason(StrEnum):
    """Why an item was left out on purpose."""

    EXISTS = "exists"
    DUPLICATE = "duplicate"
    OPT_OUT = "opt_out"
    TOO_SMALL = "too_small"
    ASPECT_RATIO = "aspect_ratio"


class Warn(StrEnum):
    """What was given up while an item still succeeded."""

    ICC_IGNORED = "icc_ignored"
    HDR_GAINMAP_DROPPED = "hdr_gainmap_dropped"
    FRAMES_DROPPED = "frames_dropped"
    TRUNCATED_KEPT = "truncated_kept"
    METADATA_DROPPED = "metadata_dropped"
