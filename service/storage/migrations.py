"""The embedded store's schema, step by step. Steps only add, so that the release before can still read and write beside this one.

`PRAGMA user_version` says how many steps a file has taken. While a deploy switches, two releases share the file: a step must not
take away, rename or forbid what the release before uses. What it no longer needs goes one release later.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from service import tallies
from service.errors import ConfigError
from service.storage import rows

FIRST = """
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, password_hash TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    token_hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id), expires_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL REFERENCES users(id), made_at TEXT NOT NULL, scores TEXT NOT NULL,
    release TEXT NOT NULL, model TEXT NOT NULL, media_type TEXT NOT NULL, note TEXT NOT NULL, saved INTEGER NOT NULL,
    picture BLOB NOT NULL) STRICT;
"""
# `users` keeps its three columns: the release before inserts rows without naming them.
SECOND = """
CREATE TABLE profiles (
    user_id TEXT PRIMARY KEY, role TEXT NOT NULL, created_at TEXT NOT NULL, disabled INTEGER NOT NULL) STRICT;
CREATE TABLE api_tokens (
    token_hash TEXT PRIMARY KEY, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL,
    created_at TEXT NOT NULL, expires_at TEXT NOT NULL, last_used_at TEXT) STRICT;
CREATE INDEX api_tokens_of_owner ON api_tokens (owner);
CREATE INDEX sessions_of_user ON sessions (user_id);
ALTER TABLE runs ADD COLUMN width INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN height INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN milliseconds REAL NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN truth TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN saved_at TEXT;
ALTER TABLE runs ADD COLUMN expires_at TEXT;
CREATE INDEX runs_by_time ON runs (owner, saved, made_at DESC, id DESC);
CREATE INDEX runs_that_wait ON runs (expires_at) WHERE saved = 0;
DROP INDEX IF EXISTS runs_of_owner;
CREATE TABLE run_terms (
    owner TEXT NOT NULL, term TEXT NOT NULL, made_at TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (owner, term, made_at, id)) STRICT, WITHOUT ROWID;
CREATE TABLE tallies (
    scope TEXT NOT NULL, day TEXT NOT NULL, release TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (scope, day, release, model, key)) STRICT, WITHOUT ROWID;
CREATE TABLE claims (key TEXT PRIMARY KEY, value TEXT NOT NULL, until TEXT NOT NULL) STRICT;
CREATE TABLE counters (key TEXT PRIMARY KEY, number INTEGER NOT NULL, until TEXT NOT NULL) STRICT;
"""


def _first(db: sqlite3.Connection) -> None:
    _run(db, FIRST)


def _second(db: sqlite3.Connection) -> None:
    _run(db, SECOND)
    now = rows.stamp(datetime.now(UTC))
    db.execute("INSERT INTO profiles SELECT id, 'viewer', ?, 0 FROM users", (now,))
    db.execute("UPDATE runs SET size = length(picture)")
    db.execute("UPDATE runs SET made_at = substr(made_at, 1, 19) || '.000000+00:00' WHERE length(made_at) = 25")
    db.execute("UPDATE runs SET saved_at = made_at WHERE saved = 1")
    for run in rows.saved_runs(db):
        rows.index(db, None, run)
        rows.count(db, run, tallies.change(None, run))


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second)


def migrate(db: sqlite3.Connection) -> None:
    """Take the steps that this file has not taken, each with its number in one transaction.

    A file that has taken more steps than this release knows is used as it is: steps only add. Raises ConfigError when the file says
    that it needs a newer release.
    """
    while True:
        db.execute("BEGIN IMMEDIATE")
        try:
            taken = int(db.execute("PRAGMA user_version").fetchone()[0])
            if taken >= len(STEPS):
                _require_readable(db, taken)
                db.execute("ROLLBACK")
                return
            STEPS[taken](db)
            db.execute(f"PRAGMA user_version = {taken + 1}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _require_readable(db: sqlite3.Connection, taken: int) -> None:
    """A step that takes something away leaves the number of the oldest step that can live with it in application_id."""
    oldest = int(db.execute("PRAGMA application_id").fetchone()[0])
    if oldest > len(STEPS):
        raise ConfigError(f"the database has schema {taken}, for releases that know schema {oldest}; this one knows {len(STEPS)}")


def _run(db: sqlite3.Connection, statements: str) -> None:
    """executescript would commit our transaction first."""
    for statement in statements.split(";"):
        if statement.strip():
            db.execute(statement)
