"""Guessing passwords: it ends at the documented limits, however it is done, and nobody is locked out of their own account by it."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service import accounts, attempts, passwords
from service.attempts import PER_ADDRESS, PER_DEVICE, PER_NAME, PER_NAME_AND_ADDRESS, WINDOW, Source
from service.errors import TooManyAttempts, WrongPassword
from service.records import Role, User
from service.storage.sqlite import SqliteStorage
from tests.service.conftest import PASSWORD, Clock, Someone, changed, opened, settings_in, someone

pytestmark = pytest.mark.slow
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
GUESSES = 10_000
SAMPLES = int(os.environ.get("SLIPWAY_TIMING_SAMPLES", "8"))
SHARED_MEMORY = Path("/dev/shm")  # tens of thousands of durable writes take minutes on a disk


@pytest.fixture
def store() -> Iterator[SqliteStorage]:
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as folder:
        storage = SqliteStorage(f"{folder}/service.db")
        yield storage
        storage.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service without a model, which nobody here asks for."""
    with opened(settings_in(tmp_path_factory.mktemp("attempts"))) as client:
        yield client


def guess(store: SqliteStorage, name: str, source: Source, now: datetime = NOW) -> bool:
    """Whether a wrong guess gets as far as the password."""
    try:
        attempts.begin(store, name, source, now)
    except TooManyAttempts:
        return False
    return True


def address(number: int) -> Source:
    return Source(f"198.51.{number // 256}.{number % 256}")


def at(service: TestClient, host: str) -> TestClient:
    """A browser somewhere else, which keeps its cookies to itself."""
    return TestClient(service.app, raise_server_exceptions=False, client=(host, 50_000), headers={"Origin": "http://testserver"})


def sign_in(browser: TestClient, person: Someone, password: str = PASSWORD) -> int:
    return browser.post("/v1/sessions", json={"name": person.user.name, "password": password}).status_code


def test_ten_thousand_guesses_at_a_name_from_one_address_are_ten(store: SqliteStorage):
    assert sum(guess(store, "ada", address(1)) for _ in range(GUESSES)) == PER_NAME_AND_ADDRESS == 10


def test_ten_thousand_guesses_at_many_names_from_one_address_are_a_hundred(store: SqliteStorage):
    assert sum(guess(store, f"user{number % 5000}", address(1)) for number in range(GUESSES)) == PER_ADDRESS == 100


def test_guesses_at_a_name_from_ever_new_addresses_are_fifty(store: SqliteStorage):
    assert sum(guess(store, "ada", address(number)) for number in range(GUESSES // 5)) == PER_NAME == 50


def test_a_day_of_guessing_gives_what_the_windows_give(store: SqliteStorage):
    minutes = range(0, 24 * 60)
    tried = sum(guess(store, "ada", address(1), NOW + timedelta(minutes=minute)) for minute in minutes for _ in range(2))
    assert tried <= PER_NAME_AND_ADDRESS * 24 * 4


@pytest.mark.parametrize("processes", [1, 2])
def test_a_hundred_guesses_at_once_are_ten(tmp_path: Path, processes: int):
    stores = [SqliteStorage(str(tmp_path / "service.db")) for _ in range(processes)]  # on a disk, whose slowness lets them meet
    barrier = threading.Barrier(100)

    def one(number: int) -> bool:
        barrier.wait()
        return guess(stores[number % processes], "ada", address(1))

    with ThreadPoolExecutor(100) as threads:
        assert sum(threads.map(one, range(100))) == PER_NAME_AND_ADDRESS
    for store in stores:
        store.close()


def test_the_counting_starts_anew_after_the_window_however_hard_somebody_tried(store: SqliteStorage):
    for second in range(0, int(WINDOW.total_seconds()), 3):
        guess(store, "ada", address(1), NOW + timedelta(seconds=second))
    assert not guess(store, "ada", address(1), NOW + WINDOW - timedelta(seconds=1))
    assert guess(store, "ada", address(1), NOW + WINDOW)


def test_right_guesses_do_not_count(store: SqliteStorage):
    for _ in range(3 * PER_NAME):
        attempts.forgive(store, attempts.begin(store, "ada", address(1), NOW), NOW)
    assert sum(guess(store, "ada", address(1)) for _ in range(PER_NAME)) == PER_NAME_AND_ADDRESS


def test_a_right_guess_forgives_no_wrong_one(store: SqliteStorage):
    for _ in range(PER_NAME_AND_ADDRESS - 1):
        guess(store, "ada", address(1))
    attempts.forgive(store, attempts.begin(store, "ada", address(1), NOW), NOW)
    assert [guess(store, "ada", address(1)) for _ in range(2)] == [True, False]


def test_whoever_guesses_at_others_gets_no_more_guesses_by_signing_in_as_themselves(store: SqliteStorage):
    tried = 0
    for number in range(3 * PER_ADDRESS):
        tried += guess(store, f"user{number}", address(1))
        with suppress(TooManyAttempts):
            attempts.forgive(store, attempts.begin(store, "mallory", address(1), NOW), NOW)
    assert tried <= PER_ADDRESS


def test_a_known_browser_has_guesses_of_its_own(store: SqliteStorage):
    known = Source("192.0.2.1", attempts.device_token(store, "ada", address(1), NOW))
    for number in range(2 * PER_NAME):
        guess(store, "ada", address(number))
        guess(store, "ada", Source("192.0.2.1"))
    assert not guess(store, "ada", Source("192.0.2.1"))
    assert sum(guess(store, "ada", known) for _ in range(PER_NAME)) == PER_DEVICE == 10


@pytest.mark.parametrize("of", ["mallory", ""])
def test_a_browser_that_another_name_is_known_by_counts_as_a_stranger(store: SqliteStorage, of: str):
    device = attempts.device_token(store, of, address(1), NOW) if of else "invented"
    mixed = [Source("192.0.2.1", device), Source("192.0.2.1")] * PER_NAME
    assert sum(guess(store, "ada", source) for source in mixed) == PER_NAME_AND_ADDRESS


def test_new_browsers_cannot_be_made_out_of_one_that_is_known(store: SqliteStorage):
    first = attempts.device_token(store, "ada", address(1), NOW)
    assert attempts.device_token(store, "ada", Source("192.0.2.1", first), NOW) == first
    assert attempts.device_token(store, "mallory", Source("192.0.2.1", first), NOW) != first


def test_a_known_browser_is_forgotten_after_half_a_year(store: SqliteStorage):
    device = attempts.device_token(store, "ada", address(1), NOW)
    later = NOW + attempts.DEVICE_LIFETIME
    assert sum(guess(store, "ada", Source("192.0.2.1", device), later) for _ in range(20)) == PER_NAME_AND_ADDRESS
    assert sum(guess(store, "ada", Source("192.0.2.1"), later) for _ in range(20)) == 0


def test_what_is_kept_of_guesses_names_nobody(store: SqliteStorage):
    guess(store, "ada", address(1))
    attempts.device_token(store, "ada", address(1), NOW)
    kept = [item.key for item in store.items()]
    assert len(kept) == 4
    assert not [key for key in kept if "ada" in key or "198.51" in key]


def test_guessing_at_the_front_door_is_refused_and_says_until_when(service: TestClient):
    ada, browser = someone(service), at(service, "192.0.2.10")
    assert [sign_in(browser, ada, f"wrong {number}") for number in range(12)] == [401] * 10 + [429] * 2
    refusal = browser.post("/v1/sessions", json=ada.credentials)
    assert (refusal.status_code, refusal.json()["code"], refusal.headers["Retry-After"]) == (429, "too_many_attempts", "900")
    assert "Set-Cookie" not in refusal.headers


def test_the_owner_gets_in_from_elsewhere_and_with_the_browser_that_is_known(service: TestClient):
    ada, known, attacker = someone(service), at(service, "192.0.2.20"), at(service, "192.0.2.20")
    assert sign_in(known, ada) == 201
    assert [sign_in(attacker, ada, "wrong again") for _ in range(11)][-1] == 429
    assert sign_in(attacker, ada) == 429
    assert sign_in(at(service, "192.0.2.21"), ada) == 201
    known.cookies.delete("session")
    assert sign_in(known, ada) == 201


def test_the_owner_gets_in_with_the_browser_that_is_known_while_the_whole_world_guesses(service: TestClient):
    ada, known = someone(service), at(service, "192.0.2.30")
    assert sign_in(known, ada) == 201
    for number in range(PER_NAME + 1):
        guess(service.app.state.tools.storage, ada.user.name, address(number), datetime.now(UTC))
    assert sign_in(at(service, "192.0.2.31"), ada) == 429
    assert sign_in(known, ada) == 201


def test_the_limit_ends_after_a_quarter_of_an_hour(service: TestClient):
    ada, browser, clock = someone(service), at(service, "192.0.2.40"), Clock()
    for _ in range(PER_NAME_AND_ADDRESS + 1):
        guess(service.app.state.tools.storage, ada.user.name, Source("192.0.2.40"), datetime.now(UTC))
    with changed(service, now=clock):
        assert sign_in(browser, ada) == 429
        clock.ahead = WINDOW
        assert sign_in(browser, ada) == 201


def test_every_door_that_asks_for_a_password_counts_with_the_others(service: TestClient):
    ada, browser = someone(service), at(service, "192.0.2.50")
    wrong = {"name": ada.user.name, "password": "wrong"}
    for _ in range(2):
        assert browser.post("/v1/sessions", json=wrong).status_code == 401
        assert browser.post("/sign-in", data=wrong).status_code == 401
        assert (
            browser.put("/v1/me/password", headers=ada.headers, json={"old": "wrong", "new": "a new one of mine"}).status_code
            == 401
        )
        assert browser.request("DELETE", "/v1/me", headers=ada.headers, json={"password": "wrong"}).status_code == 401
        assert browser.post("/account/delete", headers=ada.headers, data={"password": "wrong"}).status_code == 401
    assert browser.post("/account/password", headers=ada.headers, data={"old": PASSWORD, "new": "another"}).status_code == 429
    assert browser.request("DELETE", "/v1/me", headers=ada.headers, json={"password": PASSWORD}).status_code == 429


def test_wrong_unknown_and_disabled_look_the_same(service: TestClient):
    ada, grace = someone(service), someone(service)
    service.app.state.tools.storage.change_user(grace.user.id, disabled=True)
    tried = [
        (ada.user.name, "wrong"),
        ("nobody", "wrong"),
        (grace.user.name, PASSWORD),
        (grace.user.name, "wrong"),
        ("", ""),
        ("a" * 999, "b"),
    ]
    answers = [at(service, "192.0.2.60").post("/v1/sessions", json={"name": name, "password": word}) for name, word in tried]
    assert {answer.status_code for answer in answers} == {401}
    assert len({str({**answer.json(), "request_id": ""}) for answer in answers}) == 1
    assert len({tuple(name for name, _ in answer.headers.items()) for answer in answers}) == 1


def test_names_that_nobody_has_are_limited_like_others(store: SqliteStorage):
    store.add_user(User("1", "ada", Role.VIEWER, NOW), "$argon2id$none")
    for name in ("ada", "nobody"):
        assert [guess(store, name, address(len(name))) for _ in range(11)] == [True] * 10 + [False]


def seconds_to_refuse(store: SqliteStorage, name: str, source: Source) -> float:
    start = time.thread_time()
    with pytest.raises(WrongPassword):
        accounts.sign_in(store, name, "wrong password", source, now=NOW, lifetime=WINDOW)
    return time.thread_time() - start


def test_a_name_that_nobody_has_takes_as_long_as_one_that_somebody_has(store: SqliteStorage):
    kept = passwords.hashed(PASSWORD)
    for number in range(SAMPLES):
        store.add_user(User(str(number), f"user{number}", Role.VIEWER, NOW), kept)
    passwords.nobodys()
    known, unknown = [], []
    for number in range(SAMPLES):
        known.append(seconds_to_refuse(store, f"user{number}", address(number)))
        unknown.append(seconds_to_refuse(store, f"nobody{number}", address(number)))
    assert statistics.median(known) == pytest.approx(statistics.median(unknown), rel=0.15)
