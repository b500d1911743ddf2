"""The embedded store: one SQLite file in WAL mode, shared by the processes of one machine."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any

from service.errors import ConfigError, NameTaken
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
    """As many connections as calls at a time, each used by one thread at a time; every statement is its own transaction."""

    def __init__(self, path: str) -> None:
        """Open the file, or make it. Raises ConfigError when neither can be done."""
        self._path = path
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with self._connection() as db:
                db.executescript(SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"the database {path} cannot be used: {error}") from error

    def add_user(self, user: User, password_hash: str) -> None:
        try:
            self._do("INSERT INTO users VALUES (?, ?, ?)", (user.id, user.name, password_hash))
        except sqlite3.IntegrityError as error:
            raise NameTaken(f"the name {user.name!r} is taken") from error

    def find_user(self, name: str) -> tuple[User, str] | None:
        row = self._one("SELECT id, name, password_hash FROM users WHERE name = ?", name)
        return (User(row[0], row[1]), row[2]) if row else None

    def add_session(self, token_hash: str, user_id: str, expires_at: datetime) -> None:
        self._do("INSERT INTO sessions VALUES (?, ?, ?)", (token_hash, user_id, expires_at.isoformat()))

    def session_user(self, token_hash: str, now: datetime) -> User | None:
        row = self._one(
            "SELECT users.id, users.name FROM sessions JOIN users ON users.id = user_id WHERE token_hash = ? AND expires_at > ?",
            token_hash,
            now.isoformat(),
        )
        return User(*row) if row else None

    def end_session(self, token_hash: str) -> None:
        self._do("DELETE FROM sessions WHERE token_hash = ?", (token_hash,))

    def end_expired_sessions(self, now: datetime) -> None:
        self._do("DELETE FROM sessions WHERE expires_at <= ?", (now.isoformat(),))

    def add_run(self, run: Run, picture: bytes) -> None:
        scores = json.dumps([(s.label, s.index, s.probability) for s in run.scores])
        made = run.made_at.isoformat()
        values = (run.id, run.owner, made, scores, run.release, run.model, run.media_type, run.note, int(run.saved), picture)
        self._do(f"INSERT INTO runs ({RUN_COLUMNS}, picture) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def save_run(self, owner: str, run_id: str, note: str) -> Run | None:
        self._do("UPDATE runs SET saved = 1, note = ? WHERE owner = ? AND id = ?", (note, owner, run_id))
        found = self.run(owner, run_id)
        return found[0] if found else None

    def saved_runs(self, owner: str, limit: int) -> tuple[Run, ...]:
        query = f"SELECT {RUN_COLUMNS} FROM runs WHERE owner = ? AND saved = 1 ORDER BY made_at DESC, id LIMIT ?"
        return tuple(_run(row) for row in self._all(query, (owner, limit)))

    def run(self, owner: str, run_id: str) -> tuple[Run, bytes] | None:
        row = self._one(f"SELECT {RUN_COLUMNS}, picture FROM runs WHERE owner = ? AND id = ?", owner, run_id)
        return (_run(row[:-1]), row[-1]) if row else None

    def forget_unsaved(self, before: datetime) -> None:
        self._do("DELETE FROM runs WHERE saved = 0 AND made_at < ?", (before.isoformat(),))

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """An idle connection, or a new one, for the time of the block."""
        try:
            connection = self._idle.get_nowait()
        except Empty:
            connection = self._connect()
        try:
            yield connection
        finally:
            self._idle.put(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        _use_wal(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _do(self, query: str, values: tuple[object, ...]) -> None:
        with self._connection() as db:
            db.execute(query, values)

    def _all(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._connection() as db:
            return db.execute(query, values).fetchall()

    def _one(self, query: str, *values: str) -> tuple[Any, ...] | None:
        rows = self._all(query, values)
        return rows[0] if rows else None


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite's busy timeout does not cover this switch, so processes that start together wait here."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
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
