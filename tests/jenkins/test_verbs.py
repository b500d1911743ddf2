from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import wiring
from pipeline.cli import main
from pipeline.jenkins.controller import Controller
from tests.jenkins.clients import TOKEN
from tests.jenkins.controller import Double
from tests.jenkins.controller_state import MULTIBRANCH
from tests.jenkins.test_desk import PARAMETERS, PROJECT, SHIPS, Script, Stage

SETTINGS = '[environments.staging]\nhosts = ["127.0.9.1"]\n[environments.production]\nhosts = ["127.0.9.2"]\n'
Output = pytest.CaptureFixture[str]


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """A Jenkins that the settings name, and a repository with one commit; nobody waits for it."""
    repository = tmp_path / "repository"
    git(tmp_path, "init", "--quiet", str(repository))
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Change it")
    (tmp_path / "slipway.toml").write_text(f'project = "none-{tmp_path.name}"\nstate = "{tmp_path}/var"\n{SETTINGS}')
    monkeypatch.setattr(wiring, "Controller", functools.partial(Controller, sleep=lambda seconds: None))
    with Double() as double:
        double.add_job(f"{PROJECT}/main", parameters=PARAMETERS, scripts=[SHIPS])
        for name, value in (
            ("FILE", tmp_path / "slipway.toml"),
            ("JENKINS_URL", double.url),
            ("JENKINS_USER", TOKEN[0]),
            ("REPOSITORY", repository),
        ):
            monkeypatch.setenv(f"SLIPWAY_{name}", str(value))
        monkeypatch.setenv("SLIPWAY_JENKINS_TOKEN", TOKEN[1])
        yield double


def test_a_commit_is_triggered_watched_agreed_to_and_its_evidence_kept(double: Double, capfd: Output, tmp_path: Path):
    assert main(["trigger", "--id", "mine"]) == 0
    shown = capfd.readouterr()
    assert "checked" in shown.err.splitlines()  # the log
    assert "gates / dependencies" in shown.err
    assert "python -m pipeline approve 1" in shown.out
    assert main(["approve", "--reason", "it looks good"]) == 0
    assert (tmp_path / "var" / "builds" / PROJECT / "main" / "1" / "evidence" / "report.html").read_bytes() == b"<html>"
    assert "1 passed, 0 failed" in capfd.readouterr().out


def test_a_trigger_that_is_repeated_with_its_id_starts_nothing(double: Double):
    for _ in range(2):
        main(["trigger", "--id", "mine", "--no-log"])
    assert len(double.state.jobs[f"{PROJECT}/main"].runs) == 1


@pytest.mark.parametrize(("result", "code"), [("FAILURE", 1), ("ABORTED", 1), ("NOT_BUILT", 1), ("SUCCESS", 0)])
def test_a_build_ends_the_command_with_what_it_means(double: Double, result: str, code: int):
    double.state.jobs[f"{PROJECT}/main"].scripts = [Script((Stage("tests"),), result=result)]
    assert main(["trigger"]) == code


def test_a_build_is_aborted_by_its_number(double: Double, capfd: Output):
    main(["trigger"])
    assert main(["abort", "1"]) == 0
    assert main(["abort", "1"]) == 2
    assert "#1 is over" in capfd.readouterr().err


def test_jobs_are_listed_made_and_changed(double: Double, capfd: Output, root: Path):
    assert main(["jobs", "--json"]) == 0
    assert [job["name"] for job in json.loads(capfd.readouterr().out)] == [f"{PROJECT}/main"]
    assert main(["jobs", "put", "slipway/another", str(root / "jenkins" / "jobs" / "slipway.xml")]) == 0
    assert "created" in capfd.readouterr().out


@pytest.mark.parametrize(("status", "said"), [(401, "password"), (403, "permission"), (404, "no job"), (409, "409"), (500, "500")])
def test_whatever_jenkins_refuses_is_one_sentence_and_exit_code_3(double: Double, capfd: Output, status: int, said: str):
    double.fault("/", "answer", status=status, times=10_000)
    assert main(["follow"]) == 3
    error = capfd.readouterr().err
    assert error.count("error: ") == 1
    assert "Traceback" not in error
    assert TOKEN[1] not in error


def test_what_needs_a_jenkins_says_so_where_there_is_none(double: Double, capfd: Output, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SLIPWAY_JENKINS_URL")
    assert main(["jobs", "put", "slipway", "slipway.xml"]) == 2
    assert "no Jenkins is configured" in capfd.readouterr().err


@pytest.mark.parametrize(("argv", "said"), [
    (["approve"], "no run waits for approval"),
    (["approve", "7"], "there is no run 7"),
    (["follow"], "there is no run yet"),
    (["abort"], "there is no run yet"),
    (["run", "--number", "7"], "there is no run 7"),
    (["run", "--environment", "moon"], "there is no environment 'moon'"),
])  # fmt: skip
def test_a_run_that_there_is_not_is_asked_wrongly(
    double: Double, capfd: Output, monkeypatch: pytest.MonkeyPatch, argv: list[str], said: str
):
    monkeypatch.delenv("SLIPWAY_JENKINS_URL")
    assert main(argv) == 2
    assert said in capfd.readouterr().err


def test_a_secret_in_the_settings_file_is_refused(double: Double, capfd: Output, tmp_path: Path):
    (tmp_path / "slipway.toml").write_text(f'jenkins_token = "abc"\n{SETTINGS}')
    assert main(["jobs"]) == 2
    error = capfd.readouterr().err
    assert "belongs into the environment as SLIPWAY_JENKINS_TOKEN" in error
    assert "abc" not in error


@pytest.mark.slow
def test_a_push_is_shown_to_jenkins_and_its_build_in_the_terminal(double: Double, capfd: Output, tmp_path: Path):
    bare, checkout = tmp_path / "bare.git", tmp_path / "repository"
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    commit = git(checkout, "rev-parse", "HEAD").strip()
    double.add_job(PROJECT, kind=MULTIBRANCH, parameters=PARAMETERS)
    double.branches = {"main": commit}
    job = double.state.jobs[f"{PROJECT}/main"]
    double.meanwhile = lambda request: (
        [run.advance() for run in job.runs] if "lastBuiltRevision" in request.query.get("tree", "") else None
    )
    secret = tmp_path / "var" / "secrets" / "jenkins_token"
    secret.parent.mkdir(parents=True)
    secret.write_text(TOKEN[1])
    secret.chmod(0o600)
    with (tmp_path / "slipway.toml").open("r+") as file:
        settings = file.read()
        file.seek(0)
        file.write(f'jenkins_url = "{double.url}"\njenkins_user = "{TOKEN[0]}"\n{settings}')
    assert main(["hook", "install", "--repository", str(bare)]) == 0
    shown = git(checkout, "push", str(bare), "HEAD:refs/heads/main", without=("SLIPWAY_JENKINS",))
    assert "slipway/slipway/main #1" in shown
    assert "python -m pipeline approve 1" in shown
    assert (len(job.runs), job.runs[0].revision) == (1, commit)


def git(folder: Path, *argv: str, without: tuple[str, ...] = ()) -> str:
    me = {f"GIT_{who}_{what}": "ada" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {name: value for name, value in os.environ.items() if not (without and name.startswith(without))} | me
    done = subprocess.run(["git", *argv], cwd=folder, env=environ, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr
