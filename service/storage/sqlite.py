"""The embedded store: one SQLite file in WAL mode and a folder of pictures, shared by the processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

from service import tallies
from service.errors import NameTaken
from service.records import ApiToken, Pictures, Role, Run, User
from service.search import Page, Query, place_of
from service.storage import rows
from service.storage.connections import Connections
from service.storage.files import Files
from service.storage.migrations import migrate
from service.storage.protocol import (
    Item,
    Kind,
    StoredClaim,
    StoredCount,
    StoredRun,
    StoredSession,
    StoredToken,
    StoredUser,
)
from service.tallies import Tally

READ_AT_ONCE = 200  # index entries of one page's search, at most


class SqliteStorage:
    """Every method is one transaction. Pictures are whole on disk before the row that speaks of them, and go after it."""

    def __init__(self, path: str) -> None:
        """Open the file `path` and the folder `path`.files, or make them. Raises ConfigError when neither can be done."""
        self._connections = Connections(path, migrate)
        self._files = Files(Path(path + ".files"))

    def add_user(self, user: User, password_hash: str) -> None:
        try:
            with self._connections.write() as db:
                rows.insert_user(db, user, password_hash)
        except sqlite3.IntegrityError as error:
            raise NameTaken(f"the name {user.name!r} is taken") from error

    def find_user(self, name: str) -> tuple[User, str] | None:
        row = self._one(f"SELECT {rows.USER}, password_hash FROM {rows.USERS} WHERE name = ?", name)
        return (rows.user(row[:-1]), row[-1]) if row else None

    def user(self, user_id: str) -> User | None:
        row = self._one(f"SELECT {rows.USER} FROM {rows.USERS} WHERE users.id = ?", user_id)
        return rows.user(row) if row else None

    def users(self, after: str, limit: int) -> tuple[User, ...]:
        query = f"SELECT {rows.USER} FROM {rows.USERS} WHERE name > ? ORDER BY name LIMIT ?"
        return tuple(rows.user(row) for row in self._all(query, after, limit))

    def change_user(
        self, user_id: str, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
    ) -> User | None:
        with self._connections.write() as db:
            row = db.execute(f"SELECT {rows.USER}, password_hash FROM {rows.USERS} WHERE users.id = ?", (user_id,)).fetchone()
            if row is None:
                return None
            return rows.change_user(db, rows.user(row[:-1]), row[-1], role, disabled, password_hash)

    def admins(self) -> int:
        row = self._one("SELECT count(*) FROM profiles WHERE role = 'admin' AND disabled = 0")
        return int(row[0]) if row else 0

    def delete_user(self, user_id: str) -> bool:
        with self._connections.write() as db:
            gone = [row[0] for row in db.execute("SELECT id FROM runs WHERE owner = ?", (user_id,))]
            for table, column in (
                ("runs", "owner"), ("run_terms", "owner"), ("tallies", "scope"), ("sessions", "user_id"),
                ("api_tokens", "owner"), ("profiles", "user_id"),
            ):  # fmt: skip
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (user_id,))
            found = db.execute("DELETE FROM users WHERE id = ?", (user_id,)).rowcount
        for run_id in gone:
            self._files.remove(run_id)
        return bool(found)

    def add_session(self, token_hash: str, user_id: str, expires_at: datetime) -> None:
        self._do("INSERT INTO sessions VALUES (?, ?, ?)", token_hash, user_id, rows.stamp(expires_at))

    def session_user(self, token_hash: str, now: datetime) -> User | None:
        row = self._one(
            f"SELECT {rows.USER} FROM {rows.USERS} JOIN sessions ON sessions.user_id = users.id "
            "WHERE token_hash = ? AND expires_at > ?",
            token_hash,
            rows.stamp(now),
        )
        return rows.user(row) if row else None

    def end_session(self, token_hash: str) -> None:
        self._do("DELETE FROM sessions WHERE token_hash = ?", token_hash)

    def end_sessions(self, user_id: str) -> None:
        self._do("DELETE FROM sessions WHERE user_id = ?", user_id)

    def add_token(self, token: ApiToken, token_hash: str) -> None:
        with self._connections.write() as db:
            rows.insert_token(db, token, token_hash)

    def find_token(self, token_hash: str, now: datetime) -> tuple[ApiToken, User] | None:
        row = self._one(
            f"SELECT {rows.TOKEN}, {rows.USER} FROM {rows.USERS} JOIN api_tokens ON api_tokens.owner = users.id "
            "WHERE token_hash = ? AND expires_at > ?",
            token_hash,
            rows.stamp(now),
        )
        return (rows.token(row[: rows.TOKEN_WIDTH]), rows.user(row[rows.TOKEN_WIDTH :])) if row else None

    def tokens(self, owner: str) -> tuple[ApiToken, ...]:
        found = self._all(
            f"SELECT {rows.TOKEN} FROM api_tokens WHERE owner = ? ORDER BY api_tokens.created_at, api_tokens.id", owner
        )
        return tuple(rows.token(row) for row in found)

    def touch_token(self, token_hash: str, at: datetime) -> None:
        self._do("UPDATE api_tokens SET last_used_at = ? WHERE token_hash = ?", rows.stamp(at), token_hash)

    def revoke_token(self, owner: str, token_id: str) -> bool:
        return self._do("DELETE FROM api_tokens WHERE owner = ? AND id = ?", owner, token_id) == 1

    def add_run(self, run: Run, pictures: Pictures, expires_at: datetime) -> None:
        self._files.write(run.id, pictures)
        with self._connections.write() as db:
            rows.insert_run(db, run, expires_at)
            rows.count(db, run, tallies.change(None, run))

    def run(self, owner: str, run_id: str, now: datetime) -> Run | None:
        with self._connections.read() as db:
            return rows.living_run(db, owner, run_id, now)

    def save_run(self, owner: str, run_id: str, *, note: str | None, truth: str | None, now: datetime) -> Run | None:
        if self.run(owner, run_id, now) is None:
            return None
        self._files.settle(run_id)  # on disk before the row says so
        with self._connections.write() as db:
            before = rows.living_run(db, owner, run_id, now)
            if before is None:
                return None
            after = before.kept(now, note, truth)
            rows.keep_run(db, before, after)
            rows.count(db, after, tallies.change(before, after))
            return after

    def runs(self, owner: str, query: Query) -> Page:
        found: list[Run] = []
        read, last = 0, None
        with self._connections.read() as db, closing(rows.listed(db, owner, query)) as entries:
            for run in entries:
                if last and (len(found) == query.limit or read == READ_AT_ONCE + query.limit):
                    return Page(tuple(found), place_of(last))
                read, last = read + 1, run
                if query.wants(run):
                    found.append(run)
        return Page(tuple(found), None)

    def picture(self, owner: str, run_id: str, kind: Kind, now: datetime) -> bytes | None:
        if self.run(owner, run_id, now) is None:
            return None
        return self._files.read(run_id, kind) or self._old_picture(run_id)

    def picture_url(self, owner: str, run_id: str, kind: Kind, now: datetime) -> str | None:
        return None

    def picture_origins(self) -> tuple[str, ...]:
        return ()

    def delete_run(self, owner: str, run_id: str) -> bool:
        with self._connections.write() as db:
            run = rows.any_run(db, owner, run_id)
            if run is None:
                return False
            rows.delete_run(db, run)
            rows.count(db, run, tallies.change(run, None))
        self._files.remove(run_id)
        return True

    def adopt_runs(self, guest: str, owner: str, now: datetime) -> int:
        with self._connections.write() as db:
            waiting = rows.waiting_runs(db, guest, now)
            for run in waiting:
                rows.change_owner(db, run, owner)
        return len(waiting)

    def tallies(self, scope: str, first: date, last: date) -> tuple[Tally, ...]:
        with self._connections.read() as db:
            return rows.tallies(db, scope, first, last)

    def claim(self, key: str, value: str, *, until: datetime, now: datetime) -> str:
        with self._connections.write() as db:
            db.execute("DELETE FROM claims WHERE key = ? AND until <= ?", (key, rows.stamp(now)))
            db.execute("INSERT OR IGNORE INTO claims VALUES (?, ?, ?)", (key, value, rows.stamp(until)))
            return str(db.execute("SELECT value FROM claims WHERE key = ?", (key,)).fetchone()[0])

    def claimed(self, key: str, now: datetime) -> str | None:
        row = self._one("SELECT value FROM claims WHERE key = ? AND until > ?", key, rows.stamp(now))
        return str(row[0]) if row else None

    def release(self, key: str, value: str, now: datetime) -> bool:
        return self._do("DELETE FROM claims WHERE key = ? AND value = ? AND until > ?", key, value, rows.stamp(now)) == 1

    def count(self, key: str, *, until: datetime, now: datetime, by: int = 1) -> int:
        if by == 0:
            row = self._one("SELECT number FROM counters WHERE key = ? AND until > ?", key, rows.stamp(now))
            return int(row[0]) if row else 0
        with self._connections.write() as db:
            db.execute("DELETE FROM counters WHERE key = ? AND until <= ?", (key, rows.stamp(now)))
            added = "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET number = number + ? RETURNING number"
            return int(db.execute(added, (key, by, rows.stamp(until), by)).fetchone()[0])

    def forget_expired(self, now: datetime) -> None:
        at = rows.stamp(now)
        with self._connections.write() as db:
            gone = [row[0] for row in db.execute("DELETE FROM runs WHERE saved = 0 AND expires_at <= ? RETURNING id", (at,))]
            db.execute("DELETE FROM sessions WHERE expires_at <= ?", (at,))
            db.execute("DELETE FROM claims WHERE until <= ?", (at,))
            db.execute("DELETE FROM counters WHERE until <= ?", (at,))
        for run_id in [*gone, *self._stray(self._files.ids(waiting_only=True))]:
            self._files.remove(run_id)

    def items(self) -> Iterator[Item]:
        with self._connections.read() as db:
            yield from rows.items(db)

    def pictures(self, run: Run) -> Pictures | None:
        picture = self._files.read(run.id, "picture") or self._old_picture(run.id)
        thumbnail = self._files.read(run.id, "thumbnail")
        if picture is None:
            return None
        return Pictures(picture, thumbnail or b"", run.media_type, run.width, run.height)

    def put(self, item: Item, pictures: Pictures | None = None) -> None:
        if isinstance(item, StoredRun) and pictures:
            self._files.write(item.run.id, pictures)
            self._files.settle(item.run.id)
        with self._connections.write() as db:
            match item:
                case StoredUser(user, password_hash):
                    rows.insert_user(db, user, password_hash)
                case StoredSession(token_hash, user_id, expires_at):
                    db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (token_hash, user_id, rows.stamp(expires_at)))
                case StoredToken(token, token_hash):
                    rows.insert_token(db, token, token_hash)
                case StoredRun(run, expires_at):
                    rows.insert_run(db, run, expires_at)
                case StoredClaim(key, value, until):
                    db.execute("INSERT INTO claims VALUES (?, ?, ?)", (key, value, rows.stamp(until)))
                case StoredCount(key, number, until):
                    db.execute("INSERT INTO counters VALUES (?, ?, ?)", (key, number, rows.stamp(until)))
                case Tally():
                    rows.add_counts(db, item)

    def problems(self, *, mend: bool) -> Iterator[str]:
        with self._connections.read() as db:
            saved = list(rows.saved_runs(db))
            lost = [run for run in saved if not rows.is_indexed(db, run)]
            yield from rows.without_user(db)
        for run in saved:
            if self.pictures(run) is None:
                yield f"run {run.id} has lost its picture"
        for run in lost:
            yield f"run {run.id} cannot be found by all of its labels"
        if mend and lost:
            with self._connections.write() as db:
                for run in lost:
                    if rows.any_run(db, run.owner, run.id) == run:
                        rows.index(db, None, run)
        for run_id in self._stray(self._files.ids()):
            yield f"the pictures {run_id} belong to no run"
            if mend:
                self._files.remove(run_id)

    def close(self) -> None:
        self._connections.close()

    def _stray(self, ids: Iterator[str]) -> Iterator[str]:
        """Those that are of no run: a kill came between files and row, or between row and files."""
        return (run_id for run_id in ids if self._one("SELECT 1 FROM runs WHERE id = ?", run_id) is None)

    def _old_picture(self, run_id: str) -> bytes | None:
        """Releases before schema 1 kept pictures in the row."""
        row = self._one("SELECT picture FROM runs WHERE id = ?", run_id)
        return bytes(row[0]) if row and row[0] else None

    def _do(self, query: str, *values: object) -> int:
        with self._connections.write() as db:
            return db.execute(query, values).rowcount

    def _all(self, query: str, *values: object) -> list[rows.Row]:
        with self._connections.read() as db:
            return db.execute(query, values).fetchall()

    def _one(self, query: str, *values: object) -> rows.Row | None:
        found = self._all(query, *values)
        return found[0] if found else None
