"""One table from errors to statuses, and two shapes of refusal: RFC 9457 problem details with a `code`, or a page for people."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route

from service import errors
from service.web.tools import tools

STATUS: dict[type[errors.ServiceError], int] = {
    errors.BadImage: 422,
    errors.EmptyImage: 422,
    errors.TruncatedImage: 422,
    errors.TooManyPixels: 422,
    errors.TooNarrow: 422,
    errors.DecodingTooSlow: 422,
    errors.DecodingTooLarge: 422,
    errors.ImageMissing: 400,
    errors.TooManyImages: 413,
    errors.MalformedRequest: 400,
    errors.BodyTooLarge: 413,
    errors.NotSignedIn: 401,
    errors.WrongPassword: 401,
    errors.NotAllowed: 403,
    errors.ScopeMissing: 403,
    errors.ForeignOrigin: 403,
    errors.SignUpClosed: 403,
    errors.SetUpTokenUsed: 403,
    errors.NameTaken: 409,
    errors.InvalidName: 422,
    errors.WeakPassword: 422,
    errors.LastAdmin: 409,
    errors.UserNotFound: 404,
    errors.TokenNotFound: 404,
    errors.PredictionNotFound: 404,
    errors.RunNotFound: 404,
    errors.UnknownLabel: 422,
    errors.KeyReused: 422,
    errors.TooManyRuns: 403,
    errors.Busy: 503,
    errors.ModelUnavailable: 503,
    errors.Overloaded: 429,
    errors.RateExceeded: 429,
    errors.TooManyAttempts: 429,
    errors.StorageUnavailable: 503,
}
HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 400: "malformed_request"}

Renderer = Callable[[Request, Mapping[str, object], Mapping[str, str]], Response]


def code_of(error: errors.ServiceError) -> str:
    """The stable code of an error: its class name in snake case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()


def headers_of(error: errors.ServiceError) -> dict[str, str]:
    """What a client needs to know beside the body: when to come back, how to sign in, that nobody reads on."""
    status = STATUS[type(error)]
    headers: dict[str, str] = {}
    if isinstance(error, errors.Busy):
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        headers["Connection"] = "close"
    return headers


def refused(request: Request, error: Exception) -> Response:
    """A ServiceError, told to whoever asked."""
    assert isinstance(error, errors.ServiceError)
    return answer(request, problem_of(request, error), headers_of(error))


def problem_of(request: Request, error: errors.ServiceError) -> dict[str, object]:
    """A ServiceError as problem details; it is counted."""
    code = code_of(error)
    tools(request).metrics.refused(code)
    return problem(request, STATUS[type(error)], code, str(error))


def http_error(request: Request, error: Exception) -> Response:
    """What the router or the form parser refused."""
    assert isinstance(error, HTTPException)
    sentences = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.url.path} does not take {request.method}",
        400: f"the body cannot be read: {error.detail}",
    }
    code = HTTP_CODES.get(error.status_code, "http_error")
    detail = sentences.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return answer(request, problem(request, error.status_code, code, detail), headers)


def _methods(request: Request) -> list[str]:
    """All that the path takes: the router knows those of its first route only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    matching = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in matching for method in route.methods or ()})


def crashed(request: Request, error: Exception) -> Response:
    """Our own fault: the log has the trace, the caller gets the request id."""
    # Starlette answers this outside all middleware, so the stamp is put on here.
    stamp = request.scope.get("stamp", {})
    return answer(request, problem(request, 500, "internal_error", "something went wrong on our side; quote the request id"), stamp)


def problem(request: Request, status: int, code: str, detail: str) -> dict[str, object]:
    """RFC 9457 problem details."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request.scope.get("request_id", ""),
    }


def answer(request: Request, problem: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    """The problem as a page where a page was asked for, else as JSON."""
    page: Renderer | None = getattr(request.app.state, "problem_page", None)
    if page and wants_page(request):
        return page(request, problem, headers)
    status = problem["status"]
    assert isinstance(status, int)
    return JSONResponse(problem, status, headers=dict(headers), media_type="application/problem+json")


def wants_page(request: Request) -> bool:
    """Whether people look at the answer: never under /v1, elsewhere where HTML is accepted by name."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")
