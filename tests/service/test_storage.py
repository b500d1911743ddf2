"""The contract of every store. A new kind is one more entry in OPENERS; what is true of one kind alone comes last."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.errors import ConfigError, NameTaken
from service.records import Run, Score, User
from service.storage.protocol import Storage
from service.storage.sqlite import SqliteStorage

Opener = Callable[[], Storage]
OPENERS: dict[str, Callable[[Path], Storage]] = {"sqlite": lambda folder: SqliteStorage(str(folder / "new" / "service.db"))}

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ADA, BOB = User("a1", "ada"), User("b1", "bob")
SCORES = (Score("cat", 281, 0.1 + 0.2), Score("kitten, \"tabby\" 'n' ü", 282, 1e-9))
RUN = Run("r1", "a1", NOW, SCORES, "release", "model", "image/png")
PICTURE = bytes(range(256)) * 100


@pytest.fixture(params=OPENERS)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store again, as another process would."""
    opened: list[Storage] = []

    def reopen() -> Storage:
        opened.append(OPENERS[request.param](tmp_path))
        return opened[-1]

    yield reopen
    for storage in opened:
        storage.close()


@pytest.fixture
def empty(reopen: Opener) -> Storage:
    return reopen()


@pytest.fixture
def storage(empty: Storage) -> Storage:
    """A store that knows ada and bob."""
    empty.add_user(ADA, "hash of ada")
    empty.add_user(BOB, "hash of bob")
    return empty


def ids(found: tuple[Run, ...]) -> list[str]:
    return [run.id for run in found]


def test_an_empty_store_has_nothing(empty: Storage):
    assert empty.find_user("ada") is None
    assert empty.session_user("token", NOW) is None
    assert empty.saved_runs("a1", 10) == ()
    assert empty.run("a1", "r1") is None
    assert empty.save_run("a1", "r1", "note") is None


def test_what_changes_nothing_is_no_error(empty: Storage):
    empty.end_session("token")
    empty.forget_unsaved(NOW)


def test_a_user_is_found_by_the_exact_name(storage: Storage):
    assert storage.find_user("ada") == (ADA, "hash of ada")
    assert storage.find_user("bob") == (BOB, "hash of bob")
    assert [storage.find_user(name) for name in ("ADA", "ad", "ada ", "%", "a1")] == [None] * 5


def test_a_name_is_taken_once(storage: Storage):
    with pytest.raises(NameTaken, match="ada"):
        storage.add_user(User("c1", "ada"), "another hash")
    assert storage.find_user("ada") == (ADA, "hash of ada")


def test_a_session_belongs_to_its_user_until_it_expires(storage: Storage):
    storage.add_session("token", "a1", NOW + SECOND)
    assert storage.session_user("token", NOW) == ADA
    assert storage.session_user("token", NOW + SECOND * 0.999999) == ADA
    assert storage.session_user("token", NOW + SECOND) is None
    assert storage.session_user("toke", NOW) is None


def test_a_session_expires_to_the_microsecond(storage: Storage):
    whole = NOW.replace(microsecond=0)  # whose text is shorter
    storage.add_session("token", "a1", whole)
    assert storage.session_user("token", whole - timedelta(microseconds=1)) == ADA
    assert storage.session_user("token", whole + timedelta(microseconds=1)) is None


def test_a_session_that_ended_is_no_more_and_others_stay(storage: Storage):
    storage.add_session("phone", "a1", NOW + SECOND)
    storage.add_session("laptop", "a1", NOW + SECOND)
    storage.end_session("phone")
    assert storage.session_user("phone", NOW) is None
    assert storage.session_user("laptop", NOW) == ADA


def test_a_run_comes_back_equal_with_its_picture(storage: Storage):
    storage.add_run(RUN, PICTURE)
    assert storage.run("a1", "r1") == (RUN, PICTURE)


def test_a_run_is_there_for_its_owner_only(storage: Storage):
    storage.add_run(RUN, PICTURE)
    assert storage.run("b1", "r1") is None
    assert storage.save_run("b1", "r1", "mine") is None
    assert storage.run("a1", "r1") == (RUN, PICTURE)


def test_a_run_is_listed_once_it_is_saved(storage: Storage):
    storage.add_run(RUN, PICTURE)
    assert storage.saved_runs("a1", 10) == ()
    kept = replace(RUN, note="my cat", saved=True)
    assert storage.save_run("a1", "r1", "my cat") == kept
    assert storage.saved_runs("a1", 10) == (kept,)
    assert storage.saved_runs("b1", 10) == ()


def test_saving_again_changes_the_note_alone(storage: Storage):
    storage.add_run(RUN, PICTURE)
    storage.save_run("a1", "r1", "first")
    assert storage.save_run("a1", "r1", "second") == replace(RUN, note="second", saved=True)
    assert ids(storage.saved_runs("a1", 10)) == ["r1"]


def test_saved_runs_are_the_newest_first(storage: Storage):
    for number in (2, 0, 3, 1):
        storage.add_run(replace(RUN, id=f"r{number}", made_at=NOW + number * SECOND, saved=True), PICTURE)
    assert ids(storage.saved_runs("a1", 10)) == ["r3", "r2", "r1", "r0"]
    assert ids(storage.saved_runs("a1", 2)) == ["r3", "r2"]


def test_only_unsaved_runs_made_before_the_time_are_forgotten(storage: Storage):
    for name, age, saved in (("old", 2, False), ("old and saved", 2, True), ("just in time", 1, False), ("new", 0, False)):
        storage.add_run(replace(RUN, id=name, made_at=NOW - age * SECOND, saved=saved), PICTURE)
    storage.forget_unsaved(before=NOW - SECOND)
    left = [name for name in ("old", "old and saved", "just in time", "new") if storage.run("a1", name)]
    assert left == ["old and saved", "just in time", "new"]


def test_everything_is_there_after_opening_again(storage: Storage, reopen: Opener):
    storage.add_session("token", "a1", NOW + SECOND)
    storage.add_run(RUN, PICTURE)
    storage.close()
    again = reopen()
    assert (again.find_user("ada"), again.session_user("token", NOW)) == ((ADA, "hash of ada"), ADA)
    assert again.run("a1", "r1") == (RUN, PICTURE)


def test_what_one_process_writes_another_sees_at_once(storage: Storage, reopen: Opener):
    other = reopen()
    storage.add_run(RUN, PICTURE)
    other.save_run("a1", "r1", "from the other")
    assert storage.saved_runs("a1", 10) == (replace(RUN, note="from the other", saved=True),)


def test_writing_from_many_threads_loses_nothing(storage: Storage, reopen: Opener):
    stores = (storage, reopen())

    def keep(number: int) -> None:
        stores[number % 2].add_run(replace(RUN, id=f"r{number}"), PICTURE)
        assert stores[number % 2].save_run("a1", f"r{number}", str(number))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(keep, range(80)))
    assert {run.id: run.note for run in storage.saved_runs("a1", 100)} == {f"r{n}": str(n) for n in range(80)}


def test_a_name_is_taken_once_when_many_ask_at_the_same_moment(empty: Storage):
    start = threading.Barrier(8)

    def ask(number: int) -> bool:
        start.wait()
        try:
            empty.add_user(User(f"u{number}", "ada"), "hash")
        except NameTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(ask, range(8))) == [False] * 7 + [True]


def test_threads_that_ended_hold_nothing_open(storage: Storage):
    # Starlette's pool ends idle threads and starts new ones for as long as the service runs.
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(40):
        thread = threading.Thread(target=storage.find_user, args=("ada",))
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) - before < 10


OPEN_WHEN_TOLD = """
import sys, time
from service.records import User
from service.storage.sqlite import SqliteStorage
print("ready", flush=True)
start = float(sys.stdin.readline())
for number in range(5):
    time.sleep(max(0, start + number * 0.03 - time.monotonic()))
    SqliteStorage(f"{sys.argv[1]}/new/{number}.db").add_user(User(sys.argv[2], sys.argv[2]), "hash")
"""


def test_sqlite_processes_that_start_together_share_one_new_file(tmp_path: Path, root: Path):
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
        opened = SqliteStorage(str(tmp_path / "new" / f"{number}.db"))
        assert [bool(opened.find_user(name)) for name in names] == [True] * 8
        opened.close()


def test_sqlite_waits_for_the_process_that_is_making_the_file(tmp_path: Path):
    other = sqlite3.connect(tmp_path / "service.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    done.start()
    opened = SqliteStorage(str(tmp_path / "service.db"))
    assert opened.find_user("ada") is None
    done.join()
    opened.close()
    other.close()


def test_expired_sessions_are_forgotten(storage: Storage):
    storage.add_user(User("u9", "eve"), "hash")
    for token, hours in (("old", 1), ("new", 3)):
        storage.add_session(token, "u9", NOW + timedelta(hours=hours))
    storage.end_expired_sessions(NOW + timedelta(hours=2))
    assert storage.session_user("old", NOW) is None
    assert storage.session_user("new", NOW) == User("u9", "eve")


def test_a_database_that_cannot_be_used_is_a_setting_that_is_wrong(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "no.db").write_text("this is no database, " * 100)
    for path in (tmp_path / "file" / "service.db", tmp_path / "no.db"):
        with pytest.raises(ConfigError, match="cannot be used"):
            SqliteStorage(str(path))
