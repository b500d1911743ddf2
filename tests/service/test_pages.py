"""The pages as a browser without JavaScript uses them, and the parts of pages that our own script asks for."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from service import accounts
from service.storage.protocol import Storage
from service.web.pages import ROUTES
from tests.service.conftest import DAY, HOUR, PASSWORD, PICTURES, Clock, Someone, add_run, browser_of, changed, someone

EVIL = "<script>alert('x')</script>"
NEW = "a new battery staple"
SCRIPT = {"X-Fragment": "answers"}  # what our own script sends along


@pytest.fixture
def ada_there(client: TestClient, ada: Someone) -> TestClient:
    """A browser in which ada is signed in."""
    return browser_of(client, ada)


@pytest.fixture
def admin_there(client: TestClient, admin: Someone) -> TestClient:
    """A browser in which an admin is signed in."""
    return browser_of(client, admin)


def hidden(page: Response, field: str) -> str:
    found = re.search(rf'<input type="hidden" name="{field}" value="([^"]*)">', page.text)
    assert found, page.text
    return found[1]


def told(page: Response) -> list[str]:
    """What the page says was wrong."""
    return re.findall(r'<p class="problem" role="alert">(.*?)</p>', page.text)


def upload(browser: TestClient, *pictures: bytes, script: bool = False) -> Response:
    files = [("image", ("picture.jpg", picture)) for picture in pictures]
    return browser.post("/", files=files, headers=SCRIPT if script else {})


def shown_runs(page: Response) -> list[str]:
    """The runs of a listing, in order."""
    return re.findall(r'<a href="/runs/(\w+)">\s*<img', page.text)


def test_the_first_page_asks_for_pictures_and_names_the_release(stranger: TestClient):
    page = stranger.get("/")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<input id="image" name="image" type="file"' in page.text
    assert '<code title="' + "r" * 64 + '">rrrrrrrrrrrr</code>' in page.text


def pages_of(client: TestClient, who: Someone) -> list[str]:
    """Every page that can be opened, by its address."""
    one, other = add_run(client, who).id, add_run(client, who).id
    paths = [route.path for route in ROUTES if "GET" in (getattr(route, "methods", None) or ())]
    pages = [path.format(id=one) for path in paths if not path.startswith(("/pictures", "/thumbnails"))]
    return [f"{path}?run={one}&run={other}" if path == "/compare" else path for path in pages]


def test_every_page_opens_trusts_nothing_else_and_is_kept_by_nobody(client: TestClient, admin: Someone):
    browser = browser_of(client, admin)
    pages = {path: browser.get(path, follow_redirects=False) for path in pages_of(client, admin)}
    assert {path: page.status_code for path, page in pages.items()} == dict.fromkeys(pages, 200)
    for page in pages.values():
        policy = set(page.headers["Content-Security-Policy"].split("; "))
        assert {
            "default-src 'none'",
            "script-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        } <= policy
        assert (page.headers["X-Content-Type-Options"], page.headers["Referrer-Policy"]) == ("nosniff", "same-origin")
        assert page.headers["Cache-Control"] == "no-store"


def test_every_page_runs_only_scripts_of_files_that_are_there(client: TestClient, admin: Someone):
    browser = browser_of(client, admin)
    texts = [browser.get(path).text for path in pages_of(client, admin)]
    files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', "".join(texts)))
    assert len(files) >= 6
    assert {file: browser.get(file).status_code for file in files} == dict.fromkeys(files, 200)
    for text in texts:
        assert not re.search(r"<script(?! src=\"/static/)|<style| on[a-z]+=| style=|javascript:", text)


def test_every_link_of_every_page_leads_somewhere(client: TestClient, admin: Someone):
    browser = browser_of(client, admin)
    links = {link for path in pages_of(client, admin) for link in re.findall(r'(?:href|src)="(/[^"#]*)', browser.get(path).text)}
    assert {link: browser.get(link.replace("&amp;", "&")).status_code for link in links} == dict.fromkeys(links, 200)


@pytest.mark.parametrize("path", ["/runs", "/runs/0123456789abcdef", "/compare?run=a&run=b", "/dashboard", "/account", "/users"])
def test_a_stranger_who_opens_a_page_of_users_signs_in_first_and_comes_back(stranger: TestClient, path: str):
    page = stranger.get(path)
    assert (page.status_code, page.url.path, page.url.params["after"]) == (200, "/sign-in", path)
    assert hidden(page, "after").replace("&amp;", "&") == path


def test_an_upload_shows_what_the_model_sees_and_offers_a_guest_to_sign_in(stranger: TestClient, pictures: dict[str, bytes]):
    page = upload(stranger, pictures["coffee"])
    assert page.status_code == 200
    assert page.text.count('<span class="label">') == 5
    assert "<h2>espresso</h2>" in page.text
    assert 'action="/runs"' not in page.text
    assert "Sign in to save" in page.text


def test_several_pictures_are_answered_on_one_page_and_a_bad_one_is_explained_in_its_place(
    ada_there: TestClient, pictures: dict[str, bytes]
):
    page = upload(ada_there, pictures["coffee"], b"rubbish", pictures["cat"])
    answers = re.findall(r"<article.*?</article>", page.text, re.DOTALL)
    assert (page.status_code, len(answers), len(told(page))) == (200, 3, 1)
    assert "<h2>espresso</h2>" in answers[0]
    assert "Not a picture in one of the formats" in answers[1]
    assert 'action="/runs"' in answers[2]


@pytest.mark.parametrize(
    ("files", "status", "problem"),
    [
        ({"image": ("a.jpg", bytes(10_000_001))}, 413, "The picture has 10,000,001 bytes"),
        ([("image", ("a.jpg", bytes(9_000_000)))] * 5, 413, "The body is larger than"),
        ({"other": ("a.jpg", b"x")}, 400, "The form has no file"),
        ([("image", ("a.jpg", b"x"))] * 17, 413, "At most 16 pictures are taken at once"),
    ],
    ids=["large", "very large", "no file", "many"],
)
@pytest.mark.parametrize("script", [False, True], ids=["page", "script"])
def test_an_upload_that_cannot_be_read_is_explained_once(
    stranger: TestClient, files: object, status: int, problem: str, script: bool
):
    page = stranger.post("/", files=files, headers=SCRIPT if script else {})
    assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert ([text.startswith(problem) for text in told(page)], "<html" in page.text) == ([True], not script)


@pytest.mark.parametrize("body", [b"rubbish", b""], ids=["rubbish", "empty"])
def test_a_bad_picture_is_explained_once(stranger: TestClient, body: bytes):
    page = upload(stranger, body)
    assert (page.status_code, len(told(page))) == (200, 1)


def test_a_user_saves_a_picture_and_looks_back_on_it(ada_there: TestClient, pictures: dict[str, bytes]):
    run = hidden(upload(ada_there, pictures["coffee"]), "prediction")
    page = ada_there.post("/runs", data={"prediction": run, "note": "mine", "truth": "Espresso"})
    assert (page.url.path, page.status_code) == (f"/runs/{run}", 200)
    assert "<h1>espresso</h1>" in page.text
    assert 'name="note" maxlength="500" value="mine"' in page.text
    assert "the model was right" in page.text
    assert shown_runs(ada_there.get("/runs")) == [run]


def test_a_label_that_the_model_does_not_know_is_explained_beside_what_was_typed(client: TestClient, ada: Someone):
    browser, waiting = browser_of(client, ada), add_run(client, ada, save=False)
    for headers in ({}, SCRIPT):
        page = browser.post("/runs", data={"prediction": waiting.id, "note": "my note", "truth": "expresso"}, headers=headers)
        assert (page.status_code, hidden(page, "prediction")) == (422, waiting.id)
        assert [text.startswith("The model has no label &#39;expresso&#39;; near are espresso") for text in told(page)] == [True]
        assert 'value="expresso"' in page.text
        assert 'value="my note"' in page.text


def test_a_saved_run_that_is_saved_again_with_a_wrong_label_says_so(client: TestClient, ada: Someone):
    browser, run = browser_of(client, ada), add_run(client, ada)
    for headers in ({}, SCRIPT):
        page = browser.post("/runs", data={"prediction": run.id, "truth": "expresso"}, headers=headers)
        assert (page.status_code, len(told(page))) == (422, 1)


def test_our_script_gets_parts_of_pages(client: TestClient, ada: Someone, pictures: dict[str, bytes]):
    browser = browser_of(client, ada)
    answer = upload(browser, pictures["coffee"], script=True)
    saved = browser.post("/runs", data={"prediction": hidden(answer, "prediction")}, headers=SCRIPT)
    assert (answer.status_code, saved.status_code, saved.url.path) == (200, 200, "/runs")
    assert [re.match(r"\s*<article", page.text) is not None for page in (answer, saved)] == [True, True]
    assert ["<html" in page.text for page in (answer, saved)] == [False, False]
    assert "Saved." in saved.text


@pytest.mark.parametrize(("who", "status"), [("stranger", 401), ("ada_there", 404)])
def test_our_script_is_told_of_a_refusal_in_a_part_of_a_page(request: pytest.FixtureRequest, who: str, status: int):
    page = request.getfixturevalue(who).post("/runs", data={"prediction": "x"}, headers=SCRIPT)
    assert (page.status_code, len(told(page)), "<html" in page.text) == (status, 1, False)


def test_what_a_guest_saw_is_there_to_save_after_signing_up(stranger: TestClient, pictures: dict[str, bytes], storage: Storage):
    page = upload(stranger, pictures["coffee"])
    link = re.search(r'href="(/sign-up\?after=[^"]+)"', page.text)
    assert link
    guest = accounts.guest_id(stranger.cookies["guest"])
    form = stranger.get(link[1])
    page = stranger.post("/sign-up", data={"name": "newcomer", "password": PASSWORD, "after": hidden(form, "after")})
    run = parse_qs(urlsplit(str(page.url)).query)["waiting"][0]
    assert (page.url.path, hidden(page, "prediction"), "guest" in stranger.cookies) == ("/", run, False)
    assert stranger.get(f"/pictures/{run}").status_code == 200
    assert stranger.post("/runs", data={"prediction": run, "note": "kept"}).url.path == f"/runs/{run}"
    assert shown_runs(stranger.get("/runs")) == [run]
    assert [item for item in storage.items() if guest in repr(item)] == []


def test_what_a_guest_saw_is_there_to_save_after_signing_in(stranger: TestClient, ada: Someone, pictures: dict[str, bytes]):
    seen = [upload(stranger, pictures[name]) for name in ("coffee", "cat")]
    runs = [re.search(r"/pictures/(\w+)", page.text)[1] for page in seen]
    after = f"/?waiting={runs[0]}&waiting={runs[1]}"
    page = stranger.post("/sign-in", data={**ada.credentials, "after": after})
    assert re.findall(r'name="prediction" value="(\w+)"', page.text) == runs


def test_a_guest_sees_own_pictures_and_nobody_elses(
    client: TestClient, stranger: TestClient, ada: Someone, pictures: dict[str, bytes]
):
    run = re.search(r"/pictures/(\w+)", upload(stranger, pictures["coffee"]).text)[1]
    other = browser_of(client)
    upload(other, pictures["cat"])
    for kind in ("pictures", "thumbnails"):
        browsers = (stranger, other, browser_of(client), browser_of(client, ada))
        assert [browser.get(f"/{kind}/{run}").status_code for browser in browsers] == [200, 404, 404, 404]
    assert [f"/pictures/{run}" in browser.get(f"/?waiting={run}").text for browser in (stranger, other)] == [True, False]


def test_a_guests_picture_is_forgotten_after_its_time(stranger: TestClient, pictures: dict[str, bytes], clock: Clock):
    run = re.search(r"/pictures/(\w+)", upload(stranger, pictures["coffee"]).text)[1]
    clock.ahead = HOUR + timedelta(seconds=5)
    assert stranger.get(f"/pictures/{run}").status_code == 404
    assert run not in re.findall(r"/pictures/(\w+)", stranger.get(f"/?waiting={run}").text)


def test_a_guests_cookie_is_kept_from_scripts_and_other_sites(stranger: TestClient, pictures: dict[str, bytes]):
    parts = {part.strip().lower() for part in upload(stranger, pictures["cat"]).headers["Set-Cookie"].split(";")}
    assert {"httponly", "samesite=lax", "path=/", "max-age=3600"} <= parts


def test_where_guests_are_not_wanted_an_upload_leads_to_signing_in(
    client: TestClient, stranger: TestClient, pictures: dict[str, bytes]
):
    with changed(client, settings={"guests": False}):
        page = upload(stranger, pictures["cat"])
    assert (page.status_code, told(page)) == (401, ["Sign in first: this service answers nobody else."])


def test_pictures_and_thumbnails_are_shown_to_their_owner(client: TestClient, ada: Someone):
    browser, run = browser_of(client, ada), add_run(client, ada)
    picture, thumbnail = browser.get(f"/pictures/{run.id}"), browser.get(f"/thumbnails/{run.id}")
    assert (picture.content, picture.headers["Content-Type"]) == (PICTURES.picture, "image/png")
    assert (thumbnail.content, thumbnail.headers["Content-Type"]) == (PICTURES.thumbnail, "image/jpeg")
    assert {answer.headers["Content-Security-Policy"] for answer in (picture, thumbnail)} == {"default-src 'none'"}


@pytest.mark.parametrize("field", ["note", "name", "label", "release"])
def test_what_people_type_is_text_and_never_markup(client: TestClient, stranger: TestClient, ada: Someone, field: str):
    browser, run = browser_of(client, ada), add_run(client, ada, note=EVIL)
    pages = {
        "note": [browser.get("/runs"), browser.get(f"/runs/{run.id}"), browser.get("/compare", params={"run": [run.id, run.id]})],
        "name": [stranger.post(path, data={"name": f'">{EVIL}', "password": NEW}) for path in ("/sign-in", "/sign-up", "/set-up")],
        "label": [browser.get("/runs", params={"label": EVIL}), browser.post("/runs", data={"prediction": run.id, "truth": EVIL})],
        "release": [browser.get("/runs", params={"release": EVIL}), browser.get("/dashboard", params={"release": EVIL})],
    }[field]
    for page in pages:
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert EVIL not in page.text
    assert any("&lt;script&gt;" in page.text for page in pages)


def test_a_token_is_named_as_text_and_never_as_markup(ada_there: TestClient):
    page = ada_there.post("/account/tokens", data={"name": EVIL, "scopes": "read", "days": "1"})
    assert (page.status_code, EVIL in page.text, "&lt;script&gt;" in page.text) == (200, False, True)


def test_runs_are_shown_in_pages_that_keep_the_search(client: TestClient, ada: Someone):
    browser = browser_of(client, ada)
    espressos = [add_run(client, ada, note=f"note {number}").id for number in range(30)][::-1]
    add_run(client, ada, ("lemon",))
    first = browser.get("/runs", params={"label": "espresso"})
    more = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert more
    second = browser.get(more[1].replace("&amp;", "&"))
    assert (shown_runs(first) + shown_runs(second), len(shown_runs(first))) == (espressos, 24)
    assert ('rel="next"' in second.text, 'name="label" value="espresso"' in second.text) == (False, True)
    assert 'href="/v1/exports/runs.csv?label=espresso"' in first.text


def test_a_search_without_result_and_an_empty_shelf_say_so(ada_there: TestClient):
    assert "Nothing saved yet." in ada_there.get("/runs").text
    assert "No run is like that." in ada_there.get("/runs?label=lemon").text


@pytest.mark.parametrize("query", ["since=yesterday", "after=x"])
def test_a_nonsensical_search_is_explained_on_the_page(ada_there: TestClient, query: str):
    page = ada_there.get(f"/runs?{query}")
    assert (page.status_code, len(told(page))) == (400, 1)


def test_a_search_may_name_a_release_that_is_no_longer_counted(client: TestClient, ada: Someone):
    add_run(client, ada, release="recent")
    page = browser_of(client, ada).get("/runs?release=long-gone")
    assert re.findall(r'<option value="([^"]*)"( selected)?', page.text) == [("", ""), ("recent", ""), ("long-gone", " selected")]


def test_a_run_is_corrected_on_its_page(client: TestClient, ada: Someone):
    browser, run = browser_of(client, ada), add_run(client, ada, note="old")
    page = browser.post(f"/runs/{run.id}", data={"note": "new", "truth": "coffee mug"})
    assert (page.url.path, page.status_code) == (f"/runs/{run.id}", 200)
    assert "It really shows <b>coffee mug</b>: the model was wrong." in page.text
    wrong = browser.post(f"/runs/{run.id}", data={"note": "newer", "truth": "mugg"})
    assert (wrong.status_code, len(told(wrong))) == (422, 1)
    assert ('value="newer"' in wrong.text, 'value="mugg"' in wrong.text) == (True, True)
    assert browser.get(f"/v1/runs/{run.id}").json()["note"] == "new"


def test_a_run_is_deleted_on_its_page(client: TestClient, ada: Someone):
    browser, run = browser_of(client, ada), add_run(client, ada)
    assert browser.post(f"/runs/{run.id}/delete").url.path == "/runs"
    assert [browser.get(path).status_code for path in (f"/runs/{run.id}", f"/pictures/{run.id}")] == [404, 404]
    assert browser.post(f"/runs/{run.id}/delete").status_code == 404


def test_two_runs_stand_side_by_side_label_by_label(client: TestClient, ada: Someone):
    left = add_run(client, ada, ("espresso", "cup"), release="one", probability=0.9)
    right = add_run(client, ada, ("cup", "lemon"), release="two", probability=0.4, truth="cup")
    page = browser_of(client, ada).get("/compare", params={"run": [left.id, right.id]})
    rows = re.findall(r"<tr.*?</tr>", re.sub(r"<meter.*?</meter>", "", page.text), re.DOTALL)
    cells = [[text.strip() for text in re.findall(r">([^<>]+)", row) if text.strip()] for row in rows]
    assert cells[1:4] == [
        ["espresso", "90.0 %", "not among the five"],
        ["cup", "45.0 %", "40.0 %"],
        ["lemon", "not among the five", "20.0 %"],
    ]
    assert ["Release", "one", "two"] in cells
    assert ["Really shows", "–", "cup"] in cells


@pytest.mark.parametrize("chosen", [0, 1, 3])
def test_two_runs_are_what_can_be_compared(client: TestClient, ada: Someone, chosen: int):
    runs = [add_run(client, ada).id for _ in range(chosen)]
    page = browser_of(client, ada).get("/compare", params={"run": runs})
    assert (page.status_code, "Choose exactly two runs to compare." in page.text) == (400, True)


def test_nobody_compares_with_the_run_of_someone_else(client: TestClient, ada: Someone, bob: Someone):
    page = browser_of(client, bob).get("/compare", params={"run": [add_run(client, bob).id, add_run(client, ada).id]})
    assert page.status_code == 404


@pytest.mark.parametrize(
    "path", ["/runs", "/sign-out", "/runs/x", "/runs/x/delete", "/account/tokens", "/account/delete", "/users"]
)
def test_a_stranger_changes_nothing_and_is_shown_the_way_in(stranger: TestClient, path: str):
    page = stranger.post(path, data={"prediction": "x"})
    assert (page.status_code, page.headers["Content-Type"]) == (401, "text/html; charset=utf-8")
    assert '<a class="button" href="/sign-in">Sign in</a>' in page.text


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/nothing", 404, "Not Found"),
        ("/runs/0123456789abcdef", 404, "Not Found"),
        ("/pictures/0123456789abcdef", 404, "Not Found"),
        ("/users", 403, "Forbidden"),
        ("/sign-out", 405, "Method Not Allowed"),
    ],
)
def test_a_refusal_is_a_page_for_people_and_json_for_programs(client: TestClient, ada: Someone, path: str, status: int, title: str):
    page = browser_of(client, ada).get(path)
    assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f"<h1>{title}</h1>" in page.text
    assert page.headers["X-Request-Id"] in page.text
    program = client.get(path, headers=ada.headers)
    assert (program.status_code, program.headers["Content-Type"]) == (status, "application/problem+json")


def test_the_api_answers_json_even_to_a_browser(stranger: TestClient):
    for path, status in (("/v1/nothing", 404), ("/v1/runs", 401)):
        answer = stranger.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


def test_a_crash_is_a_page_too(client: TestClient, stranger: TestClient):
    with changed(client, storage=None):
        page = stranger.get("/?waiting=x", headers={"Cookie": "session=x"})
    assert (page.status_code, "<h1>Internal Server Error</h1>" in page.text) == (500, True)
    assert (page.headers["X-Request-Id"] in page.text, "Traceback" in page.text) == (True, False)


def test_a_wrong_password_is_explained_on_the_page(stranger: TestClient, ada: Someone):
    page = stranger.post("/sign-in", data={"name": ada.user.name, "password": "wrong password", "after": "/runs"})
    assert (page.status_code, told(page)) == (401, ["This name and password do not belong together."])
    assert (hidden(page, "after"), "wrong password" in page.text) == ("/runs", False)
    assert not stranger.cookies


@pytest.mark.parametrize(("name", "password", "problem"), [("no name", NEW, "A name has"), ("lin", "short", "A password has")])
def test_an_account_that_cannot_be_made_is_explained_on_the_page(stranger: TestClient, name: str, password: str, problem: str):
    page = stranger.post("/sign-up", data={"name": name, "password": password, "after": "/runs"})
    assert (page.status_code, len(told(page)), told(page)[0].startswith(problem)) == (422, 1, True)
    assert (f'name="name" value="{name}"' in page.text, hidden(page, "after")) == (True, "/runs")


def test_where_sign_up_is_closed_no_page_offers_it(client: TestClient, stranger: TestClient, pictures: dict[str, bytes]):
    with changed(client, settings={"sign_up": False}):
        pages = [stranger.get("/"), stranger.get("/sign-in"), upload(stranger, pictures["cat"])]
        form = stranger.get("/sign-up")
        answer = stranger.post("/sign-up", data={"name": "hopeful", "password": PASSWORD})
    assert ["/sign-up" in page.text for page in pages] == [False] * 3
    assert ('name="password"' in form.text, "ask one of them" in form.text) == (False, True)
    assert (answer.status_code, len(told(answer))) == (403, 1)


@pytest.mark.parametrize(
    "after", ["//evil.example", "/\\evil.example", "https://evil.example", "evil.example", "javascript:x", "", "/\t/evil.example"]
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-up"])
def test_no_sign_in_page_leads_to_another_site(stranger: TestClient, path: str, after: str):
    assert hidden(stranger.get(path, params={"after": after}), "after") == "/"


def test_signing_in_never_leads_to_another_site(stranger: TestClient, ada: Someone):
    answer = stranger.post("/sign-in", data={**ada.credentials, "after": "//evil.example"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_who_signs_up_is_signed_in_and_where_they_wanted_to_be(stranger: TestClient):
    page = stranger.post("/sign-up", data={"name": "eager", "password": PASSWORD, "after": "/dashboard"})
    assert (page.url.path, 'href="/account">eager</a>' in page.text) == ("/dashboard", True)


def test_the_page_greets_who_is_signed_in_until_they_sign_out(client: TestClient, stranger: TestClient, ada: Someone):
    page = stranger.post("/sign-in", data={**ada.credentials, "after": "/runs"})
    assert (page.url.path, f">{ada.user.name}</a>" in page.text) == ("/runs", True)
    ended = stranger.cookies["session"]
    assert '<a href="/sign-in">Sign in</a>' in stranger.post("/sign-out").text
    assert "session" not in stranger.cookies
    assert client.get("/v1/me", headers={"Cookie": f"session={ended}"}).status_code == 401


def test_a_browser_whose_session_has_ended_is_a_guest_again(
    client: TestClient, ada: Someone, storage: Storage, pictures: dict[str, bytes]
):
    browser = browser_of(client, ada)
    storage.end_sessions(ada.user.id)
    assert browser.get("/").status_code == 200
    assert "Sign in to save" in upload(browser, pictures["cat"]).text
    assert browser.get("/runs").url.path == "/sign-in"


def test_a_token_is_made_shown_once_and_revoked_on_the_account_page(client: TestClient, ada: Someone):
    browser = browser_of(client, ada)
    page = browser.post("/account/tokens", data={"name": " laptop ", "scopes": ["predict", "read"], "days": "30"})
    secret = re.search(r'value="(slipway_[^"]+)"', page.text)
    assert secret
    bearer = {"Authorization": f"Bearer {secret[1]}"}
    assert client.get("/v1/me", headers=bearer).json()["name"] == ada.user.name
    listed = browser.get("/account")
    assert (secret[1] in listed.text, "<td>laptop</td><td>predict, read</td>" in listed.text) == (False, True)
    revoke = re.search(r'action="(/account/tokens/\w+/revoke)"', listed.text)
    assert revoke
    assert browser.post(revoke[1]).url.path == "/account"
    assert client.get("/v1/me", headers=bearer).status_code == 401
    assert browser.post(revoke[1]).status_code == 404


def test_a_token_that_has_expired_is_marked(client: TestClient, ada: Someone, clock: Clock):
    browser = browser_of(client, ada)
    browser.post("/account/tokens", data={"name": "laptop", "scopes": "read", "days": "1"})
    assert ">expired<" not in browser.get("/account").text
    clock.ahead = DAY * 2
    assert ">expired<" in browser.get("/account").text


@pytest.mark.parametrize(
    "change",
    [{"name": ""}, {"scopes": []}, {"scopes": "x"}, {"days": "0"}, {"days": "x"}, {"days": "1" * 5000}],
    ids=lambda c: str(c)[:16],
)
def test_a_token_that_makes_no_sense_is_explained_on_the_page(ada_there: TestClient, change: dict[str, object]):
    page = ada_there.post("/account/tokens", data={"name": "t", "scopes": "read", "days": "1", **change})
    assert (page.status_code, len(told(page)), "slipway_" in page.text) == (400, 1, False)


def test_a_password_is_changed_on_the_account_page_and_the_browser_stays_signed_in(client: TestClient, ada: Someone):
    browser, other = browser_of(client, ada), browser_of(client, ada)
    page = browser.post("/account/password", data={"old": PASSWORD, "new": NEW})
    assert (page.url.path, "Your password is changed" in page.text) == ("/account", True)
    assert other.get("/account").url.path == "/sign-in"
    wrong = browser.post("/account/password", data={"old": PASSWORD, "new": NEW})
    assert (wrong.status_code, told(wrong)) == (401, ["This is not your password."])


def test_an_account_is_deleted_on_its_page(client: TestClient, ada: Someone, storage: Storage):
    browser = browser_of(client, ada)
    wrong = browser.post("/account/delete", data={"password": "wrong password"})
    assert (wrong.status_code, storage.user(ada.user.id)) == (401, ada.user)
    page = browser.post("/account/delete", data={"password": PASSWORD})
    assert (page.url.path, "session" in browser.cookies, storage.user(ada.user.id)) == ("/", False, None)


def test_an_admin_makes_an_account_on_the_page(admin_there: TestClient, client: TestClient, storage: Storage):
    with changed(client, settings={"sign_up": False}):
        page = admin_there.post("/users", data={"name": "colleague", "password": PASSWORD, "role": "operator"})
        again = admin_there.post("/users", data={"name": "colleague", "password": PASSWORD, "role": "operator"})
    assert (page.url.path, page.status_code, "<td>colleague</td>" in page.text) == ("/users", 200, True)
    assert storage.find_user("colleague")[0].role == "operator"
    assert (again.status_code, told(again)) == (409, ["The name &#39;colleague&#39; is taken."])


@pytest.mark.parametrize(
    ("fields", "role", "disabled"),
    [
        ({"action": "role", "role": "operator"}, "operator", False),
        ({"action": "disable"}, "viewer", True),
        ({"action": "enable"}, "viewer", False),
        ({"action": "password", "password": NEW}, "viewer", False),
    ],
)
def test_an_admin_changes_a_user_on_the_page(
    admin_there: TestClient, ada: Someone, storage: Storage, fields: dict[str, str], role: str, disabled: bool
):
    assert admin_there.post(f"/users/{ada.user.id}", data=fields).url.path == "/users"
    user = storage.user(ada.user.id)
    assert (user.role, user.disabled) == (role, disabled)


def test_an_admin_deletes_a_user_on_the_page(admin_there: TestClient, ada: Someone, storage: Storage):
    assert admin_there.post(f"/users/{ada.user.id}", data={"action": "delete"}).url.path == "/users"
    assert storage.user(ada.user.id) is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"action": "role", "role": "wizard"}, 400),
        ({"action": "conjure"}, 400),
        ({}, 400),
        ({"action": "password", "password": "short"}, 422),
    ],
)
def test_a_change_of_a_user_that_makes_no_sense_is_explained_on_the_page(
    admin_there: TestClient, ada: Someone, storage: Storage, fields: dict[str, str], status: int
):
    page = admin_there.post(f"/users/{ada.user.id}", data=fields)
    assert (page.status_code, len(told(page)), "<td>" in page.text) == (status, 1, True)
    assert storage.user(ada.user.id) == ada.user


def test_users_are_shown_in_pages(client: TestClient, admin_there: TestClient):
    for number in range(51):
        someone(client, name=f"zz-{number:03}")
    pages, following = [admin_there.get("/users?after=zy")], r'href="(/users\?after=[^"]+)"'
    while more := re.search(following, pages[-1].text):
        pages.append(admin_there.get(more[1]))
    names = [re.findall(r"<td>(zz-\d+)", page.text) for page in pages]
    assert [len(found) for found in names] == [50, 1]
    assert names[1] == ["zz-050"]


def test_the_api_page_names_every_endpoint(stranger: TestClient, client: TestClient):
    text, described = stranger.get("/api").text, client.get("/openapi.json").json()["paths"]
    for path, operations in described.items():
        for method in operations:
            assert f'<code class="method {method}">{method.upper()}</code> <code>{path}</code>' in text
