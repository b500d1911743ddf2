"""Git hooks: what git tells of a push, and the scripts that hand it to `python -m pipeline hook received`."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import process
from pipeline.errors import UsageError
from pipeline.settings import PREFIX, Settings, located
from pipeline.stages import MAIN

KINDS = ("post-receive", "pre-push")
MARK = "# written by: python -m pipeline hook install"
REMOTE = "PUSHED_TO"  # variable: where a laptop pushes to, which may have a password in it
BRANCHES, TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True, slots=True)
class Pushed:
    """One branch or tag that was pushed, and the commit (or annotated tag) that it names now."""

    name: str
    commit: str
    tag: bool = False

    @property
    def ref(self) -> str:
        return (TAGS if self.tag else BRANCHES) + self.name


def pushed(ref: str, commit: str) -> Pushed | None:
    """What was pushed; None for what was deleted, and for refs that are neither branches nor tags."""
    if not commit.strip("0"):
        return None
    for prefix in (BRANCHES, TAGS):
        if ref.startswith(prefix):
            return Pushed(ref.removeprefix(prefix), commit, tag=prefix == TAGS)
    return None


def read_push(kind: str, lines: Iterable[str]) -> tuple[Pushed, ...]:
    """What git writes to a hook's standard input (githooks(5)): one line a ref. One build a ref, however often it is named.

    `post-receive`: old commit, new commit, ref. `pre-push`: local ref, local commit, remote ref, remote commit.
    """
    found: dict[str, Pushed] = {}
    for line in lines:
        words = line.rstrip("\n").split(" ")  # names may have any other space
        if words == [""]:
            continue
        if len(words) != len(("old", "new", "ref") if kind == "post-receive" else ("ref", "commit", "ref", "commit")):
            raise UsageError(f"git's {kind} hook does not say {line.strip()!r}")
        change = pushed(words[2], words[1])
        if change:
            found[change.ref] = change
    return tuple(found.values())


def script(kind: str, python: str, root: Path, environ: Mapping[str, str]) -> str:
    """The hook. What git sets for its own hooks must not reach the git that the pipeline calls.

    A `pre-push` hook never stops a push: it only starts what follows it.
    """
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(environ.items()))
    lines = ["#!/bin/sh", MARK, "unset $(git rev-parse --local-env-vars)"]
    call = f"{variables} {shlex.quote(python)} -m pipeline hook received --kind {kind}".lstrip()
    if kind == "pre-push":
        lines += [f"cd {shlex.quote(str(root))} || exit 0", f'{REMOTE}="$1" {call} || true']
    else:
        lines += [f"cd {shlex.quote(str(root))} || exit 1", call]
    return "\n".join(lines) + "\n"


def prepared(kind: str, root: Path, settings: Settings, repository: Path | None = None) -> tuple[Path, str]:
    """The repository that gets the hook, and the hook: it calls the checkout at `root`, with that checkout's state.

    Without a repository a laptop's is the checkout itself, and a server's is one below the state, made where there is none.
    """
    if repository:
        target = repository.resolve()
    elif kind == "pre-push":
        target = root
    else:
        target = bare_repository((root / settings.state).resolve() / "repository.git", root, MAIN)
    variables = located(root, settings, os.environ) | {f"{PREFIX}REPOSITORY": str(target)}
    return target, script(kind, sys.executable, root, variables)


def install(kind: str, repository: Path, text: str) -> Path:
    """Put the hook into a repository; its path. One of ours is replaced, another's never. Raises UsageError."""
    found = process.run(["git", "rev-parse", "--git-path", "hooks"], cwd=repository)
    if found.code != 0:
        raise UsageError(f"{repository} is no git repository", hint="`git init --bare FOLDER` makes one to push to")
    path = (repository / found.output.strip()).resolve() / kind
    if path.exists() and MARK not in path.read_text():
        raise UsageError(f"there is another {kind} hook: {path}", hint="let it call the line that --print shows")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{kind}.partial")
    partial.write_text(text)
    partial.chmod(partial.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    partial.replace(path)
    return path


def bare_repository(path: Path, source: Path, branch: str) -> Path:
    """A repository to push to, made from `source` where there is none, with the commit that `source` is at."""
    if not (path / "HEAD").exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        process.must(["git", "init", "--quiet", "--bare", f"--initial-branch={branch}", str(path)])
        process.must(["git", "config", "receive.shallowUpdate", "true"], cwd=path)  # a shallow clone may push, too
        process.must(["git", "push", "--quiet", str(path), f"HEAD:{BRANCHES}{branch}"], cwd=source)
    return path


def run_argv(change: Pushed) -> Sequence[str]:
    """What follows `python -m pipeline` to walk the way of a push on this machine."""
    return ["run", "--commit", change.commit, "--branch", change.name, *(["--tag"] if change.tag else []), "--begin"]


def trigger_argv(change: Pushed) -> Sequence[str]:
    """What follows `python -m pipeline` to have a Jenkins see it."""
    return ["trigger", "--pushed", "--commit", change.commit, "--branch", change.name, *(["--tag"] if change.tag else [])]
