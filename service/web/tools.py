"""What every handler works with: the collaborators that `app.py` put together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from service.images.pool import DecoderPool
from service.inference.recogniser import Recogniser
from service.limits import RateLimit
from service.records import Identity
from service.settings import Settings
from service.storage.protocol import Storage
from service.web.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Limits:
    """Who may ask how often."""

    users: RateLimit
    guests: RateLimit
    sign_ups: RateLimit


@dataclass(frozen=True, slots=True)
class Tools:
    """The collaborators of every handler. `hashing` is a pool of few threads: each password checked takes 46 MiB."""

    settings: Settings
    storage: Storage
    recogniser: Recogniser
    decoders: DecoderPool
    decoding: Executor
    hashing: Executor
    limits: Limits
    metrics: Metrics
    identity: Identity
    now: Callable[[], datetime]

    @property
    def labels(self) -> tuple[str, ...]:
        """What the model can say."""
        return self.recogniser.description.labels


def tools(request: Request) -> Tools:
    """The application's tools."""
    found: Tools = request.app.state.tools
    return found
