"""The API for people who write programs: the same table that /openapi.json is made from, readable."""

from __future__ import annotations

import inspect

from starlette.requests import Request
from starlette.responses import Response

from service.web.api import ENDPOINTS
from service.web.openapi import INTRODUCTION, TAGS
from service.web.pages.rendering import page
from service.web.schemas import SCHEMAS


async def show(request: Request) -> Response:
    """Every endpoint with what it takes and gives."""
    groups = [(tag, about, [endpoint for endpoint in ENDPOINTS if endpoint.tag == tag]) for tag, about in TAGS.items()]
    operations = request.app.state.openapi["paths"]
    return await page(
        request, "api.html", groups=groups, operations=operations, schemas=SCHEMAS, introduction=INTRODUCTION.split("\n\n"),
        origin=f"{request.url.scheme}://{request.url.netloc}", about={e.handler: inspect.getdoc(e.handler) for e in ENDPOINTS},
    )  # fmt: skip
