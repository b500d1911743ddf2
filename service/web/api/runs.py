"""Saved runs: keep, find, look at, correct, let go, take along; and the dashboard that is counted from them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from service import dashboard, errors, runs
from service.errors import MalformedRequest
from service.records import Role, Run, Scope
from service.search import Query
from service.storage.protocol import Kind, Storage
from service.tallies import EVERYBODY
from service.web import documents
from service.web.endpoints import Access, Endpoint
from service.web.forms import cursor_of, fields_of, keeping_of, query_of, read_json, whole_number
from service.web.sessions import caller
from service.web.tools import tools

READ, WRITE = Access(Role.VIEWER, Scope.READ), Access(Role.VIEWER, Scope.WRITE)
PICTURE_HEADERS = {"Content-Security-Policy": "default-src 'none'", "Cache-Control": "private, max-age=86400", "Vary": "Cookie"}
MOST_DAYS = 366
COLUMNS = (
    "id", "made_at", "saved_at", "release", "model", "label", "probability", "second", "third", "fourth", "fifth", "truth", "note",
    "milliseconds", "width", "height",
)  # fmt: skip


async def save_run(request: Request) -> Response:
    """Keep a prediction for good. Safe to send again: the same prediction is kept once, and with an Idempotency-Key a repeated
    request changes nothing."""
    user = (await caller(request)).user
    prediction, note, truth = fields_of(await read_json(request), {"prediction": str}, {"note": str, "truth": str})
    t = tools(request)
    run = await run_in_threadpool(
        runs.save, t.storage, user.id, prediction, keeping_of(request, note, truth), t.labels,
        per_day=t.settings.saves_per_day, now=t.now(),
    )  # fmt: skip
    return JSONResponse(documents.run(run), 201, headers={"Location": f"/v1/runs/{run.id}"})


async def list_runs(request: Request) -> Response:
    """Saved runs, newest first. A page may be shorter than `limit`, even empty, before the last: go on while there is a `next`."""
    user = (await caller(request)).user
    page = await run_in_threadpool(tools(request).storage.runs, user.id, query_of(request))
    return JSONResponse({"runs": [documents.run(run) for run in page.runs], "next": cursor_of(page.after)})


async def show_run(request: Request) -> Response:
    """One saved run with everything that is known of it."""
    return JSONResponse(documents.run(await _run(request)))


async def change_run(request: Request) -> Response:
    """Change the note or the true label of a saved run; a field that is not sent stays."""
    user, t = (await caller(request)).user, tools(request)
    note, truth = fields_of(await read_json(request), {}, {"note": str, "truth": str})
    run = await run_in_threadpool(
        runs.change, t.storage, user.id, request.path_params["id"], keeping_of(request, note, truth), t.labels, now=t.now()
    )
    return JSONResponse(documents.run(run))


async def delete_run(request: Request) -> Response:
    """Delete a run, saved or waiting, with its pictures and its part in every count."""
    user = (await caller(request)).user
    await run_in_threadpool(runs.delete, tools(request).storage, user.id, request.path_params["id"])
    return Response(status_code=204)


async def show_picture(request: Request) -> Response:
    """The picture as it is kept: upright, without metadata, at most 2048 pixels long. May be a redirect to where it lies."""
    return await _picture(request, "picture")


async def show_thumbnail(request: Request) -> Response:
    """The picture at no more than 320 x 320 pixels, as a JPEG."""
    return await _picture(request, "thumbnail")


async def _picture(request: Request, kind: Kind) -> Response:
    user, t, run_id = (await caller(request)).user, tools(request), request.path_params["id"]
    if url := await run_in_threadpool(t.storage.picture_url, user.id, run_id, kind, t.now()):
        return RedirectResponse(url, 307, headers={"Cache-Control": "private, max-age=60", "Vary": "Cookie"})
    run = await run_in_threadpool(t.storage.run, user.id, run_id, t.now())
    data = await run_in_threadpool(t.storage.picture, user.id, run_id, kind, t.now())
    if run is None or data is None:
        raise errors.RunNotFound(f"you have no run {run_id!r}")
    return Response(data, media_type=run.media_type if kind == "picture" else "image/jpeg", headers=PICTURE_HEADERS)


async def _run(request: Request) -> Run:
    user, t = (await caller(request)).user, tools(request)
    return await run_in_threadpool(runs.one, t.storage, user.id, request.path_params["id"], now=t.now())


async def list_labels(request: Request) -> Response:
    """Every label that the model knows; a true label is one of them."""
    return JSONResponse({"labels": list(tools(request).labels)}, headers={"Cache-Control": "public, max-age=3600"})


async def export_json(request: Request) -> Response:
    """Every saved run that the same parameters would list, in one document."""
    user = (await caller(request)).user
    return _download(_json(tools(request).storage, user.id, query_of(request)), "application/json", "runs.json")


async def export_csv(request: Request) -> Response:
    """Every saved run that the same parameters would list, as a table for spreadsheets."""
    user = (await caller(request)).user
    return _download(_csv(tools(request).storage, user.id, query_of(request)), "text/csv", "runs.csv")


def _download(content: Iterator[str], media_type: str, name: str) -> Response:
    return StreamingResponse(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _every(storage: Storage, owner: str, query: Query) -> Iterator[Run]:
    place = query.after
    while True:
        page = storage.runs(owner, replace(query, after=place, limit=200))
        yield from page.runs
        if page.after is None:
            return
        place = page.after


def _json(storage: Storage, owner: str, query: Query) -> Iterator[str]:
    yield '{"runs": ['
    for number, run in enumerate(_every(storage, owner, query)):
        yield (",\n" if number else "\n") + json.dumps(documents.run(run), ensure_ascii=False)
    yield "\n]}\n"


def _csv(storage: Storage, owner: str, query: Query) -> Iterator[str]:
    yield _row(COLUMNS)
    for run in _every(storage, owner, query):
        labels = ([score.label for score in run.scores] + [""] * 5)[:5]
        kept = run.saved_at.isoformat() if run.saved_at else ""
        yield _row((
            run.id, run.made_at.isoformat(), kept, run.release, run.model, labels[0], f"{run.top.probability:.6f}", *labels[1:],
            run.truth, run.note, f"{run.milliseconds:.1f}", run.width, run.height,
        ))  # fmt: skip


def _row(cells: tuple[object, ...]) -> str:
    """A CSV line in which no cell is a formula for a spreadsheet."""
    line = io.StringIO()
    csv.writer(line).writerow([f"'{cell}" if str(cell)[:1] in ("=", "+", "-", "@", "\t") else cell for cell in cells])
    return line.getvalue()


async def show_dashboard(request: Request) -> Response:
    """Counts of the last `days` days (30), of one's own predictions or, for operators, of everybody's (`scope=everybody`)."""
    user = (await caller(request)).user
    if request.query_params.get("scope", "mine") not in ("mine", "everybody"):
        raise MalformedRequest("scope= is mine or everybody")
    everybody = request.query_params.get("scope") == "everybody"
    if everybody:
        (await caller(request)).require(Role.OPERATOR, Scope.READ)
    shown = await counted(request, EVERYBODY if everybody else user.id)
    return JSONResponse(documents.dashboard(shown))


async def counted(request: Request, scope: str) -> dashboard.Dashboard:
    """The dashboard of a scope, for the days and the release that the query asks for."""
    days, release = request.query_params.get("days", "30"), request.query_params.get("release", "")
    t = tools(request)
    last = t.now().date()
    first = last - timedelta(days=whole_number("days", days, MOST_DAYS) - 1)
    found = await run_in_threadpool(t.storage.tallies, scope, first, last)
    return dashboard.summarise(found, first, last, release)


SEARCH = ("label", "release", "since", "until")
LIST = (*SEARCH, "limit", "after")
UNREADABLE = (errors.MalformedRequest, errors.StorageUnavailable)
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/runs",
        save_run,
        "Save a prediction",
        WRITE,
        "Runs",
        201,
        "Run",
        body="Save",
        headers=("Idempotency-Key",),
        errors=(errors.PredictionNotFound, errors.UnknownLabel, errors.KeyReused, errors.TooManyRuns, *UNREADABLE),
    ),
    Endpoint("GET", "/v1/runs", list_runs, "List saved runs", READ, "Runs", answer="Runs", query=LIST, errors=UNREADABLE),
    Endpoint(
        "GET", "/v1/runs/{id}", show_run, "Show a saved run", READ, "Runs", answer="Run", errors=(errors.RunNotFound, *UNREADABLE)
    ),
    Endpoint(
        "PATCH",
        "/v1/runs/{id}",
        change_run,
        "Change what is said of a run",
        WRITE,
        "Runs",
        answer="Run",
        body="Change",
        errors=(errors.RunNotFound, errors.UnknownLabel, *UNREADABLE),
    ),
    Endpoint("DELETE", "/v1/runs/{id}", delete_run, "Delete a run", WRITE, "Runs", 204, errors=(errors.RunNotFound, *UNREADABLE)),
    Endpoint(
        "GET",
        "/v1/runs/{id}/picture",
        show_picture,
        "The picture of a run",
        READ,
        "Runs",
        media_type="image/*",
        errors=(errors.RunNotFound, *UNREADABLE),
    ),
    Endpoint(
        "GET",
        "/v1/runs/{id}/thumbnail",
        show_thumbnail,
        "The picture of a run, small",
        READ,
        "Runs",
        media_type="image/jpeg",
        errors=(errors.RunNotFound, *UNREADABLE),
    ),
    Endpoint(
        "GET",
        "/v1/exports/runs.json",
        export_json,
        "Take all runs along as JSON",
        READ,
        "Runs",
        answer="Export",
        query=SEARCH,
        errors=UNREADABLE,
    ),
    Endpoint(
        "GET",
        "/v1/exports/runs.csv",
        export_csv,
        "Take all runs along as CSV",
        READ,
        "Runs",
        media_type="text/csv",
        query=SEARCH,
        errors=UNREADABLE,
    ),
    Endpoint(
        "GET",
        "/v1/dashboard",
        show_dashboard,
        "Counts, accuracy and latency, per release and model",
        READ,
        "Runs",
        answer="Dashboard",
        query=("days", "scope", "release"),
        errors=UNREADABLE,
    ),
    Endpoint(
        "GET",
        "/v1/labels",
        list_labels,
        "The labels that the model knows",
        Access(None, Scope.READ),
        "Predictions",
        answer="Labels",
    ),
)
