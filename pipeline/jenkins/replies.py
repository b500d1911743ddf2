"""What Jenkins says, as values: the `tree` to ask for, and the reading of what comes. Fields are those of its remote access API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pipeline.jenkins.names import job_of, job_path

TRIGGER = "TRIGGER"  # the parameter by which whoever started a build finds it again
RECENT = 100  # builds that are looked through for a trigger; as many as Jenkins gives without loading all
PARAMETERS_TREE = "actions[parameters[name,value]]"
JOBS_TREE = "jobs[name,lastBuild[number,result,building],jobs[name]]"
DEFINITION_TREE = "buildable,property[parameterDefinitions[name,type,choices]]"
QUEUE_TREE = f"items[id,why,cancelled,task[url],{PARAMETERS_TREE}]"
ITEM_TREE = "id,why,cancelled,executable[number]"
BUILDS_TREE = f"builds[number,{PARAMETERS_TREE}]{{0,{RECENT}}}"
LAST_TREE = "lastBuild[number]"
STATE_TREE = "building,result"
TESTS_TREE = "passCount,failCount,skipCount,suites[cases[className,name,status]]"


@dataclass(frozen=True, slots=True)
class Job:
    """`name` has the folders in it. `number`, `result` and `building` are of the newest build; 0 when there is none."""

    name: str
    url: str
    number: int = 0
    result: str = ""
    building: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """What a job can be started with: name of a parameter -> its choices, empty when any text will do."""

    buildable: bool
    parameters: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Build:
    job: str
    number: int
    url: str

    def __str__(self) -> str:
        return f"{self.job} #{self.number}"


@dataclass(frozen=True, slots=True)
class Queued:
    """A build that was asked for: its place in the queue (`item`), or the `build` where it has begun."""

    job: str
    trigger: str
    item: int = 0
    build: Build | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """A place in the queue. `number` is of the build once it has begun, else 0; `job` is known only in the whole queue."""

    id: int
    why: str = ""
    cancelled: bool = False
    number: int = 0
    job: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuildState:
    """`result` is SUCCESS, UNSTABLE, FAILURE, NOT_BUILT or ABORTED, and empty until there is one."""

    building: bool
    result: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a log. `size` is where the next one starts, counted in the log as it is kept: not `len(data)` further on."""

    data: bytes
    size: int
    more: bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that a question asks for. `kind` is Jenkins' class, as in StringParameterDefinition."""

    name: str
    kind: str
    description: str = ""
    default: str | bool | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What a paused build waits for a person to say; `proceed` is the text of the button that agrees."""

    id: str
    message: str
    proceed: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """`failures` are the names of the tests that failed."""

    passed: int
    failed: int
    skipped: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that a build keeps: its path in the build's archive, as it was given, and its bytes."""

    path: str
    size: int


def jobs_and_folders(document: Mapping[str, Any], folder: str, address: Callable[[str], str]) -> tuple[list[Job], list[str]]:
    """The jobs of one level and the names of its folders. A folder, a multibranch job too, is what has `jobs` of its own."""
    jobs, folders = list[Job](), list[str]()
    for entry in document["jobs"]:
        name = f"{folder}/{entry['name']}" if folder else str(entry["name"])
        last = entry.get("lastBuild") or {}
        if "jobs" in entry:
            folders.append(name)
        else:
            url = address(f"{job_path(name)}/")
            jobs.append(Job(name, url, int(last.get("number") or 0), last.get("result") or "", bool(last.get("building"))))
    return jobs, folders


def definition(document: Mapping[str, Any]) -> Definition:
    """What can be started, and with which parameters."""
    defined = [one for owner in document.get("property") or () for one in (owner or {}).get("parameterDefinitions") or ()]
    choices = {str(one["name"]): tuple(map(str, one.get("choices") or ())) for one in defined}
    return Definition(bool(document.get("buildable")), choices)


def queue(document: Mapping[str, Any]) -> tuple[Item, ...]:
    """Everything that waits."""
    return tuple(item(entry) for entry in document["items"])


def item(document: Mapping[str, Any]) -> Item:
    """One place in the queue."""
    return Item(
        int(document["id"]),
        document.get("why") or "",
        bool(document.get("cancelled")),
        int((document.get("executable") or {}).get("number") or 0),
        job_of((document.get("task") or {}).get("url") or ""),
        _parameters(document),
    )


def numbers_by_trigger(document: Mapping[str, Any]) -> dict[str, int]:
    """Trigger -> number, of the recent builds that have one; the oldest where a trigger was given twice."""
    return {_parameters(build).get(TRIGGER, ""): int(build["number"]) for build in document["builds"]}


def last_number(document: Mapping[str, Any]) -> int:
    """The number of the newest build, 0 when there is none."""
    return int((document.get("lastBuild") or {}).get("number") or 0)


def state(document: Mapping[str, Any]) -> BuildState:
    return BuildState(bool(document["building"]), document.get("result") or "")


def questions(document: list[Mapping[str, Any]]) -> tuple[Question, ...]:
    """What a build waits for, as pipeline-rest-api lists it."""
    return tuple(
        Question(
            str(entry["id"]),
            entry.get("message") or "",
            entry.get("proceedText") or "Proceed",
            tuple(_parameter(one) for one in entry.get("inputs") or ()),
        )
        for entry in document
    )


def tests(document: Mapping[str, Any]) -> Tally:
    """The report of the junit plugin."""
    cases = [case for suite in document.get("suites") or () for case in suite.get("cases") or ()]
    failures = tuple(f"{case['className']}.{case['name']}" for case in cases if case.get("status") in ("FAILED", "REGRESSION"))
    failed, skipped = int(document["failCount"]), int(document.get("skipCount") or 0)
    passed = document.get("passCount")
    return Tally(int(passed) if passed is not None else len(cases) - failed - skipped, failed, skipped, failures)


def artefacts(document: list[Mapping[str, Any]]) -> tuple[Artefact, ...]:
    """What a build keeps; pipeline-rest-api gives the paths as they stand in an address."""
    return tuple(Artefact(unquote(str(entry["path"])), int(entry["size"])) for entry in document)


def _parameter(entry: Mapping[str, Any]) -> Parameter:
    more = entry.get("definition") or {}
    return Parameter(
        str(entry["name"]), entry.get("type") or "", entry.get("description") or "",
        more.get("defaultVal"), tuple(map(str, more.get("choices") or ())),
    )  # fmt: skip


def _parameters(document: Mapping[str, Any]) -> dict[str, str]:
    given = [one for action in document.get("actions") or () for one in (action or {}).get("parameters") or ()]
    return {str(one["name"]): str(one.get("value") or "") for one in given}
