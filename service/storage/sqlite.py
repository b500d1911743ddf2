"""The embedded store: one SQLite file in WAL mode, shared by the processes of one machine."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from service.errors import NameTaken
from service.records import Run, Score, User

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, password_hash TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    token_hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id), expires_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL REFERENCES users(id), made_at TEXT NOT NULL, scores TEXT NOT NULL,
    release TEXT NOT NULL, model TEXT NOT NULL, media_type TEXT NOT NULL, note TEXT NOT NULL, saved INTEGER NOT NULL,
    picture BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS runs_of_owner ON runs (owner, saved, made_at);
"""
RUN_COLUMNS = "id, owner, made_at, scores, release, model, media_type, note, saved"
LOCK_SECONDS = 10.0


class SqliteStorage:
    """One connection per thread, every statement its own transaction; writers queue on SQLite's own lock for up to ten seconds."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._opening = threading.Lock()
        self._connection().executescript(SCHEMA)

    def add_user(self, user: User, password_hash: str) -> None:
        try:
            self._connection().execute("INSERT INTO users VALUES (?, ?, ?)", (user.id, user.name, password_hash))
        except sqlite3.IntegrityError as error:
            raise NameTaken(f"the name {user.name!r} is taken") from error

    def find_user(self, name: str) -> tuple[User, str] | None:
        row = self._one("SELECT id, name, password_hash FROM users WHERE name = ?", name)
        return (User(row[0], row[1]), row[2]) if row else None

    def add_session(self, token_hash: str, user_id: str, expires_at: datetime) -> None:
        self._connection().execute("INSERT INTO sessions VALUES (?, ?, ?)", (token_hash, user_id, expires_at.isoformat()))

    def session_user(self, token_hash: str, now: datetime) -> User | None:
        row = self._one(
            "SELECT users.id, users.name FROM sessions JOIN users ON users.id = user_id WHERE token_hash = ? AND expires_at > ?",
            token_hash,
            now.isoformat(),
        )
        return User(*row) if row else None

    def end_session(self, token_hash: str) -> None:
        self._connection().execute("DELETE FROM sessions WHERE token_hash = ?", (token_hash,))

    def add_run(self, run: Run, picture: bytes) -> None:
        scores = json.dumps([(s.label, s.index, s.probability) for s in run.scores])
        made = run.made_at.isoformat()
        values = (run.id, run.owner, made, scores, run.release, run.model, run.media_type, run.note, int(run.saved), picture)
        self._connection().execute(f"INSERT INTO runs ({RUN_COLUMNS}, picture) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def save_run(self, owner: str, run_id: str, note: str) -> Run | None:
        self._connection().execute("UPDATE runs SET saved = 1, note = ? WHERE owner = ? AND id = ?", (note, owner, run_id))
        found = self.run(owner, run_id)
        return found[0] if found else None

    def saved_runs(self, owner: str, limit: int) -> tuple[Run, ...]:
        query = f"SELECT {RUN_COLUMNS} FROM runs WHERE owner = ? AND saved = 1 ORDER BY made_at DESC, id LIMIT ?"
        return tuple(_run(row) for row in self._connection().execute(query, (owner, limit)))

    def run(self, owner: str, run_id: str) -> tuple[Run, bytes] | None:
        row = self._one(f"SELECT {RUN_COLUMNS}, picture FROM runs WHERE owner = ? AND id = ?", owner, run_id)
        return (_run(row[:-1]), row[-1]) if row else None

    def forget_unsaved(self, before: datetime) -> None:
        self._connection().execute("DELETE FROM runs WHERE saved = 0 AND made_at < ?", (before.isoformat(),))

    def close(self) -> None:
        with self._opening:
            for connection in self._open:
                connection.close()
            self._open.clear()

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(self._path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
            _use_wal(found)
            found.execute("PRAGMA foreign_keys = ON")
            self._local.connection = found
            with self._opening:
                self._open.append(found)
        return found

    def _one(self, query: str, *values: str) -> tuple[Any, ...] | None:
        with closing(self._connection().execute(query, values)) as cursor:
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite's busy timeout does not cover this switch, so processes that start together wait here."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _run(row: tuple[Any, ...]) -> Run:
    id, owner, made_at, scores, release, model, media_type, note, saved = row
    return Run(
        id,
        owner,
        datetime.fromisoformat(made_at),
        tuple(Score(*score) for score in json.loads(scores)),
        release,
        model,
        media_type,
        note,
        bool(saved),
    )
