"""Following a build to its end: its log line by line, its stages as they change, and what it asks; across restarts of Jenkins."""

from __future__ import annotations

from typing import Protocol

from pipeline.errors import PipelineError
from pipeline.jenkins.connection import pauses
from pipeline.jenkins.controller import Controller
from pipeline.jenkins.log import LogReader
from pipeline.jenkins.replies import Build, Chunk, Question
from pipeline.progress import State, Step

RESULTS = {
    "SUCCESS": State.PASSED,
    "UNSTABLE": State.REFUSED,
    "FAILURE": State.REFUSED,
    "NOT_BUILT": State.SUPERSEDED,
    "ABORTED": State.ABORTED,
}


class Watcher(Protocol):
    """Who is told. Lines come before the tree of the stages that wrote them."""

    def line(self, text: str) -> None:
        """A line of the log."""

    def tree(self, tree: Step) -> None:
        """How far it is, whenever that has changed."""

    def asks(self, question: Question) -> bool:
        """It waits for a person, said once a question; True to go on following, False to leave it at that."""


def follow(controller: Controller, build: Build, watcher: Watcher, seconds: float) -> State:
    """The state that it ends in: PAUSED where the watcher left it waiting. Raises PipelineError after `seconds`.

    While Jenkins restarts, a request waits for it (`Controller`), and the log goes on where it stopped.
    """
    clock, pause, log = controller.clock, pauses(), _Log(watcher)
    give_up = clock.now() + seconds
    shown: Step | None = None
    asked: set[str] = set()
    while True:
        more, news = log.take(controller.console(build, log.position))
        state = None if more else controller.state(build)
        tree = controller.stages(build)
        if tree != shown:
            watcher.tree(tree)
            news = news or shown is None or _shape(tree) != _shape(shown)
            shown = tree
        if state and not state.building:
            log.finish()
            return RESULTS.get(state.result, State.FAILED)
        question = controller.pending_input(build) if tree.state is State.PAUSED else None
        if question and question.id not in asked:
            asked.add(question.id)
            if not watcher.asks(question):
                return State.PAUSED
        delay = pause(news)
        if clock.now() + delay > give_up:
            raise PipelineError(f"{build} is not over after {seconds:.0f} s", hint=f"it goes on by itself: {build.url}")
        clock.sleep(delay)


class _Log:
    """How much of the log has been told."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._reader = LogReader()
        self.position = 0

    def take(self, chunk: Chunk) -> tuple[bool, bool]:
        """Whether more will come, and whether anything came."""
        if chunk.size < self.position:
            self.finish()
        self.position = chunk.size
        for line in self._reader.feed(chunk.data):
            self._watcher.line(line)
        return chunk.more, bool(chunk.data)

    def finish(self) -> None:
        for line in self._reader.finish():
            self._watcher.line(line)


def _shape(tree: Step) -> tuple[object, ...]:
    """The tree without its times, which change all the while."""
    return (tree.name, tree.state, tree.note, tuple(_shape(child) for child in tree.children))
