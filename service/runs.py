"""What a user does with predictions: keep one, say what it really shows, find the kept ones again, let one go."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

from service.errors import KeyReused, PredictionNotFound, RunNotFound, TooManyRuns, UnknownLabel
from service.records import Identity, Pictures, Run, Score
from service.storage.protocol import Storage

LONGEST_NOTE = 500
KEY_LIFETIME = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is said with a save: None leaves note or truth as it is; `key` makes the request one that can be sent again."""

    note: str | None = None
    truth: str | None = None
    key: str | None = None


def remember(
    storage: Storage,
    owner: str,
    scores: tuple[Score, ...],
    pictures: Pictures,
    identity: Identity,
    *,
    milliseconds: float,
    now: datetime,
    unsaved_for: timedelta,
) -> Run:
    """Hold a prediction until its user saves it, or it is forgotten.

    The picture and the scores never travel back from the browser, so what is saved is what the model said.
    """
    run = Run(
        secrets.token_hex(16), owner, now, scores, identity.release, identity.model, pictures.media_type, pictures.width,
        pictures.height, len(pictures.picture), milliseconds,
    )  # fmt: skip
    storage.add_run(run, pictures, now + unsaved_for)
    return run


def save(storage: Storage, owner: str, run_id: str, keeping: Keeping, labels: Sequence[str], *, per_day: int, now: datetime) -> Run:
    """Keep the prediction for good; saving twice is saving once, with what was said last.

    A request with a key that was used before changes nothing and gives the run as it is. Raises PredictionNotFound, UnknownLabel,
    TooManyRuns, or KeyReused when the key came with another request.
    """
    note = None if keeping.note is None else keeping.note.strip()[:LONGEST_NOTE]
    truth = None if keeping.truth is None else known_label(keeping.truth, labels)
    before = storage.run(owner, run_id, now)
    if before is None:
        raise PredictionNotFound(f"no prediction {run_id!r} of yours is waiting to be saved")
    if keeping.key is not None:
        asked = hashlib.sha256(repr((run_id, note, truth)).encode()).hexdigest()
        key = "save:" + hashlib.sha256(f"{owner}\0{keeping.key}".encode()).hexdigest()
        if (first := storage.claimed(key, now)) is not None and first == asked and before.saved:
            return before
        if storage.claim(key, asked, until=now + KEY_LIFETIME, now=now) != asked:
            raise KeyReused("this idempotency key was used for another request")
    if not before.saved and saved_today(storage, owner, now=now) >= per_day:
        raise TooManyRuns(f"you have saved {per_day:,} runs today, as many as one may")
    run = storage.save_run(owner, run_id, note=note, truth=truth, now=now)
    if run is None:
        raise PredictionNotFound(f"no prediction {run_id!r} of yours is waiting to be saved")
    return run


def change(storage: Storage, owner: str, run_id: str, keeping: Keeping, labels: Sequence[str], *, now: datetime) -> Run:
    """Say something else of a saved run. Raises RunNotFound or UnknownLabel."""
    one(storage, owner, run_id, now=now)
    return save(storage, owner, run_id, keeping, labels, per_day=0, now=now)


def saved_today(storage: Storage, owner: str, *, now: datetime) -> int:
    """How many of today's predictions the owner has saved."""
    today = now.astimezone(UTC).date()
    return sum(tally.counts.get("saved", 0) for tally in storage.tallies(owner, today, today))


def one(storage: Storage, owner: str, run_id: str, *, now: datetime) -> Run:
    """A saved run of this user. Raises RunNotFound, also for others' runs."""
    run = storage.run(owner, run_id, now)
    if run is None or not run.saved:
        raise RunNotFound(f"you have no run {run_id!r}")
    return run


def delete(storage: Storage, owner: str, run_id: str) -> None:
    """Let a run go, with its pictures and its part in every count. Raises RunNotFound."""
    if not storage.delete_run(owner, run_id):
        raise RunNotFound(f"you have no run {run_id!r}")


def known_label(text: str, labels: Sequence[str]) -> str:
    """The model's label that is meant, whatever its case; "" stays "". Raises UnknownLabel, with the nearest ones."""
    wanted = " ".join(text.split())
    if not wanted:
        return ""
    by_folded = {label.casefold(): label for label in reversed(labels)}
    if label := by_folded.get(wanted.casefold()):
        return label
    near = get_close_matches(wanted.casefold(), by_folded, n=3)
    hint = f"; near are {', '.join(by_folded[name] for name in near)}" if near else ""
    raise UnknownLabel(f"the model has no label {wanted[:100]!r}{hint}")
