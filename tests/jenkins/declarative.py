"""A Declarative Jenkinsfile as Groovy's own parser sees it, held against the rules of Declarative: `model`.

What the tables do not list is refused, be it wrong or only unknown here: nothing of the file is passed over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

BEFORE = ("beforeOptions", "beforeInput", "beforeAgent")  # the first that is true counts
SECONDS = {"SECONDS": 1, "MINUTES": 60, "HOURS": 3600, "DAYS": 86400}
POST = ("always", "aborted", "failure", "success", "unstable", "notBuilt", "cleanup")  # in the order in which they are run
READABLE = re.compile(r"(params|env)\.\w+|currentBuild\.(currentResult|result)|scm|none|any")
CONDITIONS = {
    "branch": "pattern comparator?", "buildingTag": "", "environment": "name value", "equals": "expected actual",
    "not": ">conditions", "anyOf": ">conditions", "allOf": ">conditions",
}  # fmt: skip
OPTIONS = {"timestamps": "", "timeout": "time unit", "lock": "resource inversePrecedence?"}
EITHER = {"agent": "kind? >agent?", "environment": ">assignments", "stages": ">stages", "post": ">post"}
# section -> what may be in it -> its arguments, and after `>` the section that its block is; `?` may be left out
SECTIONS: dict[str, dict[str, str]] = {
    "file": {"pipeline": ">pipeline"},
    "pipeline": {**EITHER, "options": ">properties", "parameters": ">parameters"},
    "stages": {"stage": "name >stage"},
    "stage": {
        **EITHER, "options": ">options", "when": ">when", "input": ">input", "failFast": "on", "parallel": ">stages",
        "steps": ">steps",
    },
    "agent": {"label": "label"},
    "options": OPTIONS,
    "properties": {**OPTIONS, "buildDiscarder": "strategy", "disableConcurrentBuilds": "abortPrevious?"},
    "parameters": {"choice": "name choices description?", "string": "name defaultValue? trim? description?"},
    "assignments": {},
    "when": {**CONDITIONS, **dict.fromkeys(BEFORE, "on")},
    "conditions": CONDITIONS,
    "input": {**dict.fromkeys(("message", "id", "ok", "submitter", "submitterParameter"), "text"), "parameters": ">parameters"},
    "steps": {
        "sh": "script label?", "echo": "message", "milestone": "ordinal label?", "node": "label >steps", "checkout": "scm",
        "catchError": "buildResult? stageResult? message? >steps",
        "junit": "testResults allowEmptyResults? skipMarkingBuildUnstable?",
        "archiveArtifacts": "artifacts fingerprint? allowEmptyArchive?",
    },
    "post": dict.fromkeys(POST, ">steps"),
}  # fmt: skip
MAY_REPEAT = {"when", "conditions", "steps"}


class Refused(Exception):
    """The Declarative parser does not take this file, or something in it is not known here."""


@dataclass(frozen=True, slots=True)
class Code:
    """An expression that is read while the build runs."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A string with expressions in it."""

    strings: tuple[str, ...]
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """`name(argument, name: argument) { body }`, the arguments by their names; `name = value` too."""

    name: str
    line: int
    given: Mapping[str, Any]
    body: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage, or the whole pipeline."""

    name: str
    said: Mapping[str, Call]

    def block(self, name: str) -> tuple[Call, ...]:
        return self.said[name].body if name in self.said else ()

    def option(self, name: str) -> Mapping[str, Any] | None:
        return next((call.given for call in self.block("options") if call.name == name), None)

    @property
    def agent(self) -> str:
        """Its label, `none` or `any`; nothing where it has none of its own."""
        kind = self.said["agent"].given.get("kind") if "agent" in self.said else None
        return kind.text if kind else next((call.given["label"] for call in self.block("agent")), "")

    @property
    def before(self) -> str:
        """What its conditions are judged before; when nothing is said, before its environment."""
        said = {call.name for call in self.block("when") if call.given.get("on") is True}
        return next((name for name in BEFORE if name in said), "")

    @property
    def conditions(self) -> tuple[Call, ...]:
        return tuple(call for call in self.block("when") if call.name not in BEFORE)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in it, one after the other or side by side."""
        calls = (*self.block("stages"), *self.block("parallel"))
        return tuple(Stage(call.given["name"], {inner.name: inner for inner in call.body}) for call in calls)

    def all(self) -> Iterator[Stage]:
        """The stages in it, and those in them, in the order of the file."""
        for stage in self.stages:
            yield stage
            yield from stage.all()


def model(jenkinsfile: Path) -> Stage:
    """What the file says. Raises Refused."""
    return models([jenkinsfile])[0]()


def models(jenkinsfiles: Iterable[Path]) -> list[Callable[[], Stage]]:
    """For each file what gives its model or raises Refused, by one start of Groovy."""
    java = shutil.which("java")
    home = os.environ.get("JAVA_HOME") or (str(Path(java).resolve().parents[1]) if java else "")
    argv = ["groovy", str(Path(__file__).with_name("syntax.groovy")), *map(str, jenkinsfiles)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "JAVA_HOME": home})
    return [partial(_pipeline, said) for said in json.loads(done.stdout)]


def _pipeline(said: dict[str, Any]) -> Stage:
    if "error" in said:
        raise Refused(said["error"])
    (top,) = _block(said["tree"], "file", 1)
    found = Stage("", {call.name: call for call in top.body})
    names = [stage.name for stage in found.all()]
    problems = [reason for stage in (found, *found.all()) for reason in _problems(stage)]
    problems += [f"two stages are called {name!r}" for name in sorted({name for name in names if names.count(name) > 1})]
    problems += [] if found.agent else ["the pipeline has no agent"]
    if problems:
        raise Refused("; ".join(problems))
    return found


def _problems(stage: Stage) -> Iterator[str]:
    """What is wrong with a stage as a whole."""
    if len(stage.said.keys() & {"steps", "stages", "parallel"}) != 1:
        yield f"stage {stage.name!r} has not exactly one of steps, stages and parallel"
    if "parallel" in stage.said and ("agent" in stage.said or any("parallel" in inner.said for inner in stage.all())):
        yield f"stage {stage.name!r} is parallel, and has an agent or is parallel inside once more"
    if "failFast" in stage.said and "parallel" not in stage.said:
        yield f"stage {stage.name!r} has failFast and nothing that is parallel"
    if "input" in stage.said and "message" not in {call.name for call in stage.block("input")}:
        yield f"stage {stage.name!r} asks without a message"
    for timeout in (call for call in stage.block("options") if call.name == "timeout"):
        if type(timeout.given["time"]) is not int or timeout.given["unit"] not in SECONDS:
            yield f"line {timeout.line}: {timeout.given} is no time"


def _block(nodes: list[dict[str, Any]], section: str, line: int) -> tuple[Call, ...]:
    """What a section holds; at least one thing, and most of them nothing twice."""
    calls = tuple(_call(node, section) for node in nodes)
    names = [str(call.given["name"] if section in ("parameters", "stages") else call.name) for call in calls]
    if not calls or (section not in MAY_REPEAT and len(set(names)) < len(names)):
        raise Refused(f"line {line}: there is nothing in it, or something twice")
    return calls


def _call(node: dict[str, Any], section: str) -> Call:
    line, name = node["line"], node.get("name", "")
    if section == "assignments" and "value" in node:
        return Call(name, line, {"value": _value(node["value"])})
    if "body" not in node or name not in SECTIONS[section]:
        raise Refused(f"line {line}: {name or node['code']} is none of the {section}: {', '.join(SECTIONS[section])}")
    takes = SECTIONS[section][name]
    names = [word for word in takes.split() if word[0] != ">"]
    inner = next((word[1:] for word in takes.split() if word[0] == ">"), "?")
    pairs = [*zip((word.rstrip("?") for word in names), node["args"], strict=False), *node["named"]]
    given = {key: _value(value) for key, value in pairs}
    if len(pairs) != len(node["args"]) + len(node["named"]) or len(given) < len(pairs) or len(node["args"]) > 1:
        raise Refused(f"line {line}: {name} takes ({takes}), not that many")
    if not {word for word in names if word[-1] != "?"} <= given.keys() <= {word.rstrip("?") for word in names}:
        raise Refused(f"line {line}: {name} takes ({takes}), not {sorted(given)}")
    if (node["body"] is None and inner[-1] != "?") or (node["body"] is not None and (inner == "?" or (inner[-1] == "?" and given))):
        raise Refused(f"line {line}: {name} takes ({takes}), be it with a block or without")
    body = () if node["body"] is None else _block(node["body"], inner.rstrip("?"), line)
    if (name == "not" and len(body) != 1) or (
        name == "agent" and not body and given.get("kind") not in (Code("none"), Code("any"))
    ):
        raise Refused(f"line {line}: {name} holds not exactly one thing, or not what it may")
    return Call(name, line, given, body)


def _value(said: Any) -> Any:
    if isinstance(said, list):
        return tuple(_value(each) for each in said)
    if not isinstance(said, dict):
        return said
    if "strings" in said:
        return Text(tuple(said["strings"]), tuple(_value(each) for each in said["values"]))
    if "body" in said:
        arguments = [*((str(i), value) for i, value in enumerate(said["args"])), *said["named"]]
        return Call(said["name"], said["line"], {key: _value(value) for key, value in arguments})
    if not READABLE.fullmatch(said["code"]):
        raise Refused(f"line {said['line']}: {said['code']} is not known")
    return Code(said["code"])
