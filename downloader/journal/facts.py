"""Facts into states: the statement that makes each fact durable. The only caller of `advance`."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from downloader.journal import bodies, groups
from downloader.journal.columns import (
    add_seconds,
    encode_output,
    encode_seconds,
    encode_text,
    flat,
    replace_seconds,
)
from downloader.model.items import (
    Fact,
    Failed,
    Fetched,
    Partial,
    RecheckRequested,
    Requeued,
    Skipped,
    Stored,
    Transformed,
    Unchanged,
    Validator,
)
from downloader.model.spans import seconds_by_phase
from downloader.model.states import State, advance

_FETCHED = """
UPDATE items SET state = :state, path = :path, staged = :staged, bytes = :bytes, sha256 = :sha256,
    media_type = :media_type, final_url = :final_url, http_status = :http_status, attempts = :attempts,
    version = :version, part = NULL, timings = :timings WHERE id = :id
"""
_PARTIAL = "UPDATE items SET state = :state, part = :part WHERE id = :id"
_TRANSFORMED = """
UPDATE items SET state = :state, width = :width, height = :height, sha256 = :sha256, warnings = :warnings,
    perceptual_hash = :perceptual_hash, blurhash = :blurhash, timings = :timings WHERE id = :id
"""
_STORED = """
UPDATE items SET state = :state, outputs = :outputs, bytes_written = :bytes_written, path = NULL, staged = NULL,
    timings = :timings WHERE id = :id
"""
_FAILED = """
UPDATE items SET state = :state, stage = :stage, kind = :kind, message = :message,
    http_status = coalesce(:http_status, http_status), attempts = max(:attempts, attempts),
    final_url = coalesce(:final_url, final_url), path = NULL, staged = NULL,
    timings = :timings WHERE id = :id
"""
_SKIPPED = """
UPDATE items SET state = :state, stage = :stage, kind = :kind, message = :message, path = NULL, staged = NULL,
    timings = :timings WHERE id = :id
"""
_UNCHANGED = """
UPDATE items SET state = :state, attempts = :attempts, http_status = coalesce(:http_status, http_status),
    timings = :timings WHERE id = :id
"""
# Outputs of earlier runs stay known until something else is stored: those files are still there, and still ours.
_REQUEUED = """
UPDATE items SET state = :state, stage = NULL, kind = NULL, message = NULL, http_status = NULL, attempts = 0,
    final_url = NULL, media_type = NULL, bytes = NULL, sha256 = NULL, path = NULL, staged = NULL, width = NULL,
    height = NULL, warnings = NULL, perceptual_hash = NULL, blurhash = NULL, timings = NULL, version = NULL
    WHERE id = :id
"""
_RECHECK_REQUESTED = "UPDATE items SET state = :state, attempts = 0 WHERE id = :id"

_NO_VALIDATOR = Validator()

Values = dict[str, object]


def record(connection: sqlite3.Connection, facts: Sequence[Fact], *, track_bodies: bool) -> None:
    """Make facts durable, in order.

    Args:
        connection: in a transaction.
        facts: at least one.
        track_bodies: remember which item had which bytes first.

    Raises:
        IllegalTransition: a fact does not fit the state of its item.
    """
    standings = _standings(connection, {fact.item.id for fact in facts})
    for fact in facts:
        item_id = fact.item.id
        standing = standings[item_id]
        standing.state = advance(standing.state, type(fact))
        standing.timings = _timings(fact, standing.timings)
        sql, values = _statement(fact)
        # As plain text: sqlite3 looks for an adapter for every value of a class of its own, which takes 1 us a value.
        values["state"] = standing.state.value
        values["timings"] = standing.timings
        values["id"] = item_id
        connection.execute(sql, values)
        if track_bodies and isinstance(fact, Fetched) and fact.sha256 is not None:
            bodies.claim(connection, item_id, fact.sha256)
        if isinstance(fact, Stored | Failed | Skipped) and fact.row is not None:
            groups.add(connection, item_id, fact.row)


def requeue(connection: sqlite3.Connection, state: State, ids: Iterable[int]) -> None:
    """Have items that are in this state done again."""
    after = advance(state, Requeued).value
    connection.executemany(_REQUEUED, [{"state": after, "id": item_id} for item_id in ids])


def recheck(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Have the sources of stored items asked whether they have another version."""
    after = advance(State.STORED, RecheckRequested).value
    connection.executemany(_RECHECK_REQUESTED, [{"state": after, "id": item_id} for item_id in ids])


@dataclass(slots=True)
class _Standing:
    """Where an item stands between two facts of a batch. `timings` is the text of that column."""

    state: State
    timings: str | None


def _standings(connection: sqlite3.Connection, ids: set[int]) -> dict[int, _Standing]:
    marks = ",".join("?" * len(ids))
    sql = f"SELECT id, state, timings FROM items WHERE id IN ({marks})"  # noqa: S608 - marks only
    rows = connection.execute(sql, tuple(ids))
    return {row["id"]: _Standing(State(row["state"]), row["timings"]) for row in rows}


def _timings(fact: Fact, before: str | None) -> str | None:
    """The seconds spent in each phase of an item, after a fact."""
    match fact:
        case Fetched():
            return encode_seconds(seconds_by_phase(fact.spans))
        case Requeued():
            return None
        case Partial() | RecheckRequested():
            return before
        case Unchanged():  # what an earlier run reported stays, apart from the phases of this look at the source
            return replace_seconds(before, seconds_by_phase(fact.spans))
        case _:
            return add_seconds(before, seconds_by_phase(fact.spans))


def _statement(fact: Fact) -> tuple[str, Values]:
    """The statement for a fact, and its parameters apart from those that all have: `id`, `state` and `timings`."""
    match fact:
        case Fetched():
            return _FETCHED, _fetched(fact)
        case Partial():
            return _PARTIAL, {"part": json.dumps(asdict(fact.part))}
        case Transformed():
            return _TRANSFORMED, _transformed(fact)
        case Stored():
            return _STORED, _stored(fact)
        case Failed():
            return _FAILED, _failed(fact)
        case Skipped():
            return _SKIPPED, _skipped(fact)
        case Unchanged():
            return _UNCHANGED, _unchanged(fact)
        case Requeued():
            return _REQUEUED, {}
        case RecheckRequested():
            return _RECHECK_REQUESTED, {}


def _fetched(fact: Fetched) -> Values:
    return {
        "path": encode_text(fact.path),
        "staged": int(fact.staged),
        "bytes": fact.bytes,
        "sha256": fact.sha256,
        "media_type": fact.media_type,
        "final_url": fact.final_url,
        "http_status": fact.http_status,
        "attempts": fact.attempts,
        "version": json.dumps(flat(fact.validator)) if fact.validator != _NO_VALIDATOR else None,
    }


def _transformed(fact: Transformed) -> Values:
    return {
        "width": fact.width,
        "height": fact.height,
        "sha256": fact.sha256,
        "warnings": json.dumps(fact.warnings) if fact.warnings else None,
        "perceptual_hash": fact.perceptual_hash,
        "blurhash": fact.blurhash,
    }


def _stored(fact: Stored) -> Values:
    return {
        "outputs": json.dumps([encode_output(output) for output in fact.outputs]),
        "bytes_written": sum(output.bytes for output in fact.outputs),
    }


def _failed(fact: Failed) -> Values:
    return {
        "stage": fact.stage.value,
        "kind": fact.kind.value,
        "message": encode_text(fact.message),
        "http_status": fact.http_status,
        "attempts": fact.attempts,
        "final_url": fact.final_url,
    }


def _skipped(fact: Skipped) -> Values:
    return {
        "stage": fact.stage.value,
        "kind": fact.reason.value,
        "message": encode_text(fact.message),
    }


def _unchanged(fact: Unchanged) -> Values:
    return {"attempts": fact.attempts, "http_status": fact.http_status}
