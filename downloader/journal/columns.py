"""Values as the columns of the journal store them, and back. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from downloader.model.items import (
    File,
    FileSpan,
    Invalid,
    Location,
    Output,
    Part,
    PreviousResult,
    Request,
    Segment,
    Url,
    Validator,
)


def encode_text(text: str) -> str | bytes:
    """SQLite text is UTF-8: a file name that is not goes in as the bytes it is."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")
    return text


def decode_text(stored: str | bytes) -> str:
    """The text that `encode_text` stored."""
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogateescape")


def encode_what(what: Location | Invalid) -> tuple[str, str | bytes | None]:
    """The columns `what` and `detail`; the path or URL itself is the source of its row."""
    match what:
        case Url():
            return "url", None
        case File():
            return "file", None
        case FileSpan():
            return "span", json.dumps(what)
        case Invalid(reason):
            return "invalid", encode_text(reason)


def decode_what(what: str, detail: str | bytes | None, source: str) -> Location | Invalid:
    """The location that `encode_what` stored."""
    match what:
        case "url":
            return Url(source)
        case "file":
            return File(source)
        case "span":
            return FileSpan(*json.loads(detail or ""))
        case _:
            return Invalid(decode_text(detail or ""))


def decode_request(text: str | None) -> Request | None:
    """The column `request`."""
    if text is None:
        return None
    stored = json.loads(text)
    stored["boxes"] = map(tuple, stored.get("boxes", ()))  # journals of older versions have none
    return Request(**{**stored, **{name: tuple(stored[name]) for name in ("mirrors", "headers", "boxes")}})


def decode_part(text: str | None) -> Part | None:
    """The column `part`."""
    if text is None:
        return None
    stored = json.loads(text)
    segments = tuple(Segment(**segment) for segment in stored["segments"])
    return Part(**{**stored, "segments": segments, "validator": Validator(**stored["validator"])})


def decode_validator(text: str | None) -> Validator:
    """The column `version`."""
    return Validator(**json.loads(text or "{}"))


def decode_previous(version: str | None, sha256: str | None, outputs: str | None) -> PreviousResult | None:
    """What an earlier run stored, from the columns that say so; None where it stored nothing."""
    if not outputs:
        return None
    made = tuple((output["path"], output["bytes"]) for output in json.loads(outputs))
    return PreviousResult(validator=decode_validator(version), sha256=sha256, outputs=made)


def encode_output(output: Output) -> dict[str, Any]:
    """An element of the column `outputs`; what only outputs in groups have is left out of others."""
    names = output.__slots__ if output.member is not None else output.__slots__[:-2]
    return {name: getattr(output, name) for name in names}


def flat(value: Validator) -> dict[str, Any]:
    """What `asdict` gives of a dataclass without containers, but without copying every field."""
    return {name: getattr(value, name) for name in value.__slots__}


def encode_seconds(seconds: Mapping[str, float]) -> str:
    """The column `timings`: a JSON object, formatted here since `json.dumps` takes more than twice as long."""
    return "{" + ", ".join([f'"{phase}": {value:.6f}' for phase, value in seconds.items()]) + "}"


def add_seconds(before: str | None, more: Mapping[str, float]) -> str:
    """The column `timings` with more seconds; those of a phase that it has already are added up."""
    if not before or before == "{}":
        return encode_seconds(more)
    if not more:
        return before
    if not any(f'"{phase}"' in before for phase in more):  # as nearly always: nothing to parse
        return f"{before[:-1]}, {encode_seconds(more)[1:]}"
    seconds = json.loads(before)
    return encode_seconds(seconds | {phase: seconds.get(phase, 0.0) + value for phase, value in more.items()})


def replace_seconds(before: str | None, later: Mapping[str, float]) -> str:
    """The column `timings` with the seconds of some phases anew."""
    return encode_seconds({**json.loads(before or "{}"), **later})
