"""One use case per verb. Each receives its collaborators and reads as its own summary; none touches the world itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.collaborators import LoadRun, Tools
from pipeline.commit import Commit
from pipeline.errors import GateClosed, PipelineError, UsageError
from pipeline.gates import load, promotion
from pipeline.ledger import protocol as ledger
from pipeline.ledger.protocol import Event
from pipeline.release import Release
from pipeline.settings import EnvironmentSettings
from pipeline.verdict import Answer, Verdict

EXAMPLE = "loadtests/images/coffee.jpg"
AFTER_SWITCH_SECONDS = 3.0  # load goes on for so long after a deploy under load has ended


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deploy that ended well; `load` is what users of the environment met meanwhile, when load was on."""

    release: Release
    environment: str
    seconds: float
    load: dict[str, object] | None = None


def check(tools: Tools, commit_name: str = "HEAD") -> Verdict:
    """Judge the dependencies of a commit and record what was found."""
    commit = tools.commits.commit(commit_name)
    tools.story.step("checking", f"the dependencies of {commit.id[:12]}")
    verdict = tools.check_dependencies(commit.files / "requirements")
    _record(tools, "dependencies", verdict, commit.id)
    return opened(verdict, "the dependency gate")


def test(tools: Tools, commit_name: str = "HEAD") -> dict[str, object]:
    """Run the fast tests of a commit and record what they said; their counts."""
    commit = tools.commits.commit(commit_name)
    tools.story.step("testing", commit.id[:12])
    verdict, counts = tools.tests.run(commit)
    _record(tools, "tests", verdict, commit.id, counts=counts)
    opened(verdict, "the tests")
    return counts


def build(tools: Tools, commit_name: str, lock: Callable[[Path], str], model: Callable[[Path], str]) -> Release:
    """Build the image of a commit, once for its tree, and make a release of it. `lock` and `model` hash those of a tree."""
    commit = tools.commits.commit(commit_name)
    events = tools.events()
    image = _image_of(tools, commit, events)
    release = Release(commit.id, image, model(commit.files), lock(commit.files))
    if release.id not in ledger.releases(events):
        _append(tools, ledger.RELEASED, release.id, detail=release.record())
    return release


def deploy(
    tools: Tools,
    environment_name: str,
    release_name: str | None = None,
    *,
    commit_name: str | None = None,
    under_load: bool = False,
) -> Deployed:
    """Put a release on every host of an environment, once it has shown what the environment requires.

    The release is named by its id, by its commit, or is the newest one.
    """
    events = tools.events()
    environment = tools.settings.environment(environment_name)
    commit = tools.commits.commit(commit_name) if commit_name else None
    release = find_release(events, release_name, commit.id if commit else None)
    opened(promotion.judge(release, environment.requires, events), f"the way to {environment.name}")
    return _switch(tools, events, environment, release, under_load=under_load, outcome=ledger.DEPLOYED)


def promote(tools: Tools, source: str, target: str, *, under_load: bool = True) -> Deployed:
    """Put what is live on one environment on another: the same digest, never a build."""
    live = ledger.live(tools.events(), tools.settings.environment(source).name)
    if live is None:
        raise UsageError(f"nothing is live on {source}", hint=f"python -m pipeline deploy {source}")
    return deploy(tools, target, live, under_load=under_load)


def rollback(tools: Tools, environment_name: str) -> Deployed:
    """Deploy the release that was live before, by the same path; going back twice goes back two releases."""
    events = tools.events()
    environment = tools.settings.environment(environment_name)
    stack = ledger.served(events, environment.name)
    if len(stack) < 2:
        raise UsageError(f"{environment.name} has no earlier release to go back to", hint="`history` shows what was live")
    release = ledger.releases(events)[stack[-2]]
    return _switch(tools, events, environment, release, under_load=False, outcome=ledger.WITHDRAWN, withdrawn=stack[-1])


def loadtest(tools: Tools, environment_name: str, seconds: float | None = None) -> tuple[Verdict, load.LoadStats]:
    """Load the environment and judge what its users would have met; the evidence is bound to the release that is live there."""
    environment = tools.settings.environment(environment_name)
    live = ledger.live(tools.events(), environment.name)
    if live is None:
        raise UsageError(f"nothing is live on {environment.name}", hint=f"python -m pipeline deploy {environment.name}")
    budget = tools.budget(tools.root / "loadtests" / "budget.toml")
    length = seconds or tools.settings.load_seconds
    tools.story.step("loading", f"{environment.name} for {length:g} s with {tools.settings.load_users} users")
    stats = tools.load.start(urls(environment), users=tools.settings.load_users, seconds=length).finish()
    verdict = load.judge(stats, budget)
    _record(tools, "load", verdict, live, environment.name, **stats.summary(), seen=seen_by_second(stats))
    return verdict, stats


def fleet_up(tools: Tools, names: Sequence[str]) -> None:
    """Make and provision the hosts of these environments, or of all."""
    for environment in environments(tools, names):
        tools.story.step("raising", f"{environment.name}: {', '.join(environment.hosts)}")
        tools.fleet.up(environment)


def fleet_down(tools: Tools, names: Sequence[str]) -> None:
    """Remove the hosts of these environments, or of all."""
    for environment in environments(tools, names):
        tools.story.step("removing", f"the hosts of {environment.name}")
        _append(tools, ledger.REMOVED, ledger.HOSTS, environment.name)
        tools.fleet.down(environment)


def down(tools: Tools) -> None:
    """Remove everything that was made on this machine but the ledger, which records that it is gone."""
    for environment in tools.settings.environments:
        _append(tools, ledger.REMOVED, ledger.HOSTS, environment.name)
    _append(tools, ledger.REMOVED, ledger.REGISTRY)
    tools.fleet.everything_down()


def status(tools: Tools) -> list[dict[str, object]]:
    """For each host: what should be live there by the ledger, and what answers."""
    events = tools.events()
    known = ledger.releases(events)
    rows: list[dict[str, object]] = []
    for environment in tools.settings.environments:
        live = ledger.live(events, environment.name)
        machines = tools.fleet.status(environment)
        for host, url in zip(environment.hosts, urls(environment), strict=True):
            rows.append(
                {
                    "environment": environment.name,
                    "host": host,
                    "machine": machines[host],
                    "live": live,
                    "commit": known[live].commit if live else None,
                    "image": known[live].image if live else None,
                    "answers": _answer(tools, url) if machines[host] == "running" else None,
                    "url": f"{url}/",
                }
            )
    return rows


def history(tools: Tools, environment_name: str | None = None) -> tuple[ledger.Entry, ...]:
    """What happened, oldest first; of one environment, or all. The chain is verified first."""
    if environment_name is not None:
        tools.settings.environment(environment_name)
    entries = tools.ledger.entries()
    return tuple(e for e in entries if environment_name in (None, e.event.environment))


def ask(tools: Tools, environment_name: str, picture: Path | None = None) -> dict[str, object]:
    """Show a picture to the service that is live on an environment; what it sees, and which release says so."""
    environment = tools.settings.environment(environment_name)
    shown = picture or tools.root / EXAMPLE
    if not shown.is_file():
        raise UsageError(f"there is no picture {shown}")
    return tools.hosts.predict(urls(environment)[0], shown)


def find_release(events: Sequence[Event], name: str | None, commit: str | None = None) -> Release:
    """The newest release whose id begins with `name` and that was made of `commit`, where these are given. Raises UsageError."""
    known = ledger.releases(events)
    found = {id: release for id, release in known.items() if id.startswith(name or "") and commit in (None, release.commit)}
    if not found:
        wanted = f"with id {name}" if name else f"of commit {commit[:12]}" if commit else "yet"
        raise UsageError(f"there is no release {wanted}", hint="`build` makes one, `history` lists them")
    if name and len(found) > 1:
        raise UsageError(f"{len(found)} releases begin with {name!r}", hint="give more of the id")
    return list(found.values())[-1]


def environments(tools: Tools, names: Sequence[str]) -> tuple[EnvironmentSettings, ...]:
    """The environments of these names, all of them without names. Raises UsageError before any work."""
    return tuple(tools.settings.environment(name) for name in names) or tools.settings.environments


def urls(environment: EnvironmentSettings) -> tuple[str, ...]:
    """Where the users of an environment reach its hosts."""
    return tuple(f"http://{host}" for host in environment.hosts)


def seen_by_second(stats: load.LoadStats) -> list[list[float]]:
    """For charts: [second, answered, failed, p95 in ms] for each second of a run."""
    buckets: dict[int, list[load.Sample]] = {}
    for sample in stats.samples:
        buckets.setdefault(max(int(sample.at), 0), []).append(sample)
    rows = []
    for second in range(max(buckets, default=-1) + 1):
        samples = buckets.get(second, [])
        good = [s.milliseconds for s in samples if not s.failure]
        p95 = load.nearest_rank(good, 0.95) if good else 0.0
        rows.append([float(second), float(len(good)), float(len(samples) - len(good)), round(p95, 1)])
    return rows


def _image_of(tools: Tools, commit: Commit, events: Sequence[Event]) -> str:
    """The image of the commit's tree: the one that was built for it, else a new one."""
    key = tools.images.key(commit)
    known = ledger.image_of_key(events, key)
    if known and tools.images.exists(known):
        tools.story.step("building", f"nothing: tree {commit.tree[:12]} was built before")
        return known
    tools.story.step("building", f"the image of {commit.id[:12]}")
    image = tools.images.build(commit, key)
    if known and known != image:
        raise PipelineError(
            f"tree {commit.tree[:12]} was built before as {known}, and now as {image}", hint="a digest is never rebuilt"
        )
    if not known:
        _append(tools, ledger.BUILT, key, detail={"image": image, "tree": commit.tree, "commit": commit.id})
    return image


def _switch(
    tools: Tools,
    events: Sequence[Event],
    environment: EnvironmentSettings,
    release: Release,
    *,
    under_load: bool,
    outcome: str,
    withdrawn: str = "",
) -> Deployed:
    """The one way in which a release comes to an environment. What was live stays live until every host has the new one ready."""
    before = ledger.live(events, environment.name) or ""
    if ledger.interrupted(events, environment.name):
        tools.story.note(f"the last deploy to {environment.name} was cut short: tidying up first")
        tools.deployer.settle(before, environment)
    tools.story.step("deploying", f"{release.short} to {environment.name}")
    started = tools.now()
    _append(tools, ledger.ATTEMPTED, release.id, environment.name)
    if under_load and not before:
        tools.story.note(f"nothing is live on {environment.name} yet: there is no user to lose, and no load to send")
    refusal, stats = None, None
    with _load_on(tools, environment, wanted=under_load and bool(before)) as running:
        try:
            tools.deployer.deploy(release, environment)
            _verify(tools, release, environment)
        except GateClosed as error:
            refusal = error
            tools.deployer.settle(before, environment)
        if running:
            stats = running.finish(AFTER_SWITCH_SECONDS)
    met = stats.summary() if stats else {}
    if refusal:
        _record(tools, "deploy", Verdict.of([str(refusal)]), release.id, environment.name, load=met)
        _append(tools, ledger.FAILED, release.id, environment.name)
        raise GateClosed(f"{refusal}{_still_live(before)}", hint=refusal.hint) from refusal
    seconds = (tools.now() - started).total_seconds()
    seen = seen_by_second(stats) if stats else []
    _record(tools, "deploy", Verdict.of([]), release.id, environment.name, seconds=seconds, load=met, seen=seen)
    subject = withdrawn if outcome == ledger.WITHDRAWN else release.id
    _append(tools, outcome, subject, environment.name, detail={"release": release.id, "image": release.image})
    return Deployed(release, environment.name, seconds, met or None)


@contextmanager
def _load_on(tools: Tools, environment: EnvironmentSettings, *, wanted: bool) -> Iterator[LoadRun | None]:
    """Load on the environment for the time of the block, when it is wanted; never longer, whatever happens in the block."""
    if not wanted:
        yield None
        return
    running = tools.load.start(urls(environment), users=tools.settings.load_users, seconds=None)
    try:
        yield running
    finally:
        running.stop()


def _verify(tools: Tools, release: Release, environment: EnvironmentSettings) -> None:
    """Every host answers its users with exactly this release. Raises GateClosed."""
    for url in urls(environment):
        answer = tools.hosts.version(url)
        model = answer.get("model")
        found = (
            answer.get("release"),
            answer.get("image"),
            answer.get("lock"),
            model.get("sha256") if isinstance(model, dict) else None,
        )
        if found != (release.id, release.image, release.lock, release.model):
            raise GateClosed(f"{url} answers with {found}, which is not release {release.short}")


def _answer(tools: Tools, url: str) -> str | None:
    try:
        return str(tools.hosts.version(url).get("release"))
    except PipelineError:
        return None


def _still_live(before: str) -> str:
    return f"; release {before[:12]} is still live" if before else ""


def opened(verdict: Verdict, gate: str) -> Verdict:
    """The verdict, if it passed. Raises GateClosed when refused, PipelineError when the gate could not judge."""
    if verdict.answer is Answer.REFUSED:
        raise GateClosed(f"{gate} refuses: {'; '.join(verdict.reasons)}")
    if verdict.answer is Answer.INCONCLUSIVE:
        raise PipelineError(f"{gate} could not judge: {'; '.join(verdict.reasons)}")
    return verdict


def _record(tools: Tools, gate: str, verdict: Verdict, subject: str, environment: str = "", **detail: object) -> None:
    event = ledger.evidence_event(gate, verdict, subject, at=tools.now(), by=tools.who, environment=environment, **detail)
    tools.ledger.append(event)


def _append(tools: Tools, kind: str, subject: str, environment: str = "", detail: dict[str, str] | None = None) -> None:
    tools.ledger.append(Event(kind, subject, tools.now(), tools.who, environment, dict(detail or {})))
