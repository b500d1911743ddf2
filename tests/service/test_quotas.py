"""How much one may ask for: shares of users and addresses, saves a day, and a queue that is never longer than can be answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from service.errors import RateExceeded
from service.inference.recogniser import Recogniser
from service.limits import KNOWN_AT_MOST, RateLimit
from service.web.tools import Limits
from tests.service.conftest import (
    DAY,
    HOUR,
    PASSWORD,
    Clock,
    Someone,
    add_run,
    browser_of,
    changed,
    eventually,
    opened,
    settings_in,
)  # fmt: skip

NEVER = 10_000


class Seconds:
    """A clock that stands still until it is told to go on."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@contextmanager
def limited(
    client: TestClient, seconds: Seconds, *, users: int = NEVER, guests: int = NEVER, sign_ups: int = NEVER
) -> Iterator[None]:
    """The application with these limits a minute, from full buckets."""
    limits = Limits(*(RateLimit(number, "things", seconds) for number in (users, guests, sign_ups)))
    with changed(client, limits=limits):
        yield


def refusal(answer: Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["code"], answer.headers["Retry-After"]


def predict(client: TestClient, picture: bytes, who: Someone | None = None) -> Response:
    return client.post("/v1/predictions", content=picture, headers=who.headers if who else {})


def test_a_user_has_a_share_of_predictions_that_fills_again(
    client: TestClient, ada: Someone, bob: Someone, pictures: dict[str, bytes], seconds: Seconds
):
    with limited(client, seconds, users=3):
        assert [predict(client, pictures["cat"], ada).status_code for _ in range(3)] == [200] * 3
        assert refusal(predict(client, pictures["cat"], ada)) == (429, "rate_exceeded", "20")
        seconds.now += 12.5
        assert refusal(predict(client, pictures["cat"], ada)) == (429, "rate_exceeded", "8")
        seconds.now += 7.5
        assert [predict(client, pictures["cat"], who).status_code for who in (ada, ada, bob, None)] == [200, 429, 200, 200]


def test_guests_of_one_address_share_and_those_of_another_do_not(client: TestClient, pictures: dict[str, bytes], seconds: Seconds):
    elsewhere = TestClient(client.app, client=("10.0.0.1", 50000))
    with limited(client, seconds, guests=2):
        assert [predict(client, pictures["cat"]).status_code for _ in range(2)] == [200, 200]
        assert refusal(predict(client, pictures["cat"])) == (429, "rate_exceeded", "30")
        assert predict(elsewhere, pictures["cat"]).status_code == 200


def test_each_picture_of_a_batch_counts_and_a_batch_that_is_too_much_takes_nothing(
    client: TestClient, pictures: dict[str, bytes], seconds: Seconds
):
    def batch(number: int) -> Response:
        return client.post("/v1/predictions/batch", files=[("image", ("x", pictures["cat"]))] * number)

    with limited(client, seconds, guests=6):
        answers = [batch(number) for number in (4, 3, 2, 1)]
    assert [answer.status_code for answer in answers] == [200, 429, 200, 429]
    assert [refusal(answer) for answer in answers[1::2]] == [(429, "rate_exceeded", "10")] * 2


def test_uploads_on_the_page_count_too(client: TestClient, pictures: dict[str, bytes], seconds: Seconds):
    with limited(client, seconds, guests=1):
        browser = browser_of(client)
        pages = [browser.post("/", files={"image": pictures["cat"]}) for _ in range(2)]
    assert [page.status_code for page in pages] == [200, 429]
    assert (pages[1].headers["Retry-After"], "At most 1 things a minute." in pages[1].text) == ("60", True)


def test_pictures_that_cannot_be_read_count_as_well(client: TestClient, seconds: Seconds):
    with limited(client, seconds, guests=1):
        assert [predict(client, b"rubbish").status_code for _ in range(2)] == [422, 429]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/users", {"name": "x", "password": PASSWORD}), ("/v1/set-up", {"token": "t", "name": "x", "password": PASSWORD})],
)
def test_accounts_from_one_address_are_limited(client: TestClient, seconds: Seconds, path: str, body: dict[str, str]):
    elsewhere = TestClient(client.app, client=("10.0.0.1", 50000))
    with limited(client, seconds, sign_ups=2):
        assert [client.post(path, json=body).status_code in (403, 422) for _ in range(2)] == [True, True]
        assert refusal(client.post(path, json=body)) == (429, "rate_exceeded", "30")
        assert elsewhere.post(path, json=body).status_code in (403, 422)


def test_accounts_that_admins_make_are_not_limited(client: TestClient, admin: Someone, seconds: Seconds):
    with limited(client, seconds, sign_ups=1):
        answers = [client.post("/v1/users", json={"name": "x", "password": PASSWORD}, headers=admin.headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422] * 3


@pytest.mark.parametrize(
    ("setting", "path", "detail"),
    [
        ("guest_predictions_per_minute", "/v1/predictions", "at most 1 pictures from one address without an account a minute"),
        ("sign_ups_per_minute", "/v1/users", "at most 1 new accounts from one address a minute"),
    ],
)
def test_the_shares_are_those_of_the_settings(tmp_path: Path, setting: str, path: str, detail: str):
    with opened(replace(settings_in(tmp_path), **{setting: 1})) as client:
        answers = [client.post(path, json={"name": "x", "password": PASSWORD}) for _ in range(2)]
    assert (answers[0].status_code == 429, answers[1].json()["detail"]) == (False, detail)


def test_a_users_share_is_that_of_the_settings(tmp_path: Path):
    with opened(replace(settings_in(tmp_path), predictions_per_minute=1)) as client:
        limit = client.app.state.tools.limits.users
        limit.take("ada")
        with pytest.raises(RateExceeded, match="at most 1 pictures of one user a minute"):
            limit.take("ada")


def test_a_limit_forgets_who_has_been_quiet_longest(seconds: Seconds):
    limit = RateLimit(1, "things", seconds)
    for number in range(KNOWN_AT_MOST):
        limit.take(f"user-{number}")
    with pytest.raises(RateExceeded):
        limit.take("user-0")  # heard of again, and so no longer the quietest
    limit.take("one more")
    limit.take("user-1")
    with pytest.raises(RateExceeded):
        limit.take("user-0")


def test_saves_of_a_day_are_limited_and_changes_are_not(client: TestClient, ada: Someone, bob: Someone, clock: Clock):
    def save(who: Someone, run: str, **said: str) -> Response:
        return client.post("/v1/runs", json={"prediction": run, **said}, headers=who.headers)

    first, second, third, other = (add_run(client, who, save=False).id for who in (ada, ada, ada, bob))
    with changed(client, settings={"saves_per_day": 2}):
        assert [save(ada, run).status_code for run in (first, second)] == [201, 201]
        over = save(ada, third)
        assert (over.status_code, over.json()["code"]) == (403, "too_many_runs")
        assert [save(ada, first, note="new").status_code, save(bob, other).status_code] == [201, 201]
        assert client.patch(f"/v1/runs/{second}", json={"note": "new"}, headers=ada.headers).status_code == 200
        clock.ahead = DAY + HOUR
        tomorrow = add_run(client, ada, made_at=clock(), save=False).id
        assert save(ada, tomorrow).status_code == 201


@pytest.fixture(scope="module")
def small(client: TestClient) -> Iterator[Recogniser]:
    """The model behind a queue of two."""
    recogniser = Recogniser(client.app.state.tools.recogniser.description, threads=1, queue=2)
    asyncio.run(recogniser.start())
    yield recogniser
    recogniser.stop()


@contextmanager
def two_waiting(client: TestClient, small: Recogniser, picture: bytes) -> Iterator[list[Future[Response]]]:
    """Two pictures fill the queue, as long as the only decoder is busy with something else."""
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as busy, ThreadPoolExecutor(2) as guests, changed(client, recogniser=small, decoding=busy):
        busy.submit(go_on.wait)
        answers = [guests.submit(predict, client, picture) for _ in range(2)]
        try:
            end = time.monotonic() + 10
            while small.waiting < 2:
                assert time.monotonic() < end, "the pictures never came to wait"
                time.sleep(0.001)
            yield answers
        finally:
            go_on.set()


@pytest.mark.parametrize(("rate", "wait"), [(0.0, "1"), (100.0, "1"), (0.5, "4"), (0.3, "7")])
def test_who_finds_the_queue_full_is_told_when_it_will_have_drained(
    client: TestClient, small: Recogniser, pictures: dict[str, bytes], rate: float, wait: str
):
    with two_waiting(client, small, pictures["cat"]) as answers:
        small._batcher.rate = rate  # answers a second, as if measured
        refused = [predict(client, pictures["cat"]), client.post("/v1/predictions/batch", files={"image": pictures["cat"]})]
        assert [refusal(answer) for answer in refused] == [(429, "overloaded", wait)] * 2
    assert [answer.result().status_code for answer in answers] == [200, 200]
    assert predict(client, pictures["cat"]).status_code == 200


def test_how_fast_the_queue_drains_is_measured(client: TestClient, small: Recogniser, pictures: dict[str, bytes]):
    small._batcher.rate = 0.0
    with changed(client, recogniser=small):
        predict(client, pictures["cat"]).raise_for_status()
    eventually(lambda: 0.5 < small._batcher.rate < 2000)


def test_a_full_queue_is_explained_on_the_page(client: TestClient, small: Recogniser, pictures: dict[str, bytes]):
    with two_waiting(client, small, pictures["cat"]):
        page = browser_of(client).post("/", files={"image": pictures["cat"]})
    assert (page.status_code, "2 pictures are waiting already." in page.text) == (429, True)


def test_a_batch_that_does_not_fit_is_refused_whole_and_one_that_does_is_answered(
    client: TestClient, small: Recogniser, pictures: dict[str, bytes]
):
    with changed(client, recogniser=small):
        answers = [client.post("/v1/predictions/batch", files=[("image", ("x", pictures["cat"]))] * number) for number in (3, 2)]
    assert [answer.status_code for answer in answers] == [429, 200]


def test_places_are_given_back_by_pictures_that_cannot_be_read(client: TestClient, small: Recogniser):
    with changed(client, recogniser=small):
        assert [predict(client, b"rubbish").status_code for _ in range(5)] == [422] * 5
    assert small.waiting == 0
