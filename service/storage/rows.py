"""The embedded store's rows, to records and back: every statement that more than one operation needs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from service.records import ApiToken, Role, Run, Scope, Score, User
from service.search import Query, terms_of
from service.storage.protocol import (
    Item,
    StoredClaim,
    StoredCount,
    StoredRun,
    StoredSession,
    StoredToken,
    StoredUser,
)
from service.tallies import Tally, change, scopes_of

Row = tuple[Any, ...]
# Users that the release before made while both were running have no profile.
USERS = "users LEFT JOIN profiles ON profiles.user_id = users.id"
USER = (
    "users.id, users.name, coalesce(profiles.role, 'viewer'), coalesce(profiles.created_at, '2026-01-01T00:00:00.000000+00:00'), "
    "coalesce(profiles.disabled, 0)"
)
TOKEN = ", ".join(
    f"api_tokens.{column}" for column in ("id", "owner", "name", "scopes", "created_at", "expires_at", "last_used_at")
)
TOKEN_WIDTH = 7
RUN = (
    "runs.id, runs.owner, runs.made_at, scores, release, model, media_type, width, height, size, milliseconds, note, truth, "
    "CASE WHEN saved = 1 THEN coalesce(saved_at, runs.made_at) END"
)
# The release before writes no `expires_at`, and forgets what it made itself.
LIVING = "(saved = 1 OR expires_at IS NULL OR expires_at > ?)"


def stamp(at: datetime) -> str:
    """A time as text that sorts as times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def user(row: Row) -> User:
    id, name, role, created_at, disabled = row
    return User(id, name, Role(role), datetime.fromisoformat(created_at), bool(disabled))


def token(row: Row) -> ApiToken:
    id, owner, name, scopes, created_at, expires_at, last_used_at = row
    used = datetime.fromisoformat(last_used_at) if last_used_at else None
    given = tuple(Scope(scope) for scope in scopes.split())
    return ApiToken(id, owner, name, given, datetime.fromisoformat(created_at), datetime.fromisoformat(expires_at), used)


def run(row: Row) -> Run:
    id, owner, made_at, scores, release, model, media_type, width, height, size, milliseconds, note, truth, saved_at = row
    made, kept = datetime.fromisoformat(made_at), datetime.fromisoformat(saved_at) if saved_at else None
    told = tuple(Score(*score) for score in json.loads(scores))
    return Run(id, owner, made, told, release, model, media_type, width, height, size, milliseconds, note, truth, kept)


def insert_user(db: sqlite3.Connection, user: User, password_hash: str) -> None:
    """Raises IntegrityError when the name is taken."""
    db.execute("INSERT INTO users VALUES (?, ?, ?)", (user.id, user.name, password_hash))
    db.execute("INSERT INTO profiles VALUES (?, ?, ?, ?)", (user.id, user.role, stamp(user.created_at), int(user.disabled)))


def change_user(
    db: sqlite3.Connection, user: User, stored: str, role: Role | None, disabled: bool | None, password_hash: str | None
) -> User:
    """The user as changed; `stored` is the password hash so far, None leaves a field as it is."""
    changed = User(
        user.id,
        user.name,
        user.role if role is None else role,
        user.created_at,
        user.disabled if disabled is None else disabled,
    )
    values = (changed.id, changed.role, stamp(changed.created_at), int(changed.disabled))
    db.execute("INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?)", values)
    db.execute("UPDATE users SET password_hash = ? WHERE id = ?", (password_hash or stored, user.id))
    return changed


def insert_token(db: sqlite3.Connection, token: ApiToken, token_hash: str) -> None:
    times = [stamp(at) if at else None for at in (token.created_at, token.expires_at, token.last_used_at)]
    values = (token_hash, token.id, token.owner, token.name, " ".join(token.scopes), *times)
    db.execute("INSERT INTO api_tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def insert_run(db: sqlite3.Connection, run: Run, expires_at: datetime | None) -> None:
    """The run as it is, with its index if it is saved."""
    scores = json.dumps([(s.label, s.index, s.probability) for s in run.scores])
    db.execute(
        "INSERT INTO runs (id, owner, made_at, scores, release, model, media_type, width, height, size, milliseconds, note, truth, "
        "saved, saved_at, expires_at, picture) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, x'')",
        (
            run.id, run.owner, stamp(run.made_at), scores, run.release, run.model, run.media_type, run.width, run.height, run.size,
            run.milliseconds, run.note, run.truth, int(run.saved), stamp(run.saved_at) if run.saved_at else None,
            stamp(expires_at) if expires_at else None,
        ),
    )  # fmt: skip
    if run.saved:
        index(db, None, run)


def keep_run(db: sqlite3.Connection, before: Run, after: Run) -> None:
    """Write a save: note, truth, time, and the index."""
    assert after.saved_at is not None
    db.execute(
        "UPDATE runs SET saved = 1, saved_at = ?, expires_at = NULL, note = ?, truth = ? WHERE id = ?",
        (stamp(after.saved_at), after.note, after.truth, after.id),
    )
    index(db, before if before.saved else None, after)


def delete_run(db: sqlite3.Connection, run: Run) -> None:
    """Take the run and its index away."""
    index(db, run, None)
    db.execute("DELETE FROM runs WHERE id = ?", (run.id,))


def change_owner(db: sqlite3.Connection, run: Run, owner: str) -> None:
    """Give a guest's unsaved run to a user; it counts for that user from now on."""
    changed = replace(run, owner=owner)
    db.execute("UPDATE runs SET owner = ? WHERE id = ?", (owner, run.id))
    count_in(db, owner, changed, change(None, changed))


def index(db: sqlite3.Connection, before: Run | None, after: Run | None) -> None:
    """Make a saved run findable under its terms, and no longer under those that it had before."""
    old, new = (_entries(run) if run else set() for run in (before, after))
    db.executemany("DELETE FROM run_terms WHERE owner = ? AND term = ? AND made_at = ? AND id = ?", sorted(old - new))
    db.executemany("INSERT OR IGNORE INTO run_terms VALUES (?, ?, ?, ?)", sorted(new))


def is_indexed(db: sqlite3.Connection, run: Run) -> bool:
    """Whether the saved run can be found under every term that it has."""
    query = "SELECT 1 FROM run_terms WHERE owner = ? AND term = ? AND made_at = ? AND id = ?"
    return all(db.execute(query, entry).fetchone() for entry in _entries(run))


def _entries(run: Run) -> set[tuple[str, str, str, str]]:
    return {(run.owner, term, stamp(run.made_at), run.id) for term in terms_of(run)}


def living_run(db: sqlite3.Connection, owner: str, run_id: str, now: datetime) -> Run | None:
    """The owner's run, unless it has expired unsaved."""
    query = f"SELECT {RUN} FROM runs WHERE owner = ? AND id = ? AND {LIVING}"
    row = db.execute(query, (owner, run_id, stamp(now))).fetchone()
    return run(row) if row else None


def any_run(db: sqlite3.Connection, owner: str, run_id: str) -> Run | None:
    """The owner's run, expired or not."""
    row = db.execute(f"SELECT {RUN} FROM runs WHERE owner = ? AND id = ?", (owner, run_id)).fetchone()
    return run(row) if row else None


def waiting_runs(db: sqlite3.Connection, owner: str, now: datetime) -> list[Run]:
    """The owner's unsaved runs that have not expired."""
    query = f"SELECT {RUN} FROM runs WHERE owner = ? AND saved = 0 AND {LIVING} ORDER BY runs.made_at"
    return [run(row) for row in db.execute(query, (owner, stamp(now))).fetchall()]


def saved_runs(db: sqlite3.Connection) -> Iterator[Run]:
    """Every saved run of everybody."""
    return (run(row) for row in db.execute(f"SELECT {RUN} FROM runs WHERE saved = 1").fetchall())


def listed(db: sqlite3.Connection, owner: str, query: Query) -> Generator[Run, None, None]:
    """The runs that stand in the query's index, within its times, newest first."""
    table = "run_terms JOIN runs ON runs.id = run_terms.id" if query.term else "runs"
    place = "run_terms" if query.term else "runs"
    conditions, values = [f"{place}.owner = ?"], [owner]
    if query.term:
        conditions.append("term = ?")
        values.append(query.term)
    else:
        conditions.append("saved = 1")
    if query.since:
        conditions.append(f"{place}.made_at >= ?")
        values.append(stamp(query.since))
    if query.until:
        conditions.append(f"{place}.made_at < ?")
        values.append(stamp(query.until))
    if query.after:
        conditions.append(f"({place}.made_at, {place}.id) < (?, ?)")
        values += [stamp(query.after.made_at), query.after.id]
    order = f"ORDER BY {place}.made_at DESC, {place}.id DESC"
    for row in db.execute(f"SELECT {RUN} FROM {table} WHERE {' AND '.join(conditions)} {order}", values):
        yield run(row)


def count(db: sqlite3.Connection, run: Run, changes: Mapping[str, int]) -> None:
    """Add the changes to every tally that the run counts in."""
    for scope in scopes_of(run):
        count_in(db, scope, run, changes)


def count_in(db: sqlite3.Connection, scope: str, run: Run, changes: Mapping[str, int]) -> None:
    """Add the changes to the scope's tally of the run's day, release and model."""
    add_counts(db, Tally(scope, run.made_at.astimezone(UTC).date(), run.release, run.model, changes))


def add_counts(db: sqlite3.Connection, tally: Tally) -> None:
    """Add a tally's counts to those that are kept."""
    statement = "INSERT INTO tallies VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET number = number + excluded.number"
    place = (tally.scope, tally.day.isoformat(), tally.release, tally.model)
    db.executemany(statement, [(*place, key, number) for key, number in tally.counts.items()])


def tallies(db: sqlite3.Connection, scope: str, first: date, last: date) -> tuple[Tally, ...]:
    """As Runs.tallies says."""
    query = (
        "SELECT scope, day, release, model, key, number FROM tallies WHERE scope = ? AND day BETWEEN ? AND ? AND number != 0 "
        "ORDER BY scope, day, release, model, key"
    )
    return tuple(_tallies(db.execute(query, (scope, first.isoformat(), last.isoformat()))))


def _tallies(found: Iterable[Row]) -> Iterator[Tally]:
    for (scope, day, release, model), group in groupby(found, key=itemgetter(0, 1, 2, 3)):
        yield Tally(scope, date.fromisoformat(day), release, model, {row[4]: row[5] for row in group})


def items(db: sqlite3.Connection) -> Iterator[Item]:
    """As Upkeep.items says."""
    for row in db.execute(f"SELECT {USER}, password_hash FROM {USERS} ORDER BY name"):
        yield StoredUser(user(row[:-1]), row[-1])
    for row in db.execute("SELECT token_hash, user_id, expires_at FROM sessions"):
        yield StoredSession(row[0], row[1], datetime.fromisoformat(row[2]))
    for row in db.execute(f"SELECT {TOKEN}, token_hash FROM api_tokens"):
        yield StoredToken(token(row[:-1]), row[-1])
    for row in db.execute(f"SELECT {RUN}, expires_at FROM runs ORDER BY owner, runs.made_at"):
        yield StoredRun(run(row[:-1]), datetime.fromisoformat(row[-1]) if row[-1] else None)
    for row in db.execute("SELECT key, value, until FROM claims"):
        yield StoredClaim(row[0], row[1], datetime.fromisoformat(row[2]))
    for row in db.execute("SELECT key, number, until FROM counters"):
        yield StoredCount(row[0], row[1], datetime.fromisoformat(row[2]))
    order = "ORDER BY scope, day, release, model, key"
    yield from _tallies(db.execute(f"SELECT scope, day, release, model, key, number FROM tallies WHERE number != 0 {order}"))


def without_user(db: sqlite3.Connection) -> Iterator[str]:
    """What belongs to a user that is not there. Guests' runs are never saved."""
    for table, column in (("sessions", "user_id"), ("api_tokens", "owner"), ("profiles", "user_id")):
        for row in db.execute(f"SELECT {column} FROM {table} WHERE {column} NOT IN (SELECT id FROM users)").fetchall():
            yield f"a row of {table} belongs to {row[0]}, who is no user"
    for row in db.execute("SELECT id, owner FROM runs WHERE saved = 1 AND owner NOT IN (SELECT id FROM users)").fetchall():
        yield f"run {row[0]} belongs to {row[1]}, who is no user"
