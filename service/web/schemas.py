"""The JSON that goes in and out, as JSON Schema (2020-12), for the description; a test holds answers against it."""

from __future__ import annotations

from typing import Any

from service.accounts import NAME
from service.passwords import LONGEST, SHORTEST
from service.records import Role, Scope
from service.runs import LONGEST_NOTE

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "string", "format": "date-time"}
DAY: Schema = {"type": "string", "format": "date"}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
MILLISECONDS: Schema = {"type": "number", "minimum": 0}


def a(name: str) -> Schema:
    """The schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(schema: Schema) -> Schema:
    """A list of it."""
    return {"type": "array", "items": schema}


def maybe(schema: Schema) -> Schema:
    """It, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def an_object(properties: Schema, *, optional: tuple[str, ...] = (), about: str = "") -> Schema:
    """An object with these keys, all of which are there but the optional ones, and no others."""
    required = [name for name in properties if name not in optional]
    description = {"description": about} if about else {}
    return {"type": "object", **description, "properties": properties, "required": required, "additionalProperties": False}


NAME_TEXT: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$", "examples": ["ada"]}
PASSWORD_TEXT: Schema = {"type": "string", "minLength": SHORTEST, "maxLength": LONGEST, "examples": ["correct horse battery"]}
ROLE: Schema = {"type": "string", "enum": [str(role) for role in Role]}
SCOPES: Schema = {"type": "array", "items": {"type": "string", "enum": [str(scope) for scope in Scope]}, "minItems": 1}
NOTE: Schema = {"type": "string", "description": f"cut at {LONGEST_NOTE} characters", "examples": ["the cup on my desk"]}
TRUTH: Schema = {
    "type": "string",
    "description": "what the picture really shows: one of GET /v1/labels, or empty",
    "examples": ["espresso"],
}

SCHEMAS: dict[str, Schema] = {
    "Problem": {
        "type": "object",
        "description": "Why a request was refused (RFC 9457). `code` is stable: programs look at it, people read `detail`.",
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "code": TEXT,
            "detail": TEXT,
            "request_id": TEXT,
        },
        "required": ["type", "title", "status", "code", "detail", "request_id"],
    },
    "Score": an_object({"label": TEXT, "index": WHOLE, "probability": SHARE}),
    "Model": an_object({"name": TEXT, "sha256": TEXT}),
    "Prediction": an_object(
        {
            "predictions": many(a("Score")),
            "id": maybe({"type": "string", "description": "to save it by; null for guests"}),
            "model": a("Model"),
            "release": TEXT,
            "milliseconds": MILLISECONDS,
            "request_id": TEXT,
        },
        about="The most probable labels, best first.",
    ),
    "Batch": an_object(
        {
            "results": many(an_object({"prediction": maybe(a("Prediction")), "problem": maybe(a("Problem"))})),
            "request_id": TEXT,
        }
    ),
    "Picture": an_object({"url": TEXT, "thumbnail": TEXT, "media_type": TEXT, "width": WHOLE, "height": WHOLE, "bytes": WHOLE}),
    "Run": an_object(
        {
            "id": TEXT,
            "made_at": TIME,
            "saved_at": maybe(TIME),
            "predictions": many(a("Score")),
            "truth": maybe(TEXT),
            "note": TEXT,
            "release": TEXT,
            "model": TEXT,
            "milliseconds": MILLISECONDS,
            "picture": a("Picture"),
        }
    ),
    "Runs": an_object(
        {"runs": many(a("Run")), "next": maybe({"type": "string", "description": "for `after`; null on the last page"})}
    ),
    "Export": an_object({"runs": many(a("Run"))}),
    "Save": an_object(
        {"prediction": {"type": "string", "description": "the `id` of a prediction"}, "note": NOTE, "truth": TRUTH},
        optional=("note", "truth"),
    ),
    "Change": an_object({"note": NOTE, "truth": TRUTH}, optional=("note", "truth")),
    "Labels": an_object({"labels": many(TEXT)}),
    "Summary": an_object(
        {
            "release": TEXT,
            "model": TEXT,
            "first": DAY,
            "last": DAY,
            "predictions": WHOLE,
            "saved": WHOLE,
            "judged": WHOLE,
            "top1": maybe(SHARE),
            "top5": maybe(SHARE),
            "milliseconds": an_object({"p50": maybe(MILLISECONDS), "p95": maybe(MILLISECONDS), "p99": maybe(MILLISECONDS)}),
            "confidence": {**many(WHOLE), "description": "predictions by tenths of the best label's probability"},
        }
    ),
    "Dashboard": an_object(
        {
            "days": many(DAY),
            "total": a("Summary"),
            "releases": many(a("Summary")),
            "series": many(an_object({"release": TEXT, "predictions": many(WHOLE)})),
            "labels": many(an_object({"label": TEXT, "predictions": WHOLE})),
            "confusion": an_object({"labels": many(TEXT), "counts": many(many(WHOLE))}),
        }
    ),
    "NewUser": an_object({"name": NAME_TEXT, "password": PASSWORD_TEXT, "role": ROLE}, optional=("role",)),
    "Credentials": an_object({"name": TEXT, "password": TEXT}),
    "SetUp": an_object({"token": TEXT, "name": NAME_TEXT, "password": PASSWORD_TEXT}),
    "Session": an_object({"token": TEXT}),
    "Password": an_object({"password": TEXT}),
    "NewPassword": an_object({"old": TEXT, "new": PASSWORD_TEXT}),
    "User": an_object({"id": TEXT, "name": TEXT, "role": ROLE, "disabled": {"type": "boolean"}, "created_at": TIME}),
    "Users": an_object({"users": many(a("User")), "next": maybe(TEXT)}),
    "UserChange": an_object(
        {"role": ROLE, "disabled": {"type": "boolean"}, "password": PASSWORD_TEXT}, optional=("role", "disabled", "password")
    ),
    "Token": an_object(
        {
            "id": TEXT,
            "name": TEXT,
            "scopes": SCOPES,
            "created_at": TIME,
            "expires_at": TIME,
            "last_used_at": maybe(TIME),
        }
    ),
    "Tokens": an_object({"tokens": many(a("Token"))}),
    "NewToken": an_object(
        {
            "name": {"type": "string", "minLength": 1, "maxLength": 60},
            "scopes": SCOPES,
            "days": {"type": "integer", "minimum": 1, "maximum": 366, "default": 90},
        },
        optional=("days",),
    ),
    "NewTokenMade": an_object(
        {
            "id": TEXT,
            "name": TEXT,
            "scopes": SCOPES,
            "created_at": TIME,
            "expires_at": TIME,
            "last_used_at": maybe(TIME),
            "secret": TEXT,
        }
    ),
    "Live": an_object({"live": {"const": True}}),
    "Ready": an_object({"ready": {"const": True}}),
    "Version": an_object({"release": TEXT, "commit": TEXT, "image": TEXT, "lock": TEXT, "model": a("Model")}),
    "Document": {"type": "object"},
}
