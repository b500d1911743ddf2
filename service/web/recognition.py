"""From an uploaded picture to an answer, and to a run that waits to be saved: what API and pages share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service import runs
from service.errors import NotSignedIn
from service.images.pixels import Prepared, normalised
from service.records import Pictures, Run, Score
from service.web.sessions import address_of, maybe_caller
from service.web.tools import tools


@dataclass(frozen=True, slots=True)
class Recognised:
    """An answer, how long it took from the picture's arrival, and what may be kept of the picture (if it was asked for)."""

    scores: tuple[Score, ...]
    milliseconds: float
    pictures: Pictures | None


async def recognise(request: Request, picture: bytes, *, keep: bool) -> Recognised:
    """The model's answer to one picture. Raises BadImage, Overloaded or ModelUnavailable."""
    with tools(request).recogniser.place():
        return await _recognise(request, picture, keep=keep)


async def recognise_all(request: Request, pictures: Sequence[bytes], *, keep: bool) -> list[Recognised | Exception]:
    """The answers to several pictures, in order; each fails by itself. Raises Overloaded or ModelUnavailable for all of them."""
    with tools(request).recogniser.place(len(pictures)):
        each = (_recognise(request, picture, keep=keep) for picture in pictures)
        answers = await asyncio.gather(*each, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
    return [answer for answer in answers if not isinstance(answer, BaseException) or isinstance(answer, Exception)]


async def _recognise(request: Request, picture: bytes, *, keep: bool) -> Recognised:
    t, started = tools(request), time.perf_counter()
    steps = t.recogniser.description.preprocessing

    def prepare() -> Prepared:
        return t.decoders.prepare(picture, steps, keep=keep)

    prepared = await asyncio.get_running_loop().run_in_executor(t.decoding, prepare)
    t.metrics.decoded(time.perf_counter() - started)
    scores = await t.recogniser.scores(normalised(prepared.pixels, steps))
    t.metrics.predicted()
    return Recognised(scores, round((time.perf_counter() - started) * 1000, 3), prepared.pictures)


async def remember(request: Request, owner: str, answer: Recognised) -> Run:
    """Hold the answer for its owner, who may save it."""
    t = tools(request)
    assert answer.pictures is not None
    return await run_in_threadpool(
        runs.remember, t.storage, owner, answer.scores, answer.pictures, t.identity, milliseconds=answer.milliseconds, now=t.now(),
        unsaved_for=timedelta(seconds=t.settings.unsaved_seconds),
    )  # fmt: skip


async def take_share(request: Request, number: int) -> str | None:
    """Count pictures against the caller's share; the caller's user id, None for a guest. Raises RateExceeded or NotSignedIn."""
    t, caller = tools(request), await maybe_caller(request)
    if caller:
        t.limits.users.take(caller.user.id, number)
        return caller.user.id
    if not t.settings.guests:
        raise NotSignedIn("sign in first: this service answers nobody else")
    t.limits.guests.take(address_of(request), number)
    return None
