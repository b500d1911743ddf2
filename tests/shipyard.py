"""A checkout of this repository with a project, hosts and a registry of its own, on the machine's real Docker engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx2

ME = {
    "GIT_AUTHOR_NAME": "e2e",
    "GIT_AUTHOR_EMAIL": "e2e@localhost",
    "GIT_COMMITTER_NAME": "e2e",
    "GIT_COMMITTER_EMAIL": "e2e@localhost",
}
STAGING, PRODUCTION = ("127.0.30.11",), ("127.0.30.21", "127.0.30.22")
SETTINGS = """
project = "{project}"
state = "{state}"
wheelhouse = "{wheelhouse}"
registry = "127.0.0.1:5020"
wheelhouse_port = 5021
ready_seconds = 20
load_seconds = {load_seconds}

[environments.staging]
hosts = ["127.0.30.11"]
service = {{ sign_up = true }}
requires = ["dependencies", "tests"]

[environments.production]
hosts = ["127.0.30.21", "127.0.30.22"]
service = {{ sign_up = true }}
requires = ["dependencies", "tests", "deploy@staging", "load@staging"]
"""


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shipyard:
    """A checkout, and its CLI run as its users run it: in a process of its own."""

    checkout: Path
    state: Path
    project: str
    environment: dict[str, str]

    def start(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *argv], cwd=self.checkout, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *argv: str) -> Done:
        with self.start(*argv) as child:
            out, err = child.communicate(timeout=1500)
        return Done(child.returncode, out, err)

    def must(self, *argv: str) -> Done:
        done = self.run(*argv)
        assert done.code == 0, f"{argv}: {done.out}\n{done.err}"
        return done

    def commit(self, file: str, old: str, new: str, message: str) -> str:
        """Replace a text in a file and commit it; the commit's id."""
        path = self.checkout / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return commit_all(self.checkout, message)

    def change_code(self, message: str) -> str:
        """Commit a change of the service's code that changes nothing else; the commit's id."""
        return self.commit("service/web/templates/layout.html", "</body>", f"<!-- {message} -->\n</body>", message)

    def prepare(self, commit: str) -> str:
        """Check, test and build a commit; its release."""
        self.must("check", "--commit", commit)
        self.must("test", "--commit", commit)
        return str(self.must("build", "--commit", commit, "--json").json["release"])

    def events(self, kind: str, environment: str = "") -> list[dict[str, Any]]:
        found = self.must("history", "--json").json
        return [event for event in found if event["kind"] == kind and environment in ("", event["environment"])]

    def containers(self) -> list[Any]:
        return docker.from_env().containers.list(all=True, filters={"label": f"slipway.project={self.project}"})

    def push(self, branch: str = "main") -> str:
        """Push the checkout to the repository that the demo left; what the terminal shows."""
        argv = ["git", "push", str(self.state / "repository.git"), f"HEAD:refs/heads/{branch}"]
        done = subprocess.run(
            argv, cwd=self.checkout, env=self.environment, text=True, capture_output=True, check=True, timeout=900
        )
        return done.stderr

    def serving(self, host: str) -> str:
        """The release that a user of the host gets."""
        return str(httpx2.get(f"http://{host}/version", timeout=5).json()["release"])

    def proxies(self, hosts: Sequence[str]) -> dict[str, str]:
        """Process ids of HAProxy on the hosts of production."""
        names = [f"{self.project}-production-{number}" for number in range(1, len(hosts) + 1)]
        engine = docker.from_env()
        return {name: engine.containers.get(name).exec_run("pidof haproxy").output.decode() for name in names}


def commit_all(checkout: Path, message: str) -> str:
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(checkout, "rev-parse", "HEAD").strip()


def git(checkout: Path, *argv: str) -> str:
    environment = {**os.environ, **ME}
    return subprocess.run(["git", *argv], cwd=checkout, env=environment, check=True, capture_output=True, text=True).stdout


def raise_shipyard(folder: Path, project: str, root: Path, *, load_seconds: int) -> Shipyard:
    """The files of the checkout `root` as they are now, committed in a repository below `folder`; nothing is up yet."""
    checkout, state = folder / "checkout", folder / "state"
    for name in git(root, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (root / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, checkout / name)
    git(checkout, "init", "--quiet")
    commit_all(checkout, "The first commit")
    settings = folder / "slipway.toml"
    wheelhouse = root / "var" / "wheelhouse"
    settings.write_text(SETTINGS.format(project=project, state=state, wheelhouse=wheelhouse, load_seconds=load_seconds))
    return Shipyard(checkout, state, project, {**os.environ, "SLIPWAY_FILE": str(settings)})


def take_down(shipyard: Shipyard) -> None:
    """Remove everything that the shipyard made, and see that it is gone."""
    shipyard.must("down")
    assert shipyard.containers() == []
