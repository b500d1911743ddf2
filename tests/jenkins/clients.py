"""Clients of the double of a Jenkins, with time that passes by itself; and somebody who watches a build."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jenkinsapi.jenkins import Jenkins

from pipeline.jenkins.controller import Controller
from pipeline.jenkins.replies import Build, Question
from pipeline.progress import Step
from tests.jenkins.controller import Double

JOB = "slipway/main"
TOKEN = ("alice", "11aa-token")
PASSWORD = ("alice", "sesame")


@dataclass
class Time:
    """Seconds pass only while somebody sleeps; `meanwhile` happens then, and is given the seconds since the beginning."""

    now: float = 0.0
    meanwhile: Callable[[float], object] = lambda now: None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile(self.now)


@contextmanager
def ours(double: Double, login: tuple[str, str] = TOKEN, time: Time | None = None, **options: Any) -> Iterator[Controller]:
    time = time or Time()
    with Controller(double.url, *login, clock=time.clock, sleep=time.sleep, chance=lambda: 1.0, **options) as controller:
        yield controller


@contextmanager
def bare(double: Double, login: tuple[str, str] = TOKEN) -> Iterator[Jenkins]:
    """jenkinsapi as it comes."""
    jenkins = Jenkins(double.url, *login, lazy=True)
    try:
        yield jenkins
    finally:
        jenkins.requester.session.close()


def begun(controller: Controller, trigger: str = "id-1", job: str = JOB, **parameters: str) -> Build:
    """A build that has begun."""
    return controller.wait_for_build(controller.trigger(job, parameters, trigger), lambda reason: None, 60)


@dataclass
class Notes:
    """A watcher that writes down; `decide` says whether to go on when somebody is asked."""

    decide: Callable[[Question], bool] = lambda question: False
    lines: list[str] = field(default_factory=list)
    trees: list[Step] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def line(self, text: str) -> None:
        self.lines.append(text)

    def tree(self, tree: Step) -> None:
        self.trees.append(tree)

    def asks(self, question: Question) -> bool:
        self.questions.append(question)
        return self.decide(question)
