"""The dashboard: what was recognised, how surely, how rightly and how fast, by release."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from service.errors import MalformedRequest
from service.records import Role, Scope
from service.tallies import EVERYBODY
from service.web.api.runs import counted
from service.web.pages.rendering import page
from service.web.sessions import caller

DAYS = (7, 30, 90, 366)


async def show(request: Request) -> Response:
    """Charts for those who see them, tables for everybody."""
    known = await caller(request)
    scope = request.query_params.get("scope", "mine")
    if scope not in ("mine", "everybody"):
        raise MalformedRequest("scope= is mine or everybody")
    if scope == "everybody":
        known.require(Role.OPERATOR, Scope.READ)
    shown = await counted(request, EVERYBODY if scope == "everybody" else known.user.id)
    asked = {"days": len(shown.days), "scope": scope, "release": request.query_params.get("release", "")}
    return await page(
        request, "dashboard.html", dashboard=shown, asked=asked, choices=DAYS, address="/v1/dashboard?" + urlencode(asked)
    )
