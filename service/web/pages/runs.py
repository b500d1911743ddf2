"""Previous runs: find them, look at one, put two side by side, correct or delete one."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service import runs
from service.errors import MalformedRequest, UnknownLabel
from service.records import Run
from service.web.forms import cursor_of, form_text, keeping_of, query_of, read_form
from service.web.pages.rendering import page, problem
from service.web.sessions import caller
from service.web.tools import tools

PAGE = 24
RECENT = timedelta(days=30)
SEARCH = ("label", "release", "since", "until")


async def list_runs(request: Request) -> Response:
    """Saved runs, newest first; the search is in the address, so that it can be kept and sent."""
    user, t = (await caller(request)).user, tools(request)
    asked = {name: request.query_params[name] for name in SEARCH if request.query_params.get(name)}
    try:
        query = query_of(request, limit=PAGE)
        found = await run_in_threadpool(t.storage.runs, user.id, query)
    except MalformedRequest as error:
        return await problem(request, "runs.html", error, runs=(), asked=asked, known=[], more=None, search="")
    more = cursor_of(found.after)
    return await page(
        request, "runs.html", runs=found.runs, asked=asked, known=await _known(request, user.id), search=urlencode(asked),
        more=urlencode({**asked, "after": more}) if more else None, later="after" in request.query_params,
    )  # fmt: skip


async def _known(request: Request, owner: str) -> list[str]:
    """The releases that the owner's recent predictions came from, the newest first."""
    t = tools(request)
    today = t.now().date()
    tallies = await run_in_threadpool(t.storage.tallies, owner, today - RECENT, today)
    return list(dict.fromkeys(tally.release for tally in reversed(tallies)))


async def show_run(request: Request) -> Response:
    """One run with everything that is known of it."""
    return await page(request, "run.html", run=await _run(request, request.path_params["id"]))


async def change_run(request: Request) -> Response:
    """Take another note or true label."""
    user, t, run_id = (await caller(request)).user, tools(request), request.path_params["id"]
    form = await read_form(request)
    note, truth = form_text(form, "note"), form_text(form, "truth")
    try:
        await run_in_threadpool(runs.change, t.storage, user.id, run_id, keeping_of(request, note, truth), t.labels, now=t.now())
    except UnknownLabel as error:
        return await problem(request, "run.html", error, run=await _run(request, run_id), note=note, truth=truth)
    return RedirectResponse(f"/runs/{run_id}", 303)


async def delete_run(request: Request) -> Response:
    """Let a run go."""
    user = (await caller(request)).user
    await run_in_threadpool(runs.delete, tools(request).storage, user.id, request.path_params["id"])
    return RedirectResponse("/runs", 303)


async def compare(request: Request) -> Response:
    """Two runs side by side, label by label."""
    chosen = request.query_params.getlist("run")
    if len(chosen) != 2:
        raise MalformedRequest("choose exactly two runs to compare")
    left, right = [await _run(request, run_id) for run_id in chosen]
    return await page(request, "compare.html", left=left, right=right, labels=_labels(left, right))


def _labels(left: Run, right: Run) -> list[tuple[str, float | None, float | None]]:
    """Each label of either run with its probability in both, the surest first; None where it is not among a run's best."""
    of_left, of_right = ({score.label: score.probability for score in run.scores} for run in (left, right))
    labels = sorted({*of_left, *of_right}, key=lambda label: -max(of_left.get(label, 0), of_right.get(label, 0)))
    return [(label, of_left.get(label), of_right.get(label)) for label in labels]


async def _run(request: Request, run_id: str) -> Run:
    user, t = (await caller(request)).user, tools(request)
    return await run_in_threadpool(runs.one, t.storage, user.id, run_id, now=t.now())
