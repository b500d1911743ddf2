"""SQLite connections: as many as calls at a time, each used by one thread at a time, all in WAL mode."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue

from service.errors import ConfigError, StorageUnavailable

LOCK_SECONDS = 10.0


class Connections:
    """Connections to the database file `path`; `prepare` is called with the first of them, before any other is made."""

    def __init__(self, path: str, prepare: Callable[[sqlite3.Connection], None]) -> None:
        """Raises ConfigError when the file cannot be opened, made or prepared."""
        self._path = path
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        # Writers of one process queue here: SQLite lets those who wait sleep and try again, which is slower and unfair.
        self._writing = threading.Lock()
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with self._borrowed() as db:
                prepare(db)
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise ConfigError(f"the database {path} cannot be used: {error}") from error

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection whose reads all see the same moment. Raises StorageUnavailable."""
        with self._borrowed() as db, _said_plainly():
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction, which is durable once the block has ended. Raises StorageUnavailable."""
        with self._writing, self._borrowed() as db, _said_plainly():
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close what is idle; nothing may be in use."""
        while not self._idle.empty():
            self._idle.get().close()

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
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
        try:
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageUnavailable(f"the database does not answer: {error}") from error


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
