"""What the use cases work with: protocols for everything that touches the world, and the one bundle of them that they receive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pipeline.commit import Commit
from pipeline.gates.load import Budget, LoadStats
from pipeline.ledger.protocol import Event, Ledger
from pipeline.release import Release
from pipeline.settings import EnvironmentSettings, Settings
from pipeline.verdict import Verdict


class Story(Protocol):
    """What the person watching is told; the result itself goes to standard output."""

    def step(self, verb: str, text: str) -> None:
        """A step begins."""

    def progress(self, text: str) -> None:
        """Where a long step is."""

    def note(self, text: str) -> None:
        """Something worth knowing that stops nothing."""


class Commits(Protocol):
    """See `repository.Repository`."""

    def commit(self, name: str = "HEAD") -> Commit: ...

    def came_before(self, older: str, newer: str) -> bool: ...

    def changed_files(self) -> int: ...


class Images(Protocol):
    """Builds images and knows which ones exist."""

    def key(self, commit: Commit) -> str:
        """The hash of everything that goes into the commit's image."""

    def exists(self, image: str) -> bool:
        """Whether the registry can hand out this `…@sha256:…`."""

    def build(self, commit: Commit, key: str) -> str:
        """Build and push; the `registry/repository@sha256:…` to pull. Raises PipelineError."""


class Fleet(Protocol):
    """The hosts of every environment. Passes tests/pipeline/test_fleet.py."""

    def up(self, environment: EnvironmentSettings) -> None:
        """Make and provision the hosts; what is there already is left alone."""

    def down(self, environment: EnvironmentSettings) -> None:
        """Remove the hosts and everything that was made for them."""

    def everything_down(self) -> list[str]:
        """Remove every container and volume of the project, the registry too; their names."""

    def status(self, environment: EnvironmentSettings) -> dict[str, str]:
        """Host address -> `running`, `stopped` or `missing`."""

    def inventory(self, environment: EnvironmentSettings) -> Path:
        """The Ansible inventory of the environment. Raises UsageError when its hosts are not up."""


class Deployer(Protocol):
    """Puts a release on all hosts of an environment."""

    def deploy(self, release: Release, environment: EnvironmentSettings) -> None:
        """Returns once every host answers with the release. Raises GateClosed when it never became ready."""

    def settle(self, release_id: str, environment: EnvironmentSettings) -> None:
        """Make every host that still runs `release_id` serve it alone, after a deploy that was cut short."""


class LoadRun(Protocol):
    """Load that is on its way."""

    def finish(self, after_seconds: float = 0) -> LoadStats:
        """Let it go on for `after_seconds`, let every request end, and count."""

    def stop(self) -> None:
        """End it, if it still runs."""


class LoadGenerator(Protocol):
    """Sends load to hosts."""

    def start(self, urls: Sequence[str], *, users: int, seconds: float | None, shape: str = "steady") -> LoadRun:
        """Load until `seconds` have passed, or until it is finished when None; `shape` says how many users are at work when."""


class TestRunner(Protocol):
    """Runs the fast tests of a commit."""

    def run(self, commit: Commit) -> tuple[Verdict, dict[str, object]]:
        """The verdict, and its counts."""


class Lint(Protocol):
    """Judges style and types of a commit."""

    def run(self, commit: Commit) -> Verdict: ...


class Hosts(Protocol):
    """Asks deployed services over HTTP."""

    def version(self, url: str) -> dict[str, object]:
        """What /version says. Raises PipelineError."""

    def predict(self, url: str, picture: Path) -> dict[str, object]:
        """What the service sees. Raises PipelineError."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything a use case may touch."""

    settings: Settings
    root: Path
    ledger: Ledger
    commits: Commits
    images: Images
    fleet: Fleet
    deployer: Deployer
    load: LoadGenerator
    tests: TestRunner
    lint: Lint
    hosts: Hosts
    check_dependencies: Callable[[Path], Verdict]
    budget: Callable[[Path], Budget]
    story: Story
    who: str
    now: Callable[[], datetime]

    def events(self) -> tuple[Event, ...]:
        """The history, verified."""
        return tuple(entry.event for entry in self.ledger.entries())
