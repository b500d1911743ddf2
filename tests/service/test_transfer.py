"""A whole store into one file and back, and what operators do with stores from the command line."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.errors import ConfigError
from service.records import ApiToken, Pictures, Role, Run, Scope, Score, User
from service.storage.protocol import Storage, StoredRun
from service.storage.sqlite import SqliteStorage
from service.storage.transfer import export, restore

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
SCORES = (Score("espresso", 967, 0.1 + 0.2), Score('"cup" ü\n', 968, 1e-9))
RUN = Run("r1", "a1", NOW, SCORES, "release-1", "model", "image/png", 640, 480, 25600, 12.345678901)


def pictures_of(run: Run) -> Pictures:
    return Pictures(b"picture of " + run.id.encode() + bytes(range(256)), b"thumbnail of " + run.id.encode(), "image/png", 640, 480)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Storage]:
    """A store with something of everything."""
    storage = SqliteStorage(str(tmp_path / "full.db"))
    storage.add_user(User("a1", "ada", Role.ADMIN, NOW), "hash of ada")
    storage.add_user(User("b1", "bob", Role.VIEWER, NOW, disabled=True), "hash of bob")
    storage.add_session("hash of a session", "a1", LATER)
    storage.add_token(ApiToken("t1", "a1", "laptop", (Scope.PREDICT, Scope.READ), NOW, LATER), "hash of a token")
    storage.add_token(ApiToken("t2", "a1", "server", (Scope.WRITE,), NOW, LATER), "hash of another")
    storage.touch_token("hash of another", NOW)
    for run in (RUN, replace(RUN, id="r2", owner="b1"), replace(RUN, id="r3", owner="guest-1", release="release-2")):
        storage.add_run(run, pictures_of(run), LATER)
    storage.save_run("a1", "r1", note="my ☕\nnote", truth="espresso", now=NOW)
    storage.claim("a key", "a value", until=LATER, now=NOW)
    storage.count("a counter", until=LATER, now=NOW, by=3)
    yield storage
    storage.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Storage]:
    storage = SqliteStorage(str(tmp_path / "empty.db"))
    yield storage
    storage.close()


@pytest.fixture
def archive(full: Storage, tmp_path: Path) -> Path:
    export(full, tmp_path / "archive.tar")
    return tmp_path / "archive.tar"


def content(storage: Storage) -> tuple[list[str], dict[str, Pictures | None]]:
    items = list(storage.items())
    return sorted(map(repr, items)), {item.run.id: storage.pictures(item.run) for item in items if isinstance(item, StoredRun)}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The archive with its members changed."""
    with tarfile.open(path) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
    change(members)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_a_store_comes_back_as_it_was(full: Storage, empty: Storage, tmp_path: Path):
    numbers: list[int] = []
    written = export(full, tmp_path / "archive.tar")
    assert restore(empty, tmp_path / "archive.tar", numbers.append) == written == len(list(full.items()))
    assert content(empty) == content(full)
    assert (numbers, list(empty.problems(mend=False))) == (list(range(1, written + 1)), [])


def test_a_store_that_came_back_is_alive(archive: Path, empty: Storage):
    restore(empty, archive)
    assert empty.session_user("hash of a session", NOW).name == "ada"
    assert empty.find_token("hash of a token", NOW)[0].scopes == (Scope.PREDICT, Scope.READ)
    assert empty.save_run("b1", "r2", note=None, truth="espresso", now=NOW).truth == "espresso"
    assert empty.delete_run("a1", "r1")
    assert [tally.counts["predictions"] for tally in empty.tallies("b1", NOW.date(), NOW.date())] == [1]


def test_an_archive_of_an_archive_is_the_same(archive: Path, empty: Storage, tmp_path: Path):
    restore(empty, archive)
    export(empty, tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()


def test_only_its_owner_reads_an_archive(archive: Path):
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert not list(archive.parent.glob("*.partial"))


def test_an_export_that_fails_leaves_the_archive_of_yesterday(full: Storage, archive: Path):
    before = archive.read_bytes()

    def fail(number: int) -> None:
        if number == 3:
            raise OSError(28, "no space left")

    with pytest.raises(OSError, match="no space left"):
        export(full, archive, fail)
    assert archive.read_bytes() == before
    assert not list(archive.parent.glob("*.partial"))


def test_an_export_while_the_service_runs_leaves_out_what_is_deleted_meanwhile(full: Storage, empty: Storage, tmp_path: Path):
    def delete(number: int) -> None:
        if number == 1:
            thread = threading.Thread(target=full.delete_run, args=("a1", "r1"))
            thread.start()
            thread.join()

    export(full, tmp_path / "archive.tar", delete)
    restore(empty, tmp_path / "archive.tar")
    assert set(content(empty)[1]) == {"r2", "r3"}


def test_a_store_that_is_not_empty_takes_no_import(full: Storage, archive: Path):
    before = content(full)
    with pytest.raises(ConfigError, match="the store is not empty"):
        restore(full, archive)
    assert content(full) == before


def damage_a_picture(members: dict[str, bytes]) -> None:
    members["r1.picture"] = members["r1.picture"][:-1] + b"?"


def lose_a_picture(members: dict[str, bytes]) -> None:
    del members["r1.picture"]


def change_a_record(members: dict[str, bytes]) -> None:
    members["items.jsonl"] = members["items.jsonl"].replace(b'"viewer"', b'"admin"')


def lose_the_end(members: dict[str, bytes]) -> None:
    del members["manifest.json"]


def come_from_the_future(members: dict[str, bytes]) -> None:
    members["manifest.json"] = json.dumps({**json.loads(members["manifest.json"]), "format": 2}).encode()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_a_picture, r"is damaged: r1\.picture is not what was exported"),
        (lose_a_picture, "cannot be imported"),
        (change_a_record, r"is damaged: items\.jsonl is not what was exported"),
        (lose_the_end, "cannot be imported"),
        (come_from_the_future, "has format 2; this release reads 1"),
    ],
)
def test_an_archive_that_is_not_whole_changes_nothing(archive: Path, empty: Storage, damage: object, message: str):
    with pytest.raises(ConfigError, match=message):
        restore(empty, rewritten(archive, damage))
    assert content(empty) == ([], {})


@pytest.mark.parametrize("length", [0, 100, 5000, -1024])
def test_an_archive_that_was_cut_short_changes_nothing(archive: Path, empty: Storage, length: int):
    archive.write_bytes(archive.read_bytes()[:length].rstrip(b"\0"))
    with pytest.raises(ConfigError, match=r"archive\.tar"):
        restore(empty, archive)
    assert content(empty) == ([], {})


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python -m service …` with the named database."""

    def command(database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "SERVICE_DATABASE": str(tmp_path / database)}
        return subprocess.run(
            [sys.executable, "-m", "service", *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    return command


Command = Callable[..., subprocess.CompletedProcess[str]]


def test_commands_carry_a_store_from_one_place_to_another(full: Storage, command: Command, tmp_path: Path):
    file, number = str(tmp_path / "archive.tar"), len(list(full.items()))
    steps = [
        command("full.db", "storage", "export", file),
        command("new.db", "storage", "init"),
        command("new.db", "storage", "init"),
        command("new.db", "storage", "import", file),
        command("new.db", "storage", "check"),
    ]
    assert [(step.returncode, step.stderr) for step in steps] == [(0, "")] * 5
    said = [
        f"exported {number} records",
        "the store is ready",
        "the store is ready",
        f"imported {number} records",
        "everything fits together",
    ]
    assert [step.stdout.strip() for step in steps] == said
    moved = SqliteStorage(str(tmp_path / "new.db"))
    assert content(moved) == content(full)
    moved.close()


def test_a_check_names_what_does_not_fit_and_mends_what_can_be_mended(full: Storage, command: Command, tmp_path: Path):
    stray = tmp_path / "full.db.files" / "waiting" / "stray.picture"
    stray.write_bytes(b"x")
    os.utime(stray, (0, 0))
    answers = [command("full.db", "storage", "check", *options) for options in ((), ("--mend",), ())]
    assert [answer.returncode for answer in answers] == [1, 0, 0]
    assert [answer.stdout for answer in answers[:2]] == ["the pictures stray belong to no run\n"] * 2
    assert (answers[2].stdout, stray.exists()) == ("everything fits together\n", False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("storage", "import", "{}/none.tar"), "error: {}/none.tar cannot be imported: "),
        (("storage", "import", "{}/full.db"), "error: the store is not empty: import needs a fresh one"),
        (("storage", "export", "{}/none/archive.tar"), "error: {}/none/archive.tar cannot be used: No such file or directory"),
        (("storage",), "usage: python -m service storage "),
        (("storage", "shrink"), "usage: python -m service storage "),
    ],
    ids=["no archive", "not empty", "no folder", "no action", "unknown action"],
)
def test_a_command_that_cannot_be_done_says_why_and_ends_with_2(
    full: Storage, command: Command, tmp_path: Path, arguments: tuple[str, ...], message: str
):
    database = "full.db" if "full" in arguments[-1] else "new.db"
    ended = command(database, *(argument.format(tmp_path) for argument in arguments))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(message.format(tmp_path))
    assert "Traceback" not in ended.stderr


def test_a_store_that_cannot_be_opened_ends_a_command_with_one_line(command: Command, tmp_path: Path):
    (tmp_path / "file").touch()
    ended = command("file/service.db", "storage", "check")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert ended.stderr.startswith(f"error: the database {tmp_path}/file/service.db cannot be used")
