"""What a run on this machine leaves as Jenkins would keep it: a JUnit file of its stages, and its steps for the page."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from pipeline.progress import State
from pipeline.report.run import Step
from pipeline.runs.record import Run
from pipeline.stages import Approval, Group, Stage, argv_of

SILENT = (State.WAITING, State.SKIPPED, State.PAUSED)


def stages_in_order(run: Run) -> list[Stage]:
    """Every stage that the run may walk, groups opened."""
    found: list[Stage] = []
    for node in run.nodes():
        if not isinstance(node, Approval):
            found += node.stages if isinstance(node, Group) else [node]
    return found


def steps(run: Run, extra: tuple[Stage, ...] = ()) -> list[Step]:
    """The stages that were walked, for the page; the time that people took to agree is left out."""
    found: list[Step] = []
    for node in (*run.nodes(), *extra):
        at = max((step.at + step.seconds for step in found), default=0.0)
        for stage in [] if isinstance(node, Approval) else node.stages if isinstance(node, Group) else [node]:
            walked = run.walked.get(stage.name)
            if walked and walked.state not in SILENT:
                problem = "" if walked.state is State.PASSED else f"{walked.state}: {walked.note}"
                found.append(Step(stage.name, tuple(argv_of(stage, run.situation)), walked.seconds, problem, at))
                at += 0.0 if isinstance(node, Group) and node.parallel else walked.seconds
    return found


def write_junit(run: Run, path: Path) -> Path:
    """One test case a stage: what did not pass is a failure, what had no turn is skipped."""
    stages = stages_in_order(run)
    suite = ElementTree.Element("testsuite", name=f"run {run.number}", tests=str(len(stages)), timestamp=run.started.isoformat())
    failures = skipped = 0
    for stage in stages:
        walked = run.walked.get(stage.name)
        seconds = f"{walked.seconds:.3f}" if walked else "0"
        case = ElementTree.SubElement(suite, "testcase", classname="pipeline", name=stage.name, time=seconds)
        if walked is None or walked.state in SILENT:
            ElementTree.SubElement(case, "skipped")
            skipped += 1
        elif walked.state is not State.PASSED:
            ElementTree.SubElement(case, "failure", type=walked.state.value, message=walked.note)
            failures += 1
    suite.set("failures", str(failures))
    suite.set("skipped", str(skipped))
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path, encoding="unicode", xml_declaration=True)
    return path
