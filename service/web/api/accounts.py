"""One's own account: sign up, in and out, password, API tokens, leaving."""

from __future__ import annotations

from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service import access, accounts, administration, errors
from service.errors import MalformedRequest, SignUpClosed
from service.records import Role, Scope, User
from service.web import documents, sessions
from service.web.endpoints import SESSION_ONLY, Access, Endpoint
from service.web.forms import fields_of, read_json
from service.web.sessions import address_of, caller, checked, maybe_caller, require_own_origin, source_of
from service.web.tools import tools

MINE = Access(Role.VIEWER, SESSION_ONLY)
DAYS = 90
NEW_USER = (
    errors.NameTaken,
    errors.InvalidName,
    errors.WeakPassword,
    errors.MalformedRequest,
    errors.RateExceeded,
    errors.StorageUnavailable,
)
PASSWORD = (errors.WrongPassword, errors.TooManyAttempts, errors.MalformedRequest, errors.StorageUnavailable)


async def create_user(request: Request) -> Response:
    """Sign up, where that is open; admins may always make accounts, with any role."""
    name, password, role = fields_of(await read_json(request), {"name": str, "password": str}, {"role": str})
    user = await sign_up(request, name, password, role)
    return JSONResponse(documents.user(user), 201)


async def sign_up(request: Request, name: str, password: str, role: str | None = None) -> User:
    """A new user, by one's own hand or an admin's.

    Raises SignUpClosed, RateExceeded, NotAllowed, or what accounts.sign_up raises.
    """
    t, by = tools(request), await maybe_caller(request)
    wanted = role_named(role) if role is not None else Role.VIEWER
    if by is not None and by.user.role is Role.ADMIN:
        by.require(Role.ADMIN, Scope.ADMIN)
    else:
        if not t.settings.sign_up:
            raise SignUpClosed("accounts are made by admins here: ask one of them")
        if wanted is not Role.VIEWER:
            raise errors.NotAllowed("only admins give roles")
        t.limits.sign_ups.take(address_of(request))
    return await checked(request, accounts.sign_up, t.storage, name, password, now=t.now(), role=wanted)


def role_named(name: str) -> Role:
    """The role of that name. Raises MalformedRequest."""
    try:
        return Role(name)
    except ValueError as error:
        raise MalformedRequest(f"role {name[:40]!r} is none of {', '.join(Role)}") from error


async def create_session(request: Request) -> Response:
    """Sign in: a token for `Authorization: Bearer`, and a cookie for browsers."""
    require_own_origin(request)
    name, password = fields_of(await read_json(request), {"name": str, "password": str})
    return await sessions.sign_in(request, name, password, lambda token: JSONResponse({"token": token}, 201))


async def end_session(request: Request) -> Response:
    """Sign out."""
    return await sessions.sign_out(request, Response(status_code=204))


async def show_me(request: Request) -> Response:
    """Who the token belongs to."""
    return JSONResponse(documents.user((await caller(request)).user))


async def delete_me(request: Request) -> Response:
    """Delete one's account with every run, picture, token and session; the password is asked once more."""
    user = (await caller(request)).user
    (password,) = fields_of(await read_json(request), {"password": str})
    await delete_account(request, user, password)
    response = Response(status_code=204)
    response.delete_cookie(sessions.SESSION)
    return response


async def delete_account(request: Request, user: User, password: str) -> None:
    """Raises WrongPassword, TooManyAttempts or LastAdmin."""
    t = tools(request)
    await checked(request, accounts.require_password, t.storage, user, password, source_of(request), now=t.now())
    await run_in_threadpool(administration.delete_user, t.storage, user.id, now=t.now())


async def change_password(request: Request) -> Response:
    """Change one's password; every session ends, this one too."""
    user, t = (await caller(request)).user, tools(request)
    old, new = fields_of(await read_json(request), {"old": str, "new": str})
    await checked(request, accounts.change_password, t.storage, user, old, new, source_of(request), now=t.now())
    return Response(status_code=204)


async def list_tokens(request: Request) -> Response:
    """One's API tokens, oldest first, without their secrets."""
    user = (await caller(request)).user
    found = await run_in_threadpool(tools(request).storage.tokens, user.id)
    return JSONResponse({"tokens": [documents.token(token) for token in found]})


async def create_token(request: Request) -> Response:
    """Make an API token. Its secret is in this answer and never again."""
    user, t = (await caller(request)).user, tools(request)
    name, scopes, days = fields_of(await read_json(request), {"name": str, "scopes": list}, {"days": int})
    lifetime = lifetime_of(DAYS if days is None else days)
    token, secret = await run_in_threadpool(access.make_token, t.storage, user, name, scopes_named(scopes), lifetime, now=t.now())
    return JSONResponse({**documents.token(token), "secret": secret}, 201)


def lifetime_of(days: int) -> timedelta:
    """So many days. Raises MalformedRequest for what no token lives."""
    if not 1 <= days <= access.LONGEST_LIFETIME.days:
        raise MalformedRequest(f"days is a whole number from 1 to {access.LONGEST_LIFETIME.days}")
    return timedelta(days=days)


def scopes_named(names: list[object]) -> tuple[Scope, ...]:
    """The scopes of these names. Raises MalformedRequest."""
    try:
        return tuple(Scope(str(name)) for name in names)
    except ValueError as error:
        raise MalformedRequest(f"scopes are some of {', '.join(Scope)}") from error


async def revoke_token(request: Request) -> Response:
    """End an API token at once."""
    user = (await caller(request)).user
    await run_in_threadpool(access.revoke_token, tools(request).storage, user, request.path_params["id"])
    return Response(status_code=204)


async def set_up(request: Request) -> Response:
    """Make the first admin with the one-time token that the service printed when it started."""
    require_own_origin(request)
    t = tools(request)
    token, name, password = fields_of(await read_json(request), {"token": str, "name": str, "password": str})
    t.limits.sign_ups.take(address_of(request))
    user = await checked(request, administration.use_set_up, t.storage, token, name, password, now=t.now())
    return JSONResponse(documents.user(user), 201)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/users",
        create_user,
        "Sign up",
        Access(None, Scope.ADMIN),
        "Account",
        201,
        "User",
        body="NewUser",
        errors=(*NEW_USER, errors.SignUpClosed, errors.NotAllowed),
    ),
    Endpoint(
        "POST",
        "/v1/sessions",
        create_session,
        "Sign in",
        tag="Account",
        status=201,
        answer="Session",
        body="Credentials",
        errors=PASSWORD,
    ),
    Endpoint("DELETE", "/v1/sessions", end_session, "Sign out", MINE, "Account", 204),
    Endpoint("GET", "/v1/me", show_me, "Who am I", Access(Role.VIEWER, Scope.READ), "Account", answer="User"),
    Endpoint(
        "DELETE",
        "/v1/me",
        delete_me,
        "Delete my account and all of its data",
        MINE,
        "Account",
        204,
        body="Password",
        errors=(*PASSWORD, errors.LastAdmin),
    ),
    Endpoint(
        "PUT",
        "/v1/me/password",
        change_password,
        "Change my password",
        MINE,
        "Account",
        204,
        body="NewPassword",
        errors=(*PASSWORD, errors.WeakPassword),
    ),
    Endpoint("GET", "/v1/tokens", list_tokens, "List my API tokens", MINE, "Account", answer="Tokens"),
    Endpoint(
        "POST",
        "/v1/tokens",
        create_token,
        "Make an API token",
        MINE,
        "Account",
        201,
        "NewTokenMade",
        body="NewToken",
        errors=(errors.MalformedRequest,),
    ),
    Endpoint(
        "DELETE", "/v1/tokens/{id}", revoke_token, "Revoke an API token", MINE, "Account", 204, errors=(errors.TokenNotFound,)
    ),
    Endpoint(
        "POST",
        "/v1/set-up",
        set_up,
        "Make the first admin",
        tag="Account",
        status=201,
        answer="User",
        body="SetUp",
        errors=(*NEW_USER, errors.SetUpTokenUsed),
    ),
)
