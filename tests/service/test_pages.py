"""The pages as a browser without JavaScript uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

ACCOUNT = {"name": "ada", "password": "correct horse"}
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def signing_up(client: TestClient) -> Response:
    """What ada was answered who created an account on the page, and whom a link had sent there to be led elsewhere."""
    answer = client.post("/sign-in", data={**ACCOUNT, "sign_up": "yes", "after": "//evil.example"}, follow_redirects=False)
    client.cookies.clear()
    return answer


@pytest.fixture
def session(signing_up: Response) -> str:
    """The cookie of ada's session."""
    return signing_up.cookies["session"]


@pytest.fixture
def stranger(client: TestClient) -> Iterator[TestClient]:
    """A browser in which nobody is signed in."""
    client.cookies.clear()
    yield client
    client.cookies.clear()


@pytest.fixture
def ada(stranger: TestClient, session: str) -> TestClient:
    """A browser in which ada is signed in."""
    stranger.cookies.set("session", session)
    return stranger


def hidden(page: Response, field: str) -> str:
    found = re.search(rf'<input type="hidden" name="{field}" value="([^"]*)">', page.text)
    assert found, page.text
    return found[1]


def test_the_first_page_asks_for_a_picture_and_names_the_release(stranger: TestClient):
    page = stranger.get("/")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<input id="image" name="image" type="file"' in page.text
    assert "release <code>rrrrrrrrrrrr</code>" in page.text


@pytest.mark.parametrize("path", ["/", "/sign-in"])
def test_pages_tell_browsers_to_trust_nothing_else(stranger: TestClient, path: str):
    headers = stranger.get(path).headers
    assert {"default-src 'self'", "form-action 'self'", "frame-ancestors 'none'"} <= set(
        headers["Content-Security-Policy"].split("; ")
    )
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "same-origin")


@pytest.mark.parametrize("path", ["/", "/sign-in"])
def test_pages_run_only_scripts_of_their_own_files(stranger: TestClient, path: str):
    text = stranger.get(path).text
    files = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
    assert files
    assert {stranger.get(file).status_code for file in files} == {200}
    assert not re.search(r"<script(?! src=\"/static/)|<style| on[a-z]+=| style=", text)


def test_an_upload_shows_what_the_model_sees(stranger: TestClient, pictures: dict[str, bytes]):
    page = stranger.post("/", files={"image": ("coffee.jpg", pictures["coffee"])})
    assert page.status_code == 200
    assert '<span class="label">espresso</span>' in page.text
    assert page.text.count('<span class="label">') == 5
    assert 'action="/runs"' not in page.text


@pytest.mark.parametrize(
    ("files", "status", "problem"),
    [
        ({"image": ("a.jpg", b"rubbish")}, 422, "Not a picture in one of the formats"),
        ({"image": ("a.jpg", b"")}, 422, "The picture is empty"),
        ({"image": ("a.jpg", bytes(10_000_001))}, 413, "The picture has 10,000,001 bytes"),
        ({"image": ("a.jpg", bytes(10_100_000))}, 413, "The body is larger than"),
        ({"other": ("a.jpg", b"x")}, 400, "The form has no file"),
    ],
    ids=["rubbish", "empty", "large", "very large", "no file"],
)
def test_a_bad_upload_is_explained_on_the_page(
    stranger: TestClient, files: dict[str, tuple[str, bytes]], status: int, problem: str
):
    page = stranger.post("/", files=files)
    assert (page.status_code, page.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f'<p class="problem" role="alert">{problem}' in page.text
    assert "Traceback" not in page.text


def test_a_user_saves_a_picture_and_looks_back_on_it(ada: TestClient, pictures: dict[str, bytes]):
    answer = ada.post("/", files={"image": ("coffee.jpg", pictures["coffee"])})
    run = hidden(answer, "prediction")
    page = ada.post("/runs", data={"prediction": run, "note": "mine"})
    assert (page.url.path, page.status_code) == (f"/runs/{run}", 200)
    assert "<h1>espresso</h1>" in page.text
    assert "<dd>mine</dd>" in page.text
    assert ada.get(f"/v1/runs/{run}/picture").content == pictures["coffee"]
    assert f'<a href="/runs/{run}">' in ada.get("/runs").text


def test_a_note_is_text_and_never_markup(ada: TestClient, pictures: dict[str, bytes]):
    run = hidden(ada.post("/", files={"image": ("coffee.jpg", pictures["coffee"])}), "prediction")
    ada.post("/runs", data={"prediction": run, "note": EVIL})
    for path in ("/runs", f"/runs/{run}"):
        assert EVIL not in ada.get(path).text
        assert "&lt;script&gt;" in ada.get(path).text


@pytest.mark.parametrize("path", ["/runs", "/runs/0123456789abcdef"])
def test_a_stranger_who_looks_back_is_asked_to_sign_in_first(stranger: TestClient, path: str):
    page = stranger.get(path)
    assert (page.url.path, page.url.params["after"]) == ("/sign-in", path)
    assert hidden(page, "after") == path


@pytest.mark.parametrize("path", ["/runs", "/sign-out"])
def test_a_stranger_changes_nothing(stranger: TestClient, path: str):
    assert stranger.post(path, data={"prediction": "x"}).status_code == 401


def test_a_run_that_is_not_there_is_not_found(ada: TestClient):
    assert ada.get("/runs/0123456789abcdef").status_code == 404


def test_a_wrong_password_is_explained_on_the_page(stranger: TestClient, session: str):
    page = stranger.post("/sign-in", data={"name": "ada", "password": "wrong password", "after": "/runs"})
    assert page.status_code == 401
    assert '<p class="problem" role="alert">This name and password' in page.text
    assert (hidden(page, "after"), "wrong password" in page.text) == ("/runs", False)
    assert not stranger.cookies


@pytest.mark.parametrize(
    ("name", "password", "problem"), [("no name", "12345678", "A name has"), ("lin", "short", "A password has")]
)
def test_an_account_that_cannot_be_created_is_explained_on_the_page(stranger: TestClient, name: str, password: str, problem: str):
    page = stranger.post("/sign-in", data={"name": name, "password": password, "sign_up": "yes"})
    assert page.status_code == 422
    assert problem in page.text
    assert f'name="name" value="{name}"' in page.text


def test_a_name_is_given_back_as_text_and_never_markup(stranger: TestClient):
    page = stranger.post("/sign-in", data={"name": f'">{EVIL}', "password": "12345678", "sign_up": "yes", "after": f'/">{EVIL}'})
    assert page.status_code == 422
    assert EVIL not in page.text


@pytest.mark.parametrize("after", ["//evil.example", "/\\evil.example", "https://evil.example", "evil.example", "javascript:x", ""])
def test_a_sign_in_page_never_leads_to_another_site(stranger: TestClient, after: str):
    assert hidden(stranger.get("/sign-in", params={"after": after}), "after") == "/"


def test_signing_in_never_leads_to_another_site(signing_up: Response):
    assert (signing_up.status_code, signing_up.headers["Location"]) == (303, "/")


def test_the_page_greets_who_is_signed_in_until_they_sign_out(stranger: TestClient, session: str):
    page = stranger.post("/sign-in", data={**ACCOUNT, "after": "/runs"})
    assert (page.url.path, "Sign out ada" in page.text) == ("/runs", True)
    ended = stranger.cookies["session"]
    assert '<a href="/sign-in">Sign in</a>' in stranger.post("/sign-out").text
    assert not stranger.cookies
    assert stranger.get("/v1/runs", headers={"Cookie": f"session={ended}"}).status_code == 401
