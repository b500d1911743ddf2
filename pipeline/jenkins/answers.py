"""What an answer of Jenkins means when it is not the one that was hoped for: a sentence, and what to do. Asks nothing itself."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.errors import PipelineError

SAID_LENGTH = 200  # characters of what Jenkins says that are worth repeating
WORTH_ANOTHER_TRY = frozenset({429, 500, 502, 503, 504})
NO_CRUMB = "No valid crumb was included in the request"  # hudson.security.csrf.CrumbFilter


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` are found in any case of letters."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")


class NotThere(PipelineError):
    """404: there is no such thing, or this user may not know of it."""


class AnswerLost(PipelineError):
    """Something was asked for and nobody said whether it happened. Never asked for twice without looking."""


def refuses_crumb(answer: Answer) -> bool:
    """Whether a 403 is about the crumb, and not about a permission: then nothing has been done yet."""
    return answer.status == 403 and NO_CRUMB in answer.text


def said(answer: Answer) -> str:
    """The reason that Jenkins gives, in one line; empty when its page has none.

    `X-Error` comes with hudson.model.Failure, the missing permission from AccessDeniedException3, the title from Jetty's page.
    """
    text = answer.text
    if header := answer.headers.get("X-Error"):
        found = header
    elif match := re.search(r"[\w.@-]+ is missing the [\w/ -]+ permission", text):
        found = match[0]
    elif match := re.search(r"<title>Error \d+ (.+?)</title>", text, re.DOTALL):
        found = match[1]
    elif match := re.search(r"getting ready to work|going to shut down", text):
        found = f"jenkins is {match[0]}"
    elif answer.headers.get("Content-Type", "").startswith("text/plain"):
        found = text.partition("\n")[0].removeprefix("java.io.IOException: ")
    else:
        found = ""
    return " ".join(html.unescape(found).split())[:SAID_LENGTH].rstrip(".!")


def complaint(method: str, path: str, answer: Answer, user: str) -> PipelineError:
    """The error for an answer of 400 and above. All of them end with exit code 3."""
    status, reason = answer.status, said(answer)
    because = f": {reason}" if reason else ""
    who = f"user {user!r}" if user else "anybody without a user name"
    login = "set jenkins_user, and SLIPWAY_JENKINS_TOKEN to a token from that user's page on Jenkins, under Security"
    kind: type[PipelineError] = PipelineError
    hint = ""
    if status == 401:
        known = f"does not know {who} by that token" if user else "wants a user name and a token"
        sentence, hint = f"jenkins {known} (401 to {method} {path})", login
    elif refuses_crumb(answer):
        sentence = f"jenkins refuses {method} {path} with a crumb that it has just given (403)"
        hint = "an API token in place of a password needs no crumb"
    elif status == 403:
        sentence = f"jenkins does not let {who} {method} {path} (403){because}"
        needed = answer.headers.get("X-Required-Permission", "").removeprefix("hudson.model.")
        hint = f"somebody who administers Jenkins can give {needed or 'the permission'}" if user else login
    elif status == 404:
        kind, sentence = NotThere, f"jenkins has nothing at {path} (404)"
        hint = "names have their folders, as in slipway/main; a wrong jenkins_url ends here, and so does a user without Job/Read"
    elif status == 409:
        sentence, hint = f"jenkins cannot do {method} {path} now (409){because}", "is the job disabled?"
    elif status in WORTH_ANOTHER_TRY:
        sentence, hint = f"jenkins answers {status} to {method} {path}{because}", "its own log says more"
    else:
        sentence = f"jenkins refuses {method} {path} ({status}){because}"
    return kind(sentence, hint=hint)
