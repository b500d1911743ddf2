"""The API's description, made from the table of endpoints: an OpenAPI 3.1 document."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from service import errors
from service.errors import ServiceError
from service.web.endpoints import Access, Endpoint
from service.web.errors import STATUS, code_of
from service.web.schemas import SCHEMAS, Schema, a

PARAMETERS: Mapping[str, Schema] = {
    "label": {
        "description": "all of these words in the predicted or the true label",
        "schema": {"type": "string"},
        "example": "espresso",
    },
    "release": {"description": "made by this release", "schema": {"type": "string"}},
    "since": {
        "description": "from this day or time (UTC unless it says otherwise)",
        "schema": {"type": "string"},
        "example": "2026-01-31",
    },
    "until": {"description": "to this day or time; a day is included", "schema": {"type": "string"}, "example": "2026-02-28"},
    "limit": {"description": "how many at most", "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}},
    "after": {"description": "`next` of the page before", "schema": {"type": "string"}},
    "days": {
        "description": "how many days, today included",
        "schema": {"type": "integer", "minimum": 1, "maximum": 366, "default": 30},
    },
    "scope": {
        "description": "whose predictions; everybody's are for operators",
        "schema": {"type": "string", "enum": ["mine", "everybody"]},
    },
}
IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Your own id of this request. The same request with the same key is answered again and done once, for a day.",
}  # fmt: skip
TAGS = {
    "Predictions": "Show pictures, and get labels back.",
    "Runs": "Predictions that were saved: find them, look at them, say what they really showed.",
    "Account": "Sign up and in; API tokens for programs.",
    "Users": "For admins.",
    "Service": "For proxies, monitors and client authors.",
}
INTRODUCTION = """Send pictures, get the five most probable labels; save what you want to keep and look back on it.

Every refusal is `application/problem+json` with a stable `code`. A refusal with `Retry-After` may succeed that many seconds later.
Programs send `Authorization: Bearer TOKEN` with a session's token or, better, an API token made for what they do."""


def document(endpoints: Iterable[Endpoint], release: str) -> dict[str, Any]:
    """The whole description."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Recogniser", "version": "1", "description": INTRODUCTION, "x-release": release},
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "an API token or a session's token"},
                "session": {"type": "apiKey", "in": "cookie", "name": "session"},
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__ if endpoint.path.startswith("/v1") else endpoint.path[1:].partition(".")[0],
        "summary": endpoint.summary,
        "description": inspect.cleandoc(endpoint.handler.__doc__ or "") + _who(endpoint.access),
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint),
    }
    if endpoint.access != Access(None):
        required: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
        operation["security"] = required if endpoint.access.role else [{}, *required]
    if body := _body(endpoint):
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _who(access: Access) -> str:
    if access == Access(None):
        return ""
    role = f" Needs the role {access.role}." if access.role else ""
    scope = f"An API token needs the scope `{access.scope}`." if access.scope else "Needs a session: no API token will do."
    return f"\n\n{role} {scope}".replace("\n\n ", "\n\n")


def _parameters(endpoint: Endpoint) -> list[Schema]:
    in_path = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    return [
        *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path),
        *({"name": name, "in": "query", **PARAMETERS[name]} for name in endpoint.query),
        *(IDEMPOTENCY_KEY for _ in endpoint.headers),
    ]


def _body(endpoint: Endpoint) -> dict[str, Schema]:
    file: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}
    if endpoint.picture == "many":
        files: Schema = {"type": "array", "items": file, "minItems": 1}
        return {"multipart/form-data": {"schema": {"type": "object", "properties": {"image": files}, "required": ["image"]}}}
    if endpoint.picture == "one":
        form: Schema = {"type": "object", "properties": {"image": file}, "required": ["image"]}
        return {"multipart/form-data": {"schema": form}, "application/octet-stream": {}, "image/*": {}}
    return {"application/json": {"schema": a(endpoint.body)}} if endpoint.body else {}


def _responses(endpoint: Endpoint) -> dict[str, Schema]:
    done: Schema = {"description": "done"}
    if endpoint.answer:
        done["content"] = {endpoint.media_type: {"schema": a(endpoint.answer)}}
    elif endpoint.status != 204:
        done["content"] = {endpoint.media_type: {}}
    responses = {str(endpoint.status): done}
    if endpoint.path.endswith(("/picture", "/thumbnail")):
        responses["307"] = {"description": "read it from the address in Location, within five minutes"}
    codes: dict[int, list[str]] = {}
    too_large = (errors.BodyTooLarge,) if endpoint.body else ()
    for error in (*endpoint.errors, *too_large, *_of_access(endpoint)):
        codes.setdefault(STATUS[error], []).append(code_of(error(error.__name__)))
    for status, found in sorted(codes.items()):
        responses[str(status)] = {
            "description": "code: " + ", ".join(f"`{code}`" for code in sorted(set(found))),
            "content": {"application/problem+json": {"schema": a("Problem")}},
            **(
                {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}}
                if status in (429, 503)
                else {}
            ),
        }
    return responses


def _of_access(endpoint: Endpoint) -> tuple[type[ServiceError], ...]:
    if endpoint.access == Access(None):
        return (errors.ForeignOrigin,) if endpoint.method != "GET" and endpoint.body else ()
    origin = (errors.ForeignOrigin,) if endpoint.method != "GET" else ()
    return (errors.NotSignedIn, errors.ScopeMissing, errors.NotAllowed, errors.StorageUnavailable, *origin)
