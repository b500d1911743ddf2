"""Who may do what: every route of the router, asked by every kind of caller, against a table that stands here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from starlette.responses import Response
from starlette.routing import Mount
from starlette.testclient import TestClient

from service import access, accounts
from service.records import Role, Scope
from service.web.endpoints import GuardedRoute
from tests.service.conftest import PICTURES, Clock, Someone, add_run, changed, opened, settings_in, someone, storage_of

EVERYBODY, USER, OWNER, OPERATOR, ADMIN = "everybody", "user", "owner", "operator", "admin"
RANK = {EVERYBODY: -1, USER: 0, OWNER: 0, OPERATOR: 1, ADMIN: 2}
SESSION, ANY = "session only", "any"  # instead of a scope
OURS, THEIRS = "words that the owner wrote", "words that a bystander wrote"


@dataclass(frozen=True)
class Rule:
    """Who may, and with which scope an API token may. `guests`: guests own things too, though not this one."""

    who: str
    scope: str = SESSION
    json: Mapping[str, Any] | None = None
    form: Mapping[str, Any] | None = None
    guests: bool = False


RUN, WAITING = "{run}", "{waiting}"
RULES = {
    "POST /v1/predictions": Rule(EVERYBODY, "predict"),
    "POST /v1/predictions/batch": Rule(EVERYBODY, "predict"),
    "POST /invocations": Rule(EVERYBODY, "predict"),
    "POST /v1/runs": Rule(OWNER, "write", json={"prediction": WAITING}),
    "GET /v1/runs": Rule(USER, "read"),
    "GET /v1/runs/{id}": Rule(OWNER, "read"),
    "PATCH /v1/runs/{id}": Rule(OWNER, "write", json={"note": OURS}),
    "DELETE /v1/runs/{id}": Rule(OWNER, "write"),
    "GET /v1/runs/{id}/picture": Rule(OWNER, "read"),
    "GET /v1/runs/{id}/thumbnail": Rule(OWNER, "read"),
    "GET /v1/exports/runs.json": Rule(USER, "read"),
    "GET /v1/exports/runs.csv": Rule(USER, "read"),
    "GET /v1/dashboard": Rule(USER, "read"),
    "GET /v1/dashboard?scope=everybody": Rule(OPERATOR, "read"),
    "GET /v1/labels": Rule(EVERYBODY, "read"),
    "POST /v1/users": Rule(EVERYBODY, "admin"),
    "POST /v1/sessions": Rule(EVERYBODY, ANY),
    "DELETE /v1/sessions": Rule(USER),
    "GET /v1/me": Rule(USER, "read"),
    "DELETE /v1/me": Rule(USER),
    "PUT /v1/me/password": Rule(USER),
    "GET /v1/tokens": Rule(USER),
    "POST /v1/tokens": Rule(USER, json={"name": "new", "scopes": ["read"]}),
    "DELETE /v1/tokens/{id}": Rule(OWNER),
    "POST /v1/set-up": Rule(EVERYBODY, ANY),
    "GET /v1/users": Rule(ADMIN, "admin"),
    "PATCH /v1/users/{id}": Rule(ADMIN, "admin", json={"role": "operator"}),
    "DELETE /v1/users/{id}": Rule(ADMIN, "admin"),
    "GET /livez": Rule(EVERYBODY, ANY),
    "GET /readyz": Rule(EVERYBODY, ANY),
    "GET /ping": Rule(EVERYBODY, ANY),
    "GET /version": Rule(EVERYBODY, ANY),
    "GET /metrics": Rule(EVERYBODY, ANY),
    "GET /openapi.json": Rule(EVERYBODY, ANY),
    "GET /": Rule(EVERYBODY, "read"),
    "POST /": Rule(EVERYBODY, "predict"),
    "GET /pictures/{id}": Rule(OWNER, "read", guests=True),
    "GET /thumbnails/{id}": Rule(OWNER, "read", guests=True),
    "GET /runs": Rule(USER, "read"),
    "POST /runs": Rule(OWNER, "write", form={"prediction": WAITING}),
    "GET /runs/{id}": Rule(OWNER, "read"),
    "POST /runs/{id}": Rule(OWNER, "write", form={"note": OURS}),
    "POST /runs/{id}/delete": Rule(OWNER, "write"),
    "GET /compare": Rule(USER, "read"),
    "GET /compare?run={run}&run={run}": Rule(OWNER, "read"),
    "GET /dashboard": Rule(USER, "read"),
    "GET /dashboard?scope=everybody": Rule(OPERATOR, "read"),
    "GET /account": Rule(USER),
    "POST /account/password": Rule(USER),
    "POST /account/tokens": Rule(USER),
    "POST /account/tokens/{id}/revoke": Rule(OWNER),
    "POST /account/delete": Rule(USER),
    "GET /users": Rule(ADMIN),
    "POST /users": Rule(ADMIN),
    "POST /users/{id}": Rule(ADMIN, form={"action": "disable"}),
    "GET /sign-in": Rule(EVERYBODY, ANY),
    "POST /sign-in": Rule(EVERYBODY, ANY),
    "GET /sign-up": Rule(EVERYBODY, ANY),
    "POST /sign-up": Rule(EVERYBODY, ANY),
    "POST /sign-out": Rule(USER),
    "GET /set-up": Rule(EVERYBODY, ANY),
    "POST /set-up": Rule(EVERYBODY, ANY),
    "GET /api": Rule(EVERYBODY, ANY),
}
UNSAFE = [row for row in RULES if not row.startswith("GET ")]
PATHS = {row.partition(" ")[2] for row in RULES if "?" not in row}


@dataclass(frozen=True)
class Kind:
    """A kind of caller: a session, or an API token with `scopes`. `wrong` is what makes it worth nothing."""

    role: Role = Role.VIEWER
    owns: bool = False
    scopes: tuple[Scope, ...] | None = None
    wrong: str = ""


ALL = tuple(Scope)
KINDS = {
    "a guest": Kind(wrong="guest"),
    "the owner": Kind(owns=True),
    "another viewer": Kind(),
    "an operator": Kind(Role.OPERATOR),
    "an admin": Kind(Role.ADMIN),
    "a disabled owner": Kind(owns=True, wrong="disabled"),
    "a disabled admin": Kind(Role.ADMIN, wrong="disabled"),
    "an owner whose session is over": Kind(owns=True, wrong="expired"),
    "an owner who signed out": Kind(owns=True, wrong="revoked"),
    **{f"an owning admin's token to {scope}": Kind(Role.ADMIN, True, (scope,)) for scope in Scope},
    "the owner's token for everything": Kind(owns=True, scopes=ALL),
    "another viewer's token for everything": Kind(scopes=ALL),
    "an expired token for everything": Kind(Role.ADMIN, True, ALL, "expired"),
    "a revoked token for everything": Kind(Role.ADMIN, True, ALL, "revoked"),
    "a disabled admin's token for everything": Kind(Role.ADMIN, True, ALL, "disabled"),
}


def expected(row: str, kind: Kind) -> set[str]:
    """What the table says of this caller at this route; two things where a worthless token may be refused or overlooked."""
    rule = RULES[row]
    if kind.wrong and kind.scopes:
        return {"allowed", "not_signed_in"} if rule == Rule(EVERYBODY, ANY) else {"not_signed_in"}
    if kind.wrong:
        if rule.guests:
            return {"not found"}
        page = row.startswith("GET ") and not row.startswith("GET /v1")
        return {"allowed"} if rule.who == EVERYBODY else {"sent to sign in"} if page else {"not_signed_in"}
    if list(Role).index(kind.role) < RANK[rule.who]:
        return {"not_allowed"}
    if kind.scopes and rule.scope != ANY and rule.scope not in kind.scopes:
        return {"scope_missing"}
    return {"not found"} if rule.who == OWNER and not kind.owns else {"allowed"}


def happened(response: Response) -> str:
    """What an answer amounts to. The model is never loaded here: who gets as far as that was let in."""
    if response.status_code == 303 and response.headers["Location"].startswith("/sign-in"):
        return "sent to sign in"
    if response.headers.get("Content-Type") == "application/problem+json":
        code = response.json()["code"]
        if code in ("not_signed_in", "not_allowed", "scope_missing", "foreign_origin"):
            return str(code)
        if code == "model_unavailable":
            return "allowed"
    if response.status_code == 404:
        return "not found"
    return f"broken: {response.status_code}" if response.status_code >= 500 else "allowed"


@dataclass
class World:
    """An application in which whoever asks for more than to read is new for each request."""

    client: TestClient
    things: dict[str, str] = field(default_factory=dict)
    readers: dict[Kind, tuple[Someone, dict[str, str]]] = field(default_factory=dict)

    def ask(self, row: str, kind: Kind, method: str = "", headers: Mapping[str, str] | None = None) -> Response:
        """The row's request, as a caller of that kind sends it."""
        caller, known = self.caller(kind, again=row.startswith("GET "))
        owner = caller if kind.owns or RULES[row].who != OWNER else someone(self.client)
        address, rule = self.address(row, owner), RULES[row]
        own = {} if kind.scopes else {"Origin": "http://testserver"}
        json = rule.json and {key: self.filled(value) for key, value in rule.json.items()}
        form = rule.form and {key: self.filled(value) for key, value in rule.form.items()}
        return self.client.request(
            method or row.partition(" ")[0], address, headers={**own, **known, **(headers or {})}, json=json, data=form,
            follow_redirects=False,
        )  # fmt: skip

    def caller(self, kind: Kind, *, again: bool) -> tuple[Someone, dict[str, str]]:
        """Somebody of that kind, and the headers by which they are known."""
        if again and kind in self.readers:
            return self.readers[kind]
        caller = someone(self.client, kind.role)
        known = self.headers_of(caller, kind)
        if again:
            self.readers[kind] = caller, known
        return caller, known

    def address(self, row: str, owner: Someone) -> str:
        """Where the row's thing is, which is made for the owner."""
        path, body = row.partition(" ")[2], str(RULES[row].json) + str(RULES[row].form)
        self.things = {"run": "", "waiting": ""}
        thing = path.removeprefix("/v1").split("/")[1]
        if RUN in path or (thing in ("runs", "pictures", "thumbnails") and "{id}" in path):
            self.things["run"] = self.things["id"] = add_run(self.client, owner, note=OURS).id
        if WAITING in path + body:
            self.things["waiting"] = add_run(self.client, owner, save=False).id
        if "tokens/{id}" in path:
            self.things["id"] = self.token(owner, ALL)[0]
        if "users/{id}" in path:
            self.things["id"] = someone(self.client).user.id
        return path.format(**self.things)

    def filled(self, value: object) -> object:
        return value.format(**self.things) if isinstance(value, str) else value

    def headers_of(self, caller: Someone, kind: Kind) -> dict[str, str]:
        """By which the caller is known, after what is wrong has gone wrong."""
        storage = storage_of(self.client)
        if kind.wrong == "guest":
            return {}
        if kind.wrong == "disabled":
            storage.change_user(caller.user.id, disabled=True)
        if kind.scopes:
            token_id, secret = self.token(caller, kind.scopes, expired=kind.wrong == "expired")
            if kind.wrong == "revoked":
                storage.revoke_token(caller.user.id, token_id)
            return {"Authorization": f"Bearer {secret}"}
        if kind.wrong in ("expired", "revoked"):
            storage.end_session(accounts.digest(caller.token))
        if kind.wrong == "expired":
            storage.add_session(accounts.digest(caller.token), caller.user.id, datetime.now(UTC) - timedelta(seconds=1))
        return {"Cookie": f"session={caller.token}"}

    def token(self, owner: Someone, scopes: tuple[Scope, ...], *, expired: bool = False) -> tuple[str, str]:
        """Id and secret of an API token."""
        now, life = datetime.now(UTC), timedelta(days=1)
        made = now - life if expired else now
        token, secret = access.make_token(storage_of(self.client), owner.user, OURS, scopes, life, now=made)
        return token.id, secret


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Somebody who has nothing to do with it has data here too."""
    with opened(settings_in(tmp_path_factory.mktemp("matrix"))) as client, start_blocking_portal() as client.portal:
        world = World(client)
        bystander = someone(client)
        add_run(client, bystander, note=THEIRS, truth="cup")
        add_run(client, bystander, save=False)
        access.make_token(storage_of(client), bystander.user, THEIRS, ALL, timedelta(days=1), now=datetime.now(UTC))
        yield world


def test_the_table_names_every_route_of_the_router_and_no_other(world: World):
    routes = world.client.app.routes
    assert [type(route) for route in routes if not isinstance(route, GuardedRoute)] == [Mount]
    assert routes[-1].path == "/static"
    guarded = [f"{route.method} {route.path}" for route in routes if isinstance(route, GuardedRoute)]
    assert sorted(guarded) == sorted(row for row in RULES if "?" not in row)


@pytest.mark.parametrize("row", RULES)
def test_a_route_does_for_every_kind_of_caller_what_the_table_says(world: World, row: str):
    wrong = {}
    for name, kind in KINDS.items():
        answer = world.ask(row, kind)
        if happened(answer) not in expected(row, kind):
            wrong[name] = (happened(answer), expected(row, kind), answer.text[:300])
        assert THEIRS not in answer.text, name
        assert kind.owns or OURS not in answer.text, name
        assert kind.owns or PICTURES.picture not in answer.content, name
        assert PICTURES.thumbnail not in answer.content or (kind.owns and "thumbnail" in row), name
    assert wrong == {}


@pytest.mark.parametrize("row", [row for row, rule in RULES.items() if rule.who == OWNER])
def test_an_owner_gets_what_was_asked_for(world: World, row: str):
    assert world.ask(row, KINDS["the owner"]).status_code in (200, 201, 204, 303)


@pytest.mark.parametrize("save", [False, True])
def test_the_first_page_shows_a_run_to_its_owner_alone(world: World, save: bool):
    shown = set()
    for name, kind in KINDS.items():
        owner = someone(world.client, kind.role)
        run = add_run(world.client, owner, ("aardvark",), save=save)
        caller = owner if kind.owns else someone(world.client, kind.role)
        page = world.client.get(f"/?waiting={run.id}", headers=world.headers_of(caller, kind))
        shown |= {name} if "aardvark" in page.text else set()
    assert shown == {"the owner", "an owning admin's token to read", "the owner's token for everything"}


@pytest.mark.parametrize("row", [row for row in RULES if row.startswith("GET ")])
def test_head_is_answered_as_get_is(world: World, row: str):
    for name in ("a guest", "the owner", "another viewer", "an owning admin's token to predict", "a revoked token for everything"):
        head, get = world.ask(row, KINDS[name], "HEAD"), world.ask(row, KINDS[name])
        assert head.status_code == get.status_code, name


FOREIGN = {
    "another site": {"Origin": "https://evil.example"},
    "a site named alike": {"Origin": "http://testserver.evil.example"},
    "a name with our name as its user": {"Origin": "http://testserver@evil.example"},
    "another port": {"Origin": "http://testserver:81"},
    "a sandbox": {"Origin": "null"},
    "another site, in our name": {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
    "a sister site": {"Origin": "http://a.testserver", "Sec-Fetch-Site": "same-site"},
    "a sister site that gives no name": {"Sec-Fetch-Site": "same-site"},
    "another site that gives no name": {"Sec-Fetch-Site": "cross-site"},
    "nobody knows where": {},
}


@pytest.mark.parametrize("row", UNSAFE)
def test_nothing_unsafe_is_done_with_a_cookie_that_another_site_used(world: World, row: str):
    owner = someone(world.client)
    address = world.address(row, owner)
    for name, headers in FOREIGN.items():
        answer = world.client.request(row.partition(" ")[0], address, headers={"Cookie": f"session={owner.token}", **headers})
        assert (happened(answer), name) == ("foreign_origin", name)


def test_no_other_site_may_read_an_answer(world: World):
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    for path in PATHS:
        answer = world.client.options(path, headers=preflight)
        assert (answer.status_code, path) == (405, path)
        assert not [name for name in answer.headers if name.startswith("access-control")]
    answer = world.client.get("/v1/me", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_method_that_the_table_does_not_name_is_not_taken(world: World):
    owner = someone(world.client)
    others = {f"{method} {path}" for path in PATHS for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE")}
    for row in others - RULES.keys():
        method, _, path = row.partition(" ")
        assert (world.client.request(method, path, headers=owner.headers).status_code, row) == (405, row)


def test_a_header_does_not_make_another_method(world: World):
    run = add_run(world.client, owner := someone(world.client))
    world.client.get(f"/v1/runs/{run.id}?_method=DELETE", headers={**owner.headers, "X-HTTP-Method-Override": "DELETE"})
    assert world.client.get(f"/v1/runs/{run.id}", headers=owner.headers).status_code == 200


@pytest.mark.parametrize("path", ["//v1/users", "/v1//users", "/v1/users/", "/V1/users", "/v1/users;x", "/v1/users%2f", "/users/"])
def test_a_door_has_no_second_address(world: World, path: str):
    admin = someone(world.client, Role.ADMIN)
    assert world.client.get("http://testserver" + path, headers=admin.headers).status_code == 404


def changed_by_an_admin(world: World, person: Someone, **change: object) -> None:
    admin = someone(world.client, Role.ADMIN)
    world.client.patch(f"/v1/users/{person.user.id}", headers=admin.headers, json=change).raise_for_status()


def statuses(world: World, path: str, person: Someone, secret: str) -> list[int]:
    """Of a session and of an API token."""
    bearers = [person.headers, {"Authorization": f"Bearer {secret}"}]
    return [world.client.get(path, headers=headers).status_code for headers in bearers]


def test_a_role_that_is_taken_away_is_gone_at_the_next_request(world: World):
    person = someone(world.client, Role.ADMIN)
    secret = world.token(person, ALL)[1]
    assert statuses(world, "/v1/users", person, secret) == [200, 200]
    changed_by_an_admin(world, person, role="operator")
    assert statuses(world, "/v1/users", person, secret) == [403, 403]
    assert statuses(world, "/v1/dashboard?scope=everybody", person, secret) == [200, 200]
    changed_by_an_admin(world, person, role="viewer")
    assert statuses(world, "/v1/dashboard?scope=everybody", person, secret) == [403, 403]


def test_a_user_who_is_disabled_is_out_at_the_next_request(world: World):
    person = someone(world.client)
    secret = world.token(person, ALL)[1]
    assert statuses(world, "/v1/me", person, secret) == [200, 200]
    changed_by_an_admin(world, person, disabled=True)
    assert statuses(world, "/v1/me", person, secret) == [401, 401]
    changed_by_an_admin(world, person, disabled=False)
    assert statuses(world, "/v1/me", person, secret) == [401, 200]


def test_a_user_who_is_deleted_is_out_at_the_next_request_and_leaves_nothing(world: World):
    person, admin = someone(world.client), someone(world.client, Role.ADMIN)
    secret, run = world.token(person, ALL)[1], add_run(world.client, person, note="left behind")
    world.client.delete(f"/v1/users/{person.user.id}", headers=admin.headers).raise_for_status()
    assert statuses(world, "/v1/me", person, secret) == [401, 401]
    storage = storage_of(world.client)
    assert storage.run(person.user.id, run.id, datetime.now(UTC)) is None
    assert not [item for item in storage.items() if person.user.id in str(item)]


def test_a_token_opens_nothing_after_its_last_day(world: World):
    person, clock = someone(world.client), Clock()
    secret = world.token(person, ALL)[1]
    with changed(world.client, now=clock):
        assert statuses(world, "/v1/me", person, secret)[1] == 200
        clock.ahead = timedelta(days=1, seconds=1)
        assert statuses(world, "/v1/me", person, secret)[1] == 401


def test_a_token_does_no_more_than_its_owner_may_do_now(world: World):
    person = someone(world.client)
    secret = world.token(person, ALL)[1]
    assert statuses(world, "/v1/users", person, secret) == [403, 403]
    changed_by_an_admin(world, person, role="admin")
    assert statuses(world, "/v1/users", person, secret) == [200, 200]


def test_others_find_nothing_by_searching_exporting_or_counting(world: World):
    owner, other = someone(world.client), someone(world.client, Role.ADMIN)
    add_run(world.client, owner, ("aardvark", "cup"), note=OURS, truth="cup", release="secret-release")
    for path in (
        "/v1/runs?label=aardvark", "/v1/runs?release=secret-release", "/runs?label=aardvark", "/v1/exports/runs.csv?label=aardvark",
        "/v1/exports/runs.json", "/v1/dashboard", "/dashboard", "/runs", "/?waiting=" + "0" * 32,
    ):  # fmt: skip
        mine, theirs = (world.client.get(path, headers=person.headers).text for person in (owner, other))
        assert "waiting" in path or "aardvark" in mine, path
        assert OURS not in theirs, path
        assert "secret-release" not in theirs.replace("release=secret-release", "").replace('value="secret-release"', ""), path
