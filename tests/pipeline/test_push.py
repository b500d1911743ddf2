from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# The real pipeline with a way that takes seconds: what a push starts, and who walks it, is what is tested here.
SHORT_WAY = """
SET_UP = Stage("set up", ("history",), "cpu", always)
WAY = (
    Stage("arrive", ("arrive", *OF_COMMIT, "--branch", "{branch}"), "cpu", ships),
    Stage("newest", ("newest", *OF_COMMIT, "--branch", "{branch}"), "cpu", ships_from_here, ends_quietly=True),
    Approval("approve", "Promote to production?", "promoters", 24, needs_approval),
    Group("production", touches_production, (Stage("look", ("history", "production"), "deploy", always),), False, "production"),
)
"""
SETTINGS = '[environments.staging]\nhosts = ["127.0.9.11"]\n[environments.production]\nhosts = ["127.0.9.12"]\n'
SECRET = "a secret of the team"


@dataclass
class Team:
    """A checkout, the repository that is pushed to, and commands of both."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "check out"

    @property
    def bare(self) -> Path:
        return self.checkout / "var" / "repository.git"

    def environ(self, **more: str) -> dict[str, str]:
        me = {f"GIT_{who}_{what}": "ada" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")} | me | more

    def git(self, *argv: str, at: Path | None = None) -> str:
        done = subprocess.run(
            ["git", *argv], cwd=at or self.checkout, env=self.environ(), capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout + done.stderr

    def commit(self, message: str = "Change it") -> str:
        self.git("commit", "--quiet", "--all", "--allow-empty", "--allow-empty-message", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def slipway(self, *argv: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *argv], cwd=self.checkout, env=self.environ(), text=True, check=False,
            capture_output=True,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def runs(self) -> dict[str, str]:
        """Commit -> state, of all runs; the oldest first."""
        return {run["commit"]: run["state"] for run in reversed(json.loads(self.slipway("jobs", "--json").partition("\n")[0]))}


@pytest.fixture
def team(tmp_path: Path, root: Path) -> Team:
    team = Team(tmp_path)
    shutil.copytree(root / "pipeline", team.checkout / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "requirements", team.checkout / "requirements")
    (team.checkout / "slipway.toml").write_text(f'project = "none-{tmp_path.name}"\n{SETTINGS}')
    (team.checkout / ".gitignore").write_text("var/\n__pycache__/\n")
    stages = team.checkout / "pipeline" / "stages.py"
    head, _, rest = stages.read_text().partition("WAY: tuple[Node, ...] = (")
    stages.write_text(f"{head}{SHORT_WAY}\n\n{rest[rest.index('def argv_of') :]}")
    team.git("init", "--quiet", "--initial-branch=main")
    team.git("add", "--all")
    team.commit("The first commit")
    team.slipway("hook", "install")
    return team


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_a_push_is_walked_to_its_question_and_agreed_to(team: Team):
    commit = team.commit()
    shown = team.git("push", str(team.bare), "HEAD:main")
    assert "passed  arrive" in shown
    assert "paused  approve" in shown
    assert team.runs() == {commit: "paused"}
    assert "passed  run 1" in team.slipway("approve", "--reason", "it looks good")
    assert not (team.bare / "var").exists()


def test_what_was_agreed_to_is_walked_by_its_own_code_and_not_by_what_lies_about(team: Team):
    team.commit()
    team.git("push", str(team.bare), "HEAD:main")
    stages = team.checkout / "pipeline" / "stages.py"
    stages.write_text(stages.read_text().replace('("history", "production")', '("down",)'))
    team.slipway("approve")
    run = json.loads((team.checkout / "var" / "runs" / "1" / "run.json").read_text())
    assert Path(run["root"]).parent.name == "trees"
    assert "when (UTC)" in (team.checkout / "var" / "runs" / "1" / "logs" / "look.log").read_text()


def test_one_push_of_several_names_starts_each_and_a_bad_one_stops_none(team: Team):
    commit = team.commit("")
    blob = team.git("hash-object", "-w", "slipway.toml").strip()
    team.git("tag", "blob", blob)
    team.git("tag", "--annotate", "--message", "one", "v1")
    team.git("branch", "a\u00a0b")
    done = subprocess.run(
        ["git", "push", str(team.bare), "blob", "v1", "a\u00a0b", "HEAD:refs/heads/feature/x"],
        cwd=team.checkout, env=team.environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [json.loads(path.read_text()) for path in sorted((team.checkout / "var" / "runs").glob("*/run.json"))]
    assert {run["situation"]["branch"] for run in found} == {"v1", "a\u00a0b", "feature/x"}, done.stderr
    assert {run["situation"]["commit"] for run in found} == {commit}
    assert "blob" in done.stderr


def test_of_two_pushes_at_once_the_newer_commit_is_the_one_that_goes_on(team: Team):
    older = team.commit()
    newer = team.commit()
    first = subprocess.Popen(
        ["git", "push", "--quiet", str(team.bare), f"{older}:refs/heads/main"],
        cwd=team.checkout,
        env=team.environ(),
        stderr=subprocess.PIPE,
    )
    until(lambda: older in team.git("rev-parse", "main", at=team.bare))
    team.git("push", str(team.bare), f"{newer}:refs/heads/main")
    first.communicate(timeout=60)
    runs = team.runs()
    assert runs[newer] == "paused"
    assert runs.get(older, "superseded") in ("superseded", "paused")
    if runs.get(older) == "paused":  # it came first, and waits for an approval that the newer one makes void
        team.slipway("approve")
        assert "is superseded" in team.slipway("approve", "1", code=1)


def test_a_push_that_nobody_watches_any_more_goes_on(team: Team):
    commit = team.commit()
    push = subprocess.Popen(
        ["git", "push", "--quiet", str(team.bare), "HEAD:main"], cwd=team.checkout, env=team.environ(), start_new_session=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: commit in team.runs())
    os.killpg(push.pid, 2)
    push.wait(20)
    until(lambda: team.runs()[commit] == "paused")


def test_a_laptop_starts_what_it_pushed_once_the_remote_has_it(team: Team, tmp_path: Path):
    remote = tmp_path / "remote.git"
    team.git("init", "--quiet", "--bare", str(remote))
    team.slipway("hook", "install", "--kind", "pre-push")
    commit = team.commit()
    team.git("push", str(remote), "HEAD:main")
    until(lambda: team.runs().get(commit) == "paused")


def test_a_forge_is_answered_at_once_and_what_it_pushed_is_fetched_and_walked(team: Team, tmp_path: Path):
    remote, writer = tmp_path / "remote.git", tmp_path / "writer"
    team.git("clone", "--quiet", "--bare", str(team.checkout), str(remote), at=tmp_path)
    team.git("remote", "add", "origin", str(remote))
    team.git("clone", "--quiet", str(remote), str(writer), at=tmp_path)
    team.git("commit", "--quiet", "--allow-empty", "--message", "By somebody else", at=writer)
    team.git("push", "--quiet", at=writer)
    commit = team.git("rev-parse", "HEAD", at=writer).strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "pipeline", "hook", "serve", "--port", str(port)]
    with subprocess.Popen(argv, cwd=team.checkout, env=team.environ(SLIPWAY_HOOK_SECRET=SECRET), stderr=subprocess.PIPE) as server:
        try:
            assert server.stderr
            assert b"listening" in server.stderr.readline()
            body = json.dumps({"ref": "refs/heads/main", "before": "0" * 40, "after": commit}).encode()
            signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature}"}
            with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/", body, headers), timeout=5) as reply:
                assert reply.status == 202
            until(lambda: team.runs().get(commit) == "paused")
        finally:
            server.terminate()


def test_a_rejected_run_stays_rejected(team: Team):
    team.commit()
    team.git("push", str(team.bare), "HEAD:main")
    team.slipway("abort", "1")
    assert "run 1 is over: aborted" in team.slipway("run", "--number", "1", code=2)
    assert "is aborted" in team.slipway("approve", "1", code=2)


def test_nothing_to_do_is_said_and_not_passed(team: Team):
    said = team.slipway("run", "--branch", "feature/x", "--action", "rollback", code=2)
    assert "there is nothing to do for rollback to production from feature/x" in said
