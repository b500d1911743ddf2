"""Taking one's runs along: all of them, over as many pages of the store as there are, in a form that harms no spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from service.records import Run, Score
from service.storage.protocol import StoredRun
from service.web.api.runs import COLUMNS
from tests.service.conftest import DAY, Someone, add_run, someone, storage_of

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
MANY = 210  # a page of the store has 200 at most
SCORES = (Score("espresso", 967, 0.75), Score("cup", 968, 0.125))


@pytest.fixture(scope="module")
def hoarder(client: TestClient) -> Someone:
    return someone(client)


@pytest.fixture(scope="module")
def hoard(client: TestClient, hoarder: Someone) -> list[str]:
    """The ids of many runs, newest first; the oldest alone is of another release. Without pictures, which takes less time."""
    runs = [
        Run(
            f"e{number:031x}", hoarder.user.id, JANUARY + timedelta(minutes=number), SCORES, "release-1" if number else "release-0",
            "model-of-tests", "image/png", 640, 480, 1000, 12.34,
        ).kept(JANUARY + DAY, f"note {number}", "")
        for number in range(MANY)
    ]  # fmt: skip
    for run in runs:
        storage_of(client).put(StoredRun(run, None))
    return [run.id for run in reversed(runs)]


def rows(client: TestClient, who: Someone, **query: str) -> list[dict[str, str]]:
    answer = client.get("/v1/exports/runs.csv", params=query, headers=who.headers).raise_for_status()
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def documents(client: TestClient, who: Someone, **query: str) -> list[dict[str, object]]:
    return client.get("/v1/exports/runs.json", params=query, headers=who.headers).raise_for_status().json()["runs"]


def test_an_export_has_every_run_however_many_pages_there_are(client: TestClient, hoarder: Someone, hoard: list[str]):
    assert [row["id"] for row in rows(client, hoarder)] == hoard
    assert [run["id"] for run in documents(client, hoarder)] == hoard


def test_an_export_has_what_a_listing_with_the_same_query_has(client: TestClient, hoarder: Someone, hoard: list[str]):
    query = {"since": "2026-01-01T00:01:00Z", "until": "2026-01-01T03:25:00Z", "label": "espresso"}
    listed = [run for run in hoard if 1 <= int(run[1:], 16) < 205]
    assert [row["id"] for row in rows(client, hoarder, **query)] == listed
    assert [run["id"] for run in documents(client, hoarder, **query)] == listed


def test_a_run_behind_hundreds_that_were_not_asked_for_is_found(client: TestClient, hoarder: Someone, hoard: list[str]):
    query = {"label": "espresso", "release": "release-0"}
    page = client.get("/v1/runs", params={**query, "limit": "1"}, headers=hoarder.headers).json()
    assert (page["runs"], page["next"] is None) == ([], False)
    assert [row["id"] for row in rows(client, hoarder, **query)] == hoard[-1:]
    assert [run["id"] for run in documents(client, hoarder, **query)] == hoard[-1:]


def test_a_run_is_exported_as_it_is_shown(client: TestClient, ada: Someone):
    run = add_run(client, ada, ("espresso", "cup"), note="the cup", truth="coffee mug", milliseconds=12.34, probability=0.75)
    assert documents(client, ada) == [client.get(f"/v1/runs/{run.id}", headers=ada.headers).json()]
    (row,) = rows(client, ada)
    assert row == {
        "id": run.id, "made_at": run.made_at.isoformat(), "saved_at": run.saved_at.isoformat(), "release": "release-1",
        "model": "model-of-tests", "label": "espresso", "probability": "0.750000", "second": "cup", "third": "", "fourth": "",
        "fifth": "", "truth": "coffee mug", "note": "the cup", "milliseconds": "12.3", "width": "640", "height": "480",
    }  # fmt: skip


def test_exports_are_files_for_download(client: TestClient, ada: Someone):
    answers = [client.get(f"/v1/exports/runs.{kind}", headers=ada.headers) for kind in ("csv", "json")]
    assert [answer.headers["Content-Type"] for answer in answers] == ["text/csv; charset=utf-8", "application/json"]
    names = [answer.headers["Content-Disposition"] for answer in answers]
    assert names == ['attachment; filename="runs.csv"', 'attachment; filename="runs.json"']


def test_an_export_of_nothing_is_whole(client: TestClient, ada: Someone, bob: Someone):
    add_run(client, bob)
    add_run(client, ada, save=False)
    assert client.get("/v1/exports/runs.csv", headers=ada.headers).text == ",".join(COLUMNS) + "\r\n"
    assert documents(client, ada) == []


@pytest.mark.parametrize("note", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", '=HYPERLINK("https://evil.example")'])
def test_no_cell_is_a_formula(client: TestClient, ada: Someone, note: str):
    add_run(client, ada, note=note)
    assert [row["note"] for row in rows(client, ada)] == [f"'{note}"]
    assert [run["note"] for run in documents(client, ada)] == [note]


@pytest.mark.parametrize("note", ["a, b", 'say "cheese"', "two\nlines", "1-2=3", "ümlaut ☕", "<b>", "a\tb", "it's"])
def test_every_other_text_comes_out_as_it_went_in(client: TestClient, ada: Someone, note: str):
    add_run(client, ada, note=note)
    assert [row["note"] for row in rows(client, ada)] == [note]
    assert [run["note"] for run in documents(client, ada)] == [note]


@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize("query", [{"since": "yesterday"}, {"after": "x"}, {"limit": "0"}])
def test_an_export_of_nonsense_is_refused_before_it_begins(client: TestClient, ada: Someone, kind: str, query: dict[str, str]):
    answer = client.get(f"/v1/exports/runs.{kind}", params=query, headers=ada.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
