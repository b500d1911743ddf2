"""What a Jenkins knows, without HTTP: jobs in folders, a queue, builds that move by a script. Field names are the real server's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

FLOW = "org.jenkinsci.plugins.workflow"
FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
MULTIBRANCH = f"{FLOW}.multibranch.WorkflowMultiBranchProject"
WORKFLOW_JOB = f"{FLOW}.job.WorkflowJob"
RUN = f"{FLOW}.job.WorkflowRun"
STARTED = 1_790_000_000_000  # milliseconds, of the first build
COLORS = {"SUCCESS": "blue", "UNSTABLE": "yellow", "FAILURE": "red", "ABORTED": "aborted", "NOT_BUILT": "notbuilt"}
RUN_STATUS = {
    "SUCCESS": "SUCCESS", "UNSTABLE": "UNSTABLE", "FAILURE": "FAILED", "ABORTED": "ABORTED", "NOT_BUILT": "NOT_EXECUTED",
}  # fmt: skip
JSON = dict[str, Any]


def string(name: str, default: str = "") -> JSON:
    value = {"_class": "hudson.model.StringParameterValue", "name": name, "value": default}
    return _definition("StringParameterDefinition", name, {"defaultParameterValue": value})


def choice(name: str, *choices: str) -> JSON:
    value = {"_class": "hudson.model.StringParameterValue", "name": name, "value": choices[0]}
    return _definition("ChoiceParameterDefinition", name, {"defaultParameterValue": value, "choices": list(choices)})


def boolean(name: str, default: bool) -> JSON:
    value = {"_class": "hudson.model.BooleanParameterValue", "name": name, "value": default}
    return _definition("BooleanParameterDefinition", name, {"defaultParameterValue": value})


def _definition(kind: str, name: str, more: JSON) -> JSON:
    return {"_class": f"hudson.model.{kind}", "name": name, "type": kind, "description": f"what {name} is for", **more}


@dataclass
class Asks:
    """An `input` of a stage; `submitter` is a user or a group."""

    id: str = "Approve"
    message: str = "Promote to production?"
    ok: str = "Promote"
    parameters: tuple[JSON, ...] = ()
    submitter: str = ""

    def pending(self, run_path: str) -> JSON:
        """As PendingInputActionsExt."""
        inputs = [
            {
                "type": one["type"], "name": one["name"], "description": one["description"],
                "definition": {"defaultVal": one["defaultParameterValue"]["value"]}
                | ({"choices": one["choices"]} if "choices" in one else {}),
            }
            for one in self.parameters
        ]  # fmt: skip
        return {
            "id": self.id, "proceedText": self.ok, "message": self.message, "inputs": inputs,
            "proceedUrl": f"{run_path}wfapi/inputSubmit?inputId={self.id}",
            "abortUrl": f"{run_path}input/{quote(self.id, safe='')}/abort", "redirectApprovalUrl": f"{run_path}input/",
        }  # fmt: skip


@dataclass
class Stage:
    """One stage of a script: what it writes to the log, and how it ends."""

    name: str
    log: bytes = b""
    status: str = "SUCCESS"
    error: str = ""
    millis: int = 1500
    asks: Asks | None = None


@dataclass
class Script:
    """How a build goes. `reasons` are told one look at the queue after the other; then it begins."""

    stages: tuple[Stage, ...] = (Stage("build", b"Hello\n"),)
    result: str = "SUCCESS"
    reasons: tuple[tuple[str, str], ...] = (("WaitingItem", "In the quiet period. Expires in 4.6 sec"),)
    artefacts: Mapping[str, bytes] = field(default_factory=dict)
    cases: tuple[JSON, ...] = ()


def case(name: str, status: str = "PASSED") -> JSON:
    return {
        "testActions": [], "age": 0, "className": "tests.test_it", "duration": 0.5, "errorDetails": None, "errorStackTrace": None,
        "failedSince": 0, "name": name, "skipped": status == "SKIPPED", "skippedMessage": None, "status": status, "stderr": None,
        "stdout": None,
    }  # fmt: skip


@dataclass
class Run:
    job: Job
    number: int
    parameters: JSON
    queue_id: int
    script: Script
    log: bytearray = field(default_factory=bytearray)
    statuses: list[str] = field(default_factory=list)
    result: str | None = None
    answered: set[str] = field(default_factory=set)
    given: dict[str, JSON] = field(default_factory=dict)  # id of an input -> what it was given
    stopped: bool = False
    revision: str = ""  # once an agent has checked it out

    @property
    def building(self) -> bool:
        return self.result is None

    @property
    def asks(self) -> Asks | None:
        """What it waits for at this moment."""
        stages = self.script.stages
        asks = stages[len(self.statuses) - 1].asks if self.statuses and self.building else None
        return asks if asks and self.statuses[-1] == "PAUSED_PENDING_INPUT" and asks.id not in self.answered else None

    def advance(self) -> None:
        """One step further: a stage begins or ends, or the build does. Nothing moves while a person is asked."""
        if not self.building or self.asks:
            return
        stages, now = self.script.stages, len(self.statuses) - 1
        if self.statuses and self.statuses[-1] == "PAUSED_PENDING_INPUT":
            self.statuses[-1] = "IN_PROGRESS"
            self.log += stages[now].log
        elif self.statuses and self.statuses[-1] == "IN_PROGRESS":
            self.statuses[-1] = stages[now].status
            if stages[now].status in ("FAILED", "ABORTED"):
                self.finish("FAILURE" if stages[now].status == "FAILED" else "ABORTED")
        elif len(self.statuses) < len(stages):
            following = stages[now + 1]
            self.statuses.append("PAUSED_PENDING_INPUT" if following.asks else "IN_PROGRESS")
            self.log += b"" if following.asks else following.log
        else:
            self.finish(self.script.result)

    def finish(self, result: str) -> None:
        self.result = result
        self.log += f"Finished: {result}\n".encode()

    def go_on_to_the_end(self) -> Run:
        while self.building and not self.asks:
            self.advance()
        return self

    def stop(self) -> None:
        if self.building:
            if self.statuses:
                self.statuses[-1] = "ABORTED"
            self.finish("ABORTED")

    def document(self, root: str) -> JSON:
        artifacts = [
            {"displayPath": path.rpartition("/")[2], "fileName": path.rpartition("/")[2], "relativePath": path}
            for path in self.script.artefacts
        ]
        parameters = [{"_class": _value_class(value), "name": name, "value": value} for name, value in self.parameters.items()]
        actions: list[JSON] = [{"_class": "hudson.model.ParametersAction", "parameters": parameters}, {}]
        if self.revision and self.statuses:
            actions.append({
                "_class": "hudson.plugins.git.util.BuildData", "remoteUrls": ["https://git.example.org/slipway.git"], "scmName": "",
                "lastBuiltRevision": {"SHA1": self.revision, "branch": [{"SHA1": self.revision, "name": self.job.name}]},
            })  # fmt: skip
        if self.script.cases and not self.building:
            counts = self.report()
            actions.append({
                "_class": "hudson.tasks.junit.TestResultAction", "failCount": counts["failCount"], "skipCount": counts["skipCount"],
                "totalCount": len(self.script.cases), "urlName": "testReport",
            })  # fmt: skip
        return {
            "_class": RUN, "actions": actions, "artifacts": artifacts, "building": self.building, "description": None,
            "displayName": f"#{self.number}", "duration": 0 if self.building else 3000, "estimatedDuration": 3000, "executor": None,
            "fullDisplayName": f"{self.job.full_name.replace('/', ' » ')} #{self.number}", "id": str(self.number),
            "inProgress": self.building, "keepLog": False, "number": self.number, "queueId": self.queue_id, "result": self.result,
            "timestamp": STARTED + self.number, "url": f"{root}{self.job.path}{self.number}/", "changeSets": [], "culprits": [],
            "nextBuild": None, "previousBuild": None,
        }  # fmt: skip

    def describe(self, prefix: str) -> JSON:
        """As RunExt."""
        path = f"{prefix}/{self.job.path}{self.number}/"
        links: JSON = {"self": {"href": f"{path}wfapi/describe"}}
        status = RUN_STATUS[self.result] if self.result else "PAUSED_PENDING_INPUT" if self.asks else "IN_PROGRESS"
        if self.asks:
            links["pendingInputActions"] = {"href": f"{path}wfapi/pendingInputActions"}
            links["nextPendingInputAction"] = {"href": f"{path}wfapi/nextPendingInputAction"}
        if self.script.artefacts:
            links["artifacts"] = {"href": f"{path}wfapi/artifacts"}
        stages, began = [], STARTED
        for index, (stage, state) in enumerate(zip(self.script.stages, self.statuses, strict=False)):
            error = (
                {"error": {"message": stage.error, "type": "hudson.AbortException"}} if stage.error and state == "FAILED" else {}
            )
            stages.append({
                "_links": {"self": {"href": f"{path}execution/node/{6 + index}/wfapi/describe"}}, "id": str(6 + index),
                "name": stage.name, "execNode": "", "status": state, "startTimeMillis": began,
                "durationMillis": stage.millis, "pauseDurationMillis": 0, **error,
            })  # fmt: skip
            began += stage.millis
        return {
            "_links": links, "id": str(self.number), "name": f"#{self.number}", "status": status, "startTimeMillis": STARTED,
            "endTimeMillis": began, "durationMillis": began - STARTED, "queueDurationMillis": 4, "pauseDurationMillis": 0,
            "stages": stages,
        }  # fmt: skip

    def kept(self, prefix: str) -> list[JSON]:
        """As BuildArtifactExt, whose `path` is the encoded one."""
        return [
            {
                "id": f"n{index}", "name": path.rpartition("/")[2], "path": quote(path),
                "url": f"{prefix}/{self.job.path}{self.number}/artifact/{quote(path)}", "size": len(body),
            }
            for index, (path, body) in enumerate(self.script.artefacts.items(), 1)
        ]  # fmt: skip

    def report(self) -> JSON:
        """As the junit plugin's TestResult."""
        count = {status: sum(one["status"] == status for one in self.script.cases) for status in ("PASSED", "FAILED", "SKIPPED")}
        suite = {"cases": list(self.script.cases), "duration": 1.5, "enclosingBlockNames": [], "id": None, "name": "pytest"}
        return {
            "_class": "hudson.tasks.junit.TestResult", "testActions": [], "duration": 1.5, "empty": not self.script.cases,
            "failCount": count["FAILED"], "passCount": count["PASSED"], "skipCount": count["SKIPPED"], "suites": [suite],
        }  # fmt: skip


def _value_class(value: object) -> str:
    return f"hudson.model.{'Boolean' if isinstance(value, bool) else 'String'}ParameterValue"


@dataclass
class Job:
    """A folder, a multibranch job, or a pipeline; `scripts` are those of its next builds, the last one for all further ones."""

    full_name: str
    kind: str = WORKFLOW_JOB
    parameters: tuple[JSON, ...] = ()
    buildable: bool = True
    config: str = "<?xml version='1.1' encoding='UTF-8'?>\n<flow-definition plugin=\"workflow-job@1571\"/>"
    scripts: list[Script] = field(default_factory=lambda: [Script()])
    runs: list[Run] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.full_name.rpartition("/")[2]

    @property
    def path(self) -> str:
        return "".join(f"job/{quote(part, safe='')}/" for part in self.full_name.split("/"))

    @property
    def is_folder(self) -> bool:
        return self.kind in (FOLDER, MULTIBRANCH)

    def begin(self, parameters: JSON, queue_id: int) -> Run:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        run = Run(self, len(self.runs) + 1, parameters, queue_id, script)
        self.runs.append(run)
        return run

    def entry(self, root: str) -> JSON:
        """As it stands in the list of its folder; only what can be built has a color."""
        entry: JSON = {"_class": self.kind, "name": self.name, "url": f"{root}{self.path}"}
        if not self.is_folder:
            last = self.runs[-1] if self.runs else None
            entry["color"] = "notbuilt" if not last else COLORS[last.result] if last.result else "blue_anime"
            entry["lastBuild"] = last.document(root) if last else None
        return entry

    def document(self, root: str, children: list[JSON]) -> JSON:
        document: JSON = {
            "_class": self.kind, "actions": [{}], "description": "", "displayName": self.name, "displayNameOrNull": None,
            "fullDisplayName": self.full_name.replace("/", " » "), "fullName": self.full_name, "name": self.name,
            "url": f"{root}{self.path}",
        }  # fmt: skip
        if self.is_folder:
            return {**document, "jobs": children, "views": []}
        builds = [run.document(root) for run in reversed(self.runs)]
        defined = {
            "_class": "hudson.model.ParametersDefinitionProperty", "parameterDefinitions": list(self.parameters),
        }  # fmt: skip
        done = [build for build in builds if build["result"]]
        return {
            **document, **self.entry(root), "buildable": self.buildable, "builds": builds,
            "firstBuild": builds[-1] if builds else None, "lastBuild": builds[0] if builds else None,
            "lastCompletedBuild": done[0] if done else None, "healthReport": [],
            "inQueue": False, "keepDependencies": False, "nextBuildNumber": len(builds) + 1,
            "property": [{}, defined] if self.parameters else [{}], "queueItem": None, "concurrentBuild": True,
        }  # fmt: skip


@dataclass
class Item:
    """A place in the queue."""

    id: int
    job: Job
    parameters: JSON
    reasons: Iterator[tuple[str, str]]
    current: tuple[str, str] = ("WaitingItem", "")
    run: Run | None = None
    cancelled: bool = False

    def move(self) -> None:
        """Somebody looks: the next reason, or the build begins."""
        if not self.run and not self.cancelled:
            reason = next(self.reasons, None)
            if reason:
                self.current = reason
            else:
                self.run = self.job.begin(self.parameters, self.id)

    def document(self, root: str) -> JSON:
        left = self.run is not None or self.cancelled
        kind = "LeftItem" if left else self.current[0]
        parameters = [{"_class": _value_class(value), "name": name, "value": value} for name, value in self.parameters.items()]
        document: JSON = {
            "_class": f"hudson.model.Queue${kind}",
            "actions": [
                {"_class": "hudson.model.ParametersAction", "parameters": parameters},
                {"_class": "hudson.model.CauseAction", "causes": [{"_class": "hudson.model.Cause$UserIdCause"}]},
            ],
            "blocked": kind == "BlockedItem", "buildable": kind == "BuildableItem", "id": self.id, "inQueueSince": STARTED,
            "params": "", "stuck": False,
            "task": {"_class": self.job.kind, "name": self.job.name, "url": f"{root}{self.job.path}", "color": "blue"},
            "url": f"queue/item/{self.id}/", "why": None if left else self.current[1],
        }  # fmt: skip
        if left:
            number = (
                {"_class": RUN, "number": self.run.number, "url": f"{root}{self.job.path}{self.run.number}/"} if self.run else None
            )
            document |= {"cancelled": self.cancelled, "executable": number}
        return document


@dataclass
class State:
    """Everything; `next_id` is that of the next place in the queue."""

    jobs: dict[str, Job] = field(default_factory=dict)
    items: dict[int, Item] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(41))

    def children(self, folder: str, root: str) -> list[JSON]:
        below = [job for name, job in self.jobs.items() if name.rpartition("/")[0] == folder]
        return [job.entry(root) | ({"jobs": self.children(job.full_name, root)} if job.is_folder else {}) for job in below]

    def schedule(self, job: Job, parameters: JSON) -> tuple[Item, bool]:
        """A place in the queue, and whether it is new: one that waits with the same parameters is used again."""
        for item in self.items.values():
            if item.job is job and item.parameters == parameters and not item.run and not item.cancelled:
                return item, False
        item = Item(next(self.ids), job, parameters, iter(job.scripts[0].reasons))
        item.move()
        self.items[item.id] = item
        return item, True
