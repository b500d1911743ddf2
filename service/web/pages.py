"""The pages: upload, see, save, look back. Plain forms that work without JavaScript."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

from service import accounts, runs
from service.errors import ServiceError
from service.web.errors import STATUS
from service.web.tools import (
    COOKIE,
    maybe_signed_in,
    read_form,
    read_picture,
    recognise,
    refuse_foreign_origin,
    remember,
    session_token,
    signed_in,
    start_session,
    tools,
)

HERE = Path(__file__).parent
TEMPLATES = Jinja2Templates(HERE / "templates")
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


async def home(request: Request) -> Response:
    return await _page(request, "home.html")


async def upload(request: Request) -> Response:
    """Recognise an upload and show the answer; a bad picture is explained on the page."""
    user = await maybe_signed_in(request)
    try:
        picture = await read_picture(request)
        scores = await recognise(request, picture)
    except ServiceError as error:
        return await _page(request, "home.html", STATUS[type(error)], problem=str(error))
    waiting = await remember(request, user, picture, scores) if user else None
    return await _page(request, "home.html", scores=scores, waiting=waiting)


async def save_run(request: Request) -> Response:
    user = await signed_in(request)
    form = await read_form(request)
    run = await run_in_threadpool(runs.save, tools(request).storage, user, _text(form, "prediction"), _text(form, "note"))
    return RedirectResponse(f"/runs/{run.id}", 303)


async def list_runs(request: Request) -> Response:
    user = await maybe_signed_in(request)
    if user is None:
        return _to_sign_in(request)
    found = await run_in_threadpool(runs.saved, tools(request).storage, user)
    return await _page(request, "runs.html", runs=found)


async def show_run(request: Request) -> Response:
    user = await maybe_signed_in(request)
    if user is None:
        return _to_sign_in(request)
    run, _ = await run_in_threadpool(runs.one, tools(request).storage, user, request.path_params["id"])
    return await _page(request, "run.html", run=run)


async def sign_in_form(request: Request) -> Response:
    return await _page(request, "sign_in.html", after=_local_path(request.query_params.get("after", "/")))


async def sign_in(request: Request) -> Response:
    """Sign in, or sign up and in when the form's second button was used."""
    refuse_foreign_origin(request)
    form = await read_form(request)
    name, password, after = _text(form, "name"), _text(form, "password"), _local_path(_text(form, "after"))
    try:
        if "sign_up" in form:
            await run_in_threadpool(accounts.sign_up, tools(request).storage, name, password)
        return await start_session(request, name, password, lambda _: RedirectResponse(after, 303))
    except ServiceError as error:
        return await _page(request, "sign_in.html", STATUS[type(error)], problem=str(error), name=name, after=after)


async def sign_out(request: Request) -> Response:
    await signed_in(request)
    await run_in_threadpool(accounts.sign_out, tools(request).storage, session_token(request) or "")
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


async def _page(request: Request, template: str, status: int = 200, **context: object) -> Response:
    shown = {"user": await maybe_signed_in(request), "identity": tools(request).identity, **context}
    return TEMPLATES.TemplateResponse(request, template, shown, status, headers=SECURITY_HEADERS)


def _to_sign_in(request: Request) -> Response:
    return RedirectResponse("/sign-in?" + urlencode({"after": request.url.path}), 303)


def _text(form: FormData, name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _local_path(path: str) -> str:
    """Only paths of this site: `//elsewhere` and `/\\elsewhere` would leave it."""
    return path if path.startswith("/") and path[1:2] not in ("/", "\\") else "/"


ROUTES = [
    Route("/", home, methods=["GET"]),
    Route("/", upload, methods=["POST"]),
    Route("/runs", list_runs, methods=["GET"]),
    Route("/runs", save_run, methods=["POST"]),
    Route("/runs/{id}", show_run, methods=["GET"]),
    Route("/sign-in", sign_in_form, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
    Mount("/static", StaticFiles(directory=HERE / "static")),
]
