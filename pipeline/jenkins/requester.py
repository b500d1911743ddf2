"""How Jenkins is asked: jenkinsapi's requester with deadlines, patience while a controller restarts, and errors that say why.

A read is tried again; what changes something is sent once, and its answer is lost rather than asked for twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from jenkinsapi.utils.crumb_requester import CrumbRequester  # type: ignore[import-untyped]

from pipeline.errors import PipelineError, UsageError
from pipeline.jenkins.answers import WORTH_ANOTHER_TRY, Answer, AnswerLost, NotThere, complaint, refuses_crumb

SECONDS = 10.0  # to connect, and between two pieces of an answer
FIRST_SECONDS = 15.0  # that a Jenkins which never answered is tried again
RESTART_SECONDS = 300.0  # that one which did answer may need to come back
FAULT_SECONDS = 10.0  # that a 500, most often a fault for good, is tried again
LONGEST_DELAY = 15.0
DOUBLINGS = 6
BLOCK = 64 * 1024
PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
FOR_GOOD = (requests.exceptions.SSLError, requests.exceptions.ProxyError)


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance, so that tests need neither. `now` counts seconds from anywhere; `chance` is between 0 and 1."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random


def delays(chance: Callable[[], float]) -> Iterator[float]:
    """Seconds between tries: doubling from half a second, each cut by up to its half so that many clients do not come in step."""
    tries = 0
    while True:
        yield min(0.5 * 2**tries, LONGEST_DELAY) * (0.5 + chance() / 2)
        tries = min(tries + 1, DOUBLINGS)


def answer_of(response: requests.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


class Requester(CrumbRequester):  # type: ignore[misc]
    """Works for jenkinsapi's own objects as well. Not for several threads at once: they would share the cookies.

    Raises PipelineError for every answer of 400 and above, AnswerLost where something may have happened all the same.
    """

    def __init__(
        self,
        url: str,
        user: str,
        token: str,
        *,
        seconds: float,
        clock: Clock,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        if bool(user) != bool(token):
            missing = "a user name" if token else "a token"
            raise UsageError(f"jenkins needs {missing} too", hint="jenkins_user and SLIPWAY_JENKINS_TOKEN belong together")
        super().__init__(user or None, token or None, baseurl=url, timeout=seconds, max_retries=None)
        self._clock = clock
        self._on_trouble = on_trouble
        self._answered = False

    def get_url(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        allow_redirects: bool = True,
        stream: bool = False,
    ) -> requests.Response:
        """A good answer, waited for through a restart. JSON is asked for where jenkinsapi asks for Python, which it misreads."""
        if url.endswith("/api/python"):
            url = f"{url.removesuffix('python')}json"
        get = super().get_url

        def ask() -> requests.Response:
            return self._checked("GET", get(url, dict(params or {}), dict(headers or {}), allow_redirects, stream))

        return self._patiently("GET", url, ask)

    def post_url(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: object = None,
        files: object = None,
        headers: Mapping[str, str] | None = None,
        allow_redirects: bool = True,
        **options: Any,
    ) -> requests.Response:
        """Sent once; a second time only where Jenkins did not look at the first, because of its crumb."""

        def post() -> requests.Response:
            # A connection that has idled may be dead, and what is sent on it would count as lost.
            self.session.close()
            with_crumb = {**(headers or {}), **(self._last_crumb_data or {})}
            # Not CrumbRequester's: it posts twice after every 403, and gives crumbs up for good after a 404.
            plain = super(CrumbRequester, self).post_url
            response: requests.Response = plain(url, dict(params or {}), data, files, with_crumb, allow_redirects, **options)
            return response

        response = self._patiently("POST", url, post)
        if refuses_crumb(answer_of(response)):
            self._last_crumb_data = self._get_crumb_data()
            response = self._patiently("POST", url, post)
        return self._checked("POST", response)

    def download(self, url: str, write: Callable[[bytes], object]) -> None:
        """Hand over the body piece by piece. Raises PipelineError when it breaks off."""
        with self.get_url(url, stream=True) as response:
            try:
                for block in response.iter_content(BLOCK):
                    write(block)
            except requests.RequestException as error:
                raise PipelineError(f"the download of {urlsplit(url).path} broke off: {reason(error)}") from error

    def _get_crumb_data(self) -> dict[str, str]:
        try:
            document = self.get_url(f"{self._baseurl}/crumbIssuer/api/json").json()
            return {str(document["crumbRequestField"]): str(document["crumb"])}
        except NotThere as error:
            raise PipelineError(
                "jenkins wants a crumb and gives none", hint="an API token in place of a password needs none"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise PipelineError("jenkins gives a crumb that cannot be read") from error

    def _checked(self, method: str, response: requests.Response) -> requests.Response:
        self._answered = self._answered or response.status_code < 500
        if response.status_code < 400:
            return response
        with response:
            problem = complaint(method, urlsplit(response.url).path, answer_of(response), self.username or "")
        if method == "POST" and response.status_code >= 500:
            raise AnswerLost(f"{problem}", hint=problem.hint)
        if method == "GET" and response.status_code in WORTH_ANOTHER_TRY:
            raise _Passing(problem, FAULT_SECONDS if response.status_code == 500 else RESTART_SECONDS)
        raise problem

    def _patiently(self, method: str, url: str, ask: Callable[[], requests.Response]) -> requests.Response:
        """Ask until there is an answer. What changes something is only asked for again while no connection comes about at all."""
        path, began, known = urlsplit(url).path, self._clock.now(), self._answered
        for delay in delays(self._clock.chance):
            try:
                return ask()
            except _Passing as passing:
                problem, patience = passing.problem, passing.patience if known else min(passing.patience, FIRST_SECONDS)
            except FOR_GOOD as error:
                raise PipelineError(f"jenkins at {self._baseurl} cannot be reached: {reason(error)}") from error
            except PASSING as error:
                problem = unreachable(method, self._baseurl, path, error)
                if method == "POST" and not never_sent(error):
                    raise AnswerLost(f"{problem}", hint=problem.hint) from error
                patience = RESTART_SECONDS if known else FIRST_SECONDS
            except requests.RequestException as error:
                raise UsageError(f"{self._baseurl!r} is no address of a Jenkins: {reason(error)}") from error
            if self._clock.now() + delay - began > patience:
                raise problem
            self._on_trouble(f"{problem}; trying again")
            self._clock.sleep(delay)
        raise AssertionError("delays never end")


class _Passing(Exception):
    def __init__(self, problem: PipelineError, patience: float) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.patience = patience


def never_sent(error: requests.RequestException) -> bool:
    """Whether no connection came about, so that nobody can have acted on the request."""
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.ConnectTimeout) or type(cause).__name__ in ("NewConnectionError", "NameResolutionError")


def unreachable(method: str, base: str, path: str, error: requests.RequestException) -> PipelineError:
    """The error for no answer at all."""
    if isinstance(error, requests.ReadTimeout):
        return PipelineError(f"jenkins did not answer {method} {path} in time", hint="is it overloaded?")
    return PipelineError(
        f"jenkins at {base} cannot be reached for {method} {path}: {reason(error)}", hint="is jenkins_url right, and does it run?"
    )


def reason(error: BaseException) -> str:
    """The innermost cause, without the addresses of objects that the layers above put around it."""
    while (
        cause := getattr(error.args[0] if error.args else None, "reason", None) or error.__cause__ or error.__context__
    ) is not None:
        error = cause
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
