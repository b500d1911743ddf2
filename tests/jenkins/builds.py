"""What Jenkins would do with a model of a Jenkinsfile: `Jenkins.build` walks it and says what came of every stage.

The rules are those of the plugins' sources: in which order options, input, agent, `when` and environment come around a stage; what
a failure, an abort and `catchError` make of a stage and of the build; which older builds are cancelled at a milestone.

It is not Jenkins. It says nothing about versions of plugins, the script sandbox, restarts, real agents and their queue, which of
several waiting builds gets a lock, who may start a build, and how the log looks.
"""

from __future__ import annotations

import math
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from xml.etree import ElementTree

from tests.jenkins.declarative import BEFORE, POST, SECONDS, Call, Code, Stage, Text

BADNESS = ("SUCCESS", "UNSTABLE", "FAILURE", "NOT_BUILT", "ABORTED")  # the result of a build only ever gets worse
NEEDS_NODE = {"sh", "checkout", "junit", "archiveArtifacts"}


class Ended(Exception):
    """A step, and with it the stage, ends before its end; `result` is what that makes of them."""

    def __init__(self, result: str, why: str) -> None:
        super().__init__(why)
        self.result = result


@dataclass(frozen=True, slots=True)
class Build:
    """What was pushed, and what whoever started the build chose."""

    branch: str = "main"
    commit: str = "0" * 40
    tag: bool = False
    number: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says to an input."""

    by: str
    groups: tuple[str, ...] = ()
    proceed: bool = True
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Walked:
    """How a stage went. The agent and the locks are those that were held for it, also when it was skipped in the end."""

    status: str = "NOT_BUILT"
    agent: str = ""
    locks: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    why: str = ""


class Agents(Protocol):
    """The machines that steps run on."""

    def node(self, label: str) -> Path:
        """A workspace with nothing in it."""

    def checkout(self, folder: Path, commit: str) -> None: ...

    def sh(self, script: str, environment: Mapping[str, str], folder: Path, interrupted: Callable[[], str]) -> int:
        """The exit code; any, and soon, once it is interrupted."""


@dataclass(slots=True)
class Jenkins:
    """What the builds of a job share. `seconds`: for a stage, how long its timeout really lasts, where a test waits for it."""

    agents: Agents
    archive: Path
    answer: Callable[[Stage], Answer | None] = lambda stage: None
    credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # id -> ending of the variable -> what is in it
    seconds: Mapping[str, float] = field(default_factory=dict)
    locks: dict[str, threading.Lock] = field(default_factory=dict)
    running: dict[int, Run] = field(default_factory=dict)

    def build(self, pipeline: Stage, build: Build) -> Run:
        run = self.running[build.number] = Run(self, pipeline, build)
        run.walk()
        if run.milestones:
            self.passed(build.number, math.inf)
        del self.running[build.number]
        return run

    def passed(self, number: int, ordinal: float) -> None:
        """A build is past a milestone, or ended after one: cancel the older ones that are not, or itself when a newer one is."""
        for other, run in list(self.running.items()):
            reached = run.milestones[-1:]
            if other < number and (not reached or reached[0] < ordinal):
                run.cancelled = "NOT_BUILT"
            elif other > number and reached and reached[0] >= ordinal:
                self.running[number].cancelled = "NOT_BUILT"


@dataclass(frozen=True, slots=True)
class Place:
    """What is around a step."""

    environment: Mapping[str, str]
    stage: Walked
    folder: Path | None = None
    locks: tuple[str, ...] = ()
    interrupts: tuple[Callable[[], str], ...] = ()

    def interrupted(self) -> str:
        """What the step is to end with, now."""
        return next((result for ask in self.interrupts if (result := ask())), "")

    def check(self) -> None:
        if result := self.interrupted():
            raise Ended(result, "interrupted")

    def having(self, variables: Mapping[str, str]) -> Place:
        return replace(self, environment={**self.environment, **variables})

    def until(self, interrupt: Callable[[], str]) -> Place:
        return replace(self, interrupts=(*self.interrupts, interrupt))


class Run:
    """One build: what it came to, and how its stages went, by their names."""

    def __init__(self, jenkins: Jenkins, pipeline: Stage, build: Build) -> None:
        self._jenkins, self._pipeline, self._build = jenkins, pipeline, build
        self._parameters = _chosen(pipeline.block("parameters"), build.parameters)
        self.result, self.cancelled = "SUCCESS", ""
        self.milestones: list[int] = []
        self.stages = {stage.name: Walked() for stage in pipeline.all()}
        self.post = Walked()

    def walk(self) -> None:
        pushed = {"BRANCH_NAME": self._build.branch, **({"TAG_NAME": self._build.branch} if self._build.tag else {})}
        number = {"BUILD_NUMBER": str(self._build.number), "BUILD_URL": f"https://jenkins.example/job/{self._build.number}/"}
        place = Place({**pushed, **number, **self._parameters}, self.post)
        try:
            with ExitStack() as around:
                place = self._environment(self._pipeline, self._agent(self._pipeline, place, around), around)
                inside = self._options(self._pipeline, place.until(lambda: self.cancelled), around)
                for stage in self._pipeline.stages:
                    self._stage(stage, inside)
        except Ended as ended:
            self._worsen(ended.result)
        self._post(self._pipeline, place)

    def _stage(self, stage: Stage, place: Place) -> None:
        walked = self.stages[stage.name]
        place = replace(place, stage=walked)
        try:
            with ExitStack() as around:
                for point, enter in zip((*BEFORE, ""), (self._options, self._input, self._agent, self._environment), strict=True):
                    if stage.before == point and not all(self._holds(condition, place) for condition in stage.conditions):
                        for skipped in (stage, *stage.all()):
                            self.stages[skipped.name].status = "SKIPPED"
                        return
                    place = enter(stage, place, around)
                walked.status = "SUCCESS"
                self._inside(stage, place)
        except Ended as ended:
            walked.status, walked.why = ended.result, str(ended)
            raise

    def _inside(self, stage: Stage, place: Place) -> None:
        """Its steps or stages, and what comes after them in any case."""
        try:
            self._steps(stage.block("steps"), place)
            if "parallel" in stage.said:
                self._beside(stage, place)
            else:
                for inner in stage.stages:
                    self._stage(inner, place)
        except Ended as ended:
            place.stage.status = ended.result
            raise
        finally:
            self._post(stage, place)

    def _beside(self, stage: Stage, place: Place) -> None:
        fast = stage.said["failFast"].given["on"] if "failFast" in stage.said else False
        failed: list[Ended] = []

        def walk(inner: Stage) -> None:
            try:
                self._stage(inner, place.until(lambda: "ABORTED" if fast and failed else ""))
            except Ended as ended:
                failed.append(ended)

        with ThreadPoolExecutor(len(stage.stages)) as pool:
            list(pool.map(walk, stage.stages))
        if failed:
            raise failed[0] if fast else max(failed, key=lambda ended: BADNESS.index(ended.result))

    def _options(self, stage: Stage, place: Place, around: ExitStack) -> Place:
        """Each around the next, in the order of the file: a timeout inside a lock does not count the wait for it."""
        for option in stage.block("options"):
            if option.name == "timeout":
                written = option.given["time"] * SECONDS[option.given["unit"]]
                end = time.monotonic() + self._jenkins.seconds.get(stage.name, written)
                place = place.until(lambda end=end: "ABORTED" if time.monotonic() > end else "")
            elif option.name == "lock":
                resource = option.given["resource"]
                lock = self._jenkins.locks.setdefault(resource, threading.Lock())
                while not lock.acquire(timeout=0.02):
                    place.check()
                around.callback(lock.release)
                place = replace(place, locks=(*place.locks, resource))
        place.stage.locks = place.locks
        return place

    def _input(self, stage: Stage, place: Place, around: ExitStack) -> Place:
        if "input" not in stage.said:
            return place
        asked = {call.name: call.given.get("text") for call in stage.block("input")}
        parameters = [each for call in stage.block("input") for each in call.body]
        answer = self._jenkins.answer(stage)
        place.check()
        may = {who.strip() for who in (asked.get("submitter") or "").split(",")} - {""}
        if answer is None or (may and not may & {answer.by, *answer.groups}):
            assert stage.option("timeout") or self._pipeline.option("timeout"), "nobody answers, and nothing ends the wait"
            raise Ended("ABORTED", "nobody who may answered in time")
        if not answer.proceed:
            raise Ended("ABORTED", f"rejected by {answer.by}")
        by = {asked["submitterParameter"]: answer.by} if asked.get("submitterParameter") else {}
        return place.having({**_chosen(parameters, answer.values), **by})

    def _agent(self, stage: Stage, place: Place, around: ExitStack) -> Place:
        """A workspace of its own with the commit in it."""
        if stage.agent not in ("", "none"):
            place = self._node(stage.agent, place)
            self._jenkins.agents.checkout(_folder(place), self._build.commit)
            place = place.having({"GIT_COMMIT": self._build.commit})
        place.stage.agent = place.environment.get("NODE_NAME", "")
        return place

    def _node(self, label: str, place: Place) -> Place:
        place.check()
        folder = self._jenkins.agents.node(label)
        return replace(place, folder=folder).having({"NODE_NAME": label, "WORKSPACE": str(folder)})

    def _environment(self, stage: Stage, place: Place, around: ExitStack) -> Place:
        for call in stage.block("environment"):
            value = call.given["value"]
            if not isinstance(value, Call):
                place = place.having({call.name: str(self._read(value, place))})
            elif value.name == "credentials" and value.given.get("0") in self._jenkins.credentials:
                secrets = self._jenkins.credentials[value.given["0"]]
                place = place.having({call.name + ending: secret for ending, secret in secrets.items()})
            else:
                raise Ended("FAILURE", f"line {call.line}: there is no such {value.name}: {value.given}")
        return place

    def _read(self, value: Any, place: Place) -> Any:
        if isinstance(value, Text):
            read = [str(self._read(each, place)) for each in value.values]
            return "".join(part for pair in zip(value.strings, [*read, ""], strict=True) for part in pair)
        if not isinstance(value, Code):
            return value
        where, _, name = value.text.partition(".")
        return {"params": self._parameters, "env": place.environment}.get(where, {}).get(name, self.result)

    def _holds(self, condition: Call, place: Place) -> bool:
        said = {name: self._read(value, place) for name, value in condition.given.items()}
        inner = [self._holds(each, place) for each in condition.body]
        match condition.name:
            case "branch":
                return _same(said["pattern"], place.environment["BRANCH_NAME"], str(said.get("comparator", "GLOB")))
            case "buildingTag":
                return "TAG_NAME" in place.environment
            case "environment":
                return bool(place.environment.get(said["name"], "") == said["value"])
            case "equals":
                return bool(said["expected"] == said["actual"])
            case "not":
                return not inner[0]
        return any(inner) if condition.name == "anyOf" else all(inner)

    def _steps(self, calls: Iterable[Call], place: Place) -> None:
        kinds = {
            "sh": self._sh, "milestone": self._milestone, "junit": self._junit, "archiveArtifacts": self._archive,
            "checkout": lambda said, place: self._jenkins.agents.checkout(_folder(place), self._build.commit),
            "echo": lambda said, place: None,
        }  # fmt: skip
        for call in calls:
            place.check()
            said = {name: self._read(value, place) for name, value in call.given.items()}
            if call.name in NEEDS_NODE and place.folder is None:
                raise Ended("FAILURE", f"line {call.line}: {call.name} without an agent around it")
            if call.name == "node":
                self._steps(call.body, self._node(said["label"], place))
            elif call.name == "catchError":
                self._catch(call, said, place)
            else:
                kinds[call.name](said, place)

    def _sh(self, said: Mapping[str, Any], place: Place) -> None:
        place.stage.lines.append(said["script"])
        place.stage.environment = place.environment
        code = self._jenkins.agents.sh(said["script"], place.environment, _folder(place), place.interrupted)
        place.check()
        if code:
            raise Ended("FAILURE", f"exit code {code}")

    def _milestone(self, said: Mapping[str, Any], place: Place) -> None:
        if self.milestones[-1:] >= [said["ordinal"]]:
            raise Ended("FAILURE", f"milestone {said['ordinal']} after milestone {self.milestones[-1]}")
        self.milestones.append(said["ordinal"])
        self._jenkins.passed(self._build.number, said["ordinal"])
        place.check()

    def _catch(self, call: Call, said: Mapping[str, Any], place: Place) -> None:
        """The build goes on. An interruption is caught too, but keeps its own result."""
        try:
            self._steps(call.body, place)
        except Ended as ended:
            interrupted, self.cancelled = bool(place.interrupted()), ""
            self._worsen(ended.result if interrupted else said.get("buildResult", "FAILURE"))
            place.stage.status = ended.result if interrupted else said.get("stageResult", "SUCCESS")
            place.stage.why = str(ended)

    def _junit(self, said: Mapping[str, Any], place: Place) -> None:
        reports = [ElementTree.parse(path) for path in _matching(_folder(place), said["testResults"])]
        if not reports and not said.get("allowEmptyResults"):
            raise Ended("FAILURE", "no test report")
        failed = any(report.find(f".//{kind}") is not None for report in reports for kind in ("failure", "error"))
        if failed and not said.get("skipMarkingBuildUnstable"):
            self._worsen("UNSTABLE")

    def _archive(self, said: Mapping[str, Any], place: Place) -> None:
        files = list(_matching(_folder(place), said["artifacts"]))
        if not files and not said.get("allowEmptyArchive"):
            raise Ended("FAILURE", f"nothing matches {said['artifacts']}")
        for file in files:
            target = self._jenkins.archive / str(self._build.number) / file.relative_to(_folder(place))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)

    def _post(self, stage: Stage, place: Place) -> None:
        """What fits is done, uninterrupted; a failure in it keeps the rest from nothing."""
        for call in sorted(stage.block("post"), key=lambda call: POST.index(call.name)):
            came_to = self.result if place.stage is self.post else place.stage.status
            if call.name.upper() in ("ALWAYS", "CLEANUP", came_to.replace("_", "")):
                try:
                    self._steps(call.body, replace(place, interrupts=()))
                except Ended as ended:
                    place.stage.status, place.stage.why = ended.result, str(ended)
                    self._worsen(ended.result)

    def _worsen(self, result: str) -> None:
        self.result = max(self.result, result, key=BADNESS.index)


def _chosen(parameters: Iterable[Call], values: Mapping[str, str]) -> dict[str, str]:
    """The parameters' values: what was chosen, else their defaults. Raises ValueError for what Jenkins does not take."""
    known = {call.given["name"]: call.given for call in parameters}
    for name, value in values.items():
        if name not in known or value not in known[name].get("choices", [value]):
            raise ValueError(f"{name} = {value!r} cannot be chosen")
    chosen = {name: given["choices"][0] if "choices" in given else given.get("defaultValue", "") for name, given in known.items()}
    return {name: value.strip() if known[name].get("trim") else value for name, value in {**chosen, **values}.items()}


def _same(pattern: str, name: str, comparator: str) -> bool:
    """As Jenkins compares: unless told otherwise like Ant does paths, and in any case, upper or lower."""
    if comparator != "GLOB":
        return bool(re.fullmatch(pattern, name)) if comparator == "REGEXP" else pattern == name
    parts = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    glob = "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", pattern))
    return bool(re.fullmatch(glob, name, re.IGNORECASE))


def _folder(place: Place) -> Path:
    assert place.folder is not None
    return place.folder


def _matching(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in sorted(folder.glob(f"{pattern}/*" if pattern.endswith("**") else pattern)) if path.is_file())
