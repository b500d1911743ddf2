"""Signing up, in and out, and the first admin."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service import administration
from service.errors import ServiceError
from service.web import sessions
from service.web.api.accounts import sign_up as sign_up_user
from service.web.forms import form_text, read_form
from service.web.pages.rendering import local_path, page, problem
from service.web.sessions import address_of, checked, require_own_origin
from service.web.tools import tools


async def sign_in_form(request: Request) -> Response:
    """Name and password."""
    return await page(request, "sign_in.html", after=local_path(request.query_params.get("after", "/")))


async def sign_in(request: Request) -> Response:
    """A session, and on to where one wanted to go."""
    require_own_origin(request)
    form = await read_form(request)
    name, password, after = form_text(form, "name"), form_text(form, "password"), local_path(form_text(form, "after"))
    try:
        return await sessions.sign_in(request, name, password, lambda _: RedirectResponse(after, 303))
    except ServiceError as error:
        return await problem(request, "sign_in.html", error, name=name, after=after)


async def sign_up_form(request: Request) -> Response:
    """A new account, where that is open."""
    return await page(request, "sign_up.html", after=local_path(request.query_params.get("after", "/")))


async def sign_up(request: Request) -> Response:
    """A new account, and signed in with it."""
    require_own_origin(request)
    form = await read_form(request)
    name, password, after = form_text(form, "name"), form_text(form, "password"), local_path(form_text(form, "after"))
    try:
        await sign_up_user(request, name, password)
        return await sessions.sign_in(request, name, password, lambda _: RedirectResponse(after, 303))
    except ServiceError as error:
        return await problem(request, "sign_up.html", error, name=name, after=after)


async def sign_out(request: Request) -> Response:
    """End the session."""
    return await sessions.sign_out(request, RedirectResponse("/", 303))


async def set_up_form(request: Request) -> Response:
    """The one-time token, and the first admin's name and password."""
    return await page(request, "set_up.html", token=request.query_params.get("token", ""))


async def set_up(request: Request) -> Response:
    """Make the first admin, and sign in."""
    require_own_origin(request)
    form = await read_form(request)
    token, name, password = (form_text(form, field) for field in ("token", "name", "password"))
    t = tools(request)
    try:
        t.limits.sign_ups.take(address_of(request))
        await checked(request, administration.use_set_up, t.storage, token.strip(), name, password, now=t.now())
        return await sessions.sign_in(request, name, password, lambda _: RedirectResponse("/users", 303))
    except ServiceError as error:
        return await problem(request, "set_up.html", error, name=name, token=token)
