"""A Jenkins as the pipeline uses it: start a build once, see how far it is, agree to it, stop it, and have what it leaves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import PipelineError
from pipeline.jenkins import approval, artefacts, configuration, pushes, replies, stages
from pipeline.jenkins import trigger as starting
from pipeline.jenkins.answers import NotThere
from pipeline.jenkins.configuration import Done
from pipeline.jenkins.connection import Connection
from pipeline.jenkins.names import job_path
from pipeline.jenkins.replies import Artefact, Build, BuildState, Chunk, Job, Question, Queued, Tally
from pipeline.jenkins.requester import SECONDS, Clock
from pipeline.progress import Step

DEEPEST = 20  # folders in folders that are looked into


class Controller:
    """Every method raises PipelineError with a sentence when Jenkins does not answer as needed; reads ride out a restart of it.

    Use it in a `with` block, or close it; not from several threads at once. `token` is an API token, or a password, for which
    crumbs are fetched. `groups` says which stages belong together. `on_trouble` hears what is tried again.
    """

    def __init__(
        self,
        url: str,
        user: str = "",
        token: str = "",
        *,
        groups: Mapping[str, Sequence[str]] | None = None,
        on_trouble: Callable[[str], None] = lambda text: None,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.clock = Clock(clock, sleep, chance)
        self._groups = groups or {}
        self._connection = Connection(url, user, token, seconds=seconds, clock=self.clock, on_trouble=on_trouble)

    def __enter__(self) -> Controller:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.close()

    @property
    def jenkins(self) -> Any:
        """The `jenkinsapi.jenkins.Jenkins` of this controller, for what is not here; its requests have our patience and errors."""
        return self._connection.jenkins

    def jobs(self) -> tuple[Job, ...]:
        """All jobs that the user may see, those in folders and the branches of multibranch jobs too, by name."""
        found, folders = list[Job](), [""]
        while folders:
            folder = folders.pop()
            path = f"{job_path(folder)}/api/json" if folder else "api/json"
            reading = partial(replies.jobs_and_folders, folder=folder, address=self._connection.address)
            jobs, below = self._connection.read(path, reading, tree=replies.JOBS_TREE)
            found += jobs
            folders += [name for name in below if name.count("/") < DEEPEST]
        return tuple(sorted(found, key=lambda job: job.name))

    def put_job(self, name: str, config_xml: str) -> Done:
        """Let the job have that configuration, made or changed; its folders have to be there."""
        return configuration.put_job(self._connection, name, config_xml)

    def trigger(self, job: str, parameters: Mapping[str, str], trigger_id: str) -> Queued:
        """Start a build, unless there is one with that id, which goes along as the parameter TRIGGER.

        Where it is not known whether it began, the error says so: repeat with the same id. Raises UsageError for parameters that
        the job does not take.
        """
        return starting.trigger(self._connection, job, parameters, trigger_id)

    def find(self, job: str, trigger_id: str) -> Queued | None:
        """The build that was started with that id, in the queue or among the last hundred."""
        return starting.find(self._connection, job, trigger_id)

    def wait_for_build(self, queued: Queued, on_reason: Callable[[str], None], seconds: float) -> Build:
        """The build, once it has begun; `on_reason` hears why it waits, whenever that changes. Gives up after `seconds`."""
        return starting.wait(self._connection, queued, on_reason, seconds)

    def look(self, project: str) -> None:
        """Have a multibranch job look at its branches now: it builds by itself what is new there."""
        pushes.look(self._connection, project)

    def wait_for_commit(self, job: str, commit: str, on_reason: Callable[[str], None], seconds: float) -> Build:
        """The newest build of a commit, once it has said that it is one. Gives up after `seconds`."""
        return pushes.wait(self._connection, job, commit, on_reason, seconds)

    def newest_build(self, job: str) -> Build | None:
        """The build that began last, if there is any."""
        number = self._connection.read(f"{job_path(job)}/api/json", replies.last_number, tree=replies.LAST_TREE)
        return starting.build_of(self._connection, job, number) if number else None

    def build(self, job: str, number: int) -> Build:
        """The build of that number. Raises PipelineError when there is none."""
        build = starting.build_of(self._connection, job, number)
        try:
            self.state(build)
        except NotThere as error:
            raise NotThere(f"{job} has no build {number}", hint=error.hint) from error
        return build

    def state(self, build: Build) -> BuildState:
        """Whether it is under way, and its result once it is over."""
        return self._connection.read(f"{_path(build)}/api/json", replies.state, tree=replies.STATE_TREE)

    def stages(self, build: Build) -> Step:
        """How far it is. The state of the tree is that of the build; a stage that a `when` leaves out is skipped."""
        return self._connection.read(
            f"{_path(build)}/wfapi/describe", lambda document: stages.tree(document, str(build), self._groups)
        )

    def console(self, build: Build, start: int = 0) -> Chunk:
        """The log from `start` on, as far as it is written. A `size` below `start` means that the log began anew."""
        path = f"{_path(build)}/logText/progressiveText"
        answer = self._connection.get(path, start=start)
        size = answer.headers.get("X-Text-Size", "")
        if not size.isdecimal():
            raise PipelineError(
                f"{self._connection.address(path)} does not say how long the log is",
                hint="does a proxy take away the header X-Text-Size?",
            )
        return Chunk(answer.body, int(size), answer.headers.get("X-More-Data", "").lower() == "true")

    def pending_input(self, build: Build) -> Question | None:
        """What it waits for a person to say; the first, where it asks several things at once."""
        return next(iter(approval.questions(self._connection, _path(build))), None)

    def approve(self, build: Build, parameters: Mapping[str, str] | None = None, question: Question | None = None) -> None:
        """Agree, with the parameters that are asked for; those not given have their defaults.

        `question` is the one that the person saw; without it there has to be exactly one. Raises UsageError when there is none.
        """
        asked = question or self._asked(build)
        form = approval.agreement(asked, parameters or {})
        approval.settle(self._connection, _path(build), str(build), asked, "submit", form)

    def reject(self, build: Build, question: Question | None = None) -> None:
        """Refuse what it asks; the build is aborted. Raises UsageError when it asks nothing."""
        approval.settle(self._connection, _path(build), str(build), question or self._asked(build), "abort", {})

    def abort(self, asked: Build | Queued) -> None:
        """Stop a build, or take it out of the queue where it has not begun. It takes a moment until it is over."""
        build = asked if isinstance(asked, Build) else asked.build
        if isinstance(asked, Queued) and build is None:
            try:
                self._connection.post("queue/cancelItem", params={"id": str(asked.item)})
                return
            except NotThere:  # too late: it has begun
                found = self.find(asked.job, asked.trigger)
                build = found.build if found else None
        if build is None:
            raise PipelineError(f"there is no build of {asked.job} to stop: it was cancelled already")
        self._connection.post(f"{_path(build)}/stop")

    def tests(self, build: Build) -> Tally | None:
        """What the tests said; None when the build keeps no report."""
        try:
            return self._connection.read(f"{_path(build)}/testReport/api/json", replies.tests, tree=replies.TESTS_TREE)
        except NotThere:
            return None

    def artefacts(self, build: Build) -> tuple[Artefact, ...]:
        """The files that the build keeps."""
        return self._connection.read(f"{_path(build)}/wfapi/artifacts", replies.artefacts)

    def fetch(self, build: Build, folder: Path) -> tuple[Path, ...]:
        """Bring all files that the build keeps into `folder`; those that are there with their full size are not brought again."""
        return artefacts.fetch(self._connection, f"{_path(build)}/artifact", self.artefacts(build), folder)

    def _asked(self, build: Build) -> Question:
        return approval.the_question(approval.questions(self._connection, _path(build)), str(build))


def _path(build: Build) -> str:
    return f"{job_path(build.job)}/{build.number}"
