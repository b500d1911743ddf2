"""The service killed in the middle of saves over HTTP, started again, and asked again by clients that never got their answer."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.accounts import digest
from service.records import Pictures, Role, Run, Score, User
from service.search import Query
from service.storage.sqlite import SqliteStorage
from service.storage.transfer import export, restore
from tests.running import Running, running

pytestmark = pytest.mark.slow
SAVES = int(os.environ.get("KILLED_SAVES", "1000"))
KILLS = 3
NOW = datetime.now(UTC)
PICTURES = Pictures(b"a picture", b"a thumbnail", "image/jpeg", 3, 2)


def waiting(number: int) -> Run:
    return Run(f"{number:032x}", "u1", NOW, (Score("cat", 281, 0.9),), "release", "model", "image/jpeg", 3, 2, 9, 5.0)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a signed-in user and predictions that wait."""
    with closing(SqliteStorage(str(tmp_path / "service.db"))) as storage:
        storage.add_user(User("u1", "ada", Role.VIEWER, NOW), "hash")
        storage.add_session(digest("token"), "u1", NOW + timedelta(days=1))
        for number in range(SAVES):
            storage.add_run(waiting(number), PICTURES, NOW + timedelta(days=1))
    return tmp_path


def save(service: Running, number: int) -> str | None:
    """The id of the kept run, None when no answer came. Clients that get none send the same request again, by the same key."""
    body = json.dumps({"prediction": waiting(number).id, "note": f"note {number}"}).encode()
    headers = {"Authorization": "Bearer token", "Content-Type": "application/json", "Idempotency-Key": f"key {number}"}
    request = urllib.request.Request(f"{service.url}/v1/runs", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 201
            return json.load(answer)["id"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read()) from error
    except OSError:
        return None


def test_nothing_acknowledged_is_lost_and_nothing_is_doubled_when_the_service_is_killed_among_a_thousand_saves(store: Path):
    acknowledged: set[int] = set()
    lock = threading.Lock()
    for round_ in range(KILLS + 1):
        with running(store, saves_per_day="1000000") as service:
            enough = len(acknowledged) + SAVES // (KILLS + 1)

            def one(number: int, service: Running = service, enough: int = enough, last: bool = round_ == KILLS) -> None:
                if service.process.poll() is None and save(service, number) is not None:
                    with lock:
                        acknowledged.add(number)
                        if len(acknowledged) >= enough and not last:
                            service.process.send_signal(signal.SIGKILL)

            again = random.Random(round_).sample(range(SAVES), SAVES)  # also those that were acknowledged: duplicates
            with ThreadPoolExecutor(8) as threads:
                list(threads.map(one, again))
    assert len(acknowledged) == SAVES
    with closing(SqliteStorage(str(store / "service.db"))) as storage:
        kept = storage.runs("u1", Query(limit=SAVES + 10)).runs
        assert {run.id: run.note for run in kept} == {waiting(n).id: f"note {n}" for n in range(SAVES)}
        assert len(kept) == SAVES
        (tally,) = storage.tallies("u1", NOW.date(), NOW.date())
        assert (tally.counts["saved"], tally.counts["predictions"]) == (SAVES, SAVES)
        assert all(storage.pictures(run) == PICTURES for run in kept[::50])
        assert list(storage.problems(mend=False)) == []


def test_a_backup_of_a_running_service_has_everything_that_was_acknowledged_before_it(store: Path, tmp_path: Path):
    acknowledged: list[int] = []
    with (
        running(store, saves_per_day="1000000") as service,
        closing(SqliteStorage(str(store / "service.db"))) as storage,
        ThreadPoolExecutor(4) as threads,
    ):
        saving = [threads.submit(lambda n=n: save(service, n) and acknowledged.append(n)) for n in range(min(SAVES, 400))]
        while len(acknowledged) < 100:
            assert not all(one.done() for one in saving)
        before = list(acknowledged)
        export(storage, tmp_path / "backup.tar")
        assert not all(one.done() for one in saving), "nothing was saved during the backup: it shows nothing"
    with closing(SqliteStorage(str(tmp_path / "restored" / "service.db"))) as restored:
        restore(restored, tmp_path / "backup.tar")
        found = {run.id for run in restored.runs("u1", Query(limit=SAVES)).runs}
        assert {waiting(number).id for number in before} <= found
        assert list(restored.problems(mend=False)) == []
