"""One Jenkins, asked by path: reads give values, and what cannot be read is an error that says where."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from jenkinsapi.jenkins import Jenkins  # type: ignore[import-untyped]

from pipeline.errors import PipelineError
from pipeline.jenkins.answers import Answer
from pipeline.jenkins.requester import Clock, Requester, answer_of

T = TypeVar("T")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
XML = {"Content-Type": "text/xml; charset=utf-8"}


class Connection:
    """`jenkins` is jenkinsapi's own view of the same controller, for what is not in this package; its requests go the same way."""

    def __init__(self, url: str, user: str, token: str, *, seconds: float, clock: Clock, on_trouble: Callable[[str], None]) -> None:
        self.clock = clock
        self.url = url.rstrip("/")
        self._requester = Requester(self.url, user, token, seconds=seconds, clock=clock, on_trouble=on_trouble)
        self.jenkins = Jenkins(self.url, user, token, requester=self._requester, lazy=True, timeout=seconds)

    def address(self, path: str) -> str:
        """Where people find it too: `path` may not begin with a slash."""
        return f"{self.url}/{path}"

    def get(self, path: str, **params: str | int) -> Answer:
        """Raises NotThere and PipelineError."""
        return answer_of(self._requester.get_url(self.address(path), {name: str(value) for name, value in params.items()}))

    def read(self, path: str, reading: Callable[[Any], T], **params: str | int) -> T:
        """What `reading` makes of the JSON there. Raises PipelineError, also for a page that is not what it should be."""
        answer = self.get(path, **params)
        try:
            return reading(json.loads(answer.body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PipelineError(
                f"what {self.address(path)} says cannot be read: {type(error).__name__} {error}",
                hint="is that a Jenkins with the plugin pipeline-rest-api, and no page to sign in before it?",
            ) from error

    def post(
        self,
        path: str,
        data: Mapping[str, str] | bytes = b"",
        headers: Mapping[str, str] = FORM,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """Sent once, redirects not followed. Raises AnswerLost when it may or may not have been done, PipelineError when not."""
        url = self.address(path)
        answer = answer_of(self._requester.post_url(url, params, data, headers=headers, allow_redirects=False))
        location = answer.headers.get("Location", "")
        if 300 <= answer.status < 400 and location.partition("://")[2].endswith(f"/{path}") and location != url:
            raise PipelineError(f"jenkins sends {url} on to {location}", hint="set jenkins_url to the address that it sends to")
        return answer

    def download(self, path: str, write: Callable[[bytes], object]) -> None:
        """The file there, piece by piece. Raises PipelineError when it breaks off."""
        self._requester.download(self.address(path), write)

    def close(self) -> None:
        self._requester.session.close()


def pauses(shortest: float = 1.0, longest: float = 5.0, growth: float = 1.5) -> Callable[[bool], float]:
    """How long to wait before looking again, in seconds: the shortest after news, else longer each time."""
    current = shortest

    def pause(news: bool) -> float:
        nonlocal current
        current = shortest if news else min(current * growth, longest)
        return current

    return pause
