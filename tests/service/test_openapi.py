"""The description of the API: it is valid, complete, and true of every answer, whatever is sent.

SLIPWAY_FUZZ_EXAMPLES makes the run longer: so many requests are made up for each operation, caller and kind of request.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import Case, Config, GenerationMode, openapi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.responses import Response
from starlette.testclient import TestClient

from service import access, accounts, administration
from service.records import Role, Scope
from service.web.api import ENDPOINTS
from service.web.endpoints import GuardedRoute
from service.web.pages import ROUTES as PAGES
from tests.service.conftest import DAY, PASSWORD, Someone, add_run, opened, settings_in, someone, storage_of

Json = dict[str, Any]
pytestmark = pytest.mark.slow
EXAMPLES = int(os.environ.get("SLIPWAY_FUZZ_EXAMPLES", "8"))
# What hashes passwords takes a tenth of a second each time.
REQUEST = {"method", "url", "headers", "files", "data", "params", "auth", "cookies", "json"}
SLOW = {"POST /v1/users", "POST /v1/sessions", "DELETE /v1/me", "PUT /v1/me/password", "PATCH /v1/users/{id}", "POST /v1/set-up"}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance]


@pytest.fixture(scope="module")
def document(client: TestClient) -> Json:
    found: Json = client.get("/openapi.json").json()
    return found


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    """Each as `GET /v1/me`."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def check(document: Json, schema: Json, value: object) -> None:
    """Raises ValidationError where the value is not what the schema says."""
    rooted = {**schema, "components": document["components"]}
    OAS31Validator(rooted, format_checker=oas31_format_checker).validate(value)


def test_the_document_is_valid_openapi(document: Json):
    assert document["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_route_that_is_no_page_is_described_and_nothing_else(client: TestClient, document: Json):
    routes = [route for route in client.app.routes if route not in PAGES]
    assert {type(route) for route in routes} == {GuardedRoute}
    assert sorted(f"{route.method} {route.path}" for route in routes) == sorted(name for name, _ in operations(document))


def test_every_operation_says_who_may_and_what_it_is_called(client: TestClient, document: Json):
    routes = {f"{route.method} {route.path}": route for route in client.app.routes if isinstance(route, GuardedRoute)}
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(names)) == len(names)
    for name, operation in operations(document):
        allowed, kinds = routes[name].access, operation.get("security", [{}])
        assert ({} in kinds) == (allowed.role is None), name
        assert (f"`{allowed.scope}`" in operation["description"]) == (allowed.scope is not None), name
        assert operation["summary"], name
        assert set(operation["tags"]) <= {tag["name"] for tag in document["tags"]}, name


def examples(node: object) -> Iterator[tuple[Json, object]]:
    """Every schema that has an example, with it."""
    if isinstance(node, dict):
        yield from ((node, example) for example in node.get("examples", []) if isinstance(node.get("examples"), list))
        if "schema" in node and "example" in node:
            yield node["schema"], node["example"]
        for value in node.values():
            yield from examples(value)
    elif isinstance(node, list):
        for value in node:
            yield from examples(value)


def test_every_example_is_what_it_is_an_example_of(document: Json):
    found = list(examples(document))
    assert len(found) >= 8
    for schema, example in found:
        check(document, schema, example)


@pytest.fixture
def chief(client: TestClient) -> Someone:
    return someone(client, Role.ADMIN)


def token_of(client: TestClient, person: Someone) -> str:
    """The id of a new API token."""
    made, _ = access.make_token(storage_of(client), person.user, "laptop", (Scope.READ,), DAY, now=datetime.now(UTC))
    return made.id


OPEN = ("/livez", "/readyz", "/ping", "/version", "/metrics", "/openapi.json")
Call = Callable[[TestClient, Someone, bytes], tuple[str, Json]]

# How each operation is used rightly: where, and with what.
RIGHT: dict[str, Call] = {
    "POST /v1/predictions": lambda c, p, picture: ("/v1/predictions", {"files": {"image": ("a.jpg", picture)}}),
    "POST /v1/predictions/batch": lambda c, p, picture: (
        "/v1/predictions/batch", {"files": [("image", ("a.jpg", picture)), ("image", ("b.jpg", b"no picture"))]},
    ),
    "POST /invocations": lambda c, p, picture: ("/invocations", {"content": picture}),
    "POST /v1/runs": lambda c, p, _: (
        "/v1/runs", {"json": {"prediction": add_run(c, p, save=False).id, "note": "n", "truth": "espresso"}},
    ),
    "GET /v1/runs": lambda c, p, _: (f"/v1/runs?limit=1&label={add_run(c, p) and 'espresso'}", {}),
    "GET /v1/runs/{id}": lambda c, p, _: (f"/v1/runs/{add_run(c, p, note='n', truth='espresso').id}", {}),
    "PATCH /v1/runs/{id}": lambda c, p, _: (f"/v1/runs/{add_run(c, p).id}", {"json": {"note": "another", "truth": ""}}),
    "DELETE /v1/runs/{id}": lambda c, p, _: (f"/v1/runs/{add_run(c, p).id}", {}),
    "GET /v1/runs/{id}/picture": lambda c, p, _: (f"/v1/runs/{add_run(c, p).id}/picture", {}),
    "GET /v1/runs/{id}/thumbnail": lambda c, p, _: (f"/v1/runs/{add_run(c, p).id}/thumbnail", {}),
    "GET /v1/exports/runs.json": lambda c, p, _: (f"/v1/exports/runs.json?since={add_run(c, p).made_at.date()}", {}),
    "GET /v1/exports/runs.csv": lambda c, p, _: ("/v1/exports/runs.csv", {}),
    "GET /v1/dashboard": lambda c, p, _: (f"/v1/dashboard?days=7&release={add_run(c, p, truth='cup').release}", {}),
    "GET /v1/labels": lambda c, p, _: ("/v1/labels", {}),
    "POST /v1/users": lambda c, p, _: ("/v1/users", {"json": {"name": "newcomer", "password": PASSWORD, "role": "operator"}}),
    "POST /v1/sessions": lambda c, p, _: ("/v1/sessions", {"json": p.credentials}),
    "DELETE /v1/sessions": lambda c, p, _: ("/v1/sessions", {}),
    "GET /v1/me": lambda c, p, _: ("/v1/me", {}),
    "DELETE /v1/me": lambda c, p, _: ("/v1/me", {"json": {"password": PASSWORD}}),
    "PUT /v1/me/password": lambda c, p, _: ("/v1/me/password", {"json": {"old": PASSWORD, "new": "another horse"}}),
    "GET /v1/tokens": lambda c, p, _: ("/v1/tokens" + ("" if token_of(c, p) else "?"), {}),
    "POST /v1/tokens": lambda c, p, _: ("/v1/tokens", {"json": {"name": "laptop", "scopes": ["read", "write"], "days": 7}}),
    "DELETE /v1/tokens/{id}": lambda c, p, _: (f"/v1/tokens/{token_of(c, p)}", {}),
    "GET /v1/users": lambda c, p, _: ("/v1/users?after=a", {}),
    "PATCH /v1/users/{id}": lambda c, p, _: (f"/v1/users/{someone(c).user.id}", {"json": {"role": "operator", "disabled": True}}),
    "DELETE /v1/users/{id}": lambda c, p, _: (f"/v1/users/{someone(c).user.id}", {}),
    **{f"GET {path}": lambda c, p, _, path=path: (path, {}) for path in OPEN},
}  # fmt: skip


def sent(client: TestClient, name: str, person: Someone, picture: bytes) -> tuple[Response, Json]:
    address, content = RIGHT[name](client, person, picture)
    return client.request(name.partition(" ")[0], address, headers=person.headers, **content), content


def is_described(document: Json, operation: Json, answer: Response) -> None:
    """Checks status, media type and body of an answer against the document."""
    described = operation["responses"][str(answer.status_code)]
    if "content" not in described:
        assert answer.content == b""
        return
    media_type = answer.headers["Content-Type"].partition(";")[0]
    (promised,) = described["content"]
    assert media_type == promised or media_type.startswith(promised.removesuffix("*"))
    if schema := described["content"][promised].get("schema"):
        check(document, schema, answer.json())


def test_every_operation_is_used_rightly_somewhere(document: Json):
    assert {name for name, _ in operations(document)} == {*RIGHT, "POST /v1/set-up"}


@pytest.mark.parametrize("name", RIGHT)
def test_an_answer_is_what_the_document_says(
    client: TestClient, document: Json, chief: Someone, pictures: dict[str, bytes], name: str
):
    someone(client, Role.ADMIN)  # so that the chief may leave
    answer, content = sent(client, name, chief, pictures["coffee"])
    operation = dict(operations(document))[name]
    assert str(answer.status_code) == min(operation["responses"])
    is_described(document, operation, answer)
    if "json" in content:
        check(document, operation["requestBody"]["content"]["application/json"]["schema"], content["json"])


def test_making_the_first_admin_is_what_the_document_says(tmp_path_factory: pytest.TempPathFactory, document: Json):
    with opened(settings_in(tmp_path_factory.mktemp("set-up"))) as fresh:
        token = administration.offer_set_up(storage_of(fresh), now=datetime.now(UTC))
        body = {"token": token, "name": "first", "password": PASSWORD}
        answers = [
            fresh.post("/v1/set-up", json=sent) for sent in (body, body, {}, {**body, "name": "!"}, {**body, "password": ""})
        ]
    operation = dict(operations(document))["POST /v1/set-up"]
    assert [answer.status_code for answer in answers] == [201, 403, 400, 403, 403]
    for answer in answers:
        is_described(document, operation, answer)


@pytest.mark.parametrize("name", RIGHT)
def test_a_refusal_is_what_the_document_says(
    client: TestClient, document: Json, chief: Someone, pictures: dict[str, bytes], name: str
):
    operation, (method, _, path) = dict(operations(document))[name], name.partition(" ")
    viewer, session = someone(client), {"Cookie": f"session={chief.token}", "Origin": "https://evil.example"}
    for headers in ({}, {"Authorization": "Bearer x"}, viewer.headers, chief.headers, session):
        for body in (b"", b"[]", b"{}", b'{"x": 1}', b"\xff"):
            answer = client.request(method, path.format(id="0" * 32), headers=headers, content=body)
            is_described(document, operation, answer)
    if "requestBody" in operation:
        headers = {**chief.headers, "Content-Type": "multipart/form-data; boundary=edge"}
        content = b"x" * (70_000 if "application/json" in operation["requestBody"]["content"] else 41_000_000)
        too_much = client.request(method, path.format(id="0" * 32), headers=headers, content=content)
        assert too_much.status_code == 413
        is_described(document, operation, too_much)


def made_up(
    name: str, client: TestClient, mode: GenerationMode, headers: Callable[[], dict[str, str]], ids: Callable[[str], str]
) -> None:
    """Send what schemathesis makes up for the operation, half of it about things that there are, and judge every answer."""
    schema = openapi.from_dict(copy.deepcopy(client.app.state.openapi), config=Config())
    method, _, path = name.partition(" ")
    number = max(EXAMPLES // 4, 3) if name in SLOW else EXAMPLES

    @settings(max_examples=number, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=schema[path][method].as_strategy(generation_mode=mode), real=st.booleans())
    def one(case: Case, real: bool) -> None:
        if real and case.path_parameters and "id" in case.path_parameters:
            case.path_parameters["id"] = ids(path)
        if real and isinstance(case.body, dict) and "prediction" in case.body:
            case.body["prediction"] = ids("waiting")
        kwargs = case.as_transport_kwargs(base_url="http://testserver")
        wanted = requests.Request(**{key: value for key, value in kwargs.items() if key in REQUEST}).prepare()
        answer = client.request(method, wanted.url, headers={**wanted.headers, **headers()}, content=wanted.body or b"")
        assert answer.status_code < 500, answer.text
        case.validate_response(answer, checks=CHECKS)

    one()


KINDS = [
    pytest.param(f"{endpoint.method} {endpoint.path}", mode, id=f"{mode.name.lower()} {endpoint.method} {endpoint.path}")
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    for endpoint in ENDPOINTS
    if mode is GenerationMode.POSITIVE or endpoint.query or endpoint.body or endpoint.picture or "{" in endpoint.path
]


@pytest.mark.parametrize(("name", "mode"), KINDS)
def test_nothing_that_an_admin_sends_breaks_the_service_or_its_promises(
    client: TestClient, chief: Someone, name: str, mode: GenerationMode
):
    storage = storage_of(client)

    def headers() -> dict[str, str]:
        """Of a session that is new each time: some requests end theirs."""
        token = accounts.start_session(storage, chief.user, now=datetime.now(UTC), lifetime=DAY)
        return {"Authorization": f"Bearer {token}"}

    def ids(path: str) -> str:
        if "users" in path:
            return someone(client).user.id
        return token_of(client, chief) if "tokens" in path else add_run(client, chief, save=path != "waiting").id

    made_up(name, client, mode, headers, ids)


@pytest.mark.parametrize(("name", "mode"), KINDS)
def test_nothing_that_a_guest_sends_breaks_the_service_or_its_promises(
    client: TestClient, ada: Someone, name: str, mode: GenerationMode
):
    made_up(name, client, mode, dict, lambda path: ada.user.id if "users" in path else add_run(client, ada).id)


@pytest.mark.parametrize(
    "path", ["/v1/runs?limit={}", "/v1/dashboard?days={}", "/dashboard?days={}", "/v1/users?after={}", "/v1/runs?since={}"]
)
def test_a_number_of_thousands_of_digits_is_only_a_wrong_number(client: TestClient, chief: Someone, path: str):
    for number in ("9" * 5000, "0" * 5000, "-1", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}", "1e3", "1_0", " 1"):
        assert client.get(path.format(number), headers=chief.headers).status_code in ({200} if "after" in path else {400})
    body = '{"name": "x", "scopes": ["read"], "days": %s}'
    for number in ("9" * 5000, "1e999", "-1", "1.0", "true", "NaN", "366.5"):
        assert client.post("/v1/tokens", headers=chief.headers, content=body % number).status_code == 400
