"""Fetching one URL into one file, one attempt at a time.

One `Client` per thread, because the lock and the scans of a shared connection pool halve the throughput at 64 threads
(351 against 655 URLs/s); all share one `Network`: the SSL context, which takes 15 to 100 ms to build, the name look-ups
and the list of open sockets. Requests go straight to the transport, since redirects, credentials and cookies are ours
to decide on anyway: a quarter more URLs a second than through `httpx.Client` (604 against 754 at 8 threads, 100 KB).
"""

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import BinaryIO

import httpcore
import httpx  # noqa: TID251 - its home

from downloader.config.values import show_size
from downloader.download import headers, policy, resume
from downloader.download.answer import Answer, Sums, checksum_is_listed, listed_checksum
from downloader.download.body import BodyFile
from downloader.download.coding import decoder
from downloader.download.job import Hold, Job, Reschedule, Whole
from downloader.download.net import Watch
from downloader.download.network import ROBOT_NAME, Header, Network, basic_auth, read_cookies
from downloader.download.problem import Interrupted, Problem, translated
from downloader.download.rate import LeastSpeed
from downloader.model.failures import FailureKind, SkipReason, Stage, is_transient
from downloader.model.items import Failed, Fetched, Invalid, Item, Part, Partial, Segment, Skipped, Unchanged
from downloader.model.urls import BadUrl, check_url, masked, origin_of

_REFILL_BYTES = 64 * 1024
"""An attempt that brought at least this much was worth it: the budget of attempts is full again."""

Result = Fetched | Failed | Skipped | Unchanged | Reschedule | None
"""What came of an attempt. None: nothing that is to be said, since another segment speaks for the item."""


class _OptedOut(Exception):
    """The server asks robots to leave this alone."""


class _AskAgain(Exception):
    """This answer is of no use as it is, but another request of the same attempt will be."""


class _InOne(Exception):
    """The file cannot be had in segments: its server has another version now, or does not do what it promised."""


class _Over(Exception):
    """The file this is a segment of needs no more."""


class Client:
    """Fetches items for one thread.

    Args:
        network: shared by the run.
        staging: folder for the bodies, each in a file of its own.
        saved: hears how much of a large body is on disk for sure.
        random_share: chance in [0, 1) for the back-off.
    """

    def __init__(
        self,
        network: Network,
        staging: str,
        saved: Callable[[Partial], None],
        random_share: Callable[[], float] = random.random,
    ) -> None:
        self._network = network
        self._settings = network.settings
        self._stop = network.stop
        self._staging = staging
        self._saved = saved
        self._random_share = random_share
        self._watch = Watch(stopped=network.stop.aborted.is_set)
        self._transport = network.transport(self._watch)
        self._cookies = httpx.Cookies(read_cookies(network.settings.cookies))
        timeout_s = network.settings.timeout
        self._extensions = {"timeout": {"connect": timeout_s, "read": timeout_s, "write": timeout_s, "pool": None}}
        self._was_kept = False
        self._mark, self._numbers = secrets.token_hex(4), count()
        """Of this client, and of its files: what no other client has, of this run or another."""

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def attempt(self, job: Job) -> Result:
        """Try once to get the bytes of an item, or of a segment of it; says what came of it.

        Raises:
            Interrupted: the run stops now.
            OSError: the body cannot be written.
        """
        if not job.deadline_s:
            self._begin(job)
        if job.whole is None and job.part.segments:
            return Reschedule(delay_s=0.0, jobs=job.in_segments(job.part, []))
        job.attempts += 1
        job.spent += 1
        job.hold = None
        before = self._held(job)
        try:
            _check(job)
            with translated(self._settings.deadline):
                return self._once(job)
        except BadUrl as problem:
            return self._after(job, Problem(FailureKind.INVALID_URL, str(problem)))
        except _OptedOut as directive:
            message = f"the server asks robots not to use it ({directive}); --opt-out ignore takes it all the same"
            return Skipped(item=job.item, stage=Stage.DOWNLOAD, reason=SkipReason.OPT_OUT, message=message)
        except _InOne:
            return self._give_up_segments(job, job.source)
        except _Over:
            return None
        except Interrupted:
            self._save(job)
            raise
        except Problem as problem:
            self._save(job)
            if self._held(job) - before >= _REFILL_BYTES:
                job.spent = 0
            return self._after(job, problem)

    def _begin(self, job: Job) -> None:
        """Start the clock, and take up what an earlier run left."""
        job.deadline_s = time.monotonic() + self._settings.deadline
        if job.item.part and job.item.part.source < len(job.urls):
            job.part = self._still_there(job.item.part)
            job.source = job.part.source

    def _still_there(self, part: Part) -> Part:
        """What is left of a part on disk: all that was made sure of, or nothing."""
        held = part.total or 0 if part.segments else part.bytes
        try:
            if os.stat(self._path(part.name)).st_size < held:
                return Part()
        except FileNotFoundError:
            return Part()
        if part.segments and all(segment.at == segment.stop for segment in part.segments):
            return replace(part, bytes=held, segments=())
        return part

    def _after(self, job: Job, problem: Problem) -> Failed | Reschedule | None:
        """What follows a failed attempt: a mirror, a wait, or the end."""
        remaining_s = job.deadline_s - time.monotonic()
        if problem.retry_after_s is not None and problem.http_status is not None:
            shut = problem.retry_after_s > self._settings.deadline
            job.hold = Hold(seconds=problem.retry_after_s, shut=shut, http_status=problem.http_status)
        if job.source + 1 < len(job.urls):
            if job.whole:
                return self._give_up_segments(job, job.source + 1)
            self._drop(job)
            job.source += 1
            return Reschedule(delay_s=0.0, jobs=(job,))
        delay_s = policy.retry_delay_s(
            problem.kind,
            problem.http_status,
            attempt=max(job.spent, 1),
            retries=0 if problem.final else self._settings.retries,
            remaining_s=remaining_s,
            jitter=self._random_share(),
            retry_after_s=problem.retry_after_s,
        )
        if delay_s is not None:
            return Reschedule(delay_s=delay_s, jobs=(job,))
        if not job.ends():
            return None
        if not (is_transient(problem.kind, problem.http_status) and self._may_keep(job)):
            self._drop(job)
        return _failed(job, problem)

    def _give_up_segments(self, job: Job, source: int) -> Reschedule | None:
        """Fetch the whole file anew in one; only the first of its segments to say so does it."""
        if not job.ends():
            return None
        self._drop(job)
        return Reschedule(delay_s=0.0, jobs=(job.over_again(source),))

    def _once(self, job: Job) -> Fetched | Unchanged | Reschedule | None:
        """One attempt: redirects, and what has to be asked again, included."""
        if job.whole:
            job.whole.attempted()
        job.chain = [job.urls[job.source]]
        stale = 0
        while True:
            if job.whole and job.whole.over:
                raise _Over
            try:
                with self._ask(job) as answer:
                    if answer.status in policy.REDIRECTS:
                        self._redirect(job, answer)
                        continue
                    return self._receive_segment(job, job.whole, answer) if job.whole else self._receive(job, answer)
            except _AskAgain:
                continue
            except (httpcore.NetworkError, httpcore.RemoteProtocolError):
                # A kept connection that the server has closed meanwhile costs nothing but another request.
                if stale or not self._was_kept:
                    raise
                stale += 1

    # -- the request -------------------------------------------------------------------------------------------------

    @contextmanager
    def _ask(self, job: Job) -> Iterator[Answer]:
        """The answer to a request for the last URL of the chain."""
        self._watch.deadline_s, self._watch.timings_s = job.deadline_s, job.timings_s
        phases = ("dns", "connect", "tls")
        spent_s = sum(job.timings_s.get(phase, 0.0) for phase in phases)
        connected = job.timings_s.get("connect")
        self._was_kept = False
        request = self._request(job)
        started_s = time.monotonic()
        try:
            response = self._transport.handle_request(request)
            try:
                network_s = sum(job.timings_s.get(phase, 0.0) for phase in phases) - spent_s
                job.timings_s["first_byte"] = max(time.monotonic() - started_s - network_s, 0.0)
                yield Answer(response)
            finally:
                response.close()
        except (httpcore.NetworkError, httpcore.RemoteProtocolError):
            self._was_kept = job.timings_s.get("connect") == connected and not self._watch.bytes_read
            raise

    def _request(self, job: Job) -> httpx.Request:
        """What is asked of the last URL of the chain, and with which credentials."""
        first, url = job.chain[0], job.chain[-1]
        own = [*self._settings.header, *(job.item.request.headers if job.item.request else ())]
        mine = [(name, value.strip()) for name, _, value in (line.partition(":") for line in own)]
        given = policy.headers_for(mine, first, url)
        usual = self._network.headers
        target = httpx.URL(url)
        if target.userinfo:  # taken out of the URL: the cookie jar would take it for a part of the host
            usual = [*usual, basic_auth(target.username, target.password)]
            target = target.copy_with(userinfo=b"")
        elif self._network.netrc and origin_of(first) == origin_of(url):
            login = self._network.netrc.authenticators(target.host)
            usual = [*usual, basic_auth(login[0], login[2])] if login and login[2] else usual
        names = {name.lower() for name, _ in given}
        usual = [header for header in usual if header[0].lower() not in names]
        request = httpx.Request(
            "GET", target, headers=[*usual, *given, *self._condition(job)], extensions=self._extensions
        )
        if self._cookies.jar:
            self._cookies.set_cookie_header(request)
        return request

    def _condition(self, job: Job) -> list[Header]:
        """The headers that ask for what is missing only, or for another version only."""
        if job.whole:
            return resume.segment_headers(job.whole.segment(job.index), job.whole.held().validator)
        if job.part.bytes:
            return resume.range_headers(job.part, checksum_known=listed_checksum(job.item) is not None)
        return headers.unless_same(job.item.previous.validator) if job.item.previous and not job.source else []

    def _redirect(self, job: Job, answer: Answer) -> None:
        target = policy.follow(job.chain, answer.location, limit=self._settings.max_redirects)
        if isinstance(target, policy.Refusal):
            raise Problem(FailureKind.REDIRECT, target.message, answer.status)
        job.chain.append(target)

    # -- the answer --------------------------------------------------------------------------------------------------

    def _receive(self, job: Job, answer: Answer) -> Fetched | Unchanged | Reschedule:
        """Take the body in, as far as it belongs to what we have and may be had."""
        if answer.status == httpx.codes.NOT_MODIFIED and self._condition(job) and not job.part.bytes:
            return Unchanged(item=job.item, attempts=job.attempts, http_status=answer.status)
        reply = answer.reply
        known = listed_checksum(job.item)
        decision = resume.decide(job.part, reply, checksum_known=known is not None, started_over=job.started_over)
        match decision:
            case resume.Refuse():
                raise self._refused(decision, answer)
            case resume.StartOver():
                self._drop(job)
                job.started_over = True
                raise _AskAgain
        directives = answer.fields(b"x-robots-tag")
        if self._settings.opt_out == "respect" and (directive := headers.opt_out(directives, ROBOT_NAME)):
            self._drop(job)
            raise _OptedOut(directive)
        total = decision.total
        if total is not None:
            self._check_size(total)
        job.server_name = answer.name(job.chain)
        sent = answer.digests
        if isinstance(decision, resume.Restart) and (jobs := self._split(job, answer, decision, sent)):
            return Reschedule(delay_s=0.0, jobs=jobs)
        sums = Sums(known, [] if isinstance(decision, resume.Append) else sent)
        self._write(job, answer, decision, sums)
        if total is not None and not answer.coding and job.part.bytes != total:
            if isinstance(decision, resume.Append) and job.part.bytes == decision.stop:
                raise _AskAgain  # a server need not send all of a range at once
            raise Problem(FailureKind.TRUNCATED, f"{job.part.bytes} of {total} bytes came", answer.status)
        return self._fetched(job, answer, sums)

    def _fetched(self, job: Job, answer: Answer, sums: Sums) -> Fetched | Unchanged:
        """The fact about a complete body, if it is what it should be."""
        if wrong := sums.wrong():
            self._drop(job)
            raise Problem(FailureKind.CHECKSUM, f"the {wrong} of the body is not what it should be")
        if job.item.previous and job.item.previous.sha256 == sums.sha256():
            self._drop(job)
            return Unchanged(item=job.item, attempts=job.attempts, http_status=answer.status)
        # The answer that says that nothing is missing speaks of itself in its headers.
        media_type = answer.media_type if answer.status != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE else None
        return Fetched(
            item=job.item,
            path=self._path(job.part.name),
            bytes=job.part.bytes,
            staged=True,
            sha256=sums.sha256(),
            media_type=media_type,
            server_name=job.server_name,
            final_url=masked(job.chain[-1]),
            http_status=answer.status,
            attempts=job.attempts,
            validator=job.part.validator,
            spans=job.spans(),
        )

    @staticmethod
    def _refused(decision: resume.Refuse, answer: Answer) -> Problem:
        wait_s = headers.retry_after_s(answer.field(b"retry-after"), datetime.now(UTC))
        patient = wait_s if answer.status in policy.SLOW_DOWN else None
        return Problem(decision.kind, decision.message, answer.status, retry_after_s=patient)

    def _write(self, job: Job, answer: Answer, decision: resume.Decision, sums: Sums) -> None:
        """Body to file; `job.part` says afterwards how far we are, also where it breaks off."""
        if isinstance(decision, resume.Complete):
            with open(self._path(job.part.name), "rb") as body:
                sums.take_in(body)
            return
        started_s = time.monotonic()
        at = decision.at if isinstance(decision, resume.Append) else 0
        coded = answer.coding
        if not at:
            self._drop(job)
            job.part = Part(name=self._new_name(job.item), validator=answer.version, source=job.source)
        part = replace(job.part, total=getattr(decision, "total", None))
        checkpoints = resume.Checkpoints(at, started_s)
        size = at
        try:
            if at:
                with open(self._path(part.name), "rb") as begun:
                    sums.take_in(begun, at)
            with BodyFile(self._path(part.name), at) as body:
                for data in self._chunks(answer, coded):
                    size += len(data)
                    self._check_size(size)
                    sums.update(data)
                    body.write(data)
                    if checkpoints.due(size, time.monotonic()):
                        body.flush()
                        job.part = replace(part, bytes=size)
                        self._save(job)
        except BaseException:
            size = 0 if coded else size  # what came decoded cannot be gone on with
            raise
        finally:
            job.part = replace(part, bytes=size)
            job.timings_s["body"] = job.timings_s.get("body", 0.0) + time.monotonic() - started_s

    def _chunks(self, answer: Answer, coded: str) -> Iterator[bytes]:
        """The body piece by piece, decoded, no faster and no slower than allowed."""
        undo = decoder(coded, self._settings.max_size) if coded else None
        speed = LeastSpeed(self._settings.min_speed, time.monotonic())
        for chunk in answer.body:
            if self._stop.aborted.is_set():
                raise Interrupted
            if speed.too_slow(len(chunk), time.monotonic()):
                least = show_size(self._settings.min_speed)
                raise Problem(FailureKind.TOO_SLOW, f"slower than {least} a second; --min-speed allows less")
            if self._network.rate is not None:
                delay_s = self._network.rate.delay_s(len(chunk), time.monotonic())
                self._stop.aborted.wait(delay_s)
                speed.waited(delay_s)
            if undo:
                yield from undo.decode(chunk)
            else:
                yield chunk
        if undo:
            undo.finish()

    def _check_size(self, size_bytes: int) -> None:
        limit = self._settings.max_size
        if limit is not None and size_bytes > limit:
            raise Problem(FailureKind.TOO_LARGE, f"larger than --max-size {show_size(limit)}")

    # -- segments ----------------------------------------------------------------------------------------------------

    def _split(
        self, job: Job, answer: Answer, decision: resume.Restart, sent: list[headers.Checksum]
    ) -> tuple[Job, ...]:
        """The jobs of a file that is to be fetched in segments; none where it is fetched in one."""
        if job.in_one or answer.coding:
            return ()
        version = answer.version
        accepted = answer.field(b"accept-ranges")
        segments = resume.split(decision.total, accepted, version, self._settings.segments)
        if not segments:
            return ()
        self._drop(job)
        part = Part(
            name=self._new_name(job.item), total=decision.total, validator=version, source=job.source, segments=segments
        )
        with open(self._path(part.name), "xb") as body:
            body.truncate(segments[-1].stop)
        return job.in_segments(part, sent)

    def _receive_segment(self, job: Job, whole: Whole, answer: Answer) -> Fetched | Unchanged | None:
        """Take in what is missing of a segment; whoever brings the last of them speaks for the item."""
        segment, held = whole.segment(job.index), whole.held()
        assert held.total is not None
        match resume.decide_segment(segment, held.total, held.validator, answer.reply):
            case resume.Refuse() as refusal:
                raise self._refused(refusal, answer)
            case resume.StartOver():
                raise _InOne
            case resume.Append() as decision:
                self._write_segment(job, whole, answer, segment)
        at = whole.segment(job.index).at
        if at < segment.stop:
            if at == decision.stop:
                raise _AskAgain  # a server need not send all of a range at once
            raise Problem(FailureKind.TRUNCATED, f"a segment ended {segment.stop - at} bytes early")
        if not whole.end(complete=True):
            return None
        sums = Sums(listed_checksum(job.item), whole.sent)
        with open(self._path(held.name), "rb") as body:
            sums.take_in(body)
        job.timings_s["body"] = time.monotonic() - whole.started_s
        # From here on it is a file like any other, and this job alone speaks for it.
        job.whole, job.attempts, job.part = None, whole.attempts, replace(held, bytes=held.total, segments=())
        return self._fetched(job, answer, sums)

    def _write_segment(self, job: Job, whole: Whole, answer: Answer, segment: Segment) -> None:
        """Body to its place in the file, not a byte beyond the segment; `whole` knows how far we are."""
        at = segment.at
        checkpoints = resume.Checkpoints(at, time.monotonic())
        with self._open_whole(whole) as body:
            body.seek(at)
            for data in self._chunks(answer, ""):
                if whole.over:
                    raise _Over
                body.write(data[: segment.stop - at])
                at = min(at + len(data), segment.stop)
                whole.advance(job.index, at)
                if at == segment.stop:
                    return
                if checkpoints.due(at, time.monotonic()):
                    self._save(job)

    def _open_whole(self, whole: Whole) -> BinaryIO:
        try:
            return open(self._path(whole.name), "r+b", buffering=0)
        except FileNotFoundError:
            if whole.over:  # and whoever ended it has removed it
                raise _Over from None
            raise

    # -- what there is of an item ------------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return os.path.join(self._staging, name)

    def _new_name(self, item: Item) -> str:
        """A name for a staged file that no earlier file of this item had."""
        return f"{item.id}.{self._mark}-{next(self._numbers)}.body"

    def _held(self, job: Job) -> int:
        """Bytes that this job has so far."""
        return job.whole.segment(job.index).at if job.whole else job.part.bytes

    def _may_keep(self, job: Job) -> bool:
        """Whether what there is of an item is of use to a later run."""
        part = job.whole.held() if job.whole else job.part
        if not resume.worth_keeping(part):
            return False
        return bool(part.segments) or resume.may_resume(part, checksum_known=checksum_is_listed(job.item))

    def _save(self, job: Job) -> None:
        """Make what there is of an item durable, and only then say so."""
        if job.whole is None:
            if self._may_keep(job):
                self._sync(job.part.name)
                self._saved(Partial(item=job.item, part=job.part))
            return
        with job.whole.while_open() as is_open:
            if is_open and self._may_keep(job):
                part = job.whole.held()  # before the sync, which is for the bytes of all its segments
                self._sync(part.name)
                self._saved(Partial(item=job.item, part=part))

    def _sync(self, name: str) -> None:
        handle = os.open(self._path(name), os.O_RDONLY)
        try:
            getattr(os, "fdatasync", os.fsync)(handle)  # no fdatasync on macOS
        finally:
            os.close(handle)

    def _drop(self, job: Job) -> None:
        """Forget what there is of an item. Its name is not used again: the journal may still speak of it."""
        self._unlink(job.whole.name if job.whole else job.part.name)
        job.part = Part()

    def _unlink(self, name: str) -> None:
        if name:
            with suppress(FileNotFoundError):
                os.unlink(self._path(name))


def _check(job: Job) -> None:
    """Raise BadUrl where there is nothing to ask for: its list says so, or the text of the URL."""
    if isinstance(job.item.what, Invalid):
        raise BadUrl(job.item.what.reason)
    check_url(job.urls[job.source])


def _failed(job: Job, problem: Problem) -> Failed:
    return Failed(
        item=job.item,
        stage=Stage.SOURCE if problem.kind is FailureKind.INVALID_URL else Stage.DOWNLOAD,
        kind=problem.kind,
        message=problem.message,
        http_status=problem.http_status,
        attempts=job.whole.attempts if job.whole else job.attempts,
        final_url=masked(job.chain[-1]) if job.chain else None,
        spans=job.spans(),
    )
