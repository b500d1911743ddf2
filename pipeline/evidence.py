"""What a run leaves for people and for Jenkins to keep: history, test results, SBOM, a page to read, and who must act."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline import commands
from pipeline.collaborators import Tools
from pipeline.commit import Commit
from pipeline.errors import PipelineError
from pipeline.ledger import protocol as ledger
from pipeline.ledger.protocol import Entry, Event, to_json
from pipeline.release import SHORT
from pipeline.report.run import Step, write_report
from pipeline.sbom import sbom

OF_THE_AUTHOR = ("dependencies", "tests", "lint")


def gather(
    tools: Tools, commit_name: str, folder: Path, *, steps: Sequence[Step] = (), begin: int = 0
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write what is known of a commit into `folder`; the files, and who must act.

    `steps` are those of a run on this machine, `begin` how many entries the ledger had before it.
    """
    commit = tools.commits.commit(commit_name)
    entries = about(tools.ledger.entries()[begin:], commit.id)
    events = [entry.event for entry in entries]
    folder.mkdir(parents=True, exist_ok=True)
    files = [_written(folder / "ledger.jsonl", "".join(f"{json.dumps(to_json(e), sort_keys=True)}\n" for e in entries))]
    files.append(_written(folder / "sbom.cdx.json", sbom(commit.files / "requirements", commit.id)))
    reports = tools.root / tools.settings.state / "reports"
    for kept, name in (("tests.xml", "tests-{}.xml"), ("tests.log", "tests-{}.log"), ("lint.log", "lint-{}.log")):
        found = reports / name.format(commit.id[:SHORT])
        if found.exists():
            files.append(Path(shutil.copyfile(found, folder / kept)))
    acts = who_must_act(events, commit)
    page = write_report(folder / "report.html", commit, steps, events, _status(tools), now=tools.now(), acts=acts)
    return (*files, page), acts


def about(entries: Sequence[Entry], commit: str) -> tuple[Entry, ...]:
    """The entries about a commit, its image, its releases, and what became of them on environments."""
    subjects = {commit}
    for entry in entries:
        if entry.event.detail.get("commit") == commit:
            subjects.add(entry.event.subject)
    return tuple(e for e in entries if e.event.subject in subjects or e.event.detail.get("release") in subjects)


def who_must_act(events: Sequence[Event], commit: Commit) -> tuple[str, ...]:
    """One sentence for each thing that stands in the way, by what was said last; none when the way is open or was walked."""
    latest = {(e.detail["gate"], e.environment): e for e in events if e.kind == ledger.EVIDENCE}
    acts = []
    for (gate, environment), event in latest.items():
        where = f"{gate}@{environment}" if environment else str(gate)
        reasons = event.detail.get("reasons")
        why = f"; {reasons[0]}" if isinstance(reasons, list) and reasons else ""
        if event.detail["answer"] == "refused":
            acts.append(f"{commit.author or 'the author'} must mend commit {commit.id[:SHORT]}: {where} refused{why}")
        elif event.detail["answer"] == "inconclusive":
            acts.append(f"an operator must look at {where}, which could not judge{why}")
    touched = {e.environment for e in events if e.environment}
    acts += [f"an operator must look at {name}: a deploy was cut short" for name in touched if ledger.interrupted(events, name)]
    answers = {name for (name, _), event in latest.items() if event.detail["answer"] == "passed"}
    if not acts and {*OF_THE_AUTHOR, "load"} <= answers and ledger.live(events, "production") is None:
        acts.append("a promoter may send it to production: every gate before it has passed")
    return tuple(acts)


def _status(tools: Tools) -> Sequence[dict[str, object]]:
    try:
        return commands.status(tools)
    except PipelineError:  # the page is worth having where no engine can be asked
        return ()


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
