"""Stand-ins at the pipeline's protocol seams, for tests of use cases: they keep what happened and can be told to fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.collaborators import Tools
from pipeline.commit import Commit
from pipeline.errors import GateClosed, PipelineError, UsageError
from pipeline.gates.load import Budget, LoadStats, Sample
from pipeline.ledger.memory import MemoryLedger
from pipeline.release import Release
from pipeline.settings import EnvironmentSettings, Settings
from pipeline.verdict import Verdict

STAGING = EnvironmentSettings("staging", ("127.0.9.1",), ("dependencies", "tests"))
PRODUCTION = EnvironmentSettings(
    "production", ("127.0.9.2", "127.0.9.3"), ("dependencies", "tests", "deploy@staging", "load@staging")
)


class Silence:
    """A story that nobody hears; notes are kept."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, verb: str, text: str) -> None: ...

    def progress(self, text: str) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)


class FakeCommits:
    """Every name is a commit; `tree-of` makes two commits share a tree."""

    def __init__(self) -> None:
        self.trees: dict[str, str] = {}
        self.order: list[str] = []  # commits that were made one on top of the other

    def came_before(self, older: str, newer: str) -> bool:
        names = [name.ljust(40, "0") for name in self.order]
        return older in names and newer in names and names.index(older) < names.index(newer)

    def commit(self, name: str = "HEAD") -> Commit:
        return Commit(name.ljust(40, "0"), self.trees.get(name, name).ljust(40, "0"), f"Change {name}", Path("/nowhere"))

    def changed_files(self) -> int:
        return 0


class FakeImages:
    """A registry in memory."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.stored: set[str] = set()
        self.rebuilds_differ = False

    def key(self, commit: Commit) -> str:
        return f"key-{commit.tree}"

    def exists(self, image: str) -> bool:
        return image in self.stored

    def build(self, commit: Commit, key: str) -> str:
        self.built.append(key)
        suffix = len(self.built) if self.rebuilds_differ else 0
        image = f"registry/service@sha256:{hash((key, suffix)) & (2**256 - 1):064x}"
        self.stored.add(image)
        return image


class FakeFleet:
    """Hosts in memory. Passes tests/pipeline/test_fleet.py."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._up: set[str] = set()

    def up(self, environment: EnvironmentSettings) -> None:
        self._up.add(environment.name)
        (self._root / f"{environment.name}.json").write_text("{}")

    def down(self, environment: EnvironmentSettings) -> None:
        self._up.discard(environment.name)

    def everything_down(self) -> list[str]:
        names = sorted(self._up)
        self._up.clear()
        return names

    def status(self, environment: EnvironmentSettings) -> dict[str, str]:
        return dict.fromkeys(environment.hosts, "running" if environment.name in self._up else "missing")

    def inventory(self, environment: EnvironmentSettings) -> Path:
        if environment.name not in self._up:
            raise UsageError(f"the hosts of {environment.name} are not up")
        return self._root / f"{environment.name}.json"


@dataclass
class FakeHosts:
    """Deployer and hosts in one: what was deployed is what the hosts answer with."""

    serving: dict[str, Release] = field(default_factory=dict)
    settled: list[tuple[str, str]] = field(default_factory=list)
    never_ready: set[str] = field(default_factory=set)
    unreachable: bool = False
    lying: bool = False

    def deploy(self, release: Release, environment: EnvironmentSettings) -> None:
        if self.unreachable:
            raise PipelineError("a host cannot be reached")
        if release.commit in self.never_ready:
            raise GateClosed("deploy: host-1: it never became ready")
        for host in environment.hosts:
            self.serving[f"http://{host}"] = release

    def settle(self, release_id: str, environment: EnvironmentSettings) -> None:
        self.settled.append((release_id, environment.name))

    def version(self, url: str) -> dict[str, object]:
        if url not in self.serving:
            raise PipelineError(f"{url} does not answer")
        release = self.serving[url]
        image = "registry/service@sha256:" + "f" * 64 if self.lying else release.image
        return {"release": release.id, "image": image, "lock": release.lock, "model": {"sha256": release.model}}

    def predict(self, url: str, picture: Path) -> dict[str, object]:
        return {"release": self.serving[url].id, "picture": picture.name}


@dataclass
class FakeLoadRun:
    stats: LoadStats
    ended: bool = False

    def finish(self, after_seconds: float = 0) -> LoadStats:
        self.ended = True
        return self.stats

    def stop(self) -> None:
        self.ended = True


class FakeLoad:
    """Load whose outcome is given."""

    def __init__(self) -> None:
        self.stats = load_stats(300)
        self.runs: list[FakeLoadRun] = []

    def start(self, urls: Sequence[str], *, users: int, seconds: float | None, shape: str = "steady") -> FakeLoadRun:
        self.runs.append(FakeLoadRun(self.stats))
        return self.runs[-1]


class FakeTests:
    """A test run whose verdict is given."""

    def __init__(self) -> None:
        self.verdict = Verdict.of([])

    def run(self, commit: Commit) -> tuple[Verdict, dict[str, object]]:
        return self.verdict, {"tests": 3, "skipped": 0}


class FakeLint:
    """A lint whose verdict is given."""

    def __init__(self) -> None:
        self.verdict = Verdict.of([])

    def run(self, commit: Commit) -> Verdict:
        return self.verdict


def load_stats(sent: int, *, failed: int = 0, lost: int = 0, milliseconds: float = 50.0, seconds: float = 20.0) -> LoadStats:
    """A run in which every answer took the same time."""
    ended = sent - lost
    samples = [Sample(i * seconds / sent, milliseconds, "GET /", "500 oops" if i < failed else "") for i in range(ended)]
    return LoadStats(sent, tuple(samples), seconds)


@dataclass
class Shop:
    """The real use cases over a ledger in memory and fakes: what most tests of the pipeline start from."""

    tools: Tools
    commits: FakeCommits
    images: FakeImages
    fleet: FakeFleet
    hosts: FakeHosts
    load: FakeLoad
    tests: FakeTests
    lint: FakeLint
    story: Silence
    dependencies: list[Verdict]


def make_shop(root: Path) -> Shop:
    """A shop whose gates all pass until told otherwise; time moves one second with every look at the clock."""
    clock = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=i) for i in range(100_000))
    commits, images, fleet, hosts, load, tests, lint, story = (
        FakeCommits(), FakeImages(), FakeFleet(root), FakeHosts(), FakeLoad(), FakeTests(), FakeLint(), Silence(),
    )  # fmt: skip
    dependencies = [Verdict.of([])]
    tools = Tools(
        settings=Settings(environments=(STAGING, PRODUCTION)),
        root=root,
        ledger=MemoryLedger(),
        commits=commits,
        images=images,
        fleet=fleet,
        deployer=hosts,
        load=load,
        tests=tests,
        lint=lint,
        hosts=hosts,
        check_dependencies=lambda folder: dependencies[-1],
        budget=lambda path: Budget(200, 0.0, 1500),
        story=story,
        who="ada@test",
        now=lambda: next(clock),
    )
    return Shop(tools, commits, images, fleet, hosts, load, tests, lint, story, dependencies)
