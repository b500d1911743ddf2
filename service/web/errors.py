"""One table from errors to statuses, one shape for every refusal: RFC 9457 problem details with a `code`."""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service import errors

STATUS: dict[type[errors.ServiceError], int] = {
    errors.BadImage: 422,
    errors.EmptyImage: 422,
    errors.TruncatedImage: 422,
    errors.TooManyPixels: 422,
    errors.TooNarrow: 422,
    errors.ImageMissing: 400,
    errors.MalformedRequest: 400,
    errors.BodyTooLarge: 413,
    errors.NotSignedIn: 401,
    errors.WrongPassword: 401,
    errors.NameTaken: 409,
    errors.InvalidName: 422,
    errors.WeakPassword: 422,
    errors.ForeignOrigin: 403,
    errors.PredictionNotFound: 404,
    errors.RunNotFound: 404,
    errors.ModelUnavailable: 503,
    errors.Overloaded: 429,
}
HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 400: "malformed_request"}
RETRY_AFTER_SECONDS = "1"


def code_of(error: errors.ServiceError) -> str:
    """The stable code of an error: its class name in snake case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()


def refused(request: Request, error: Exception) -> Response:
    """A ServiceError as problem details."""
    assert isinstance(error, errors.ServiceError)
    status = STATUS[type(error)]
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if status in (429, 503) else {}
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers["Connection"] = "close"  # nobody reads the rest of the body
    return problem(request, status, code_of(error), str(error), headers)


def http_error(request: Request, error: Exception) -> Response:
    """What the router or the form parser refused."""
    assert isinstance(error, HTTPException)
    sentences = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.url.path} does not take {request.method}",
        400: f"the body cannot be read: {error.detail}",
    }
    code = HTTP_CODES.get(error.status_code, "http_error")
    return problem(request, error.status_code, code, sentences.get(error.status_code, error.detail), error.headers or {})


def crashed(request: Request, error: Exception) -> Response:
    """Our own fault: the log has the trace, the caller gets the request id."""
    # Starlette answers this outside all middleware, so the stamp is put on here.
    headers = {"X-Request-Id": request.scope.get("request_id", ""), "X-Release": request.app.state.tools.identity.release}
    return problem(request, 500, "internal_error", "something went wrong on our side; quote the request id", headers)


def problem(request: Request, status: int, code: str, detail: str, headers: dict[str, str] | object) -> JSONResponse:
    """RFC 9457 problem details."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request.scope.get("request_id", ""),
    }
    given = dict(headers) if isinstance(headers, dict) else {}
    return JSONResponse(body, status, headers=given, media_type="application/problem+json")
