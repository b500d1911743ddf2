"""The pages for people. ROUTES lists all of them; forms work without scripts, which only make them nicer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from service.records import Role, Scope
from service.web.endpoints import EVERYBODY, Access, GuardedRoute
from service.web.pages import account, dashboard, documentation, entry, home, runs, users
from service.web.pages.rendering import WEB, to_sign_in

Handler = Callable[[Request], Awaitable[Response]]
SEE = Access(None, Scope.READ)
READ, WRITE = Access(Role.VIEWER, Scope.READ), Access(Role.VIEWER, Scope.WRITE)
MINE, ADMIN = Access(Role.VIEWER), Access(Role.ADMIN)


def _form(path: str, handler: Handler, access: Access) -> GuardedRoute:
    return GuardedRoute("POST", path, handler, access)


def _page(path: str, handler: Handler, access: Access) -> GuardedRoute:
    return GuardedRoute("GET", path, handler, access, lead=to_sign_in)


ROUTES: tuple[BaseRoute, ...] = (
    _page("/", home.home, SEE),
    _form("/", home.upload, Access(None, Scope.PREDICT)),
    _page("/pictures/{id}", home.picture, SEE),
    _page("/thumbnails/{id}", home.thumbnail, SEE),
    _page("/runs", runs.list_runs, READ),
    _form("/runs", home.save, WRITE),
    _page("/runs/{id}", runs.show_run, READ),
    _form("/runs/{id}", runs.change_run, WRITE),
    _form("/runs/{id}/delete", runs.delete_run, WRITE),
    _page("/compare", runs.compare, READ),
    _page("/dashboard", dashboard.show, READ),
    _page("/account", account.show, MINE),
    _form("/account/password", account.change_password, MINE),
    _form("/account/tokens", account.make_token, MINE),
    _form("/account/tokens/{id}/revoke", account.revoke_token, MINE),
    _form("/account/delete", account.delete, MINE),
    _page("/users", users.show, ADMIN),
    _form("/users", users.create, ADMIN),
    _form("/users/{id}", users.change, ADMIN),
    _page("/sign-in", entry.sign_in_form, EVERYBODY),
    _form("/sign-in", entry.sign_in, EVERYBODY),
    _page("/sign-up", entry.sign_up_form, EVERYBODY),
    _form("/sign-up", entry.sign_up, EVERYBODY),
    _form("/sign-out", entry.sign_out, MINE),
    _page("/set-up", entry.set_up_form, EVERYBODY),
    _form("/set-up", entry.set_up, EVERYBODY),
    _page("/api", documentation.show, EVERYBODY),
    Mount("/static", StaticFiles(directory=WEB / "static")),
)
