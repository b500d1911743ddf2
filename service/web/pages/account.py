"""One's own account: API tokens, password, data to take along, leaving."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service import access, accounts
from service.errors import ServiceError
from service.records import Scope, User
from service.web import sessions
from service.web.api.accounts import delete_account, lifetime_of, scopes_named
from service.web.forms import form_text, read_form, whole_number
from service.web.pages.rendering import page, problem
from service.web.sessions import caller, checked, source_of
from service.web.tools import tools


async def show(request: Request) -> Response:
    """The account as it is."""
    return await _page(request)


async def change_password(request: Request) -> Response:
    """Take the new password; one signs in with it again, everywhere."""
    user, t = (await caller(request)).user, tools(request)
    form = await read_form(request)
    old, new = form_text(form, "old"), form_text(form, "new")
    try:
        await checked(request, accounts.change_password, t.storage, user, old, new, source_of(request), now=t.now())
    except ServiceError as error:
        return await _page(request, error)
    return await sessions.sign_in(request, user.name, new, lambda _: RedirectResponse("/account?changed=password", 303))


async def make_token(request: Request) -> Response:
    """Make an API token and show its secret, this once."""
    user, t = (await caller(request)).user, tools(request)
    form = await read_form(request)
    try:
        days = whole_number("days", form_text(form, "days"), access.LONGEST_LIFETIME.days)
        scopes = scopes_named([str(scope) for scope in form.getlist("scopes")])
        made = await run_in_threadpool(
            access.make_token, t.storage, user, form_text(form, "name").strip(), scopes, lifetime_of(days), now=t.now()
        )
    except ServiceError as error:
        return await _page(request, error)
    return await _page(request, secret=made[1])


async def revoke_token(request: Request) -> Response:
    """End an API token."""
    user = (await caller(request)).user
    await run_in_threadpool(access.revoke_token, tools(request).storage, user, request.path_params["id"])
    return RedirectResponse("/account", 303)


async def delete(request: Request) -> Response:
    """Leave, with everything."""
    user = (await caller(request)).user
    form = await read_form(request)
    try:
        await delete_account(request, user, form_text(form, "password"))
    except ServiceError as error:
        return await _page(request, error)
    response = RedirectResponse("/", 303)
    response.delete_cookie(sessions.SESSION)
    return response


async def _page(request: Request, error: ServiceError | None = None, secret: str = "") -> Response:
    user: User = (await caller(request)).user
    tokens = await run_in_threadpool(tools(request).storage.tokens, user.id)
    context: dict[str, Any] = {"tokens": tokens, "secret": secret, "scopes": list(Scope), "now": tools(request).now()}
    if error:
        return await problem(request, "account.html", error, **context)
    return await page(request, "account.html", changed=request.query_params.get("changed", ""), **context)
