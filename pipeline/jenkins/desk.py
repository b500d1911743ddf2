"""What people do with the Jenkins of the settings: start, follow, agree, stop, list, and keep what a build leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from pipeline.collaborators import Story
from pipeline.errors import PipelineError, UsageError
from pipeline.jenkins.answers import NotThere
from pipeline.jenkins.controller import Controller
from pipeline.jenkins.follow import Watcher, follow
from pipeline.jenkins.replies import Build, Job
from pipeline.progress import State
from pipeline.stages import WAY, Group, Situation

BEGIN_SECONDS = 3600.0  # that a build may wait for an agent
LOOKED_THROUGH = 20  # builds
END_SECONDS = 30 * 3600.0  # the Jenkinsfile's own limit
GROUPS: Mapping[str, Sequence[str]] = {node.name: [s.name for s in node.stages] for node in WAY if isinstance(node, Group)}


def parameters(situation: Situation) -> dict[str, str]:
    """The parameters of the Jenkinsfile for this situation."""
    return {
        "ACTION": situation.action.value,
        "ENVIRONMENT": situation.environment,
        "RELEASE": situation.release,
        "LOAD": situation.load,
    }


class Desk:
    """`project` is the multibranch job; what builds leave is kept below `folder`."""

    def __init__(self, controller: Controller, project: str, folder: Path, story: Story) -> None:
        self._controller = controller
        self._project = project
        self._folder = folder
        self._story = story

    def job(self, branch: str) -> str:
        """The job of a branch or tag."""
        return f"{self._project}/{quote(branch, safe='')}"

    def trigger(self, situation: Situation, trigger: str) -> Build:
        """Start a build exactly once, however often it is asked for with the same id; the build, once it has begun."""
        job = self.job(situation.branch)
        queued = self._controller.trigger(job, parameters(situation), trigger)
        return self._controller.wait_for_build(queued, self._waits, BEGIN_SECONDS)

    def pushed(self, situation: Situation) -> Build:
        """Let Jenkins see what was pushed; the build that it starts by itself."""
        self._controller.look(self._project)
        return self._controller.wait_for_commit(self.job(situation.branch), situation.commit, self._waits, BEGIN_SECONDS)

    def look(self) -> None:
        """Let Jenkins see what was pushed, and wait for nothing."""
        self._controller.look(self._project)

    def waiting(self, branch: str) -> Build:
        """The newest of the last builds of a branch that waits for somebody. Raises UsageError when none does."""
        newest = self.find(branch, None)
        for number in range(newest.number, max(newest.number - LOOKED_THROUGH, 0), -1):
            with contextlib.suppress(NotThere):
                build = self._controller.build(newest.job, number)
                if self._controller.pending_input(build):
                    return build
        raise UsageError(f"no build of {newest.job} waits for anybody", hint="`python -m pipeline jobs` lists the jobs")

    def find(self, branch: str, number: int | None) -> Build:
        """The build of that number, or the newest. Raises UsageError when there is none."""
        job = self.job(branch)
        if number is not None:
            return self._controller.build(job, number)
        build = self._controller.newest_build(job)
        if build is None:
            raise UsageError(f"{job} has no build yet", hint="python -m pipeline trigger")
        return build

    def approve(self, build: Build, reason: str) -> None:
        """Agree to what the build asks, with the reason where it asks for one."""
        question = self._controller.pending_input(build)
        if question is None:
            raise UsageError(f"{build} waits for nobody")
        asks_why = any(parameter.name == "REASON" for parameter in question.parameters)
        self._controller.approve(build, {"REASON": reason} if asks_why else {}, question)

    def abort(self, build: Build) -> None:
        """Reject what the build asks, or stop it. Raises UsageError when it is over."""
        if not self._controller.state(build).building:
            raise UsageError(f"{build} is over")
        question = self._controller.pending_input(build)
        if question:
            self._controller.reject(build, question)
        else:
            self._controller.abort(build)

    def follow(self, build: Build, watcher: Watcher) -> State:
        """Watch to the end, or until somebody has to agree."""
        return follow(self._controller, build, watcher, END_SECONDS)

    def keep(self, build: Build) -> tuple[tuple[str, str], ...]:
        """Fetch what the build leaves; a line for each thing worth saying. What cannot be had is a line, too."""
        folder = self._folder / build.job / str(build.number)
        lines = [("page", build.url)]
        try:
            if tally := self._controller.tests(build):
                lines.append(("tests", f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped"))
                lines += [("failed", name) for name in tally.failures[:10]]
            if self._controller.fetch(build, folder):
                lines.append(("kept", str(folder)))
                lines += [("report", str(page)) for page in sorted(folder.rglob("report.html"))]
        except PipelineError as error:
            lines.append(("note", f"what it leaves could not be fetched: {error}"))
        return tuple(lines)

    def jobs(self) -> tuple[Job, ...]:
        return self._controller.jobs()

    def put(self, name: str, config: Path) -> str:
        """Make or change a job."""
        try:
            text = config.read_text()
        except OSError as error:
            raise UsageError(f"{config} cannot be read: {error.strerror}") from error
        return self._controller.put_job(name, text)

    def close(self) -> None:
        self._controller.close()

    def _waits(self, reason: str) -> None:
        self._story.note(f"it waits: {reason}")
