"""The service behind its front door, with the real model. Every module has a store of its own; most tests make users of their own.

Passwords are hashed slowly on purpose, so `someone` puts users into the store; test_accounts.py goes through the front door.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from service import accounts, passwords
from service.app import build_app
from service.records import Pictures, Role, Run, Score, User
from service.settings import Settings
from service.storage.protocol import Storage
from service.web.tools import Tools

PASSWORD = "correct horse"
OWN_PAGE = {"Origin": "http://testserver"}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NUMBERS = itertools.count()
PICTURES = Pictures(b"\x89PNG a picture", b"\xff\xd8\xff a thumbnail", "image/png", 640, 480)


@dataclass(frozen=True, slots=True)
class Someone:
    """A user who is signed in, as the headers that say so."""

    user: User
    token: str
    headers: dict[str, str]

    @property
    def credentials(self) -> dict[str, str]:
        """To sign in with."""
        return {"name": self.user.name, "password": PASSWORD}


class Clock:
    """The time as the application sees it: later than it is by `ahead`."""

    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def settings_in(folder: Path) -> Settings:
    """A store in the folder, a stamp that is easily found, and no limit that a module's tests would meet by chance."""
    return Settings(
        database=str(folder / "service.db"), release="r" * 64, commit="c" * 40, lock="l" * 64, decoders=1, sign_up=True,
        guest_predictions_per_minute=10_000, predictions_per_minute=10_000, sign_ups_per_minute=10_000,
    )  # fmt: skip


@contextmanager
def opened(settings: Settings, started: TestClient | None = None) -> Iterator[TestClient]:
    """An application that answers at once, with the model and the decoders of `started` or with none."""
    app = build_app(settings)
    own: Tools = app.state.tools
    if started:
        with_model: Tools = started.app.state.tools
        parts = {name: getattr(with_model, name) for name in ("recogniser", "decoders", "decoding")}
        app.state.tools = replace(own, **parts)
        with_model.recogniser.on_batch(own.metrics.passed)
    client = TestClient(app, raise_server_exceptions=False)
    client.portal = started.portal if started else None  # an event loop for each request would take more time than the request
    try:
        yield client
    finally:
        own.hashing.shutdown()
        own.decoding.shutdown()
        own.decoders.close()
        own.storage.close()


@contextmanager
def changed(client: TestClient, **tools: object) -> Iterator[None]:
    """The application with other tools for a while; `settings` takes a dictionary of those to change."""
    kept: Tools = client.app.state.tools
    if isinstance(settings := tools.get("settings"), dict):
        tools["settings"] = replace(kept.settings, **settings)
    client.app.state.tools = replace(kept, **tools)
    try:
        yield
    finally:
        client.app.state.tools = kept


def wait_until_ready(client: TestClient) -> None:
    end = time.monotonic() + 30
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < end, "the model never became ready"
        time.sleep(0.02)


def eventually(true: Callable[[], bool]) -> None:
    """The model's thread counts a batch after it has given the answers."""
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def someone(client: TestClient, role: Role = Role.VIEWER, name: str = "") -> Someone:
    """A new user, who is signed in and has the password PASSWORD."""
    number, now = next(NUMBERS), datetime.now(UTC)
    user, token = User(f"{number:016x}", name or f"someone{number}", role, now), f"token-of-{number}"
    storage = storage_of(client)
    storage.add_user(user, _password_hash())
    storage.add_session(accounts.digest(token), user.id, now + 14 * DAY)
    return Someone(user, token, {"Authorization": f"Bearer {token}"})


def browser_of(client: TestClient, person: Someone | None = None) -> TestClient:
    """A browser of its own at the same service, in which `person`, or nobody, is signed in."""
    browser = TestClient(client.app, raise_server_exceptions=False, headers={**OWN_PAGE, "Accept": "text/html"})
    browser.portal = client.portal
    if person:
        browser.cookies.set("session", person.token, domain="testserver.local")
    return browser


def storage_of(client: TestClient) -> Storage:
    found: Storage = client.app.state.tools.storage
    return found


def add_run(
    client: TestClient,
    owner: Someone,
    labels: tuple[str, ...] = ("espresso", "cup"),
    *,
    made_at: datetime | None = None,
    release: str = "release-1",
    probability: float = 0.5,
    milliseconds: float = 10.0,
    note: str | None = None,
    truth: str | None = None,
    save: bool = True,
) -> Run:
    """A run that no model made, saved or waiting."""
    scores = tuple(Score(label, number, probability / (number + 1)) for number, label in enumerate(labels))
    made = made_at or datetime.now(UTC)
    about = (release, "model-of-tests", PICTURES.media_type, PICTURES.width, PICTURES.height, len(PICTURES.picture), milliseconds)
    run = Run(f"{next(NUMBERS):032x}", owner.user.id, made, scores, *about)
    storage_of(client).add_run(run, PICTURES, made + HOUR)
    kept = storage_of(client).save_run(owner.user.id, run.id, note=note, truth=truth, now=made) if save else run
    assert kept
    return kept


def _password_hash() -> str:
    return _hash_of(passwords.HASHER)


@cache
def _hash_of(hasher: PasswordHasher) -> str:
    return hasher.hash(PASSWORD)


@pytest.fixture(autouse=True, scope="module")
def cheap_hashing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Argon2id at a thousandth of its price, but where the price is what is tested."""
    passwords.nobodys.cache_clear()  # made at the price of the module before
    if request.module.__name__.rpartition(".")[2] in ("test_passwords", "test_attempts", "test_accounts"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        yield


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A running application whose model is ready. That takes a second, so there is one for all modules."""
    with TestClient(build_app(settings_in(tmp_path_factory.mktemp("started"))), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


@pytest.fixture(scope="module")
def client(started: TestClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An application with a store of this module's own, whose model is ready."""
    with opened(settings_in(tmp_path_factory.mktemp("service")), started) as client:
        yield client


@pytest.fixture
def storage(client: TestClient) -> Storage:
    return storage_of(client)


@pytest.fixture
def clock(client: TestClient) -> Iterator[Clock]:
    """The application's clock, which the test may turn on."""
    clock = Clock()
    with changed(client, now=clock):
        yield clock


@pytest.fixture
def ada(client: TestClient) -> Someone:
    return someone(client)


@pytest.fixture
def bob(client: TestClient) -> Someone:
    return someone(client)


@pytest.fixture
def operator(client: TestClient) -> Someone:
    return someone(client, Role.OPERATOR)


@pytest.fixture
def admin(client: TestClient) -> Someone:
    return someone(client, Role.ADMIN)


@pytest.fixture
def stranger(client: TestClient) -> TestClient:
    """A browser in which nobody is signed in."""
    return browser_of(client)
