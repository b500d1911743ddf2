"""What storing costs as it grows: saves a second, and the time of a page for a user with 100,000 runs among 1,000,000."""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.accounts import digest
from service.records import Pictures, Role, Run, Score, User
from service.search import Query, place_of
from service.storage import rows
from service.storage.sqlite import SqliteStorage
from tests.running import running

START = datetime(2025, 1, 1, tzinfo=UTC)
WORDS = ("tabby cat", "espresso", "missile", "golden retriever", "fire engine", "daisy", "steam locomotive", "acoustic guitar")
SIZES = (1_000, 10_000, 100_000)
PICTURES = Pictures(random.Random(1).randbytes(60_000), random.Random(2).randbytes(8_000), "image/jpeg", 640, 480)
SAVES = 1_000


def saves_per_second(threads: int) -> float:
    """Acknowledged, durable saves with their pictures, through the store, by so many at once."""
    with tempfile.TemporaryDirectory(dir="var") as folder, closing(SqliteStorage(f"{folder}/service.db")) as storage:
        storage.add_user(User("u", "u", Role.VIEWER, START), "hash")

        def save(number: int) -> None:
            run = a_run(number, "u")
            storage.add_run(run, PICTURES, START + timedelta(days=9999))
            storage.save_run("u", run.id, note="", truth=None, now=run.made_at)

        started = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(save, range(SAVES)))
        return SAVES / (time.monotonic() - started)


def grown(path: str) -> None:
    """A database of a million saved runs: users with 1,000, 10,000 and 100,000 runs each, over and over."""
    with closing(SqliteStorage(path)) as storage:
        for index, size in enumerate(_sizes()):
            owner = f"user-{index}"
            storage.add_user(User(owner, owner, Role.VIEWER, START), "hash")
            with storage._connections.write() as db:
                for number in range(size):
                    rows.insert_run(db, _saved(a_run(number, owner, prefix=f"{index:02}")), None)
            print(f"\r{index + 1} users", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)


def _sizes() -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < 1_000_000:
        sizes.append(SIZES[len(sizes) % len(SIZES)] if len(sizes) < len(SIZES) else SIZES[2])
    return sizes


def a_run(number: int, owner: str, prefix: str = "") -> Run:
    """The number decides everything of it."""
    label = WORDS[number % len(WORDS)]
    scores = (Score(label, number % 1000, 0.9), *(Score(word, 1, 0.01) for word in WORDS[:4]))
    made = START + timedelta(seconds=number)
    return Run(
        f"{prefix}{number:030x}", owner, made, scores, f"release-{number % 5}", "model", "image/jpeg", 640, 480, 60_000, 25.0
    )


def _saved(run: Run) -> Run:
    return replace(run, saved_at=run.made_at)


def pages(storage: SqliteStorage, index: int, size: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What people ask of their runs, by name: the first page, one far behind, a label, a label of one release, some days."""
    owner, chance = f"user-{index}", random.Random(index)

    def place() -> Query:
        return Query(after=place_of(a_run(chance.randrange(60, size), owner)))

    yield "first page", lambda: storage.runs(owner, Query())
    yield "a page somewhere", lambda: storage.runs(owner, place())
    yield "a label", lambda: storage.runs(owner, Query(label="guitar"))
    yield "a label of one release", lambda: storage.runs(owner, Query(label="espresso", release="release-3"))
    yield "one day", lambda: storage.runs(owner, Query(since=START, until=START + timedelta(hours=1)))


def p99(ask: Callable[[], object], times: int = 300) -> float:
    """Milliseconds of the slowest of a hundred."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.quantiles(taken, n=100)[98]


def listing(folder: Path) -> Iterable[tuple[str, float]]:
    """The p99 of each kind of page for users of each size, in milliseconds, and over HTTP for the largest."""
    path = str(folder / "service.db")
    grown(path)
    with closing(SqliteStorage(path)) as storage:
        for index, size in enumerate(SIZES):
            for name, ask in pages(storage, index, size):
                ask()
                yield f"{name}, user with {size:,} runs of 1,000,000", p99(ask)
        storage.add_session(digest("token"), "user-2", datetime.now(UTC) + timedelta(days=1))
    with running(folder) as service:
        service.call("GET", "/v1/runs", token="token")
        yield "the same over HTTP: first page, user with 100,000 runs", p99(lambda: service.call("GET", "/v1/runs", token="token"))
        yield (
            "the same over HTTP: a label, user with 100,000 runs",
            p99(lambda: service.call("GET", "/v1/runs?label=guitar", token="token")),
        )
