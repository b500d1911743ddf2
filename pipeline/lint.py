"""Style and types of a commit: ruff and mypy in its own tree, with the rules that it brings."""

from __future__ import annotations

from pathlib import Path

from pipeline import process
from pipeline.collaborators import Story
from pipeline.commit import Commit
from pipeline.verdict import Verdict

SHOWN = 5  # complaints that a verdict repeats; the log has them all
COULD_NOT = 2  # what ruff and mypy end with when they did not get to judging


def linters(python: str, cache: Path) -> dict[str, list[str]]:
    """The commands, by what they judge. mypy remembers in `cache`, by content, what it found in files that stay as they were."""
    run = [python, "-m"]
    return {
        "style": [*run, "ruff", "check", "--no-cache", "--output-format=concise", "--quiet", "."],
        "format": [*run, "ruff", "format", "--no-cache", "--check", "--quiet", "."],
        "types": [*run, "mypy", "--no-error-summary", "--cache-dir", str(cache)],
    }


class Linters:
    """Logs are kept in `folder`, what mypy remembers in `cache`."""

    def __init__(self, python: str, folder: Path, cache: Path, story: Story) -> None:
        self._python = python
        self._folder = folder
        self._cache = cache
        self._story = story

    def run(self, commit: Commit) -> Verdict:
        self._folder.mkdir(parents=True, exist_ok=True)
        reasons, unknown, said = list[str](), list[str](), list[str]()
        for name, argv in linters(self._python, self._cache).items():
            lines: list[str] = []
            self._story.progress(name)
            code = process.follow(argv, lines.append, cwd=commit.files, env={"PYTHONDONTWRITEBYTECODE": "1"})
            said += [f"{name}: {line}" for line in lines]
            if code == 1:
                reasons += [f"{name}: {line}" for line in lines if line] or [f"{name}: refused without a word"]
            elif code != 0:
                unknown.append(f"{name} ended with {code}: {' '.join(lines[-1:])}")
        (self._folder / f"lint-{commit.id[:12]}.log").write_text("".join(f"{line}\n" for line in said))
        return judge(reasons, unknown)


def judge(reasons: list[str], unknown: list[str]) -> Verdict:
    """Refused when there is a complaint; what could not judge is no pass."""
    if reasons:
        return Verdict.of([f"{len(reasons)} complaints", *reasons[:SHOWN]])
    return Verdict.unknown(*unknown) if unknown else Verdict.of([])
