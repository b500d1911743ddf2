"""What people send is text and never more: not markup, not a path, not a header, not an address to go to."""

from __future__ import annotations

import ast
import io
import itertools
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from anyio.from_thread import start_blocking_portal
from PIL import Image
from starlette.responses import Response
from starlette.testclient import TestClient

from service import access
from service.records import Role, Run, Scope, Score, User
from service.web.endpoints import GuardedRoute
from service.web.pages.rendering import local_path
from tests.service.conftest import (
    HOUR,
    NUMBERS,
    PICTURES,
    Someone,
    add_run,
    browser_of,
    changed,
    opened,
    settings_in,
    someone,
    storage_of,
)

pytestmark = pytest.mark.slow
EVIL = "'\"><x-evil onfocus=x-evil autofocus>{{1234*5678}}${1234*5678}<script>x-evil()</script>"
LEADS = {"href", "src", "action", "formaction", "poster", "data", "srcset", "xlink:href", "cite", "background", "ping"}
FORBIDDEN = {"style", "base", "object", "embed", "iframe", "frame", "applet", "x-evil", "math", "template", "noscript"}


class Page(HTMLParser):
    """What a browser would make of a page, as far as it can do harm; `wrong` names what it must not have."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.text = ""
        self.fields: dict[str, str] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if tag in FORBIDDEN or (tag == "meta" and "http-equiv" in known):
            self.wrong.append(f"<{tag}>")
        if tag == "script" and not known.get("src", "").startswith("/static/"):
            self.wrong.append(f"<script> with {known}")
        self.wrong += [f"{name} of <{tag}>" for name in known if name.startswith("on") or name in ("style", "srcdoc")]
        self.wrong += [f"{name}={value} of <{tag}>" for name, value in known.items() if name in LEADS and not local(value)]
        if tag == "input":
            self.fields[known.get("name", "")] = known.get("value", "")

    def handle_data(self, data: str) -> None:
        self.text += data


def local(address: str) -> bool:
    """Whether an address stays on this site, for a browser: it takes \\ for /, and leaves out what cannot be seen."""
    seen = re.sub(r"[\x00-\x20]", "", address).replace("\\", "/")
    return (seen.startswith(("/", "?", "#")) or not seen) and not seen.startswith("//")


def harmless(page: Response) -> Page:
    """The page, after looking for everything that could run."""
    assert page.headers["Content-Type"] == "text/html; charset=utf-8", page.text
    read = Page(page.text)
    assert read.wrong == [], page.request.url if hasattr(page, "request") else page
    assert "7006652" not in page.text, "a template was filled in"
    return read


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service without a model, which nobody here asks for."""
    with opened(settings_in(tmp_path_factory.mktemp("site"))) as client, start_blocking_portal() as client.portal:
        yield client


def evil_run(site: TestClient, owner: Someone, *, save: bool = True) -> Run:
    """A run in which everything that is text means harm."""
    scores = tuple(Score(f"{EVIL} {number}", number, 0.1) for number in range(5))
    run = Run(f"{next(NUMBERS):032x}", owner.user.id, datetime.now(UTC), scores, EVIL, EVIL, EVIL, 1, 1, 1, 1.0)
    storage_of(site).add_run(run, PICTURES, run.made_at + HOUR)
    return storage_of(site).save_run(owner.user.id, run.id, note=EVIL, truth=EVIL, now=run.made_at) if save else run


@pytest.fixture(scope="module")
def mallory(site: TestClient) -> Someone:
    """An admin who has means of harm in every place there is."""
    person = someone(site, Role.ADMIN)
    storage = storage_of(site)
    for user in range(3):
        storage.add_user(User(f"evil{user}", f"{EVIL}{user}", Role.VIEWER, datetime.now(UTC), bool(user)), "no hash")
    access.make_token(storage, person.user, EVIL[:60], (Scope.READ,), timedelta(days=1), now=datetime.now(UTC))
    for _ in range(30):
        evil_run(site, person)
    return person


def pages_of(site: TestClient, person: Someone) -> list[str]:
    """The address of every page, filled with what means harm."""
    run, waiting = evil_run(site, person), evil_run(site, person, save=False)
    evil = urlencode(
        dict.fromkeys(("label", "release", "since", "until", "after", "limit", "days", "scope", "changed", "token"), EVIL)
    )
    paths = [route.path for route in site.app.routes if isinstance(route, GuardedRoute) and route.method == "GET"]
    pages = [path for path in paths if not path.startswith(("/v1", "/pictures", "/thumbnails")) and "." not in path]
    pages = [path for path in pages if path not in ("/livez", "/readyz", "/ping", "/version", "/metrics")]
    filled = [path.format(id=run.id) for path in pages]
    one_by_one = [f"/runs?{name}={quote(EVIL)}" for name in ("label", "release", "since", "until", "after")]
    dashboards = [
        f"/dashboard?days=30&scope={scope}&release={quote(release)}" for scope in ("mine", "everybody") for release in ("", EVIL)
    ]
    return [
        *filled, *(f"{path}?{evil}" for path in filled), *one_by_one, *dashboards, f"/compare?run={run.id}&run={run.id}",
        f"/?waiting={waiting.id}", f"/?waiting={run.id}", f"/?waiting={quote(EVIL)}", f"/compare?run={quote(EVIL)}&run=x",
        f"/runs/{quote(EVIL, safe='')}", f"/{quote(EVIL)}", f"/pictures/{quote(EVIL, safe='')}", f"/users?after={quote(EVIL)}",
        f"/sign-in?after=/{quote(EVIL)}", f"/sign-up?after=/{quote(EVIL)}", f"/set-up?token={quote(EVIL)}",
    ]  # fmt: skip


def test_no_page_has_anything_that_runs_whatever_was_typed(site: TestClient, mallory: Someone):
    shown = 0
    for person in (mallory, someone(site), None):
        browser = browser_of(site, person)
        for address in pages_of(site, mallory):
            page = browser.get(address)
            assert page.status_code < 500, address
            shown += EVIL in harmless(page).text or EVIL in harmless(page).fields.values()
    assert shown >= 30, "the text that was typed is not on the pages at all"


FORMS = {
    "/": {}, "/runs": {"prediction": EVIL, "note": EVIL, "truth": EVIL}, "/runs/{run}": {"note": EVIL, "truth": EVIL},
    "/runs/{evil}": {"note": EVIL}, "/runs/{evil}/delete": {}, "/account/password": {"old": EVIL, "new": EVIL},
    "/account/tokens": {"name": EVIL * 9, "scopes": EVIL, "days": EVIL}, "/account/tokens/{evil}/revoke": {},
    "/account/delete": {"password": EVIL}, "/users": {"name": EVIL, "password": EVIL, "role": EVIL},
    "/users/{evil}": {"action": EVIL, "role": EVIL}, "/sign-in": {"name": EVIL, "password": EVIL, "after": EVIL},
    "/sign-up": {"name": EVIL, "password": EVIL, "after": "/" + EVIL}, "/set-up": {"token": EVIL, "name": EVIL, "password": EVIL},
}  # fmt: skip


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("part", [False, True])
def test_no_form_comes_back_with_anything_that_runs(site: TestClient, mallory: Someone, path: str, part: bool):
    address = path.format(run=evil_run(site, mallory).id, evil=quote(EVIL, safe=""))
    headers = {"X-Fragment": "1"} if part else {}
    for sent in (
        {"data": FORMS[path]},
        {"files": {**{name: (None, text) for name, text in FORMS[path].items()}, EVIL: (EVIL, b"x")}},
    ):
        page = browser_of(site, mallory).post(address, headers=headers, follow_redirects=False, **sent)
        assert page.status_code in (400, 401, 403, 404, 413, 422, 429)
        harmless(page)


def test_a_token_is_shown_with_its_name_as_text(site: TestClient):
    page = browser_of(site, someone(site)).post("/account/tokens", data={"name": EVIL[:60], "scopes": "read", "days": "1"})
    assert (page.status_code, EVIL[:60] in harmless(page).text) == (200, True)


def test_the_api_page_shows_the_name_that_it_was_called_by_as_text(site: TestClient):
    for host in ("evil.example", EVIL, "[", "a b", "a/b?c#d"):
        harmless(browser_of(site).get("/api", headers={"Host": host}))


@pytest.mark.parametrize(
    "path", ["/v1/runs/{evil}", "/v1/{evil}", "/v1/runs?limit={evil}", "/v1/runs?since={evil}", "/v1/dashboard?days={evil}"]
)
def test_a_problem_is_json_even_where_it_quotes_what_was_sent(site: TestClient, mallory: Someone, path: str):
    headers = {**mallory.headers, "Accept": "text/html"}
    answer = site.get(path.format(evil=quote(EVIL, safe="")), headers=headers)
    assert 400 <= answer.status_code < 500
    assert (answer.headers["Content-Type"], answer.headers["X-Content-Type-Options"]) == ("application/problem+json", "nosniff")


def test_our_scripts_never_make_markup_out_of_text(root: Path):
    for script in (root / "service/web/static").glob("*.js"):
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(.on", script.read_text()
        )
        assert found == [], script.name


def test_our_templates_never_call_text_safe(root: Path):
    for template in (root / "service/web/templates").rglob("*.html"):
        assert not re.search(r"\|\s*safe\b|autoescape\s+false|\|\s*tojson.*<script|Markup", template.read_text()), template.name


SAFE = {
    "x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin",
}  # fmt: skip


class Broken:
    """A store that fails in a way nobody thought of."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(f"secret-of-the-store: {name}")


def answers_of(site: TestClient, person: Someone) -> Iterator[tuple[str, Response]]:
    """One of each kind of answer, and one of each route."""
    run = add_run(site, person)
    for route in site.app.routes:
        if isinstance(route, GuardedRoute):
            path = route.path.format(id=run.id)
            for headers in ({}, person.headers, {"Accept": "text/html"}):
                yield f"{route.method} {path}", site.request(route.method, path, headers=headers, follow_redirects=False)
    for path in ("/static/style.css", "/static/upload.js", "/static/nothing", "/nowhere"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            yield f"{method} {path}", site.request(method, path)
    yield "not changed", site.get("/static/style.css", headers={"If-None-Match": site.get("/static/style.css").headers["ETag"]})
    yield "too large", site.post("/v1/sessions", content=b"x" * 70_000)
    yield "foreign", site.post("/v1/sessions", headers={"Origin": "https://evil.example"})
    with changed(site, storage=Broken()):
        for path, accept in itertools.product(("/v1/me", "/", "/runs", "/account"), ("*/*", "text/html")):
            yield f"crash {path}", site.get(path, headers={**person.headers, "Accept": accept})


def test_every_answer_of_whatever_kind_carries_safe_headers(site: TestClient):
    statuses = set()
    for what, answer in answers_of(site, someone(site, Role.ADMIN)):
        statuses.add(answer.status_code)
        assert {name: answer.headers.get(name) for name in SAFE} == SAFE, what
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), what
        assert "frame-ancestors 'none'" in policy or "image" in answer.headers["content-type"], what
        assert answer.headers["x-request-id"], what
    assert statuses >= {200, 201, 204, 206, 303, 304, 400, 401, 403, 404, 405, 413, 422, 500, 503} - {201, 206}


def test_the_policy_lets_nothing_run_that_is_not_a_file_of_ours(site: TestClient):
    policy = dict(part.split(" ", 1) for part in site.get("/").headers["content-security-policy"].split("; "))
    assert policy.pop("img-src") == "'self' blob:"
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("frame-ancestors") == "'none'"
    assert policy == dict.fromkeys(("script-src", "style-src", "connect-src", "form-action"), "'self'")


def test_a_crash_tells_nothing_but_that_it_was_one(site: TestClient):
    person = someone(site)
    with changed(site, storage=Broken()):
        for path, accept in itertools.product(("/v1/me", "/account"), ("*/*", "text/html")):
            answer = site.get(path, headers={**person.headers, "Accept": accept})
            assert answer.status_code == 500
            assert not re.search(r"secret-of-the-store|Traceback|RuntimeError|\.py|Broken", answer.text)
            assert "quote the request id" in answer.text
    secure = TestClient(site.app, "https://testserver", raise_server_exceptions=False)
    with changed(site, storage=Broken()):
        assert secure.get("/v1/me", headers=person.headers).headers["Strict-Transport-Security"] == "max-age=31536000"
    assert site.app.debug is False


def test_pages_of_users_are_kept_by_no_cache(site: TestClient, mallory: Someone):
    for path in ("/", "/runs", "/dashboard", "/account", "/users", "/compare", "/nowhere"):
        assert browser_of(site, mallory).get(path).headers["Cache-Control"] == "no-store", path


def test_a_picture_is_never_more_than_a_picture(site: TestClient):
    person = someone(site)
    run = add_run(site, person)
    for path in (f"/v1/runs/{run.id}/picture", f"/pictures/{run.id}", f"/thumbnails/{run.id}"):
        headers = site.get(path, headers=person.headers).headers
        assert headers["Content-Type"] in ("image/png", "image/jpeg")
        assert (headers["Content-Security-Policy"], headers["X-Content-Type-Options"]) == ("default-src 'none'", "nosniff")
        assert headers["Cache-Control"].startswith("private")


AWAY = [
    "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\/evil.example", "\\\\evil.example",
    "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "\t//evil.example", " //evil.example", "//evil.example/..",
    "/\x00/evil.example", "http:evil.example", "https://evil.example", "HTTPS://evil.example", "http:/evil.example",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "evil.example", "@evil.example",
    ".evil.example", "//evil.example@testserver", "http://testserver@evil.example", "/\u2028/evil", "/\u00a0/evil.example",
    "//\u3002evil", "\u2044/evil.example", "/\x0b/evil.example", "/\x7f/evil", "ftp://evil.example", "//[::1]", "",
    "%2f%2fevil.example", "/\u200b/evil.example", "/\\\\evil.example", "/\\/evil.example", "\x01//evil.example", "?after=//evil",
]  # fmt: skip
HERE = [
    "/",
    "/runs",
    "/runs?label=a&after=b",
    "/?waiting=1",
    "/compare?run=1&run=2",
    "/a//b",
    "/a?b=//c",
    "/.//evil.example",
    "/%2f%2fevil.example",
]


@pytest.mark.parametrize("after", AWAY)
def test_what_leads_away_is_forgotten(site: TestClient, after: str):
    assert local_path(after) == "/"
    with_it = urlencode({"after": after})
    for path in ("/sign-in", "/sign-up"):
        assert harmless(browser_of(site).get(f"{path}?{with_it}")).fields["after"] == "/"


@pytest.mark.parametrize("after", HERE)
def test_what_stays_here_is_kept(site: TestClient, after: str):
    assert local_path(after) == after
    assert harmless(browser_of(site).get("/sign-in?" + urlencode({"after": after}))).fields["after"] == after


@pytest.mark.parametrize(
    "after", ["//evil.example", "/\\evil.example", "/\t/evil.example", "https://evil.example", "/runs?label=a b", "/.//evil"]
)
def test_signing_in_leads_to_this_site(site: TestClient, after: str):
    person = someone(site)
    answer = browser_of(site).post("/sign-in", data={**person.credentials, "after": after}, follow_redirects=False)
    assert (answer.status_code, local(answer.headers["Location"])) == (303, True)
    assert answer.headers["Location"] == ("/" if local_path(after) == "/" else quote(after, safe="/?=&"))


@pytest.mark.parametrize(
    "path", ["/runs?a=//evil", "//evil.example/runs", "/runs/%0d%0aSet-Cookie:x", "/account?x=%0d%0aX:y", "/runs/..%2f..%2f/evil"]
)
def test_who_has_to_sign_in_first_comes_back_here(site: TestClient, path: str):
    answer = browser_of(site).get(f"http://testserver{path}", follow_redirects=False)
    if answer.status_code == 303:
        assert answer.headers["Location"].startswith("/sign-in?after=%2F")
        assert not {"x", "set-cookie"} & set(answer.headers)
        assert local(harmless(browser_of(site).get(answer.headers["Location"])).fields["after"])


MARK = "evil-name"


def hostile_names() -> list[bytes]:
    """Five hundred, as they stand between `filename=` and the end of the line."""
    roots = [
        "../",
        "..\\",
        "/",
        "\\",
        "C:\\",
        "file:///",
        "\\\\evil.example\\",
        "~/",
        "%2e%2e%2f",
        "..%c0%af",
        "....//",
        "./",
        "\0",
        "\r\n",
        "${HOME}/",
    ]
    tails = [
        ".jpg",
        ".php.jpg",
        ".jpg/",
        ".jpg\0.php",
        ".svg",
        ".html",
        "",
        " ",
        ".",
        ";x",
        '"',
        "'",
        "|id",
        "`id`",
        "\u202egpj.exe",
        "\r\nX-Evil: 1",
    ]
    plain = [f"{root * depth}{MARK}{tail}" for root, tail in itertools.product(roots, tails) for depth in (1, 5)]
    quoted = ['"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in plain]
    extended = [f"\"x.jpg\"; filename*=UTF-8''{quote(name, safe='')}" for name in plain[:20]]
    names = [
        "CON",
        "NUL.jpg",
        "a" * 4000 + MARK,
        "\u00e9\u4e16\u754c" + MARK,
        "=?utf-8?b?ZXZpbA==?=",
        "*",
        "?",
        "{id}",
        "%s%n",
        "<x-evil>" + MARK,
    ]
    found = [*quoted, *extended, *(f'"{name}"' for name in names)]
    return [name.replace("\r\n", "\r\n ").encode("utf-8") if "\r\n" in name else name.encode("utf-8") for name in found]


class Instant:
    """A recogniser that always sees the same, at once: the model is not what is tested here."""

    def __init__(self, description: object) -> None:
        self.description = description
        self.ready = True

    def place(self, number: int = 1) -> Instant:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    async def scores(self, pixels: object) -> tuple[Score, ...]:
        return (Score("espresso", 967, 0.9),)


def batch_of(names: list[bytes], picture: bytes) -> bytes:
    head = b'--edge\r\nContent-Type: image/jpeg\r\nContent-Disposition: form-data; name="image"; filename='
    return b"".join(head + name + b"\r\n\r\n" + picture + b"\r\n" for name in names) + b"--edge--\r\n"


@pytest.fixture(scope="module")
def small_picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "brown").save(file, "JPEG")
    return file.getvalue()


def batches(names: list[bytes]) -> Iterator[list[bytes]]:
    """Sixteen at a time; those that no parser takes spoil nothing but their own."""
    fine = [name for name in names if b"\r\n" not in name and b"\0" not in name]
    yield from (fine[start : start + 16] for start in range(0, len(fine), 16))
    yield from ([name] for name in names if name not in fine)


def test_five_hundred_hostile_file_names_reach_no_path_no_header_and_no_log(
    client: TestClient, small_picture: bytes, caplog: pytest.LogCaptureFixture
):
    names, answered, person = hostile_names(), 0, someone(client)
    folder = Path(client.app.state.tools.settings.database).parent
    headers = {**person.headers, "Content-Type": "multipart/form-data; boundary=edge"}
    before = set(folder.rglob("*"))
    with changed(client, recogniser=Instant(client.app.state.tools.recogniser.description)):
        for some in batches(names):
            answer = client.post("/v1/predictions/batch", content=batch_of(some, small_picture), headers=headers)
            assert answer.status_code in (200, 400)
            assert MARK not in answer.text + str(answer.headers)
            answered += len(answer.json().get("results", []))
    assert (len(names) >= 500, answered >= 450) == (True, True)
    made = {str(path.relative_to(folder)) for path in set(folder.rglob("*")) - before}
    assert len(made) >= 2 * answered
    assert {
        path for path in made if not re.fullmatch(r"service\.db\.files/waiting/[0-9a-f]{32}\.(picture|thumbnail)", path)
    } == set()
    assert not [path for path in folder.glob("service.db*") if path.is_file() and MARK.encode() in path.read_bytes()]
    assert MARK not in caplog.text


def test_what_is_taken_along_has_a_name_of_ours(site: TestClient, mallory: Someone):
    for kind in ("csv", "json"):
        answer = site.get(f"/v1/exports/runs.{kind}?label={quote(EVIL)}&filename=evil.exe", headers=mallory.headers)
        assert answer.headers["Content-Disposition"] == f'attachment; filename="runs.{kind}"'


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\nSet-Cookie: session=x", "\r\n\r\n<x-evil>", "\u010d\u010aX-Evil: 1"])
def test_no_text_becomes_a_header(site: TestClient, mallory: Someone, text: str):
    cookies = {"Cookie": 'guest="a\\015\\012X-Evil: 1"; device="b\\015\\012X-Evil: 1"; session="c\\012X-Evil: 1"'}
    browser, encoded = browser_of(site), quote(text)
    for path in (f"/runs/{encoded}", f"/{encoded}", f"/sign-in?after=/{encoded}", f"/v1/runs/{encoded}", f"/runs?label={encoded}"):
        for headers in (mallory.headers, cookies):
            answer = browser.get(path, headers=headers, follow_redirects=False)
            assert answer.status_code < 500
            assert not {"x-evil", "set-cookie"} & {name.lower() for name in answer.headers}


@pytest.mark.parametrize("path", ["/v1/predictions", "/v1/predictions/batch", "/", "/sign-in", "/set-up"])
@pytest.mark.parametrize("kind", ["fields", "files", "part headers", "nameless", "pairs", "unclosed"])
def test_forms_of_too_many_parts_are_refused_at_once(site: TestClient, path: str, kind: str):
    part = {
        "fields": b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n',
        "files": b'--edge\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\nx\r\n',
        "part headers": b'--edge\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n'
        + b"X: a\r\n" * 5000
        + b"\r\nx\r\n",
        "nameless": b"--edge\r\n\r\nx\r\n",
        "pairs": b"a=b&",
        "unclosed": b'--edge\r\nContent-Disposition: form-data; name="' + b"a" * 60_000,
    }[kind]
    form = "application/x-www-form-urlencoded" if kind == "pairs" else "multipart/form-data; boundary=edge"
    start, body = time.thread_time(), (part * (60_000 // len(part) + 1))[:60_000] + b"\r\n--edge--\r\n"
    answer = site.post(path, content=body, headers={"Content-Type": form})
    assert answer.status_code in (400, 413) or (kind, path) == ("pairs", "/v1/predictions")  # where they count as a picture
    assert time.thread_time() - start < 1


def test_no_address_is_ever_fetched(client: TestClient):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "user@127.0.0.1", "127.0.0.1.nip.io"):
            for url in (f"http://{host}:{port}/latest/meta-data", f"//{host}:{port}/x.jpg", f"gopher://{host}:{port}/_x"):
                svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>'.encode()
                for sent in (
                    {"json": {"url": url, "image": url}},
                    {"data": {"image": url}},
                    {"content": svg},
                    {"files": {"image": (url, svg)}},
                ):
                    assert client.post("/v1/predictions", **sent).status_code in (400, 422)
        with pytest.raises(TimeoutError):
            listening.accept()


CLIENTS = {"urllib.request", "http.client", "requests", "httpx", "httpx2", "aiohttp", "ftplib", "smtplib", "urllib3", "xmlrpc"}


def test_the_service_has_nothing_to_fetch_with(root: Path):
    for path in set((root / "service").rglob("*.py")) - {root / "service/web/static/client.py"}:  # which is for others to take
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not {name for name in names if {name, name.partition(".")[0]} & CLIENTS}, path
