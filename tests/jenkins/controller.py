"""A double of a Jenkins controller on 127.0.0.1: the real server's addresses, status codes, headers and bodies, and faults.

Sources: core (ParameterizedJobMixIn, CrumbFilter, LargeText, error.jelly), InputStepExecution, pipeline-rest-api, api4jenkins.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote

from tests.jenkins.controller_state import FOLDER, MULTIBRANCH, WORKFLOW_JOB, Asks, Item, Job, Run, State, choice, string
from tests.jenkins.remote_api import prune, python_literal, without_depth
from tests.jenkins.wire import HTML, Fault, Refused, Reply, Request, Server, failure, handler, jetty, oops

PERMISSIONS = {
    "Job/Read": "Item.Read", "Job/Build": "Item.Build", "Job/Configure": "Item.Configure", "Job/Create": "Item.Create",
    "Job/Cancel": "Item.Cancel",
}  # fmt: skip
STARTING = (
    "<html><head><title>Starting Jenkins</title></head><body>Please wait while Jenkins is getting ready to work...</body></html>"
)


@dataclass
class User:
    name: str
    password: str = ""
    token: str = ""
    groups: tuple[str, ...] = ()
    permissions: frozenset[str] = frozenset(PERMISSIONS)


class Double:
    """Use it in a `with` block. `location` is the form that a queue item's address has: `asked`, `host`, `https`, …."""

    def __init__(self, *, prefix: str = "", location: str = "asked", crumbs: bool = True, anonymous: bool = False) -> None:
        self.state = State()
        self.users = {"alice": User("alice", "sesame", "11aa-token", ("promoters",))}
        self.location, self.crumbs, self.anonymous = location, crumbs, anonymous
        self.requests: list[Request] = []
        self.errors: list[str] = []
        self.faults: list[Fault] = []
        self.starting = 0  # requests that are still told to wait
        self.forgets_items = False
        self.branches: dict[str, str] = {}  # of the repository of a multibranch job: name as in its job -> commit
        self.moves = True  # a look at the log moves the build
        self.chunk: int | None = None  # bytes of log that are handed out at once
        self.meanwhile: Callable[[Request], object] = lambda request: None  # before a request is answered
        self._prefix = prefix
        self._lock = threading.RLock()
        self._sessions: set[str] = set()
        self._session_ids = itertools.count(1)
        self.connections: set[socket.socket] = set()
        self._server: Server | None = None
        self._port = 0

    def __enter__(self) -> Double:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()
        assert self.errors == []

    @property
    def listens(self) -> bool:
        return self._server is not None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._prefix}"

    def up(self) -> None:
        self._server = Server(("127.0.0.1", self._port), handler(self))
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def down(self, *, cut: bool = True) -> None:
        """Nobody listens any more; who was connected is cut off."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for connection in list(self.connections) if cut else ():
            with suppress(OSError):  # it was over already
                connection.shutdown(socket.SHUT_RDWR)

    def restart(self, starting: int = 3) -> None:
        """Sessions and crumbs are forgotten, jobs and builds are not; `starting` requests are told to wait."""
        with self._lock:
            self._sessions.clear()
            self.starting = starting

    def expire_sessions(self) -> None:
        self.restart(starting=0)

    def add_job(self, name: str, *, kind: str = WORKFLOW_JOB, **more: Any) -> Job:
        """A job, with the folders that it is in."""
        parent = name.rpartition("/")[0]
        if parent and parent not in self.state.jobs:
            self.add_job(parent, kind=FOLDER)
        self.state.jobs[name] = Job(name, kind, **more)
        return self.state.jobs[name]

    def fault(self, part: str, kind: str, **more: Any) -> None:
        self.faults.append(Fault(part, kind, **more))

    def posts(self, part: str = "") -> list[Request]:
        return [one for one in self.requests if one.method == "POST" and part in one.path]

    def asked(self, part: str) -> list[Request]:
        return [one for one in self.requests if one.method == "GET" and part in one.path]

    def answer(self, request: Request) -> tuple[Reply, Fault | None]:
        with self._lock:
            self.requests.append(request)
            self.meanwhile(request)
            planted = next((fault for fault in self.faults if fault.hits(request)), None)
            if planted:
                planted.times -= 1
                if not planted.after and planted.kind in ("answer", "reset"):
                    return planted.reply(), planted
            try:
                reply = self._reply(request)
            except Refused as refused:
                reply = refused.reply
            except Exception:
                self.errors.append(traceback.format_exc())
                reply = oops("fault of the double").reply
            if planted and planted.kind == "answer":
                reply = planted.reply()
            return reply, planted

    def _reply(self, request: Request) -> Reply:
        if self.starting:
            self.starting -= 1
            raise Refused(Reply(503, {"Content-Type": HTML, "X-Hudson": "1.395"}, STARTING.encode()))
        if not request.path.startswith(self._prefix + "/"):
            raise jetty(404, "Not Found")
        user, by_token = self._user(request)
        session, headers = self._session(request, user, by_token)
        segments = [unquote(part) for part in request.path.removeprefix(self._prefix).strip("/").split("/")]
        if segments[:2] == ["crumbIssuer", "api"]:
            if not self.crumbs:
                raise jetty(404, "Not Found")
            crumb = {"_class": "hudson.security.csrf.DefaultCrumbIssuer", "crumb": _crumb(user, session)}
            return self._document({**crumb, "crumbRequestField": "Jenkins-Crumb"}, segments[2], request, headers)
        needs_crumb = request.method == "POST" and self.crumbs and not by_token
        if needs_crumb and request.headers.get("jenkins-crumb") != _crumb(user, session):
            raise jetty(403, "No valid crumb was included in the request", headers)
        if user is None and not self.anonymous:
            raise Refused(Reply(403, {"Content-Type": HTML, **headers}, b"<html><body>Authentication required</body></html>"))
        reply = self._work(request, segments, user)
        return Reply(reply.status, {**headers, "X-Jenkins": "2.568.2", **reply.headers}, reply.body)

    def _user(self, request: Request) -> tuple[User | None, bool]:
        header = request.headers.get("authorization", "")
        if not header:
            return None, False
        name, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        user = self.users.get(name)
        if not user or secret not in (user.password, user.token) or not secret:
            raise jetty(401, "Unauthorized", {"WWW-Authenticate": 'Basic realm="Jenkins"'})
        return user, secret == user.token

    def _session(self, request: Request, user: User | None, by_token: bool) -> tuple[str, dict[str, str]]:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get("JSESSIONID.1a2b3c4d")
        if cookie and cookie.value in self._sessions:
            return cookie.value, {}
        if by_token or (user is None and not request.path.endswith("/crumbIssuer/api/json")):
            return "", {}
        session = f"node0{next(self._session_ids)}"
        self._sessions.add(session)
        return session, {"Set-Cookie": f"JSESSIONID.1a2b3c4d={session}; Path={self._prefix or '/'}; HttpOnly"}

    def _work(self, request: Request, segments: list[str], user: User | None) -> Reply:
        match segments:
            case ["api", form]:
                root = {"_class": "hudson.model.Hudson", "mode": "EXCLUSIVE", "nodeName": "", "quietingDown": False, "views": []}
                return self._document({**root, "url": f"{self._root}", "jobs": self.state.children("", self._root)}, form, request)
            case ["createItem"]:
                return self._create("", request, user)
            case ["computer", "api", form]:
                return self._document({"_class": "hudson.model.ComputerSet", "computer": []}, form, request)
            case ["queue", *rest]:
                return self._queue(rest, request, user)
            case ["job", *_]:
                return self._item(request, segments, user)
        raise jetty(404, "Not Found")

    @property
    def _root(self) -> str:
        return f"{self.url}/"

    def _document(self, document: Any, form: str, request: Request, headers: dict[str, str] | None = None) -> Reply:
        tree = request.query.get("tree", "")
        if isinstance(document, dict):
            document = prune(document, tree) if tree else without_depth(document)
        body = python_literal(document) if form == "python" else json.dumps(document, ensure_ascii=False)
        kind = "text/x-python;charset=utf-8" if form == "python" else "application/json;charset=utf-8"
        return Reply(200, {"Content-Type": kind, **(headers or {})}, body.encode())

    def _needs(self, user: User | None, permission: str) -> None:
        if user and permission in user.permissions:
            return
        name = user.name if user else "anonymous"
        headers = {"X-You-Are-Authenticated-As": name, "X-Required-Permission": f"hudson.model.{PERMISSIONS[permission]}"}
        page = f"<html><body><h1>Access Denied</h1><p class='error'>{name} is missing the {permission} permission</p></body></html>"
        raise Refused(Reply(403, {"Content-Type": HTML, **headers}, page.encode()))

    def _must_post(self, request: Request) -> None:
        if request.method != "POST":
            raise jetty(405, "Method Not Allowed", {"Allow": "POST"})

    def _create(self, folder: str, request: Request, user: User | None) -> Reply:
        self._must_post(request)
        self._needs(user, "Job/Create")
        if not request.headers.get("content-type", "").startswith(("text/xml", "application/xml")):
            raise failure("No mode given")
        name = f"{folder}/{request.query['name']}".strip("/")
        if name in self.state.jobs:
            raise failure(f"A job already exists with the name '{request.query['name']}'")
        kind = FOLDER if FOLDER in request.body.decode() else MULTIBRANCH if MULTIBRANCH in request.body.decode() else WORKFLOW_JOB
        self.add_job(name, kind=kind, config=_kept(request.body))
        return Reply()

    def _queue(self, rest: list[str], request: Request, user: User | None) -> Reply:
        items = self.state.items
        match rest:
            case ["api", form]:
                waiting = [item for item in items.values() if not item.run and not item.cancelled]
                document = {
                    "_class": "hudson.model.Queue",
                    "discoverableItems": [],
                    "items": [i.document(self._root) for i in waiting],
                }
                return self._document(document, form, request)
            case ["item", number, *more] if number.isdecimal() and int(number) in items:
                item = items[int(number)]
                if more[:1] != ["api"]:
                    return Reply(200, {"Content-Type": HTML}, b"<html>queue item</html>")
                item.move()
                if self.forgets_items and (item.run or item.cancelled):
                    raise jetty(404, "Not Found")
                return self._document(item.document(self._root), more[1], request)
            case ["cancelItem"]:
                self._must_post(request)
                return self._cancel({**request.query, **request.form}.get("id", ""), user)
        raise jetty(404, "Not Found")

    def _cancel(self, number: str, user: User | None) -> Reply:
        item = self.state.items.get(int(number or 0))
        if not item or item.run or item.cancelled:
            raise jetty(404, f"Provided id ({number}) not found")
        if not user or "Job/Cancel" not in user.permissions:
            raise jetty(422, f"Item for id ({number}) is not cancellable")
        item.cancelled = True
        return Reply(204)

    def _item(self, request: Request, segments: list[str], user: User | None) -> Reply:
        name = ""
        while len(segments) > 1 and segments[0] == "job":
            name, segments = f"{name}/{segments[1]}".strip("/"), segments[2:]
        job = self.state.jobs.get(name)
        if not job or (user and "Job/Read" not in user.permissions):
            raise jetty(404, "Not Found")
        match segments:
            case ["api", form]:
                return self._document(job.document(self._root, self.state.children(name, self._root)), form, request)
            case ["createItem"] if job.kind == FOLDER:
                return self._create(name, request, user)
            case ["config.xml"]:
                return self._config(job, request, user)
            case ["buildWithParameters" | "build"] if job.kind != FOLDER:
                return (self._look if job.kind == MULTIBRANCH else self._build)(job, request, user)
            case [number, *rest] if number.isdecimal() and 0 < int(number) <= len(job.runs):
                return self._run(job.runs[int(number) - 1], rest, request, user)
        if segments:
            raise jetty(404, "Not Found")
        return Reply(200, {"Content-Type": HTML}, b"<html>job</html>")

    def _config(self, job: Job, request: Request, user: User | None) -> Reply:
        self._needs(user, "Job/Configure")
        if request.method == "POST":
            job.config = _kept(request.body)
            return Reply()
        return Reply(200, {"Content-Type": "application/xml"}, job.config.encode())

    def _build(self, job: Job, request: Request, user: User | None) -> Reply:
        self._must_post(request)
        self._needs(user, "Job/Build")
        if not job.buildable:
            raise jetty(409, f"{job.full_name} is not buildable")
        if not job.parameters and request.path.endswith("buildWithParameters"):
            raise jetty(400, f"{job.full_name} is not parameterized")
        given, values = {**request.query, **request.form}, {}
        for one in job.parameters:
            value = given.get(one["name"], one["defaultParameterValue"]["value"])
            if "choices" in one and value not in one["choices"]:
                raise oops(f"java.lang.IllegalArgumentException: Illegal choice for parameter {one['name']}: {value}")
            values[one["name"]] = value == "true" if one["type"].startswith("Boolean") and isinstance(value, str) else value
        item, fresh = self.state.schedule(job, values)
        return Reply(201 if fresh else 303, {"Location": self._location(item)})

    def _look(self, project: Job, request: Request, user: User | None) -> Reply:
        """A multibranch job looks at its branches, and builds each revision that it has not seen (ComputedFolder.doBuild)."""
        self._must_post(request)
        self._needs(user, "Job/Build")
        for branch, commit in self.branches.items():
            name = f"{project.full_name}/{branch}"
            job = self.state.jobs.get(name) or self.add_job(name, parameters=project.parameters)
            if not any(run.revision == commit for run in job.runs):
                job.begin({}, queue_id=0).revision = commit
        return Reply(302, {"Location": f"{self._root}{project.path}"})

    def _location(self, item: Item) -> str:
        path = f"queue/item/{item.id}/"
        return {
            "asked": f"{self.url}/{path}", "host": f"http://jenkins.internal:8080{self._prefix}/{path}",
            "https": f"{self.url.replace('http:', 'https:')}/{path}", "prefix": f"http://127.0.0.1:{self._port}/elsewhere/{path}",
            "bare": f"{self._prefix}/{path}", "nowhere": ".",
        }[self.location]  # fmt: skip

    def _run(self, run: Run, rest: list[str], request: Request, user: User | None) -> Reply:
        path = f"{self._prefix}/{run.job.path}{run.number}/"
        kept = "/".join(rest[1:]) if rest[:1] == ["artifact"] else ""
        documents: dict[str, Callable[[], Any]] = {
            "api": lambda: run.document(self._root),
            "wfapi/describe": lambda: run.describe(self._prefix),
            "wfapi/pendingInputActions": lambda: [run.asks.pending(path)] if run.asks else [],
            "wfapi/artifacts": lambda: run.kept(self._prefix),
        }
        pages: dict[str, Callable[[], Reply]] = {
            "": lambda: Reply(200, {"Content-Type": HTML}, b"<html>build</html>"),
            "logText/progressiveText": lambda: self._log(run, int(request.query.get("start", "0"))),
            "consoleText": lambda: Reply(200, {"Content-Type": "text/plain;charset=utf-8"}, bytes(run.log)),
            "stop": lambda: self._stop(run, request, user),
        }
        if run.script.cases and not run.building:
            documents["testReport/api"] = run.report
        where, form = ("/".join(rest[:-1]), rest[-1]) if rest[-2:-1] == ["api"] else ("/".join(rest), "json")
        if where in documents:
            return self._document(documents[where](), form, request)
        if rest[:1] == ["input"] and len(rest) == 3:
            self._must_post(request)
            return self._settle(run, rest[1], rest[2], request, user)
        if kept in run.script.artefacts:
            return Reply(200, {"Content-Type": "application/octet-stream"}, run.script.artefacts[kept])
        if where not in pages:
            raise jetty(404, "Not Found")
        return pages[where]()

    def _stop(self, run: Run, request: Request, user: User | None) -> Reply:
        self._must_post(request)
        self._needs(user, "Job/Cancel")
        run.stop()
        return Reply(302, {"Location": f"{self._root}{run.job.path}{run.number}/"})

    def _log(self, run: Run, start: int) -> Reply:
        if self.moves:
            run.advance()
        whole = bytes(run.log)
        start = start if start <= len(whole) else 0  # "text rolled over"
        end = len(whole) if self.chunk is None else min(start + self.chunk, len(whole))
        headers = {"Content-Type": "text/plain;charset=utf-8", "X-Text-Size": str(end)}
        if run.building or end < len(whole):
            headers["X-More-Data"] = "true"
        # LineEndNormalizingWriter: what is sent is longer than what is counted.
        return Reply(200, headers, re.sub(rb"(?<!\r)\n", b"\r\n", whole[start:end]))

    def _settle(self, run: Run, name: str, verb: str, request: Request, user: User | None) -> Reply:
        asks = run.asks
        if name in run.answered:
            raise failure("This input has been already given")
        if not asks or asks.id != name:
            raise jetty(404, "Not Found")
        if asks.submitter and not (user and {user.name, *user.groups} & {asks.submitter}):
            raise failure(f"You need to be {asks.submitter} to submit this.")
        if verb == "abort" or (verb == "submit" and "proceed" not in request.form):
            run.answered.add(name)
            run.stop()
            return Reply()
        if verb not in ("submit", "proceed", "proceedEmpty"):
            raise jetty(404, "Not Found")
        run.given[name] = _values(asks, request, user) if verb != "proceedEmpty" else {}
        run.answered.add(name)
        run.log += f"Approved by {user.name if user else 'anonymous'}\n".encode()
        return Reply(302, {"Location": f"{self._root}{run.job.path}{run.number}/console"}) if verb == "submit" else Reply()


def _values(asks: Asks, request: Request, user: User | None) -> dict[str, Any]:
    """What an input was given; the name of the submitter only comes with it here (InputStepExecution.parseValue)."""
    if "json" not in request.form:
        raise jetty(400, "This page expects a form submission")
    given = {one["name"]: one["value"] for one in json.loads(request.form["json"]).get("parameter", [])}
    for name in given.keys() - {parameter["name"] for parameter in asks.parameters}:
        raise oops(f"java.lang.IllegalArgumentException: No such parameter definition: {name}")
    return {**given, "APPROVER": user.name if user else "anonymous"}


def _kept(config: bytes) -> str:
    """A configuration as Jenkins keeps it: under its own declaration, with the versions of plugins in it."""
    text = re.sub(r"^\s*<\?xml[^>]*\?>\s*", "", config.decode())
    return "<?xml version='1.1' encoding='UTF-8'?>\n" + re.sub(
        r"<flow-definition(?! plugin)", '<flow-definition plugin="workflow-job@1571"', text
    )


def _crumb(user: User | None, session: str) -> str:
    return hashlib.sha256(f"{user.name if user else ''};{session}".encode()).hexdigest()


@contextmanager
def with_a_job(name: str = "slipway/main", **options: Any) -> Iterator[tuple[Double, Job]]:
    """A double with one job that takes parameters as our Jenkinsfile's does."""
    with Double(**options) as double:
        parameters = (choice("ACTION", "ship", "promote", "rollback"), string("RELEASE"), string("TRIGGER"))
        yield double, double.add_job(name, parameters=parameters)
