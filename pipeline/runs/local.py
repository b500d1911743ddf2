"""Runs on this machine, from their start to what they leave: begin, walk, approve, abort, follow."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pipeline import process
from pipeline.collaborators import Tools
from pipeline.errors import GateClosed, PipelineError, UsageError
from pipeline.evidence import gather
from pipeline.ledger import protocol as ledger
from pipeline.progress import State, Step
from pipeline.recording import append
from pipeline.runs import results
from pipeline.runs.record import Run, Runs, tree_of
from pipeline.runs.tidy import tidy
from pipeline.runs.walk import Aborted, Walker, refuse_over, telling
from pipeline.settings import located
from pipeline.stages import MAIN, Approval, Situation, Stage, planned

WATCH_SECONDS = 0.3
CUT_SHORT_SECONDS = 3.0  # a run that nobody walks for so long was cut short, and is not just about to begin
STOP_SECONDS = 60
STAGE_ENVIRONMENT = {"STORY_SECONDS": "2"}  # a stage tells more often where it is, for the tree
Watch = Callable[[Step], None]


class LocalRuns:
    """The runs of this machine, walked by the code of the checkout `tools.root`."""

    def __init__(self, tools: Tools, state: Path) -> None:
        self._tools = tools
        self._state = state
        self.records = Runs(state / "runs")

    def begin(self, situation: Situation, *, fresh: bool = False) -> Run:
        """A run for the situation: the last one of its branch, where it was cut short or could not find out, else a new one.

        Raises UsageError when nothing would be done.
        """
        if not any(planned(situation)):
            where = f"{situation.action} to {situation.environment} from {situation.branch}"
            raise UsageError(f"there is nothing to do for {where}", hint=f"only {MAIN} and tags leave for environments")
        for run in self.records.all() if not fresh else ():
            if run.situation.branch == situation.branch:
                unfinished = run.state in (State.RUNNING, State.FAILED) and not self.records.held(run.number)
                if run.situation == situation and unfinished:
                    return run
                break
        tools = self._tools
        tidy(self._state, self.records)
        return self.records.create(
            situation, by=tools.who, begin=len(tools.ledger.entries()), now=tools.now(), root=str(tools.root),
            variables=located(tools.root, tools.settings, os.environ),
        )  # fmt: skip

    def walk(self, number: int, watch: Watch, extra: Callable[[Run], Sequence[Stage]] = lambda run: ()) -> Run:
        """Walk what is left of a run, and write down what it leaves. It can be aborted with SIGTERM."""
        tools, added = self._tools, list[Stage]()

        def more(run: Run) -> Sequence[Stage]:
            added.extend(extra(run))
            return added

        walker = Walker(
            self.records, self._state / "locks", (sys.executable, "-m", "pipeline"), tools.root, STAGE_ENVIRONMENT,
            lambda run: watch(self._tree(run, held=True)), tools.now,
        )  # fmt: skip
        with _abortable():
            run = walker.walk(number, more)
        watch(self._tree(run, held=False))
        if run.state is not State.RUNNING:
            self._leave(run, tuple(added))
        return run

    def approve(self, number: int | None, reason: str) -> Run:
        """Agree that a run goes on; it is walked by whoever calls `walk` next. Raises UsageError and GateClosed."""
        with self.records.hold(self._waiting(number)) as run:
            return self._judged(run, reason)

    def _judged(self, run: Run, reason: str) -> Run:
        if run.state is not State.PAUSED:
            raise UsageError(f"run {run.number} does not wait for approval: it is {run.state}")
        node = next(node for node in run.nodes() if isinstance(node, Approval))
        asked = run.walked[node.name].started
        if self._tools.now() - asked > timedelta(hours=node.hours):
            self._over(run, State.ABORTED, f"nobody agreed within {node.hours} h")
            raise GateClosed(f"run {run.number} waited longer than {node.hours} h", hint="run its commit again")
        newer = [r.number for r in self.records.all() if r.number > run.number and run.situation.environment in r.entered]
        if newer:
            self._over(run, State.SUPERSEDED, f"run {newer[-1]} has had its turn on {run.situation.environment}")
            raise GateClosed(f"run {run.number} is superseded: run {newer[-1]} has had its turn on {run.situation.environment}")
        return self._agreed(run, reason)

    def agree(self, number: int, reason: str) -> Run:
        """Write down that who runs this agrees, before anybody is asked."""
        with self.records.hold(number) as run:
            return run if run.approved else self._agreed(run, reason)

    def _agreed(self, run: Run, reason: str) -> Run:
        detail: dict[str, object] = {"run": run.number, "reason": reason}
        append(self._tools, ledger.APPROVED, run.situation.commit, run.situation.environment, detail=detail)
        run = replace(run, approved=self._tools.who, state=State.RUNNING, note="")
        self.records.save(run)
        return run

    def abort(self, number: int | None) -> Run:
        """Stop a run that is under way, or reject one that waits. Raises UsageError when it is over."""
        number = number if number is not None else self._unfinished().number
        end = time.monotonic() + STOP_SECONDS
        told = False
        while True:
            run = self.records.load(number)
            if run.state.over:
                if told:
                    return run
                raise UsageError(f"run {number} is over: {run.state}")
            try:
                with self.records.hold(number) as run:
                    if run.state.over:
                        continue
                    return self._over(
                        run, State.ABORTED, f"rejected by {self._tools.who}" if run.state is State.PAUSED else "stopped"
                    )
            except UsageError:  # somebody walks it, and says so in the record as soon as it has the run
                pid = self.records.load(number).pid
                if pid > 0 and not told and self.records.held(number):
                    os.kill(pid, signal.SIGTERM)
                    told = True
            if time.monotonic() > end:
                log = self.records.folder(number) / "console.log"
                raise PipelineError(f"run {number} does not end", hint=f"its log is {log}")

    def abort_all(self) -> list[int]:
        """Stop every run that is under way; their numbers."""
        held = [run.number for run in self.records.all() if not run.state.over and self.records.held(run.number)]
        for number in held:
            self.abort(number)
        return held

    def follow(self, number: int | None, watch: Watch) -> Run:
        """Watch a run of another process until it is over or waits for somebody. Raises PipelineError when it was cut short."""
        number = number if number is not None else self._unfinished().number
        free_since: float | None = None
        while True:
            run, held = self.records.load(number), self.records.held(number)
            watch(self._tree(run, held=held))
            if run.state is not State.RUNNING:
                return run
            free_since = None if held else free_since or time.monotonic()
            if free_since and time.monotonic() - free_since > CUT_SHORT_SECONDS:
                raise PipelineError(f"run {number} was cut short", hint=f"python -m pipeline run --number {number}")
            time.sleep(WATCH_SECONDS)

    def start(self, number: int) -> None:
        """Let a process of its own walk the run, by the code that began it; it outlives us. Raises UsageError when that is gone."""
        with self.records.hold(number) as run:
            refuse_over(run)
            if run.state is State.FAILED:  # who watches it must not take how it ended before for how it ends now
                self.records.save(replace(run, state=State.RUNNING, note=""))
        root = Path(run.root or self._tools.root)
        if not (root / "pipeline").is_dir():
            raise UsageError(f"the code that began run {number} is gone from {root}", hint="`python -m pipeline run` begins anew")
        argv = [sys.executable, "-m", "pipeline", "run", "--number", str(number)]
        process.spawn_daemon(argv, log=self.records.folder(number) / "console.log", cwd=root, env=run.variables)

    def ours(self, run: Run) -> bool:
        """Whether it is walked by the code of this checkout."""
        return run.root in ("", str(self._tools.root))

    def tree(self, run: Run) -> Step:
        """The run as people are shown it."""
        return self._tree(run, held=self.records.held(run.number))

    def page(self, number: int) -> Path:
        """Where the run's page is, once it has one."""
        return self.records.folder(number) / "evidence" / "report.html"

    def _tree(self, run: Run, *, held: bool) -> Step:
        running = [name for name, walked in run.walked.items() if walked.state is State.RUNNING]
        lines = {name: telling(self.records.log(run.number, name)) for name in running}
        return tree_of(run, held=held, now=self._tools.now(), last_line=lines)

    def _leave(self, run: Run, extra: tuple[Stage, ...]) -> None:
        results.write_junit(run, self.records.folder(run.number) / "junit.xml")
        folder = self.records.folder(run.number) / "evidence"
        gather(self._tools, run.situation.commit, folder, steps=results.steps(run, extra), begin=run.begin)

    def _over(self, run: Run, state: State, note: str) -> Run:
        run = replace(run, state=state, note=note)
        self.records.save(run)
        return run

    def _waiting(self, number: int | None) -> int:
        if number is not None:
            return number
        waiting = [run.number for run in self.records.all() if run.state is State.PAUSED]
        if not waiting:
            raise UsageError("no run waits for approval", hint="`python -m pipeline jobs` lists the runs")
        return waiting[0]

    def _unfinished(self) -> Run:
        runs = self.records.all()
        if not runs:
            raise UsageError("there is no run yet", hint="python -m pipeline run")
        return next((run for run in runs if not run.state.over), runs[0])


@contextmanager
def _abortable() -> Iterator[None]:
    """SIGTERM stops the run instead of killing it in the middle of its bookkeeping."""

    def stop(number: int, frame: object) -> None:
        raise Aborted

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
