"""The JSON API under /v1, and what the service says of itself: ENDPOINTS lists all of it."""

from __future__ import annotations

from service.web.api import accounts, administration, operations, predictions, runs
from service.web.endpoints import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *predictions.ENDPOINTS,
    *runs.ENDPOINTS,
    *accounts.ENDPOINTS,
    *administration.ENDPOINTS,
    *operations.ENDPOINTS,
)
