"""A run: one walk of a situation through the stages. One file a run, replaced whole: a kill leaves the last true state."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from pipeline.errors import PipelineError, UsageError
from pipeline.progress import State, Step, worst
from pipeline.stages import SET_UP, Group, Node, Situation, from_json, planned

LOOKS_SECONDS = 0.5  # somebody who only looks has the lock for a moment


@dataclass(frozen=True, slots=True)
class Walked:
    """What became of one stage or approval. `seconds` counts once it has ended, until then the time since `started`."""

    state: State
    started: datetime
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """`begin` is how many entries the ledger had; `entered` names the environments whose turn it had; times are in UTC.

    `approved` says who agreed, empty until somebody did. `pid` is the process that walks it, if one does. `root` is the folder
    whose code walks it, and `variables` are what that code needs to find everything else.
    """

    number: int
    situation: Situation
    by: str
    started: datetime
    begin: int
    state: State = State.RUNNING
    walked: Mapping[str, Walked] = field(default_factory=dict)
    entered: tuple[str, ...] = ()
    approved: str = ""
    note: str = ""
    pid: int = 0
    root: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def nodes(self) -> tuple[Node, ...]:
        """What is walked, in order; on this machine the set-up comes first."""
        return (SET_UP, *planned(self.situation))

    def with_walked(self, name: str, walked: Walked) -> Run:
        return replace(self, walked={**self.walked, name: walked})


class Runs:
    """All runs of this machine, below `folder`, each in a folder named by its number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(
        self,
        situation: Situation,
        *,
        by: str,
        begin: int,
        now: datetime,
        root: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Run:
        """A new run with the next number; nobody walks it yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder / "numbers.lock"):
            numbers = [int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()]
            run = Run(max((0, *numbers)) + 1, situation, by, now, begin, root=root, variables=dict(variables or {}))
            self.folder(run.number).mkdir()
            self.save(run)
        return run

    def folder(self, number: int) -> Path:
        """Where the run's logs and results are."""
        return self._folder / str(number)

    def log(self, number: int, stage: str) -> Path:
        """Where the output of a stage goes."""
        return self.folder(number) / "logs" / f"{stage.replace(' ', '-')}.log"

    def save(self, run: Run) -> None:
        """Replace what is kept of the run."""
        path = self.folder(run.number) / "run.json"
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(asdict(run), indent=2, default=datetime.isoformat) + "\n")
        partial.replace(path)

    def load(self, number: int) -> Run:
        """Raises UsageError when there is no such run."""
        path = self.folder(number) / "run.json"
        if not path.exists():
            raise UsageError(f"there is no run {number}", hint="`python -m pipeline jobs` lists them")
        try:
            return _run(json.loads(path.read_text()))
        except (KeyError, TypeError, ValueError) as error:
            raise PipelineError(f"run {number} cannot be read: {error}", hint=f"its file is {path}") from error

    def all(self) -> tuple[Run, ...]:
        """Newest first; what a crash or a full disk has damaged is left out."""
        found = []
        for number in sorted(
            (int(p.parent.name) for p in self._folder.glob("*/run.json") if p.parent.name.isdecimal()), reverse=True
        ):
            with suppress(PipelineError):
                found.append(self.load(number))
        return tuple(found)

    def held(self, number: int) -> bool:
        """Whether a process walks it, or changes its state, at this moment. Looking disturbs nobody who looks."""
        with (self.folder(number) / "walk.lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextmanager
    def hold(self, number: int) -> Iterator[Run]:
        """Have it alone, to walk it or to change its state: the run as it is now. Freed by the kernel however we end.

        Raises UsageError when there is no such run, or another process has it.
        """
        self.load(number)
        with (self.folder(number) / "walk.lock").open("a") as file:
            end = time.monotonic() + LOOKS_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > end:
                        raise UsageError(f"run {number} is under way", hint=f"python -m pipeline follow {number}") from error
                    time.sleep(0.01)
            yield self.load(number)


def tree_of(run: Run, *, held: bool, now: datetime, last_line: Mapping[str, str]) -> Step:
    """The run as people are shown it. `last_line` has what each stage said last."""

    def shown(name: str) -> Step:
        walked = run.walked.get(name)
        if walked is None:
            return Step(name, State.SKIPPED if run.state.over else State.WAITING)
        if walked.state is State.RUNNING:
            state = State.RUNNING if held else State.WAITING
            return Step(name, state, (now - walked.started).total_seconds() if held else 0, last_line.get(name, ""))
        return Step(name, walked.state, walked.seconds, walked.note)

    steps = []
    for node in run.nodes():
        if isinstance(node, Group):
            children = tuple(shown(stage.name) for stage in node.stages)
            longest = max if node.parallel else sum
            waiting = run.walked.get(node.name)
            note = waiting.note if waiting and waiting.state is State.RUNNING and held else ""
            steps.append(Step(node.name, worst([c.state for c in children]), longest(c.seconds for c in children), note, children))
        else:
            steps.append(shown(node.name))
    planned_names = {name for node in run.nodes() for name in (node.name, *(s.name for s in getattr(node, "stages", ())))}
    steps += [shown(name) for name in run.walked if name not in planned_names]
    cut_short = run.state is State.RUNNING and not held
    seconds = sum(step.seconds for step in steps if step.state is not State.PAUSED and step.name != "approve")
    return Step(f"run {run.number}", run.state, seconds, "cut short" if cut_short else run.note, tuple(steps))


def _run(values: dict[str, object]) -> Run:
    walked = values["walked"]
    assert isinstance(walked, dict)
    return Run(
        number=int(str(values["number"])),
        situation=from_json(values["situation"]),
        by=str(values["by"]),
        started=datetime.fromisoformat(str(values["started"])),
        begin=int(str(values["begin"])),
        state=State(str(values["state"])),
        walked={
            name: Walked(State(w["state"]), datetime.fromisoformat(w["started"]), float(w["seconds"]), str(w["note"]))
            for name, w in walked.items()
        },
        entered=tuple(values["entered"]),  # type: ignore[arg-type]
        approved=str(values["approved"]),
        note=str(values["note"]),
        pid=int(str(values["pid"])),
        root=str(values["root"]),
        variables=dict(values["variables"]),  # type: ignore[call-overload]
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
