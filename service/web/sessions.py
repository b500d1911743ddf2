"""Who sends a request: by session cookie, session token or API token; and that no other site's page sent it with our cookie."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service import access, accounts
from service.access import Caller
from service.attempts import DEVICE_LIFETIME, Source
from service.errors import ForeignOrigin, NotSignedIn
from service.web.tools import tools

P = ParamSpec("P")
R = TypeVar("R")
SESSION, DEVICE, GUEST = "session", "device", "guest"
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def bearer_token(request: Request) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def session_token(request: Request) -> str | None:
    """The token that the request is made with: a program's header before a browser's cookie."""
    return bearer_token(request) or request.cookies.get(SESSION)


async def caller(request: Request) -> Caller:
    """The user behind the request. Raises NotSignedIn, or ForeignOrigin when another site's page may have sent it."""
    found = await maybe_caller(request)
    if found is None:
        raise NotSignedIn("sign in first, or send a token: Authorization: Bearer …")
    return found


async def maybe_caller(request: Request) -> Caller | None:
    """The user behind the request, None for a guest. A token that is sent must be good: NotSignedIn otherwise."""
    if "caller" in request.scope:
        found: Caller | None = request.scope["caller"]
        return found
    require_own_origin(request)
    t, token = tools(request), session_token(request)
    try:
        known = await run_in_threadpool(access.caller_of, t.storage, token, now=t.now()) if token else None
    except NotSignedIn:
        if bearer_token(request):
            raise
        known = None  # a browser whose session has ended is a guest again
    request.scope["caller"] = known
    return known


def require_own_origin(request: Request) -> None:
    """Browsers say where an unsafe request comes from; our cookies must not be used from anywhere else.

    Where a browser's cookies come with a request that does not say it, that is refused too. Programs send a token instead.
    """
    if request.method not in UNSAFE_METHODS or bearer_token(request):
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if origin is not None:
        own = _netloc(origin) == request.headers.get("host")
    elif site is not None:
        own = site in ("same-origin", "none")
    else:
        own = not (request.cookies.keys() & {SESSION, GUEST})
    if not own or site == "cross-site":
        raise ForeignOrigin(
            f"this request was sent by a page of {origin or 'an unknown site'}; programs send a Bearer token instead"
        )


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def address_of(request: Request) -> str:
    """Where the request comes from; the server has already followed what trusted proxies say, and nobody else's word."""
    return request.client.host if request.client else "unknown"


def source_of(request: Request) -> Source:
    """Where a password comes from."""
    return Source(address_of(request), request.cookies.get(DEVICE))


async def sign_in(request: Request, name: str, password: str, answer: Callable[[str], Response]) -> Response:
    """A new session, with its cookies on the response made from its token; the session that the browser had ends."""
    t = tools(request)
    lifetime = timedelta(seconds=t.settings.session_seconds)
    signed_in = await checked(
        request, accounts.sign_in, t.storage, name, password, source_of(request), now=t.now(), lifetime=lifetime
    )
    if old := request.cookies.get(SESSION):
        await run_in_threadpool(accounts.sign_out, t.storage, old)
    response = answer(signed_in.token)
    set_cookie(request, response, SESSION, signed_in.token, t.settings.session_seconds)
    set_cookie(request, response, DEVICE, signed_in.device, int(DEVICE_LIFETIME.total_seconds()))
    if guest := request.cookies.get(GUEST):
        await run_in_threadpool(t.storage.adopt_runs, accounts.guest_id(guest), signed_in.user.id, t.now())
        response.delete_cookie(GUEST)
    return response


async def sign_out(request: Request, response: Response) -> Response:
    """End the session and take its cookie away."""
    await run_in_threadpool(accounts.sign_out, tools(request).storage, session_token(request) or "")
    response.delete_cookie(SESSION)
    return response


def guest_token(request: Request) -> str:
    """By which a browser that has not signed in finds its unsaved runs again."""
    return request.cookies.get(GUEST) or secrets.token_urlsafe(24)


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """A cookie that scripts cannot read, other sites' pages do not send, and plain HTTP never carries where HTTPS is used."""
    secure = tools(request).settings.secure_cookies or request.url.scheme == "https"
    response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=secure)


async def checked(request: Request, check: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call what hashes passwords, a few at a time: each takes much memory and much of a core."""
    return await asyncio.get_running_loop().run_in_executor(tools(request).hashing, lambda: check(*args, **kwargs))
