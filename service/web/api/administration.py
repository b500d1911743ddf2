"""What admins do with users."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service import administration, errors
from service.errors import MalformedRequest
from service.records import Role, Scope
from service.web import documents
from service.web.api.accounts import role_named
from service.web.endpoints import Access, Endpoint
from service.web.forms import fields_of, read_json
from service.web.sessions import checked
from service.web.tools import tools

ADMIN = Access(Role.ADMIN, Scope.ADMIN)
PAGE = 50


async def list_users(request: Request) -> Response:
    """Users by name, those behind the name `after`."""
    after = request.query_params.get("after", "")
    found = await run_in_threadpool(tools(request).storage.users, after[:64], PAGE + 1)
    more = len(found) > PAGE
    return JSONResponse({"users": [documents.user(user) for user in found[:PAGE]], "next": found[PAGE - 1].name if more else None})


async def change_user(request: Request) -> Response:
    """Give a role, disable or enable, or set a new password. It holds from the user's next request on."""
    t = tools(request)
    role, disabled, password = fields_of(await read_json(request), {}, {"role": str, "disabled": bool, "password": str})
    if (role, disabled, password) == (None, None, None):
        raise MalformedRequest("send at least one of role, disabled, password")
    wanted = role_named(role) if role is not None else None
    user = await checked(
        request, administration.change_user, t.storage, request.path_params["id"], role=wanted, disabled=disabled,
        password=password, now=t.now(),
    )  # fmt: skip
    return JSONResponse(documents.user(user))


async def delete_user(request: Request) -> Response:
    """Delete a user with everything that is theirs."""
    t = tools(request)
    await run_in_threadpool(administration.delete_user, t.storage, request.path_params["id"], now=t.now())
    return Response(status_code=204)


ENDPOINTS = (
    Endpoint("GET", "/v1/users", list_users, "List users", ADMIN, "Users", answer="Users", query=("after",)),
    Endpoint(
        "PATCH",
        "/v1/users/{id}",
        change_user,
        "Change a user's role, state or password",
        ADMIN,
        "Users",
        answer="User",
        body="UserChange",
        errors=(errors.UserNotFound, errors.LastAdmin, errors.WeakPassword, errors.MalformedRequest, errors.StorageUnavailable),
    ),
    Endpoint(
        "DELETE",
        "/v1/users/{id}",
        delete_user,
        "Delete a user",
        ADMIN,
        "Users",
        204,
        errors=(errors.UserNotFound, errors.LastAdmin, errors.StorageUnavailable),
    ),
)
