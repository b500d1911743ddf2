"""One use case per verb. Each receives its collaborators and reads as its own summary; none touches the world itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.collaborators import Tools
from pipeline.commit import Commit
from pipeline.errors import GateClosed, PipelineError, Superseded, UsageError
from pipeline.gates import load, promotion
from pipeline.ledger import protocol as ledger
from pipeline.ledger.protocol import Event
from pipeline.recording import append, opened, record
from pipeline.release import SHORT, Release
from pipeline.settings import EnvironmentSettings
from pipeline.switch import Deployed, seen_by_second, switch, urls
from pipeline.verdict import Verdict

EXAMPLE = "loadtests/images/coffee.jpg"


def arrive(tools: Tools, commit_name: str, branch: str) -> Commit:
    """Write down that a commit begins its way as the newest of `branch`, which is a branch or a tag.

    One that an arrived commit was made on top of is late, and is not the newest: of two pushes either may begin first.
    """
    commit = tools.commits.commit(commit_name)
    tools.story.step("arriving", f"{commit.id[:SHORT]} {commit.subject!r} on {branch}")
    latest = ledger.newest(tools.events(), branch)
    if latest and tools.commits.came_before(commit.id, latest):
        tools.story.note(f"{latest[:SHORT]}, which is made on top of it, is there already; `rollback` goes back")
        return commit
    append(tools, ledger.ARRIVED, commit.id, detail={"branch": branch, "subject": commit.subject, "author": commit.author})
    return commit


def newest(tools: Tools, commit_name: str, branch: str) -> Commit:
    """Refuse a commit after which another arrived on the same branch: environments are for the newer one. Raises Superseded."""
    commit = tools.commits.commit(commit_name)
    latest = ledger.newest(tools.events(), branch)
    if latest not in (None, commit.id):
        raise Superseded(f"commit {commit.id[:SHORT]} is superseded: {latest[:SHORT]} came after it on {branch}")
    return commit


def check(tools: Tools, commit_name: str = "HEAD") -> Verdict:
    """Judge the dependencies of a commit and record what was found."""
    commit = tools.commits.commit(commit_name)
    tools.story.step("checking", f"the dependencies of {commit.id[:12]}")
    verdict = tools.check_dependencies(commit.files / "requirements")
    record(tools, "dependencies", verdict, commit.id)
    return opened(verdict, "the dependency gate")


def test(tools: Tools, commit_name: str = "HEAD") -> dict[str, object]:
    """Run the fast tests of a commit and record what they said; their counts."""
    commit = tools.commits.commit(commit_name)
    tools.story.step("testing", commit.id[:12])
    verdict, counts = tools.tests.run(commit)
    record(tools, "tests", verdict, commit.id, counts=counts)
    opened(verdict, "the test gate")
    return counts


def lint(tools: Tools, commit_name: str = "HEAD") -> Verdict:
    """Judge style and types of a commit and record what was found."""
    commit = tools.commits.commit(commit_name)
    tools.story.step("linting", commit.id[:SHORT])
    verdict = tools.lint.run(commit)
    record(tools, "lint", verdict, commit.id)
    return opened(verdict, "the lint gate")


def build(tools: Tools, commit_name: str, lock: Callable[[Path], str], model: Callable[[Path], str]) -> Release:
    """Build the image of a commit, once for its tree, and make a release of it. `lock` and `model` hash those of a tree."""
    commit = tools.commits.commit(commit_name)
    events = tools.events()
    image = _image_of(tools, commit, events)
    release = Release(commit.id, image, model(commit.files), lock(commit.files))
    if release.id not in ledger.releases(events):
        append(tools, ledger.RELEASED, release.id, detail=release.record())
    return release


def deploy(
    tools: Tools,
    environment_name: str,
    release_name: str | None = None,
    *,
    commit_name: str | None = None,
    newest_of: str = "",
    under_load: bool = False,
) -> Deployed:
    """Put a release on every host of an environment, once it has shown what the environment requires.

    The release is named by its id, by its commit, or is the newest one. With `newest_of` a commit is refused after which
    another one arrived on that branch, also where that happened while this one waited for its turn.
    """
    if release_name == "":
        raise UsageError("the release that is named is nothing at all", hint="give the beginning of its id; `history` lists them")
    events = tools.events()
    environment = tools.settings.environment(environment_name)
    commit = newest(tools, commit_name or "HEAD", newest_of) if newest_of else None
    commit = commit or (tools.commits.commit(commit_name) if commit_name else None)
    release = find_release(events, release_name, commit.id if commit else None)
    opened(promotion.judge(release, environment.requires, events), f"the way to {environment.name}")
    return switch(tools, events, environment, release, under_load=under_load, outcome=ledger.DEPLOYED)


def promote(tools: Tools, source: str, target: str, *, commit_name: str | None = None, under_load: bool = True) -> Deployed:
    """Put what is live on one environment on another: the same digest, never a build.

    With a commit, only a release of that commit: what was approved, and not what came to `source` meanwhile.
    """
    events = tools.events()
    live = ledger.live(events, tools.settings.environment(source).name)
    if live is None:
        raise UsageError(f"nothing is live on {source}", hint=f"python -m pipeline deploy {source}")
    if commit_name is not None:
        commit, found = tools.commits.commit(commit_name), ledger.releases(events)[live].commit
        if found != commit.id:
            raise GateClosed(f"{source} has a release of commit {found[:SHORT]} meanwhile, not of {commit.id[:SHORT]}")
    return deploy(tools, target, live, under_load=under_load)


def rollback(tools: Tools, environment_name: str, release_name: str = "") -> Deployed:
    """Deploy a release that was live before, by the same path: the one before, or the last one of that name.

    Whatever came after it is withdrawn, so going back twice goes back two releases.
    """
    events = tools.events()
    environment = tools.settings.environment(environment_name)
    stack = ledger.served(events, environment.name)
    if len(stack) < 2:
        raise UsageError(f"{environment.name} has no earlier release to go back to", hint="`history` shows what was live")
    wanted = find_release(events, release_name).id if release_name else stack[-2]
    if wanted not in stack[:-1]:
        raise UsageError(f"release {wanted[:SHORT]} was not live on {environment.name} before", hint="`deploy` puts it there")
    steps = len(stack) - 1 - max(n for n, id in enumerate(stack[:-1]) if id == wanted)
    return switch(
        tools, events, environment, ledger.releases(events)[wanted],
        under_load=False, outcome=ledger.WITHDRAWN, withdrawn=stack[-1:-1 - steps:-1],
    )  # fmt: skip


def loadtest(
    tools: Tools, environment_name: str, seconds: float | None = None, shape: str = "steady"
) -> tuple[Verdict, load.LoadStats]:
    """Load the environment and judge what its users would have met; the evidence is bound to the release that is live there."""
    environment = tools.settings.environment(environment_name)
    live = ledger.live(tools.events(), environment.name)
    if live is None:
        raise UsageError(f"nothing is live on {environment.name}", hint=f"python -m pipeline deploy {environment.name}")
    budget = tools.budget(tools.root / "loadtests" / "budget.toml")
    length = seconds or tools.settings.load_seconds
    tools.story.step("loading", f"{environment.name} for {length:g} s with {tools.settings.load_users} users, {shape}")
    stats = tools.load.start(urls(environment), users=tools.settings.load_users, seconds=length, shape=shape).finish()
    verdict = load.judge(stats, budget)
    record(tools, "load", verdict, live, environment.name, shape=shape, **stats.summary(), seen=seen_by_second(stats))
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
        append(tools, ledger.REMOVED, ledger.HOSTS, environment.name)
        tools.fleet.down(environment)


def down(tools: Tools) -> None:
    """Remove everything that was made on this machine but the ledger, which records that it is gone."""
    for environment in tools.settings.environments:
        append(tools, ledger.REMOVED, ledger.HOSTS, environment.name)
    append(tools, ledger.REMOVED, ledger.REGISTRY)
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
        append(tools, ledger.BUILT, key, detail={"image": image, "tree": commit.tree, "commit": commit.id})
    return image


def _answer(tools: Tools, url: str) -> str | None:
    try:
        return str(tools.hosts.version(url).get("release"))
    except PipelineError:
        return None
