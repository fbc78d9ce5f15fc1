"""The standard streams of the command, whatever its caller has made of them: closed, full, or without a reader.

stdout carries results: if they cannot be written, the command says so in its exit code. stderr carries progress and
messages: losing them changes nothing. Light to import: this comes before everything else.
"""

import errno
import io
import os
import sys
from typing import Any, TextIO

from downloader.errors import CannotGoOn


class ReaderGone(Exception):
    """Nobody reads stdout any more, as with `| head`. No OSError, for which click would exit with 1."""

    exit_code = 141
    """What a shell reports of a program that SIGPIPE has ended, as it ends other tools."""


class StdoutFailed(CannotGoOn):
    """Results cannot be written to stdout, for example because it is a file on a full disk."""


def prepare() -> None:
    """Make the standard streams usable; a second call changes nothing."""
    _open_missing()
    if not isinstance(sys.stdout, _Stream):
        sys.stdout = ResultStream.in_place_of(sys.stdout)
    if not isinstance(sys.stderr, _Stream):
        sys.stderr = MessageStream.in_place_of(sys.stderr)


def _open_missing() -> None:
    """Open /dev/null in place of a stream that is closed; otherwise the next file that is opened would be that stream.

    The journal could become stdout, for example, and get the summary written into it.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - by number


class _Stream(io.TextIOWrapper):
    """A standard stream with an answer to errors."""

    @classmethod
    def in_place_of(cls, stream: TextIO) -> "TextIO":
        """A stream with the properties of the one that Python has made, which is detached."""
        if not isinstance(stream, io.TextIOWrapper):  # a caller's own, as in tests
            return stream
        encoding, errors = stream.encoding, stream.errors
        lines, through = stream.line_buffering, stream.write_through
        return cls(
            stream.detach(),
            encoding=encoding,
            errors="backslashreplace" if errors in {None, "strict"} else errors,
            line_buffering=lines,
            write_through=through,
        )

    def write(self, text: str, /) -> int:
        """Write, or deal with the error."""
        if text == "":  # click probes streams with empty strings and bytes, and swallows errors
            return 0
        try:
            return super().write(text)
        except OSError as problem:
            self._failed(problem)
            return len(text)

    def flush(self) -> None:
        """Flush, or deal with the error."""
        try:
            super().flush()
        except OSError as problem:
            self._failed(problem)

    def _failed(self, problem: OSError) -> None:
        raise NotImplementedError

    def _discard(self) -> None:
        """Let everything written from now on, and what is still in a buffer, go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


class ResultStream(_Stream):
    """stdout: raises ReaderGone if there is no reader, StdoutFailed if it cannot be written otherwise."""

    def _failed(self, problem: OSError) -> None:
        self._discard()
        if problem.errno == errno.EPIPE:
            raise ReaderGone from None
        raise StdoutFailed(f"stdout cannot be written: {problem.strerror}") from None


class StdoutBytes(io.BytesIO):
    """stdout for UTF-8 text that comes as bytes, whole characters at a time."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - anything with a buffer
        """Write, or raise what `ResultStream` raises."""
        sys.stdout.write(bytes(data).decode())
        return len(data)


class MessageStream(_Stream):
    """stderr: what cannot be written is dropped."""

    def _failed(self, problem: OSError) -> None:
        if not isinstance(problem, BlockingIOError):  # otherwise the reader is only slow
            self._discard()
