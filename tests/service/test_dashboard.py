"""The dashboard: numbers that are right for runs that are known, for whom they are meant, as JSON and as a page."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from service.dashboard import summarise
from service.tallies import EVERYBODY, Tally
from tests.service.conftest import DAY, Someone, add_run, browser_of, changed, someone, storage_of

Json = dict[str, object]
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def judge(client: TestClient) -> Someone:
    """Someone whose predictions are known: ten of an old release, six of a new one, and one that is too old to be shown."""
    judge = someone(client)
    for number in range(10):
        add_run(
            client, judge, ("tabby", "lynx", "tiger cat"), made_at=NOW - DAY * (number % 5), release="old", probability=0.31,
            milliseconds=100, save=number < 8, truth=("tabby", "lynx", "tiger cat", "espresso")[number % 4] if number < 8 else None,
        )  # fmt: skip
    for number in range(6):
        add_run(
            client, judge, ("espresso", "cup"), made_at=NOW, release="new", probability=1.0, milliseconds=10 ** (number % 3),
            truth="espresso" if number < 3 else "",
        )  # fmt: skip
    add_run(client, judge, ("cup",), made_at=NOW - DAY * 30, release="older")
    return judge


def dashboard(client: TestClient, who: Someone, **query: object) -> Json:
    with changed(client, now=lambda: NOW):
        return client.get("/v1/dashboard", params=query, headers=who.headers).raise_for_status().json()


def test_predictions_saves_and_accuracy_are_counted(client: TestClient, judge: Someone):
    total = dashboard(client, judge)["total"]
    assert (total["predictions"], total["saved"], total["judged"]) == (16, 14, 11)
    assert total["top1"] == pytest.approx((2 + 3) / 11)
    assert total["top5"] == pytest.approx((6 + 3) / 11)
    assert (total["first"], total["last"]) == ("2026-03-27", "2026-03-31")


def test_each_release_has_its_own_numbers_the_newest_first(client: TestClient, judge: Someone):
    new, old = dashboard(client, judge)["releases"]
    assert [(new[key], old[key]) for key in ("release", "predictions", "saved", "judged")] == [
        ("new", "old"), (6, 10), (6, 8), (3, 8),
    ]  # fmt: skip
    assert (new["top1"], old["top1"], new["top5"], old["top5"]) == (1, 0.25, 1, 0.75)
    assert {new["model"], old["model"]} == {"model-of-tests"}
    assert (old["first"], old["last"], new["first"]) == ("2026-03-27", "2026-03-31", "2026-03-31")


def test_latencies_are_right_within_five_percent(client: TestClient, judge: Someone):
    new, old = (summary["milliseconds"] for summary in dashboard(client, judge)["releases"])
    assert [old[share] for share in ("p50", "p95", "p99")] == [pytest.approx(100, rel=0.05)] * 3
    assert [new[share] for share in ("p50", "p95")] == [pytest.approx(10, rel=0.05), pytest.approx(100, rel=0.05)]


def test_probabilities_are_counted_by_tenths(client: TestClient, judge: Someone):
    new, old = (summary["confidence"] for summary in dashboard(client, judge)["releases"])
    assert (new, old) == ([0] * 9 + [6], [0, 0, 0, 10, 0, 0, 0, 0, 0, 0])


def test_every_day_of_the_time_has_its_number(client: TestClient, judge: Someone):
    shown = dashboard(client, judge, days=7)
    assert shown["days"] == [f"2026-03-{day}" for day in range(25, 32)]
    assert {series["release"]: series["predictions"] for series in shown["series"]} == {
        "old": [0, 0, 2, 2, 2, 2, 2],
        "new": [0, 0, 0, 0, 0, 0, 6],
    }


def test_the_most_frequent_labels_come_first(client: TestClient, judge: Someone):
    labels = dashboard(client, judge)["labels"]
    assert labels == [{"label": "tabby", "predictions": 10}, {"label": "espresso", "predictions": 6}]


def test_what_was_taken_for_what_is_counted(client: TestClient, judge: Someone):
    confusion = dashboard(client, judge)["confusion"]
    counts = dict(zip(confusion["labels"], confusion["counts"], strict=True))
    place = {label: number for number, label in enumerate(confusion["labels"])}
    assert {truth: sum(row) for truth, row in counts.items()} == {"espresso": 5, "tabby": 2, "lynx": 2, "tiger cat": 2}
    assert (counts["espresso"][place["espresso"]], counts["espresso"][place["tabby"]]) == (3, 2)
    assert (counts["tabby"][place["tabby"]], counts["lynx"][place["tabby"]], counts["lynx"][place["lynx"]]) == (2, 2, 0)


def test_labels_beyond_the_most_frequent_are_others():
    counts = {f"confusion:{truth}>{other}": 10 - truth for truth in range(10) for other in (truth, "unheard of")}
    confusion = summarise([Tally("a", date(2026, 1, 1), "r", "m", counts)], date(2026, 1, 1), date(2026, 1, 1)).confusion
    assert confusion.labels == tuple(str(truth) for truth in range(8))
    assert confusion.counts[2] == (0, 0, 8, 0, 0, 0, 0, 0, 8)


@pytest.mark.parametrize(("days", "seen"), [(1, 8), (2, 10), (30, 16), (31, 17), (366, 17)])
def test_days_are_counted_back_from_today(client: TestClient, judge: Someone, days: int, seen: int):
    shown = dashboard(client, judge, days=days)
    assert (len(shown["days"]), shown["total"]["predictions"]) == (days, seen)


def test_one_release_may_be_asked_for(client: TestClient, judge: Someone):
    shown = dashboard(client, judge, release="new")
    assert ([one["release"] for one in shown["releases"]], shown["total"]["predictions"]) == (["new"], 6)
    assert dashboard(client, judge, release="none")["total"]["predictions"] == 0


def test_who_has_seen_nothing_has_zeros_and_no_shares(client: TestClient, ada: Someone):
    shown = dashboard(client, ada)
    total = shown["total"]
    assert (shown["releases"], shown["series"], shown["labels"]) == ([], [], [])
    assert (total["predictions"], total["top1"], total["milliseconds"]) == (0, None, {"p50": None, "p95": None, "p99": None})


def test_a_dashboard_follows_what_is_made_changed_and_deleted(client: TestClient, ada: Someone):
    def numbers() -> list[object]:
        total = client.get("/v1/dashboard", headers=ada.headers).json()["total"]
        return [total[key] for key in ("predictions", "saved", "judged", "top1")]

    run = add_run(client, ada, save=False)
    seen = [numbers()]
    client.post("/v1/runs", json={"prediction": run.id, "truth": "cup"}, headers=ada.headers).raise_for_status()
    seen.append(numbers())
    for truth in ("espresso", ""):
        client.patch(f"/v1/runs/{run.id}", json={"truth": truth}, headers=ada.headers).raise_for_status()
        seen.append(numbers())
    client.delete(f"/v1/runs/{run.id}", headers=ada.headers)
    assert [*seen, numbers()] == [[1, 0, 0, None], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, None], [0, 0, 0, None]]


def test_everybodys_predictions_are_for_operators(client: TestClient, operator: Someone, admin: Someone, judge: Someone):
    everybody = storage_of(client).tallies(EVERYBODY, (NOW - 29 * DAY).date(), NOW.date())
    total = sum(tally.counts["predictions"] for tally in everybody)
    for who in (operator, admin):
        assert dashboard(client, who, scope="everybody")["total"]["predictions"] == total
        assert dashboard(client, who, scope="mine")["total"]["predictions"] == 0
    refused = client.get("/v1/dashboard", params={"scope": "everybody"}, headers=judge.headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    pages = [browser_of(client, who).get("/dashboard", params={"scope": "everybody"}) for who in (judge, operator)]
    assert [(page.status_code, "<h1>Forbidden</h1>" in page.text) for page in pages] == [(403, True), (200, False)]


@pytest.mark.parametrize("path", ["/v1/dashboard", "/dashboard"])
@pytest.mark.parametrize(
    "query", ["days=0", "days=367", "days=x", "days=-1", "days=", "days=" + "1" * 5000, "scope=his"], ids=lambda text: text[:9]
)
def test_a_nonsensical_dashboard_is_refused(client: TestClient, operator: Someone, path: str, query: str):
    answer = client.get(f"{path}?{query}", headers=operator.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def cells(text: str) -> list[list[str]]:
    """The page's tables, row by row, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.DOTALL)] for row in rows
    ]


def test_the_page_has_every_number_as_text(client: TestClient, judge: Someone):
    with changed(client, now=lambda: NOW):
        text = browser_of(client, judge).get("/dashboard").text
    table = cells(text)
    days = "2026-03-27 – 2026-03-31"
    assert ["old", "model-of-tests", days, "10", "8", "8", "25.0 %", "75.0 %"] in [row[:8] for row in table]
    assert ["tabby", "10"] in table
    assert ["espresso", "3"] in [row[:2] for row in table if len(row) > 2]
    assert "<b>45.5 %</b> right at first" in text
    assert 'data-address="/v1/dashboard?days=30&amp;scope=mine&amp;release="' in text


def test_the_page_offers_everybodys_predictions_to_operators_alone(client: TestClient, operator: Someone, judge: Someone):
    pages = [browser_of(client, who).get("/dashboard").text for who in (operator, judge)]
    assert ['<option value="everybody"' in page for page in pages] == [True, False]


def test_the_page_of_who_has_seen_nothing_says_what_to_do(client: TestClient, ada: Someone):
    page = browser_of(client, ada).get("/dashboard?days=7")
    assert (page.status_code, "Nothing was recognised in these 7 days." in page.text) == (200, True)


def test_runs_that_were_saved_at_midnight_count_on_the_day_they_were_made(client: TestClient, ada: Someone):
    midnight = datetime(2026, 3, 31, tzinfo=UTC)
    for made in (midnight - timedelta(microseconds=1), midnight):
        add_run(client, ada, made_at=made)
    assert dashboard(client, ada, days=2)["series"] == [{"release": "release-1", "predictions": [1, 1]}]


def test_a_dashboard_of_one_release_still_names_the_others(client: TestClient):
    ada = someone(client)
    for number, release in enumerate(("older", "newer")):
        add_run(client, ada, release=release, made_at=datetime.now(UTC) - timedelta(days=1 - number))
    page = client.get("/dashboard?release=older", headers=ada.headers).text
    assert re.findall(r'<option value="(older|newer)"', page) == ["newer", "older"]
