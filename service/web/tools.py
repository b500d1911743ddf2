"""What the handlers work with: the collaborators that `app.py` put together, and how a request becomes their arguments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service import accounts, images, runs
from service.errors import BodyTooLarge, ForeignOrigin, ImageMissing, MalformedRequest, NotSignedIn
from service.inference.recogniser import Recogniser
from service.records import Identity, Run, Score, User
from service.settings import Settings
from service.storage.protocol import Storage

COOKIE = "session"
UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Tools:
    """The collaborators of every handler."""

    settings: Settings
    storage: Storage
    recogniser: Recogniser
    decoders: Executor
    identity: Identity
    now: Callable[[], datetime]


def tools(request: Request) -> Tools:
    """The application's tools."""
    found: Tools = request.app.state.tools
    return found


async def read_form(request: Request) -> FormData:
    """The form in the body. Raises MalformedRequest."""
    try:
        return await request.form(max_files=1, max_fields=20)
    except HTTPException as error:
        raise MalformedRequest(f"the form cannot be read: {error.detail}") from error


async def read_picture(request: Request) -> bytes:
    """The picture, from the form field `image` or as the whole body; at most `max_upload_bytes`."""
    limit = tools(request).settings.max_upload_bytes
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        form = await read_form(request)
        try:
            field = form.get("image")
            if not isinstance(field, UploadFile):
                raise ImageMissing("the form has no file in the field 'image'")
            data = await field.read()
        finally:
            await form.close()
    else:
        data = await request.body()
    if len(data) > limit:
        raise BodyTooLarge(f"the picture has {len(data):,} bytes; at most {limit:,} are taken")
    return data


async def recognise(request: Request, picture: bytes) -> tuple[Score, ...]:
    """The model's answer to the picture; decoding runs off the event loop."""
    t, steps = tools(request), tools(request).recogniser.description.preprocessing
    with t.recogniser.place():
        pixels = await asyncio.get_running_loop().run_in_executor(t.decoders, images.to_pixels, picture, steps)
        return await t.recogniser.scores(pixels)


async def remember(request: Request, owner: User, picture: bytes, scores: tuple[Score, ...]) -> Run:
    """Hold the prediction for its user, who may save it."""
    t = tools(request)
    waits = timedelta(seconds=t.settings.unsaved_seconds)
    media_type = images.media_type(picture)
    return await run_in_threadpool(
        runs.remember, t.storage, owner, picture, media_type, scores, t.identity, now=t.now(), unsaved_for=waits
    )


def session_token(request: Request) -> str | None:
    """The token of the request: a Bearer header for programs, a cookie for browsers."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else request.cookies.get(COOKIE)


async def signed_in(request: Request) -> User:
    """The user behind the request. Raises NotSignedIn, or ForeignOrigin when another site's page sent it."""
    refuse_foreign_origin(request)
    t = tools(request)
    return await run_in_threadpool(accounts.user_of, t.storage, session_token(request), now=t.now())


async def maybe_signed_in(request: Request) -> User | None:
    """The user behind the request, if there is one."""
    try:
        return await signed_in(request)
    except NotSignedIn:
        return None


def refuse_foreign_origin(request: Request) -> None:
    """Browsers name the page that sends an unsafe request; a cookie must not be used by another site's page."""
    origin = request.headers.get("origin")
    if origin and request.method in UNSAFE_METHODS and _netloc(origin) != request.headers.get("host"):
        raise ForeignOrigin(f"this request was sent by a page of {origin}")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


async def start_session(request: Request, name: str, password: str, response: Callable[[str], Response]) -> Response:
    """Sign in and put the session cookie on the response made from the token."""
    t = tools(request)
    lifetime = timedelta(seconds=t.settings.session_seconds)
    token = await run_in_threadpool(accounts.sign_in, t.storage, name, password, now=t.now(), lifetime=lifetime)
    answer = response(token)
    answer.set_cookie(
        COOKIE, token, max_age=t.settings.session_seconds, httponly=True, samesite="lax", secure=t.settings.secure_cookies
    )
    return answer
