"""The JSON API: predictions, users, sessions, runs, and what the service says of itself."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service import accounts, runs
from service.errors import MalformedRequest
from service.records import Run
from service.web.tools import (
    COOKIE,
    maybe_signed_in,
    read_picture,
    recognise,
    refuse_foreign_origin,
    remember,
    session_token,
    signed_in,
    start_session,
    tools,
)


async def predict(request: Request) -> Response:
    """The five most probable labels of a picture. For a signed-in user the answer waits to be saved: `id` is for POST /v1/runs."""
    started = time.perf_counter()
    user = await maybe_signed_in(request)
    picture = await read_picture(request)
    scores = await recognise(request, picture)
    waiting = await remember(request, user, picture, scores) if user else None
    identity = tools(request).identity
    return JSONResponse(
        {
            "predictions": [asdict(score) for score in scores],
            "id": waiting.id if waiting else None,
            "model": {"name": identity.model, "sha256": identity.model_sha256},
            "release": identity.release,
            "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            "request_id": request.scope["request_id"],
        }
    )


async def create_user(request: Request) -> Response:
    refuse_foreign_origin(request)
    fields = await _json_fields(request, "name", "password")
    user = await run_in_threadpool(accounts.sign_up, tools(request).storage, *fields)
    return JSONResponse({"id": user.id, "name": user.name}, 201)


async def create_session(request: Request) -> Response:
    refuse_foreign_origin(request)
    name, password = await _json_fields(request, "name", "password")
    return await start_session(request, name, password, lambda token: JSONResponse({"token": token}, 201))


async def end_session(request: Request) -> Response:
    await signed_in(request)
    await run_in_threadpool(accounts.sign_out, tools(request).storage, session_token(request) or "")
    response = Response(status_code=204)
    response.delete_cookie(COOKIE)
    return response


async def save_run(request: Request) -> Response:
    user = await signed_in(request)
    prediction, note = await _json_fields(request, "prediction", "note", optional=("note",))
    run = await run_in_threadpool(runs.save, tools(request).storage, user, prediction, note)
    return JSONResponse(run_json(run), 201)


async def list_runs(request: Request) -> Response:
    user = await signed_in(request)
    found = await run_in_threadpool(runs.saved, tools(request).storage, user)
    return JSONResponse({"runs": [run_json(run) for run in found]})


async def show_run(request: Request) -> Response:
    user = await signed_in(request)
    run, _ = await run_in_threadpool(runs.one, tools(request).storage, user, request.path_params["id"])
    return JSONResponse(run_json(run))


async def show_picture(request: Request) -> Response:
    """The picture as it was uploaded. The type is the one its bytes declare, and browsers are told not to guess another."""
    user = await signed_in(request)
    run, picture = await run_in_threadpool(runs.one, tools(request).storage, user, request.path_params["id"])
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'", "Cache-Control": "private"}
    return Response(picture, media_type=run.media_type, headers=headers)


async def live(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"live": True})


async def ready(request: Request) -> Response:
    """200 once the model is loaded and warmed, 503 before."""
    is_ready = tools(request).recogniser.ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


async def version(request: Request) -> Response:
    """What runs here: release, commit, image, lock and model."""
    identity = asdict(tools(request).identity)
    model = {"name": identity.pop("model"), "sha256": identity.pop("model_sha256")}
    return JSONResponse({**identity, "model": model})


def run_json(run: Run) -> dict[str, object]:
    """A run as programs see it."""
    return {
        "id": run.id,
        "made_at": run.made_at.isoformat(),
        "predictions": [asdict(score) for score in run.scores],
        "release": run.release,
        "model": run.model,
        "note": run.note,
        "saved": run.saved,
        "picture": f"/v1/runs/{run.id}/picture",
    }


async def _json_fields(request: Request, *names: str, optional: tuple[str, ...] = ()) -> list[str]:
    """Text fields of a JSON object, in order; optional ones default to "". Raises MalformedRequest."""
    try:
        document = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("the body is not JSON") from error
    if not isinstance(document, dict):
        raise MalformedRequest("the body is not a JSON object")
    values = []
    for name in names:
        value = document.get(name, "" if name in optional else None)
        if not isinstance(value, str):
            raise MalformedRequest(f"the field {name!r} is missing or not text")
        if not value.isprintable() and any("\ud800" <= character <= "\udfff" for character in value):
            raise MalformedRequest(f"the field {name!r} has half a character, which no text can hold")
        values.append(value)
    return values


ROUTES = [
    Route("/v1/predictions", predict, methods=["POST"]),
    Route("/v1/users", create_user, methods=["POST"]),
    Route("/v1/sessions", create_session, methods=["POST"]),
    Route("/v1/sessions", end_session, methods=["DELETE"]),
    Route("/v1/runs", save_run, methods=["POST"]),
    Route("/v1/runs", list_runs, methods=["GET"]),
    Route("/v1/runs/{id}", show_run, methods=["GET"]),
    Route("/v1/runs/{id}/picture", show_picture, methods=["GET"]),
    Route("/livez", live),
    Route("/readyz", ready),
    Route("/version", version),
]
