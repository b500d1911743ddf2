"""The composition root: settings in, application out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from service.errors import ServiceError
from service.inference.description import ModelDescription, read_description
from service.inference.recogniser import Recogniser
from service.records import Identity
from service.settings import Settings
from service.storage.sqlite import SqliteStorage
from service.web import api, errors, pages
from service.web.middleware import LimitBody, Stamp
from service.web.tools import Tools

DECODERS = 2  # pictures that are decoded at a time; one of 50 megapixels holds 150 MB meanwhile
log = logging.getLogger("service")


def build_app(settings: Settings, *, on_fatal: Callable[[], None] = lambda: None) -> Starlette:
    """The whole application. It answers /livez at once and /readyz when the model is warm.

    `on_fatal` is called when the model cannot be loaded. Raises ConfigError when the settings name no usable model.
    """
    description = read_description(settings.model)
    identity = identity_of(settings, description)
    tools = Tools(
        settings=settings,
        storage=SqliteStorage(settings.database),
        recogniser=Recogniser(description, threads=settings.threads, queue=settings.queue),
        decoders=ThreadPoolExecutor(DECODERS, thread_name_prefix="decoder"),
        identity=identity,
        now=lambda: datetime.now(UTC),
    )
    app = Starlette(
        routes=[*api.ROUTES, *pages.ROUTES],
        middleware=[
            Middleware(Stamp, headers={"X-Release": identity.release}),
            Middleware(LimitBody, max_bytes=settings.max_upload_bytes),
        ],
        exception_handlers={ServiceError: errors.refused, HTTPException: errors.http_error, Exception: errors.crashed},
        lifespan=_lifespan(tools, on_fatal),
    )
    app.state.tools = tools
    return app


def identity_of(settings: Settings, description: ModelDescription) -> Identity:
    """What this process is, for /version and every prediction."""
    return Identity(settings.release, settings.commit, settings.image, settings.lock, description.name, description.sha256)


def _lifespan(tools: Tools, on_fatal: Callable[[], None]) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(tools.recogniser, on_fatal))
        yield
        loading.cancel()
        tools.recogniser.stop()
        tools.decoders.shutdown(cancel_futures=True)
        tools.storage.close()

    return lifespan


async def _load(recogniser: Recogniser, on_fatal: Callable[[], None]) -> None:
    """A model that cannot be loaded must end the process loudly, or readiness would be waited for in vain."""
    try:
        await recogniser.start()
        log.info("the model %s is ready", recogniser.description.name)
    except Exception:
        log.exception("the model %s cannot be loaded", recogniser.description.name)
        on_fatal()
