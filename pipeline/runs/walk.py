"""Walks a run: every stage is a process with a log of its own, side by side where the list says so, one run an environment.

What ended well is not walked again, so a run that was killed goes on where it stood.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TextIO

from pipeline import process
from pipeline.errors import UsageError
from pipeline.progress import State, worst
from pipeline.runs.record import Run, Runs, Walked
from pipeline.stages import Approval, Group, Stage, argv_of

POLL_SECONDS = 0.05
GRACE_SECONDS = 30  # for a stage that is told to stop: a deploy may be in the middle of one host
TAIL_BYTES = 4096
LONGEST_REASON = 200  # characters; the log of the stage has it all
STATES = {0: State.PASSED, 1: State.REFUSED}  # every other exit code could not find out


class Aborted(BaseException):
    """Somebody told the run to stop."""


class Walker:
    """`command` is what every stage's arguments follow; `watch` is called whenever something may have changed."""

    def __init__(
        self, runs: Runs, locks: Path, command: Sequence[str], cwd: Path, env: Mapping[str, str], watch: Callable[[Run], None],
        now: Callable[[], datetime], poll: float = POLL_SECONDS,
    ) -> None:  # fmt: skip
        self._runs = runs
        self._locks = locks
        self._command = command
        self._cwd = cwd
        self._env = env
        self._watch = watch
        self._now = now
        self._poll = poll

    def walk(self, number: int, extra: Callable[[Run], Sequence[Stage]] = lambda run: ()) -> Run:
        """Walk what is left of a run; `extra` names stages to add once it passed. The run as it stands at the end.

        Raises UsageError when another process walks it, or when it is over and not for want of an answer.
        """
        with self._runs.hold(number) as found:
            refuse_over(found)
            run = self._save(replace(found, state=State.RUNNING, note="", pid=os.getpid()))
            try:
                run = self._nodes(run)
                if run.state is State.PASSED:
                    for stage in extra(run):
                        run = self._after(self._stages(run, [stage]), [stage])
            except Aborted:
                run = replace(self._runs.load(number), state=State.ABORTED, note="somebody stopped it")
            run = replace(run, pid=0)
            self._save(run)
            return run

    def _nodes(self, run: Run) -> Run:
        for node in run.nodes():
            if isinstance(node, Approval):
                if not run.approved:
                    return self._paused(run, node)
                asked = run.walked.get(node.name, Walked(State.PAUSED, self._now())).started
                if node.name not in run.walked or run.walked[node.name].state is not State.PASSED:
                    seconds = (self._now() - asked).total_seconds()
                    run = self._save(run.with_walked(node.name, Walked(State.PASSED, asked, seconds, f"by {run.approved}")))
                continue
            stages = node.stages if isinstance(node, Group) else (node,)
            run = self._group(run, node) if isinstance(node, Group) else self._stages(run, stages)
            if run.state is not State.RUNNING:
                return run
            run = self._after(run, stages)
            if run.state is not State.PASSED:
                return run
            run = replace(run, state=State.RUNNING)
        return replace(run, state=State.PASSED)

    def _paused(self, run: Run, node: Approval) -> Run:
        asked = run.walked.get(node.name, Walked(State.PAUSED, self._now())).started
        paused = run.with_walked(node.name, Walked(State.PAUSED, asked, note=node.question))
        return replace(paused, state=State.PAUSED, note=node.question)

    def _group(self, run: Run, group: Group) -> Run:
        with ExitStack() as stack:
            if group.environment:
                run = self._alone(run, group, stack.enter_context(self._lock_file(group.environment)))
                if any(group.environment in other.entered for other in self._runs.all() if other.number > run.number):
                    return replace(run, state=State.SUPERSEDED, note=f"a newer run has had its turn on {group.environment}")
                if group.environment not in run.entered:
                    run = self._save(replace(run, entered=(*run.entered, group.environment)))
                self._supersede_those_that_wait(run, group.environment)
            if group.parallel:
                return self._stages(run, group.stages)
            for stage in group.stages:
                run = self._stages(run, [stage])
                if run.walked[stage.name].state is not State.PASSED:
                    break
        return run

    def _supersede_those_that_wait(self, run: Run, environment: str) -> None:
        """What older runs have there, and ask about, is about to be replaced: nobody can agree to it any more."""
        for other in self._runs.all():
            if other.number < run.number and other.state is State.PAUSED and environment in other.entered:
                with suppress(UsageError), self._runs.hold(other.number) as waiting:  # somebody agrees at this moment: let them
                    if waiting.state is State.PAUSED:
                        note = f"run {run.number} has taken its place on {environment}"
                        self._runs.save(replace(waiting, state=State.SUPERSEDED, note=note))

    def _lock_file(self, environment: str) -> TextIO:
        self._locks.mkdir(parents=True, exist_ok=True)
        return (self._locks / f"environment-{environment}.lock").open("a+")

    def _alone(self, run: Run, group: Group, lock: TextIO) -> Run:
        """Return when nobody else touches the environment; say who does."""
        before = run
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                note = f"waiting for {group.environment}, which {lock.read() or 'another process'} has"
                if group.name not in run.walked:
                    run = self._save(run.with_walked(group.name, Walked(State.RUNNING, self._now(), note=note)))
                self._watch(run)
                time.sleep(self._poll * 4)
                continue
            lock.truncate(0)
            lock.write(f"run {run.number}")
            lock.flush()
            return before

    def _stages(self, run: Run, stages: Sequence[Stage]) -> Run:
        """Walk these side by side; all of them end before this returns, whatever becomes of the others."""
        todo = [s for s in stages if s.name not in run.walked or run.walked[s.name].state is not State.PASSED]
        children: dict[str, process.Companion] = {}
        try:
            for stage in todo:
                argv = [*self._command, *argv_of(stage, run.situation)]
                children[stage.name] = process.Companion(argv, log=self.log(run.number, stage.name), cwd=self._cwd, env=self._env)
                run = run.with_walked(stage.name, Walked(State.RUNNING, self._now()))
            self._save(run)
            while children:
                time.sleep(self._poll)
                for stage in todo:
                    child = children.get(stage.name)
                    if child and not child.running:
                        del children[stage.name]
                        run = self._save(self._ended(run, stage, child.wait(0)))
                self._watch(run)
        finally:
            for child in children.values():
                child.stop(grace=GRACE_SECONDS)
        return run

    def _ended(self, run: Run, stage: Stage, code: int) -> Run:
        state = STATES.get(code, State.FAILED)
        if state is State.REFUSED and stage.ends_quietly:
            state = State.SUPERSEDED
        started = run.walked[stage.name].started
        note = telling(self.log(run.number, stage.name), failed=code != 0)
        return run.with_walked(stage.name, Walked(state, started, (self._now() - started).total_seconds(), note))

    def _after(self, run: Run, stages: Sequence[Stage]) -> Run:
        """The run once these stages have ended: over, if one of them did not pass."""
        ended = {s.name: run.walked[s.name] for s in stages if s.name in run.walked}
        state = worst([walked.state for walked in ended.values()])
        reasons = [f"{name}: {_cut(walked.note)}" for name, walked in ended.items() if walked.state is not State.PASSED]
        return replace(run, state=state, note="; ".join(reasons))

    def _save(self, run: Run) -> Run:
        self._runs.save(run)
        self._watch(run)
        return run

    def log(self, number: int, stage: str) -> Path:
        """Where the stage's output goes."""
        return self._runs.log(number, stage)


def refuse_over(run: Run) -> None:
    """Raises UsageError for a run that ended with an answer; one that could not find out may go on."""
    if run.state.over and run.state is not State.FAILED:
        raise UsageError(f"run {run.number} is over: {run.state}", hint="`python -m pipeline run --fresh` begins anew")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def telling(log: Path, *, failed: bool = False) -> str:
    """The line of a log that tells most: the error of a stage that failed, else the last."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - TAIL_BYTES, 0))
            lines = [" ".join(line.split()) for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        return ""
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if failed and errors:
        return errors[-1]
    lines = [re.sub(r"^[.sxF]*\.{8,}[.sxF]*", "…", line) for line in lines]  # pytest's dots
    said = [line for line in lines if line and not line.startswith("try: ")]
    return re.sub(r"^(passed|refused|arrived|newest) ", "", said[-1]) if said else ""
