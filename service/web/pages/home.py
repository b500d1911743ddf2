"""The first page: upload pictures, see what the model sees, keep what is worth it."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service import accounts, errors, runs
from service.errors import ServiceError
from service.records import Run
from service.storage.protocol import Kind
from service.web.api.runs import PICTURE_HEADERS
from service.web.forms import form_text, keeping_of, read_form, read_pictures
from service.web.pages.rendering import is_fragment, owner_of, page, problem
from service.web.recognition import recognise_all, remember, take_share
from service.web.sessions import GUEST, caller, guest_token, maybe_caller, set_cookie
from service.web.tools import tools


async def home(request: Request) -> Response:
    """The upload form; with `waiting`, what was recognised before signing in."""
    owner = await owner_of(request)
    wanted = request.query_params.getlist("waiting")[:16]
    found = (
        [await run_in_threadpool(tools(request).storage.run, owner, one, tools(request).now()) for one in wanted] if owner else []
    )
    return await page(request, "home.html", answers=[(run, "") for run in found if run])


async def upload(request: Request) -> Response:
    """Recognise the pictures; each that cannot be read is explained in its place."""
    await maybe_caller(request)  # a foreign origin is refused before anything is read
    t, token = tools(request), guest_token(request)
    try:
        pictures = await read_pictures(request, most=t.settings.max_images)
        user = await take_share(request, len(pictures))
        answers = await recognise_all(request, pictures, keep=True)
    except ServiceError as error:
        return await problem(request, "fragments/answers.html" if is_fragment(request) else "home.html", error, answers=[])
    owner = user or accounts.guest_id(token)
    shown: list[tuple[Run | None, str]] = []
    for answer in answers:
        if isinstance(answer, ServiceError):
            shown.append((None, str(answer)))
        elif isinstance(answer, Exception):
            raise answer
        else:
            shown.append((await remember(request, owner, answer), ""))
    response = await page(request, "fragments/answers.html" if is_fragment(request) else "home.html", answers=shown)
    if user is None:
        set_cookie(request, response, GUEST, token, t.settings.unsaved_seconds)
    return response


async def save(request: Request) -> Response:
    """Keep a prediction with what was said of it."""
    t, user = tools(request), (await caller(request)).user
    form = await read_form(request)
    prediction, note, truth = (form_text(form, name) for name in ("prediction", "note", "truth"))
    try:
        run = await run_in_threadpool(
            runs.save, t.storage, user.id, prediction, keeping_of(request, note, truth), t.labels,
            per_day=t.settings.saves_per_day, now=t.now(),
        )  # fmt: skip
    except errors.UnknownLabel as error:
        waiting = await run_in_threadpool(t.storage.run, user.id, prediction, t.now())
        shown = [(waiting, "")] if waiting else []
        template = "fragments/answers.html" if is_fragment(request) else "home.html"
        return await problem(request, template, error, answers=shown, note=note, truth=truth)
    if is_fragment(request):
        return await page(request, "fragments/answers.html", answers=[(run, "")])
    return RedirectResponse(f"/runs/{run.id}", 303)


async def picture(request: Request) -> Response:
    """The picture of a run that this browser's user, or guest, may see."""
    return await _picture(request, "picture")


async def thumbnail(request: Request) -> Response:
    """The same, small."""
    return await _picture(request, "thumbnail")


async def _picture(request: Request, kind: Kind) -> Response:
    t, owner, run_id = tools(request), await owner_of(request), request.path_params["id"]
    run = await run_in_threadpool(t.storage.run, owner, run_id, t.now()) if owner else None
    if run is None or owner is None:
        raise errors.RunNotFound(f"you have no run {run_id!r}")
    if url := await run_in_threadpool(t.storage.picture_url, owner, run_id, kind, t.now()):
        return RedirectResponse(url, 307, headers={"Cache-Control": "private, max-age=60"})
    data = await run_in_threadpool(t.storage.picture, owner, run_id, kind, t.now())
    if data is None:
        raise errors.RunNotFound(f"you have no run {run_id!r}")
    return Response(data, media_type=run.media_type if kind == "picture" else "image/jpeg", headers=PICTURE_HEADERS)
