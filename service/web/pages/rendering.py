"""How a page is made: templates, what every page shows, and refusals that people can read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from service import accounts
from service.errors import ServiceError
from service.records import Role, User
from service.web.errors import headers_of, problem_of
from service.web.sessions import GUEST, maybe_caller
from service.web.tools import tools

WEB = Path(__file__).parent.parent
TEMPLATES = Jinja2Templates(WEB / "templates")
TEMPLATES.env.trim_blocks = TEMPLATES.env.lstrip_blocks = True
FRAGMENT = "x-fragment"  # our own script asks for a part of a page
HINTS = {
    "not_signed_in": "Sign in, and try again.",
    "run_not_found": "It may have been deleted, or belong to somebody else.",
    "not_found": "Check the address, or start from the first page.",
    "foreign_origin": "Open the page here, and send the form from there.",
    "not_allowed": "An admin can give you the role that this needs.",
    "model_unavailable": "The service has just started: try again in a moment.",
}


def _when(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.1f} %"


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _ticked(text: str) -> Markup:
    """Text in which `this` is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped before


TEMPLATES.env.filters.update(ticked=_ticked, when=_when, percent=_percent, milliseconds=_milliseconds, sentence=_sentence)


async def page(
    request: Request, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **context: object
) -> Response:
    """A page for whoever asks."""
    caller = await maybe_caller(request)
    return _render(request, template, caller.user if caller else None, status, headers, context)


async def problem(request: Request, template: str, error: ServiceError, **context: object) -> Response:
    """A page that says what was wrong with what was sent, so that it can be mended and sent again."""
    document = problem_of(request, error)
    status = document["status"]
    assert isinstance(status, int)
    return await page(request, template, status, headers_of(error), problem=str(error), **context)


def problem_page(request: Request, document: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    """Problem details as a page of their own."""
    status = document["status"]
    assert isinstance(status, int)
    known = request.scope.get("caller")
    context = {"document": document, "hint": HINTS.get(str(document["code"]), "")}
    if request.headers.get(FRAGMENT):
        return _render(request, "fragments/problem.html", None, status, headers, context)
    return _render(request, "problem.html", known.user if known else None, status, headers, context)


def _render(
    request: Request,
    template: str,
    user: User | None,
    status: int,
    headers: Mapping[str, str] | None,
    context: Mapping[str, object],
) -> Response:
    t = tools(request)
    shown = {
        "user": user,
        "is_operator": user is not None and user.role.covers(Role.OPERATOR),
        "is_admin": user is not None and user.role.covers(Role.ADMIN),
        "identity": t.identity,
        "settings": t.settings,
        "here": request.url.path,
        **context,
    }
    return TEMPLATES.TemplateResponse(request, template, shown, status, headers={"Cache-Control": "no-store", **(headers or {})})


def is_fragment(request: Request) -> bool:
    """Whether our own script asks, and wants a part of the page."""
    return bool(request.headers.get(FRAGMENT))


def to_sign_in(request: Request) -> Response:
    """To the sign-in page, and back here afterwards."""
    after = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse("/sign-in?" + urlencode({"after": after}), 303)


def local_path(path: str) -> str:
    """Only paths of this site: `//elsewhere` and `/\\elsewhere` would leave it, and so may what browsers strip."""
    fine = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if fine else "/"


async def owner_of(request: Request) -> str | None:
    """Whose unsaved runs a browser sees: its user's, or its own as a guest."""
    if caller := await maybe_caller(request):
        return caller.user.id
    guest = request.cookies.get(GUEST)
    return accounts.guest_id(guest) if guest else None
