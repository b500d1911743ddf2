"""A route of the API with everything that is known of it: who may use it, and what its OpenAPI description says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.errors import ServiceError
from service.records import Role, Scope
from service.web.sessions import caller, maybe_caller

Handler = Callable[[Request], Awaitable[Response]]
SESSION_ONLY = None  # as a scope: no API token will do


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route. `role` None lets guests in; `scope` is what an API token needs, None lets sessions alone in."""

    role: Role | None
    scope: Scope | None = SESSION_ONLY


EVERYBODY = Access(None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `body` and `answer` name schemas of schemas.py; without `answer`, `media_type` says what comes."""

    method: str
    path: str
    handler: Handler
    summary: str
    access: Access = EVERYBODY
    tag: str = "Service"
    status: int = 200
    answer: str | None = None
    media_type: str = "application/json"
    body: str | None = None
    picture: str = ""  # "one" or "many" where the body is pictures
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    errors: tuple[type[ServiceError], ...] = ()
    example: str = ""  # of a curl line, after the address


class GuardedRoute(Route):
    """A route that lets in whom its `access` names; the test of the access matrix reads it from here.

    `lead` answers guests where a refusal would not do.
    """

    def __init__(
        self, method: str, path: str, handler: Handler, access: Access, lead: Callable[[Request], Response] | None = None
    ) -> None:
        async def guarded(request: Request) -> Response:
            request.scope["route"] = self
            if access.role is not None and lead and await maybe_caller(request) is None:
                return lead(request)
            if access.role is not None:
                (await caller(request)).require(access.role, access.scope)
            elif access.scope is not None and (known := await maybe_caller(request)):
                known.require(Role.VIEWER, access.scope)
            return await handler(request)

        super().__init__(path, guarded, methods=[method], name=handler.__name__)
        self.method = method
        self.access = access


def route(endpoint: Endpoint) -> GuardedRoute:
    """The endpoint as the router takes it."""
    return GuardedRoute(endpoint.method, endpoint.path, endpoint.handler, endpoint.access)


def by_path(endpoints: tuple[Endpoint, ...]) -> Mapping[str, list[Endpoint]]:
    """The endpoints of each path, in order."""
    paths: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, []).append(endpoint)
    return paths
