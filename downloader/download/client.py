"""Fetching one URL into one file, one attempt at a time.

One `Client` per thread, because the lock and the scans of a shared connection pool halve the throughput at 64 threads
(351 against 655 URLs/s); all share one `Network`: the SSL context, which takes 15 to 100 ms to build, the name look-ups
and the list of open sockets.
"""

import hashlib
import http.cookiejar
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import httpcore
import httpx  # noqa: TID251 - its home

from downloader import __version__
from downloader.config.settings import Download, show_size
from downloader.download import headers, policy, resume
from downloader.download.coding import decoder
from downloader.download.dns import Resolver
from downloader.download.net import Sockets, Watch, make_transport, ssl_context
from downloader.download.problem import Interrupted, Problem, translated
from downloader.download.rate import ByteRate, LeastSpeed
from downloader.errors import ConfigError
from downloader.model.failures import FailureKind, SkipReason, Stage
from downloader.model.items import Failed, Fetched, Item, Skipped
from downloader.model.urls import BadUrl, check_url, masked
from downloader.stop import Stop

ROBOT_NAME = "downloader"
"""What X-Robots-Tag and servers know us by."""
_BUFFER_BYTES = 256 * 1024
"""Written to disk in pieces of about this size."""
_REFILL_BYTES = 64 * 1024
"""An attempt that brought at least this much was worth it: the budget of attempts is full again."""

# httpx logs every URL, secrets and all, at INFO.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """The item is to be tried again after `delay_s`."""

    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The host of an item asks for less: no request for so long. `shut`: longer than any item would wait."""

    seconds: float
    shut: bool
    http_status: int


@dataclass(slots=True, kw_only=True)
class Job:
    """An item on its way, over all its attempts."""

    work: Item | Fetched
    attempts: int = 0
    spent: int = 0
    """Attempts since the last one that brought something."""
    source: int = 0
    """Which of its URLs is asked: the listed one, then its mirrors."""
    deadline_s: float = 0.0
    """Monotonic; set with the first attempt."""
    chain: list[str] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)
    part: resume.Part = field(default_factory=resume.Part)
    started_over: bool = False
    hold: Hold | None = None

    @property
    def item(self) -> Item:
        """The item itself."""
        return self.work.item if isinstance(self.work, Fetched) else self.work

    @property
    def urls(self) -> tuple[str, ...]:
        """Where its bytes are: the listed URL, then mirrors."""
        request = self.item.request
        return (self.item.source, *(request.mirrors if request else ()))


class _OptedOut(Exception):
    """The server asks robots to leave this alone."""


class _AskAgain(Exception):
    """This answer is of no use as it is, but another request of the same attempt will be."""


class _SendOnly(http.cookiejar.DefaultCookiePolicy):
    """Sends the user's cookies and stores none: sites are not to recognise each other's visits."""

    def set_ok(self, _cookie: object, _request: object) -> bool:
        return False


class Network:
    """What all clients of a run share.

    Raises:
        ConfigError: a certificate, cookie or netrc file, or a proxy, is of no use.
    """

    def __init__(self, settings: Download, stop: Stop) -> None:
        self.settings = settings
        self.stop = stop
        self.resolver = Resolver()
        self.sockets = Sockets()
        self.rate = ByteRate(settings.limit_rate) if settings.limit_rate else None
        try:
            self.context: ssl.SSLContext = ssl_context(settings)
            self.netrc = httpx.NetRCAuth(None) if settings.netrc else None
            _cookies(settings.cookies)
            self.transport(Watch()).close()
        except (ValueError, OSError, http.cookiejar.LoadError) as problem:
            raise ConfigError(str(problem)) from problem

    def transport(self, watch: Watch) -> httpx.BaseTransport:
        """A transport for one thread."""
        return make_transport(
            self.settings, context=self.context, resolver=self.resolver, sockets=self.sockets, watch=watch
        )

    def abort(self) -> None:
        """End every network call of the run at once."""
        self.sockets.abort()


class Client:
    """Fetches items for one thread.

    Args:
        network: shared by the run.
        staging: folder for the bodies; each is written to `staging/ID.body`.
        random_share: chance in [0, 1) for the back-off.
    """

    def __init__(self, network: Network, staging: str, random_share: Callable[[], float] = random.random) -> None:
        self._network = network
        self._settings = network.settings
        self._stop = network.stop
        self._staging = staging
        self._random_share = random_share
        self._watch = Watch(stopped=network.stop.now.is_set)
        self._http = httpx.Client(
            transport=network.transport(self._watch),
            timeout=httpx.Timeout(network.settings.timeout, pool=None),
            follow_redirects=False,
            trust_env=False,
            cookies=_cookies(network.settings.cookies),
            headers={
                "User-Agent": network.settings.user_agent or f"{ROBOT_NAME}/{__version__}",
                "Accept": "image/*, */*;q=0.5",
                "Accept-Encoding": "identity",
            },
        )

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def attempt(self, job: Job) -> Fetched | Failed | Skipped | Later:
        """Try once to get the bytes of an item; says what came of it, or when to try again.

        Raises:
            Interrupted: the run stops now.
            OSError: the body cannot be written.
        """
        if not job.attempts:
            job.deadline_s = time.monotonic() + self._settings.deadline
        job.attempts += 1
        job.spent += 1
        job.hold = None
        before = job.part.bytes
        try:
            check_url(job.urls[job.source])
            with translated(self._settings.deadline):
                return self._once(job)
        except BadUrl as problem:
            return self._after(job, Problem(FailureKind.INVALID_URL, str(problem)))
        except _OptedOut as directive:
            message = f"the server asks robots not to use it ({directive}); --opt-out ignore takes it all the same"
            return Skipped(item=job.item, stage=Stage.DOWNLOAD, reason=SkipReason.OPT_OUT, message=message)
        except Problem as problem:
            if job.part.bytes - before >= _REFILL_BYTES:
                job.spent = 0
            return self._after(job, problem)

    def _after(self, job: Job, problem: Problem) -> Failed | Later:
        """What follows a failed attempt: a mirror, a wait, or the end."""
        remaining_s = job.deadline_s - time.monotonic()
        if problem.retry_after_s is not None and problem.http_status is not None:
            shut = problem.retry_after_s > self._settings.deadline
            job.hold = Hold(seconds=problem.retry_after_s, shut=shut, http_status=problem.http_status)
        if job.source + 1 < len(job.urls):
            job.source += 1
            job.part = resume.Part()
            return Later(delay_s=0.0)
        delay_s = policy.retry_delay_s(
            problem.kind,
            problem.http_status,
            attempt=max(job.spent, 1),
            retries=0 if problem.final else self._settings.retries,
            remaining_s=remaining_s,
            jitter=self._random_share(),
            retry_after_s=problem.retry_after_s,
        )
        return _failed(job, problem) if delay_s is None else Later(delay_s=delay_s)

    def _once(self, job: Job) -> Fetched:
        """One attempt: redirects, and what has to be asked again, included."""
        job.chain = [job.urls[job.source]]
        stale = 0
        while True:
            try:
                with self._response(job) as response:
                    if response.status_code not in policy.REDIRECTS:
                        return self._receive(job, response)
                    self._redirect(job, response)
            except _AskAgain:
                continue
            except (httpcore.NetworkError, httpcore.RemoteProtocolError):
                # A kept connection that the server has closed meanwhile costs nothing but another request.
                if stale or not self._was_kept:
                    raise
                stale += 1

    @contextmanager
    def _response(self, job: Job) -> Iterator[httpx.Response]:
        """The answer to a request for the last URL of the chain."""
        url = job.chain[-1]
        own = [*self._settings.header, *(job.item.request.headers if job.item.request else ())]
        mine = [(name, value.strip()) for name, _, value in (line.partition(":") for line in own)]
        same_origin = policy.headers_for(mine, job.chain[0], url)
        asked = resume.range_headers(job.part, checksum_known=_listed_checksum(job.item) is not None)
        self._watch.deadline_s, self._watch.timings_s = job.deadline_s, job.timings_s
        phases = ("dns", "connect", "tls")
        spent_s = sum(job.timings_s.get(phase, 0.0) for phase in phases)
        connected = job.timings_s.get("connect")
        started_s = time.monotonic()
        options: dict[str, Any] = {"headers": [*same_origin, *asked]}
        target = httpx.URL(url)
        if target.userinfo:  # taken out of the URL: the cookie jar would take it for a part of the host
            options["auth"] = (target.username, target.password)
            target = target.copy_with(userinfo=b"")
        elif self._network.netrc and policy.headers_for([("", "")], job.chain[0], url):
            options["auth"] = self._network.netrc
        self._was_kept = False
        try:
            with self._http.stream("GET", target, **options) as response:
                network_s = sum(job.timings_s.get(phase, 0.0) for phase in phases) - spent_s
                job.timings_s["first_byte"] = max(time.monotonic() - started_s - network_s, 0.0)
                yield response
        except (httpcore.NetworkError, httpcore.RemoteProtocolError):
            self._was_kept = job.timings_s.get("connect") == connected and not self._watch.bytes_read
            raise

    def _redirect(self, job: Job, response: httpx.Response) -> None:
        target = policy.follow(job.chain, response.headers.get("location"), limit=self._settings.max_redirects)
        if isinstance(target, policy.Refusal):
            raise Problem(FailureKind.REDIRECT, target.message, response.status_code)
        job.chain.append(target)

    # -- the answer --------------------------------------------------------------------------------------------------

    def _receive(self, job: Job, response: httpx.Response) -> Fetched:
        """Take the body in, as far as it belongs to what we have and may be had."""
        reply = _reply(response)
        known = _listed_checksum(job.item)
        decision = resume.decide(job.part, reply, checksum_known=known is not None, started_over=job.started_over)
        match decision:
            case resume.Refuse():
                wait_s = headers.retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
                patient = wait_s if response.status_code in policy.SLOW_DOWN else None
                raise Problem(decision.kind, decision.message, response.status_code, retry_after_s=patient)
            case resume.StartOver():
                job.part = resume.Part()
                job.started_over = True
                raise _AskAgain
        directives = response.headers.get_list("x-robots-tag")
        if self._settings.opt_out == "respect" and (directive := headers.opt_out(directives, ROBOT_NAME)):
            raise _OptedOut(directive)
        total = decision.total
        if total is not None:
            self._check_size(total)
        at = decision.at if isinstance(decision, resume.Append) else 0
        sums = _Sums(known, [] if at else _sent_digests(response))
        self._write(job, response, decision, sums)
        if total is not None and not _coding(response) and job.part.bytes != total:
            if isinstance(decision, resume.Append) and job.part.bytes == decision.stop:
                raise _AskAgain  # a server need not send all of a range at once
            raise Problem(FailureKind.TRUNCATED, f"{job.part.bytes} of {total} bytes came", response.status_code)
        if wrong := sums.wrong():
            job.part = resume.Part()
            raise Problem(FailureKind.CHECKSUM, f"the {wrong} of the body is not what it should be")
        return Fetched(
            item=job.item,
            path=self._path(job),
            bytes=job.part.bytes,
            staged=True,
            sha256=sums.sha256(),
            media_type=reply.media_type,
            final_url=masked(job.chain[-1]),
            http_status=response.status_code,
            attempts=job.attempts,
            timings_s=job.timings_s,
        )

    def _path(self, job: Job) -> str:
        return f"{self._staging}/{job.item.id}.body"

    def _write(self, job: Job, response: httpx.Response, decision: resume.Decision, sums: "_Sums") -> None:
        """Body to file; `job.part` says afterwards how far we are, also where it breaks off."""
        path = Path(self._path(job))
        started_s = time.monotonic()
        coded = _coding(response)
        if isinstance(decision, resume.Complete):
            with path.open("rb") as body:
                sums.take_in(body)
            return
        at = decision.at if isinstance(decision, resume.Append) else 0
        # A body with a coding on has no place to be gone on with; nor has one whose server ignores ranges.
        version = _version(response) if not coded else headers.Validator()
        size = at
        try:
            with path.open("r+b" if at else "wb", buffering=_BUFFER_BYTES) as body:
                if at:
                    sums.take_in(body)
                    body.truncate(at)
                for data in self._chunks(response, coded):
                    size += len(data)
                    self._check_size(size)
                    sums.update(data)
                    body.write(data)
        finally:
            total = getattr(decision, "total", None)
            job.part = resume.Part(bytes=size, total=total, validator=version)
            job.timings_s["body"] = job.timings_s.get("body", 0.0) + time.monotonic() - started_s

    def _chunks(self, response: httpx.Response, coded: str) -> Iterator[bytes]:
        """The body piece by piece, decoded, no faster and no slower than allowed."""
        undo = decoder(coded, self._settings.max_size)
        speed = LeastSpeed(self._settings.min_speed, time.monotonic())
        for chunk in response.iter_raw():
            if self._stop.now.is_set():
                raise Interrupted
            if speed.too_slow(len(chunk), time.monotonic()):
                least = show_size(self._settings.min_speed)
                raise Problem(FailureKind.TOO_SLOW, f"slower than {least} a second; --min-speed allows less")
            if self._network.rate is not None:
                delay_s = self._network.rate.delay_s(len(chunk), time.monotonic())
                self._stop.now.wait(delay_s)
                speed.waited(delay_s)
            if coded:
                yield from undo.decode(chunk)
            else:
                yield chunk
        if coded:
            undo.finish()

    def _check_size(self, size_bytes: int) -> None:
        limit = self._settings.max_size
        if limit is not None and size_bytes > limit:
            raise Problem(FailureKind.TOO_LARGE, f"larger than --max-size {show_size(limit)}")


class _Sums:
    """Hashes of a body, taken as it comes: its sha256, and whatever it can be held against."""

    def __init__(self, listed: headers.Checksum | None, sent: list[headers.Checksum]) -> None:
        self._expected = [*([listed] if listed else []), *sent[:1]]
        names = {"sha256", *(checksum.name for checksum in self._expected)}
        self._hashes = {name: hashlib.new(name) for name in names}

    def update(self, data: bytes) -> None:
        for digest in self._hashes.values():
            digest.update(data)

    def take_in(self, body: BinaryIO) -> None:
        """Hash what is in a file already, and stand at its end."""
        while data := body.read(_BUFFER_BYTES):
            self.update(data)

    def sha256(self) -> str:
        return self._hashes["sha256"].hexdigest()

    def wrong(self) -> str | None:
        """The algorithm of the first checksum that does not hold."""
        for checksum in self._expected:
            if self._hashes[checksum.name].digest() != checksum.digest:
                return checksum.name
        return None


def _listed_checksum(item: Item) -> headers.Checksum | None:
    """The checksum that the list gives; a bad one was refused when the list was read."""
    if item.request is None or item.request.checksum is None:
        return None
    try:
        return headers.parse_checksum(item.request.checksum)
    except ValueError as problem:
        raise Problem(FailureKind.CHECKSUM, f"the checksum in the list cannot be used: {problem}", final=True) from None


def _sent_digests(response: httpx.Response) -> list[headers.Checksum]:
    """What the server says of the body; it speaks of the coded bytes, so a coded body is not held against it."""
    if _coding(response):
        return []
    get = response.headers.get
    return headers.digests(get("repr-digest"), get("digest"), get("content-md5"))


def _coding(response: httpx.Response) -> str:
    """The content coding; empty for none."""
    text = str(response.headers.get("content-encoding", "")).strip().lower()
    return "" if text == "identity" else text


def _version(response: httpx.Response) -> headers.Validator:
    get = response.headers.get
    return headers.validator(get("etag"), get("last-modified"), get("date"))


def _reply(response: httpx.Response) -> resume.Reply:
    length = headers.content_length(response.headers.get_list("content-length"))
    if length == "conflict":
        raise Problem(FailureKind.PROTOCOL, "the server says two different lengths", response.status_code)
    return resume.Reply(
        status=response.status_code,
        content_range=headers.content_range(response.headers.get("content-range")),
        content_length=None if _coding(response) else length,
        media_type=headers.media_type(response.headers.get("content-type")),
        validator=_version(response),
    )


def _cookies(path: str | None) -> http.cookiejar.CookieJar:
    if path is None:
        return http.cookiejar.CookieJar(_SendOnly())
    jar = http.cookiejar.MozillaCookieJar(path, policy=_SendOnly())
    try:
        jar.load(ignore_discard=True, ignore_expires=True)
    except (OSError, UnicodeDecodeError) as problem:  # LoadError is an OSError as well
        said = getattr(problem, "strerror", None) or "not a cookie file in Netscape format"
        raise ValueError(f"--cookies {path}: {said}") from None
    for cookie in jar:
        if cookie.expires == 0:  # how the format writes "until the browser closes", and Python reads "expired in 1970"
            cookie.expires = None
    return jar


def _failed(job: Job, problem: Problem) -> Failed:
    return Failed(
        item=job.item,
        stage=Stage.SOURCE if problem.kind is FailureKind.INVALID_URL else Stage.DOWNLOAD,
        kind=problem.kind,
        message=problem.message,
        http_status=problem.http_status,
        attempts=job.attempts,
        final_url=masked(job.chain[-1]) if job.chain else None,
        timings_s=job.timings_s,
    )
