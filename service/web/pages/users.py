"""For admins: who there is, and what they may do."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service import administration
from service.errors import MalformedRequest, ServiceError
from service.records import Role
from service.web.api.accounts import role_named, sign_up
from service.web.api.administration import PAGE
from service.web.forms import form_text, read_form
from service.web.pages.rendering import page, problem
from service.web.sessions import checked
from service.web.tools import tools


async def show(request: Request) -> Response:
    """Users by name."""
    return await _page(request)


async def create(request: Request) -> Response:
    """Make an account for somebody."""
    form = await read_form(request)
    try:
        await sign_up(request, form_text(form, "name"), form_text(form, "password"), form_text(form, "role"))
    except ServiceError as error:
        return await _page(request, error, name=form_text(form, "name"))
    return RedirectResponse("/users", 303)


async def change(request: Request) -> Response:
    """What the pressed button says: a role, disable, enable, a new password, or delete."""
    t, user_id = tools(request), request.path_params["id"]
    form = await read_form(request)
    action = form_text(form, "action")
    role: Role | None = None
    disabled: bool | None = None
    password: str | None = None
    try:
        match action:
            case "role":
                role = role_named(form_text(form, "role"))
            case "disable" | "enable":
                disabled = action == "disable"
            case "password":
                password = form_text(form, "password")
            case "delete":
                await checked(request, administration.delete_user, t.storage, user_id, now=t.now())
                return RedirectResponse("/users", 303)
            case _:
                raise MalformedRequest(f"there is no action {action[:40]!r}")
        await checked(
            request, administration.change_user, t.storage, user_id, role=role, disabled=disabled, password=password, now=t.now()
        )
    except ServiceError as error:
        return await _page(request, error)
    return RedirectResponse("/users", 303)


async def _page(request: Request, error: ServiceError | None = None, name: str = "") -> Response:
    after = request.query_params.get("after", "")[:64]
    found = await run_in_threadpool(tools(request).storage.users, after, PAGE + 1)
    more = found[PAGE - 1].name if len(found) > PAGE else ""
    context: dict[str, Any] = {"users": found[:PAGE], "more": more, "roles": list(Role), "name": name}
    if error:
        return await problem(request, "users.html", error, **context)
    return await page(request, "users.html", **context)
