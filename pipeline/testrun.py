"""Runs the fast tests of a commit in this environment, which the dependency gate has compared with the locks."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from pipeline import process
from pipeline.collaborators import Story
from pipeline.commit import Commit
from pipeline.verdict import Verdict


def pytest_argv(python: str, report: Path) -> list[str]:
    """The command, on every core, each file on one of them; tests that need Docker are deselected by pyproject.toml."""
    return [python, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadfile", "-p", "no:cacheprovider", "--junit-xml", str(report)]


ENVIRONMENT: dict[str, str | None] = {"PYTHONDONTWRITEBYTECODE": "1"}  # and none of the settings of who runs the pipeline


class PytestRunner:
    """Reports are kept in `folder`."""

    def __init__(self, python: str, folder: Path, story: Story) -> None:
        self._python = python
        self._folder = folder
        self._story = story

    def run(self, commit: Commit) -> tuple[Verdict, dict[str, object]]:
        self._folder.mkdir(parents=True, exist_ok=True)
        report = self._folder / f"tests-{commit.id[:12]}.xml"
        report.unlink(missing_ok=True)
        lines: list[str] = []

        def hear(line: str) -> None:
            lines.append(line)
            self._story.progress(line)

        code = process.follow(
            pytest_argv(self._python, report), hear, cwd=commit.files, env=ENVIRONMENT | process.without("SLIPWAY_", "SERVICE_")
        )
        report.with_suffix(".log").write_text("\n".join(lines) + "\n")
        return judge(code, report)


def judge(code: int, report: Path) -> tuple[Verdict, dict[str, object]]:
    """The verdict of a finished pytest, by its exit code and JUnit report; no report, or no test, is no pass."""
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return Verdict.unknown(f"pytest ended with {code} and left no report"), {"report": str(report)}
    count = {name: sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "failures", "errors", "skipped")}
    ran = count["tests"] - count["skipped"]
    detail: dict[str, object] = {**count, "report": str(report)}
    if code == 0 and ran > 0:
        return Verdict.of([]), detail
    failed = [
        f"{case.get('classname')}.{case.get('name')} failed"
        for suite in suites
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]
    if failed:
        return Verdict.of([f"{len(failed)} of {ran} tests failed", *failed[:5]]), detail
    return Verdict.unknown(f"pytest ended with {code} after {ran} tests"), detail
