"""What a user does with predictions: keep one, list the kept ones, look at one again."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from service.errors import PredictionNotFound, RunNotFound
from service.records import Identity, Run, Score, User
from service.storage.protocol import Storage


def remember(
    storage: Storage,
    owner: User,
    picture: bytes,
    media_type: str,
    scores: tuple[Score, ...],
    identity: Identity,
    *,
    now: datetime,
    unsaved_for: timedelta,
) -> Run:
    """Hold a prediction until its user saves it; what waited longer than `unsaved_for` is forgotten.

    The picture and the scores never travel back from the browser, so what is saved is what the model said.
    """
    storage.forget_unsaved(before=now - unsaved_for)
    run = Run(secrets.token_hex(8), owner.id, now, scores, identity.release, identity.model, media_type)
    storage.add_run(run, picture)
    return run


def save(storage: Storage, owner: User, prediction: str, note: str) -> Run:
    """Keep the prediction for good. Saving twice is saving once, with the later note. Raises PredictionNotFound."""
    run = storage.save_run(owner.id, prediction, note.strip()[:500])
    if run is None:
        raise PredictionNotFound(f"no prediction {prediction!r} of yours is waiting to be saved")
    return run


def saved(storage: Storage, owner: User, limit: int = 50) -> tuple[Run, ...]:
    """The newest saved runs of the user, newest first."""
    return storage.saved_runs(owner.id, limit)


def one(storage: Storage, owner: User, run_id: str) -> tuple[Run, bytes]:
    """A run of this user, saved or waiting, with its picture. Raises RunNotFound, also for other users' runs."""
    found = storage.run(owner.id, run_id)
    if found is None:
        raise RunNotFound(f"you have no run {run_id!r}")
    return found
