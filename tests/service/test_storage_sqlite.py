"""What is true of the embedded store alone: a file that processes share, pictures beside it, releases that share it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.errors import ConfigError, StorageUnavailable
from service.records import Pictures, Role, Run, Score, User
from service.search import Query
from service.storage.connections import Connections
from service.storage.migrations import STEPS
from service.storage.sqlite import SqliteStorage

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
PICTURES = Pictures(b"a picture", b"a thumbnail", "image/jpeg", 3, 2)
RUN = Run("r1", "a1", NOW, (Score("cat", 281, 0.9),), "release", "model", "image/jpeg", 3, 2, 9, 5.0)

# The release before schema 2, as it was: its tables, and every statement that it made.
OLD_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, password_hash TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    token_hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id), expires_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL REFERENCES users(id), made_at TEXT NOT NULL, scores TEXT NOT NULL,
    release TEXT NOT NULL, model TEXT NOT NULL, media_type TEXT NOT NULL, note TEXT NOT NULL, saved INTEGER NOT NULL,
    picture BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS runs_of_owner ON runs (owner, saved, made_at);
"""
OLD_RUN = (
    "INSERT INTO runs (id, owner, made_at, scores, release, model, media_type, note, saved, picture) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
OLD_LIST = (
    "SELECT id, owner, made_at, scores, release, model, media_type, note, saved FROM runs "
    "WHERE owner = ? AND saved = 1 ORDER BY made_at DESC, id LIMIT ?"
)


def old_values(run_id: str, at: datetime, saved: int = 1) -> tuple[object, ...]:
    return (run_id, "a1", at.isoformat(), '[["tabby cat", 281, 0.75]]', "old", "model", "image/png", "", saved, b"old picture")


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A database that the release before made and filled."""
    path = tmp_path / "service.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(OLD_SCHEMA)
        db.execute("INSERT INTO users VALUES ('a1', 'ada', 'hash')")
        db.execute("INSERT INTO sessions VALUES ('token', 'a1', ?)", (LATER.isoformat(),))
        db.execute(OLD_RUN, old_values("o1", NOW))
        db.execute(OLD_RUN, old_values("o2", NOW + timedelta(microseconds=5)))
        db.execute(OLD_RUN, old_values("waits", NOW, saved=0))
    return path


def test_a_database_of_the_release_before_keeps_everything(old_file: Path):
    with closing(SqliteStorage(str(old_file))) as storage:
        assert storage.session_user("token", NOW).name == "ada"
        assert storage.find_user("ada")[0].role is Role.VIEWER
        assert [run.id for run in storage.runs("a1", Query(label="tabby")).runs] == ["o2", "o1"]
        assert storage.picture("a1", "o1", "picture", NOW) == b"old picture"
        assert storage.run("a1", "waits", NOW)
        (tally,) = storage.tallies("a1", NOW.date(), NOW.date())
        assert (tally.counts["predictions"], tally.counts["bytes"]) == (2, 22)
        assert list(storage.problems(mend=False)) == []


def test_the_release_before_reads_and_writes_beside_this_one(old_file: Path):
    with closing(SqliteStorage(str(old_file))) as storage, closing(sqlite3.connect(old_file, isolation_level=None)) as old:
        old.execute("PRAGMA foreign_keys = ON")
        old.executescript(OLD_SCHEMA)
        storage.add_user(User("b1", "bob", Role.ADMIN, NOW), "hash of bob")
        storage.add_run(replace(RUN, owner="b1"), PICTURES, LATER)
        kept = storage.save_run("b1", "r1", note="new", truth=None, now=NOW)
        bob = old.execute("SELECT id, name, password_hash FROM users WHERE name = 'bob'").fetchone()
        assert bob == ("b1", "bob", "hash of bob")
        row = old.execute(OLD_LIST, ("b1", 5)).fetchone()
        assert (row[0], datetime.fromisoformat(row[2]), json.loads(row[3])) == ("r1", kept.made_at, [["cat", 281, 0.9]])
        assert row[7] == "new"
        old.execute("INSERT INTO users VALUES (?, ?, ?)", ("c1", "carl", "hash of carl"))
        old.execute(OLD_RUN, old_values("o3", LATER, saved=0))
        old.execute("UPDATE runs SET saved = 1, note = ? WHERE owner = ? AND id = ?", ("by the old one", "a1", "o3"))
        assert storage.find_user("carl")[0].role is Role.VIEWER
        assert storage.runs("a1", Query(limit=1)).runs[0].note == "by the old one"
        assert storage.change_user("c1", role=Role.OPERATOR).role is Role.OPERATOR


def test_what_the_release_before_saved_meanwhile_is_found_after_mending(old_file: Path):
    with closing(SqliteStorage(str(old_file))) as storage, closing(sqlite3.connect(old_file, isolation_level=None)) as old:
        old.execute(OLD_RUN, old_values("o3", LATER))
        assert list(storage.problems(mend=True)) == ["run o3 cannot be found by all of its labels"]
        assert [run.id for run in storage.runs("a1", Query(label="tabby")).runs] == ["o3", "o2", "o1"]
        assert list(storage.problems(mend=False)) == []


def test_a_migration_that_is_cut_short_is_taken_again(old_file: Path, monkeypatch: pytest.MonkeyPatch):
    def cut(db: sqlite3.Connection) -> None:
        STEPS[1](db)
        raise KeyboardInterrupt

    monkeypatch.setattr("service.storage.migrations.STEPS", (STEPS[0], cut))
    with pytest.raises(KeyboardInterrupt):
        SqliteStorage(str(old_file))
    monkeypatch.undo()
    with closing(SqliteStorage(str(old_file))) as storage:
        assert len(storage.runs("a1", Query()).runs) == 2


def test_a_schema_that_is_newer_is_used_unless_it_says_that_it_cannot(tmp_path: Path):
    path = tmp_path / "service.db"
    SqliteStorage(str(path)).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(STEPS) + 3}")
        SqliteStorage(str(path)).close()
        db.execute(f"PRAGMA application_id = {len(STEPS) + 2}")
        with pytest.raises(ConfigError, match=f"releases that know schema {len(STEPS) + 2}"):
            SqliteStorage(str(path))


OPEN_WHEN_TOLD = """
import sys, time
from datetime import UTC, datetime
from service.records import Role, User
from service.storage.sqlite import SqliteStorage
print("ready", flush=True)
start = float(sys.stdin.readline())
for number in range(5):
    time.sleep(max(0, start + number * 0.03 - time.monotonic()))
    SqliteStorage(f"{sys.argv[1]}/new/{number}.db").add_user(User(sys.argv[2], sys.argv[2], Role.VIEWER, datetime.now(UTC)), "hash")
"""


def test_processes_that_start_together_share_one_new_file(tmp_path: Path, root: Path):
    names, pipe = [f"process-{number}" for number in range(8)], subprocess.PIPE
    argv = [sys.executable, "-c", OPEN_WHEN_TOLD, str(tmp_path)]
    processes = [subprocess.Popen([*argv, name], cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for name in names]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 8
    start = f"{time.monotonic() + 0.05}\n"
    for process in processes:
        process.stdin.write(start)
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 8
    for number in range(5):
        with closing(SqliteStorage(str(tmp_path / "new" / f"{number}.db"))) as opened:
            assert [bool(opened.find_user(name)) for name in names] == [True] * 8


def test_the_process_that_is_making_the_file_is_waited_for(tmp_path: Path):
    other = sqlite3.connect(tmp_path / "service.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    done.start()
    opened = SqliteStorage(str(tmp_path / "service.db"))
    assert opened.find_user("ada") is None
    done.join()
    opened.close()
    other.close()


def test_a_database_that_cannot_be_used_is_a_setting_that_is_wrong(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "no.db").write_text("this is no database, " * 100)
    for path in (tmp_path / "file" / "service.db", tmp_path / "no.db"):
        with pytest.raises(ConfigError, match="cannot be used"):
            SqliteStorage(str(path))


def test_a_database_that_fails_later_is_a_store_that_does_not_answer(tmp_path: Path):
    connections = Connections(str(tmp_path / "service.db"), lambda db: None)
    with pytest.raises(StorageUnavailable), connections.read() as db:
        db.execute("SELECT * FROM nowhere")
    connections.close()


def test_what_a_kill_left_between_files_and_rows_is_found_and_cleared(tmp_path: Path):
    with closing(SqliteStorage(str(tmp_path / "service.db"))) as storage:
        storage.add_run(RUN, PICTURES, LATER)
        storage.save_run("a1", "r1", note="", truth=None, now=NOW)
        stray = tmp_path / "service.db.files" / "waiting" / "stray.picture"
        stray.write_bytes(b"left over")
        assert "the pictures stray belong to no run" not in list(storage.problems(mend=True))  # it may be on its way
        os.utime(stray, (0, 0))
        assert "the pictures stray belong to no run" in list(storage.problems(mend=True))
        assert not stray.exists()
        assert storage.pictures(RUN) == PICTURES


def test_housekeeping_clears_old_pictures_that_belong_to_no_run(tmp_path: Path):
    with closing(SqliteStorage(str(tmp_path / "service.db"))) as storage:
        for name in ("stray", "young"):
            (tmp_path / "service.db.files" / "waiting" / f"{name}.picture").write_bytes(b"left over")
        os.utime(tmp_path / "service.db.files" / "waiting" / "stray.picture", (0, 0))
        storage.forget_expired(NOW)
        assert [path.stem for path in (tmp_path / "service.db.files" / "waiting").iterdir()] == ["young"]


def test_a_lost_picture_and_a_run_of_nobody_are_said(tmp_path: Path):
    with closing(SqliteStorage(str(tmp_path / "service.db"))) as storage:
        storage.add_run(RUN, PICTURES, LATER)
        storage.save_run("a1", "r1", note="", truth=None, now=NOW)
        next((tmp_path / "service.db.files" / "kept").rglob("*.picture")).unlink()
        assert list(storage.problems(mend=False)) == ["run r1 belongs to a1, who is no user", "run r1 has lost its picture"]


SAVE_UNTIL_KILLED = """
import sys
from datetime import UTC, datetime, timedelta
from concurrent.futures import ThreadPoolExecutor
from service.records import Pictures, Role, Run, Score, User
from service.storage.sqlite import SqliteStorage
storage = SqliteStorage(sys.argv[1])
first, now = int(sys.argv[2]), datetime(2026, 1, 1, 12, tzinfo=UTC)
def save(number):
    run = Run(f"r{number}", "a1", now, (Score("cat", 281, 0.9),), "release", "model", "image/jpeg", 3, 2, 9, 5.0)
    if storage.run("a1", run.id, now) is None:
        storage.add_run(run, Pictures(b"picture %d" % number, b"thumbnail", "image/jpeg", 3, 2), now + timedelta(hours=1))
    storage.save_run("a1", run.id, note=str(number), truth=None, now=now)
    sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
with ThreadPoolExecutor(4) as threads:
    list(threads.map(save, range(first, 1000)))
"""


@pytest.mark.slow
def test_killed_again_and_again_in_a_thousand_saves_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path, root: Path):
    path, acknowledged, kills = tmp_path / "service.db", set[int](), 0
    while len(acknowledged) < 1000:
        first = next(number for number in range(1001) if number not in acknowledged)
        argv = [sys.executable, "-c", SAVE_UNTIL_KILLED, str(path), str(first)]
        process = subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True)
        enough = len(acknowledged) + 230
        for line in process.stdout:
            if line.endswith("\n"):
                acknowledged.add(int(line))
            if len(acknowledged) >= enough and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
                enough = 10_000
        process.wait()
        process.stdout.close()
    with closing(SqliteStorage(str(path))) as storage:
        runs = storage.runs("a1", Query(limit=2000)).runs
        assert sorted(int(run.note) for run in runs) == list(range(1000))
        assert all(storage.picture("a1", run.id, "picture", NOW) == b"picture " + run.note.encode() for run in runs)
        (tally,) = storage.tallies("a1", NOW.date(), NOW.date())
        assert (tally.counts["saved"], tally.counts["predictions"]) == (1000, 1000)
    assert kills >= 3
