"""File systems behind URLs, by fsspec: opened once, with bounded retries, and their errors in plain words."""

import errno
import importlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from downloader.errors import ConfigError

Result = TypeVar("Result")

DEADLINE_S: Final = 60.0
"""Seconds for one operation, all attempts together."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_PART_BYTES = 16 * 1024**2
_CONNECT_S, _READ_S = 5, 15
"""Timeouts of one attempt, for S3."""
_PACKAGES: Final = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_ADVICE: Final = {
    "NoCredentialsError": "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "InvalidAccessKeyId": "the store does not know this access key; check the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong; check the credentials",
    "ExpiredToken": "the credentials have expired; renew them",
    "AccessDenied": "access denied; these credentials must be allowed to list, read, write and delete there",
    "403": "access denied; these credentials must be allowed to list, read, write and delete there",
    "NoSuchBucket": "there is no such bucket; create it, or correct the URL",
    "InvalidBucketName": "this is no name for a bucket; correct the URL",
    "PermanentRedirect": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "SlowDown": "the store asks for fewer requests, and went on doing so",
    "503": "the store is unavailable, and stayed so",
    "EndpointConnectionError": "no connection to the store; check AWS_ENDPOINT_URL and the network",
    "ConnectTimeoutError": "no connection to the store; check AWS_ENDPOINT_URL and the network",
}
_TRANSIENT_CODES: Final = frozenset(
    {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "IncompleteBody"}
    | {"500", "502", "503", "504"}
    | {"EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"}
    | {"ConnectionError", "HTTPClientError", "ResponseParserError"}
)
_NAME_CODES: Final = frozenset({"KeyTooLongError", "InvalidURI", "InvalidArgument"})


@dataclass(frozen=True, slots=True)
class RemoteProblem:
    """Why an operation failed: for a person, whether it may pass, and whether only the name is to blame."""

    message: str
    is_transient: bool
    is_of_name: bool


def open_remote(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path of the URL in it without a slash at its end.

    Raises:
        ConfigError: a package is missing, or no file system has this scheme.
    """
    scheme = urlsplit(url).scheme.lower()
    try:
        core = importlib.import_module("fsspec.core")
        file_system, path = core.url_to_fs(url, **_options(scheme))
    except ImportError:
        package = _PACKAGES.get(scheme, "fsspec")
        raise ConfigError(f"{scheme}:// needs a package that is not installed: pip install {package}") from None
    except ValueError as problem:
        raise ConfigError(f"{scheme}:// cannot be used: {problem}") from None
    if scheme in {"s3", "s3a"}:
        file_system.retries = 1  # else its attempts and those of botocore multiply: 99 s for one small file
    return file_system, str(path).rstrip("/")


def _options(scheme: str) -> dict[str, Any]:
    if scheme in {"s3", "s3a"}:
        once = {"retries": {"total_max_attempts": 1}, "connect_timeout": _CONNECT_S, "read_timeout": _READ_S}
        return {
            "config_kwargs": {**once, "max_pool_connections": 32},
            "use_listings_cache": False,
            "max_concurrency": 2,
        }
    return {"auto_mkdir": True} if scheme == "file" else {}


def upload(file_system: Any, path: str, to: str) -> None:  # noqa: ANN401 - fsspec has no types
    """Upload a file of this machine once, as one object; S3 gets files of 32 MiB and more in parts."""
    protocols = file_system.protocol
    options = {"chunksize": _PART_BYTES} if "s3" in protocols else {}  # s3fs reads twice as much into memory
    file_system.put_file(path, to, **options)


def attempt(
    action: Callable[[], Result], *, deadline_s: float = DEADLINE_S, given_up: Callable[[], bool] = lambda: False
) -> Result:
    """Do something, again after transient failures, until the deadline; the last error is raised."""
    until_s = time.monotonic() + deadline_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return action()
        except Exception as error:
            if given_up() or not problem_of(error).is_transient or time.monotonic() + pause_s > until_s:
                raise
        time.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - jitter
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def problem_of(error: BaseException) -> RemoteProblem:
    """What an error of a store means."""
    codes = list(_codes(error))
    advice = next((_ADVICE[code] for code in codes if code in _ADVICE), None)
    number = error.errno if isinstance(error, OSError) else None
    is_transient = (
        not _TRANSIENT_CODES.isdisjoint(codes)
        or number == errno.EBUSY
        or isinstance(error, ConnectionError | TimeoutError)
    )
    is_refused = not {"400", "404"}.isdisjoint(codes) and advice is None and not is_transient  # the place was listed
    is_of_name = not _NAME_CODES.isdisjoint(codes) or number in {errno.ENAMETOOLONG, errno.EINVAL} or is_refused
    return RemoteProblem(advice or _shortened(error), is_transient, is_of_name)


def _codes(error: BaseException | None) -> Iterator[str]:
    """Names of the errors from the outermost to its causes, and the codes that a store gave."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            yield str(response.get("Error", {}).get("Code", ""))
            yield str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        yield from (kind.__name__ for kind in type(error).__mro__)
        error = error.__cause__ or error.__context__


def _shortened(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:200]
