"""The composition root: settings in, application out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from service.administration import offer_set_up
from service.errors import ServiceError
from service.images.pool import DecoderPool
from service.inference.description import ModelDescription, read_description
from service.inference.recogniser import Recogniser
from service.limits import RateLimit
from service.records import Identity
from service.settings import Settings
from service.storage.opening import open_storage
from service.web import api, errors, openapi, pages
from service.web.endpoints import route
from service.web.metrics import Metrics
from service.web.middleware import FORM_OVERHEAD_BYTES, Account, LimitBody
from service.web.pages.rendering import problem_page
from service.web.tools import Limits, Tools

HASHERS = 2  # passwords that are checked at a time; each takes 46 MiB and most of a core
PICTURES_IN_MEMORY = 4  # of the largest size that one request with several may bring
HOUSEKEEPING_SECONDS = 600.0
log = logging.getLogger("service")


def build_app(
    settings: Settings, *, on_fatal: Callable[[], None] = lambda: None, announce: Callable[[str], None] = lambda token: None
) -> Starlette:
    """The whole application. It answers /livez at once and /readyz when the model is warm.

    `on_fatal` is called when the model cannot be loaded, `announce` with the one-time token for the first admin, if there is none.
    Raises ConfigError when the settings name no usable model or store.
    """
    description = read_description(settings.model)
    tools = _tools(settings, description, identity_of(settings, description))
    one = settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    several = PICTURES_IN_MEMORY * settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    bodies = {"/v1/predictions": one, "/invocations": one, "/v1/predictions/batch": several, "/": several}
    app = Starlette(
        routes=[*map(route, api.ENDPOINTS), *pages.ROUTES],
        middleware=[
            Middleware(Account, headers=_headers(tools), metrics=tools.metrics),
            Middleware(LimitBody, most=FORM_OVERHEAD_BYTES, limits=bodies),
        ],
        exception_handlers={ServiceError: errors.refused, HTTPException: errors.http_error, Exception: errors.crashed},
        lifespan=_lifespan(tools, on_fatal, announce),
    )
    app.router.redirect_slashes = False  # Starlette would lead to whatever host the request names
    app.state.tools = tools
    app.state.openapi = openapi.document(api.ENDPOINTS, tools.identity.release)
    app.state.problem_page = problem_page
    return app


def identity_of(settings: Settings, description: ModelDescription) -> Identity:
    """What this process is, for /version and every prediction."""
    return Identity(settings.release, settings.commit, settings.image, settings.lock, description.name, description.sha256)


def _tools(settings: Settings, description: ModelDescription, identity: Identity) -> Tools:
    recogniser = Recogniser(
        description, threads=settings.threads, queue=settings.queue, batch=settings.batch, seconds=settings.queue_seconds
    )
    metrics = Metrics(identity, waiting=lambda: recogniser.waiting, ready=lambda: recogniser.ready)
    recogniser.on_batch(metrics.passed)
    return Tools(
        settings=settings,
        storage=open_storage(settings),
        recogniser=recogniser,
        decoders=DecoderPool(settings.decoders, seconds=settings.decode_seconds, memory_bytes=settings.decode_bytes),
        decoding=ThreadPoolExecutor(settings.decoders, thread_name_prefix="decoding"),
        hashing=ThreadPoolExecutor(HASHERS, thread_name_prefix="hashing"),
        limits=Limits(
            RateLimit(settings.predictions_per_minute, "pictures of one user", time.monotonic),
            RateLimit(settings.guest_predictions_per_minute, "pictures from one address without an account", time.monotonic),
            RateLimit(settings.sign_ups_per_minute, "new accounts from one address", time.monotonic),
        ),
        metrics=metrics,
        identity=identity,
        now=lambda: datetime.now(UTC),
    )


def _headers(tools: Tools) -> dict[str, str]:
    """What every answer carries, unless its handler says something stricter. Nothing runs, loads or frames that is not ours."""
    images = " ".join(["'self'", "blob:", *tools.storage.picture_origins()])
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src {images}; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "X-Release": tools.identity.release,
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _lifespan(
    tools: Tools, on_fatal: Callable[[], None], announce: Callable[[str], None]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if token := await run_in_threadpool(offer_set_up, tools.storage, now=tools.now()):
            announce(token)
        work = [asyncio.create_task(_load(tools, on_fatal)), asyncio.create_task(_keep_house(tools))]
        yield
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        tools.recogniser.stop()
        for pool in (tools.decoding, tools.hashing):
            pool.shutdown(cancel_futures=True)
        tools.decoders.close()
        tools.storage.close()

    return lifespan


async def _load(tools: Tools, on_fatal: Callable[[], None]) -> None:
    """A model that cannot be loaded must end the process loudly, or readiness would be waited for in vain."""
    name = tools.recogniser.description.name
    try:
        await asyncio.get_running_loop().run_in_executor(tools.decoding, tools.decoders.start)
        await tools.recogniser.start()
        log.info("the model %s is ready", name)
    except Exception:
        log.exception("the model %s cannot be loaded", name)
        on_fatal()


async def _keep_house(tools: Tools) -> None:
    """Clear away what has expired, now and then; a store that does not answer is asked again later."""
    while True:
        try:
            await run_in_threadpool(tools.storage.forget_expired, tools.now())
        except ServiceError as error:
            log.warning("housekeeping was put off: %s", error)
        except Exception:  # a fault of ours must not end housekeeping for good, unseen
            log.exception("housekeeping failed")
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
