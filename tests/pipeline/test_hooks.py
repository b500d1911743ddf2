from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from pipeline import hooks
from pipeline.errors import UsageError
from pipeline.hooks import Pushed

ONE, TWO, NONE = "1" * 40, "2" * 40, "0" * 40


def git(folder: Path, *argv: str) -> str:
    me = {"GIT_AUTHOR_NAME": "ada", "GIT_AUTHOR_EMAIL": "a@x", "GIT_COMMITTER_NAME": "ada", "GIT_COMMITTER_EMAIL": "a@x"}
    done = subprocess.run(["git", *argv], cwd=folder, env={**os.environ, **me}, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit."""
    path = tmp_path / "check out"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    git(path, "commit", "--quiet", "--allow-empty", "--message", "One")
    return path


def test_a_push_is_one_build_for_each_branch_or_tag():
    lines = [f"{ONE} {TWO} refs/heads/main", f"{NONE} {TWO} refs/tags/v1", f"{ONE} {TWO} refs/heads/main"]
    assert hooks.read_push("post-receive", lines) == (Pushed("main", TWO), Pushed("v1", TWO, tag=True))


def test_a_laptop_says_it_the_other_way_round():
    assert hooks.read_push("pre-push", [f"refs/heads/mine {TWO} refs/heads/feature/x {ONE}"]) == (Pushed("feature/x", TWO),)


@pytest.mark.parametrize("line", [f"{ONE} {NONE} refs/heads/main", f"{ONE} {TWO} refs/notes/commits", ""])
def test_what_was_deleted_or_is_neither_branch_nor_tag_starts_nothing(line: str):
    assert hooks.read_push("post-receive", [line]) == ()


def test_what_git_never_says_is_refused():
    with pytest.raises(UsageError, match="post-receive hook does not say"):
        hooks.read_push("post-receive", ["main"])


@pytest.mark.parametrize("name", ["main; rm -rf ~", "$(reboot)", "--help"])
def test_a_name_that_a_shell_would_run_stays_one_word(name: str):
    change = Pushed(name, ONE)
    assert name in hooks.run_argv(change)
    assert name in hooks.trigger_argv(change)


def installed(checkout: Path, kind: str, call: str) -> Path:
    """A hook whose `python` is a script that writes down what it was called with, and what it was told."""
    script = checkout / "fake python"
    script.write_text(f'#!/bin/sh\n{{ pwd; echo "$@"; cat; env; }} > {shlex.quote(str(checkout / "told"))}\n{call}\n')
    script.chmod(0o755)
    return hooks.install(kind, checkout, hooks.script(kind, str(script), checkout, {"SLIPWAY_STATE": "/a b/var"}))


def test_git_calls_the_hook_and_the_hook_calls_the_pipeline(checkout: Path, tmp_path: Path):
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    text = installed(checkout, "post-receive", "").read_text()
    hooks.install("post-receive", bare, text)
    git(checkout, "push", str(bare), "HEAD:refs/heads/main")
    where, argv, told, *environ = (checkout / "told").read_text().splitlines()
    assert (where, argv) == (str(checkout), "-m pipeline hook received --kind post-receive")
    assert told.split() == [NONE, git(checkout, "rev-parse", "HEAD").strip(), "refs/heads/main"]
    assert "SLIPWAY_STATE=/a b/var" in environ
    assert not [line for line in environ if line.startswith("GIT_DIR=")]


def test_a_laptops_hook_never_stops_a_push(checkout: Path, tmp_path: Path):
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    installed(checkout, "pre-push", "exit 1")
    git(checkout, "push", str(bare), "HEAD:refs/heads/main")
    told = (checkout / "told").read_text().splitlines()
    assert told[1] == "-m pipeline hook received --kind pre-push"
    assert f"PUSHED_TO={bare}" in told


def test_a_laptop_whose_checkout_is_gone_may_still_push(checkout: Path, tmp_path: Path):
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "--quiet", "--bare", str(bare))
    hooks.install("pre-push", checkout, hooks.script("pre-push", "python", tmp_path / "gone", {}))
    git(checkout, "push", str(bare), "HEAD:refs/heads/main")
    assert git(bare, "rev-parse", "main") == git(checkout, "rev-parse", "HEAD")


def test_a_name_may_have_every_space_but_the_plain_one():
    (change,) = hooks.read_push("post-receive", [f"{ONE} {TWO} refs/heads/a\u00a0b\n"])
    assert change.name == "a\u00a0b"


def test_a_hook_of_ours_is_replaced_and_another_is_not(checkout: Path):
    path = installed(checkout, "pre-push", "")
    assert installed(checkout, "pre-push", "") == path
    path.write_text("#!/bin/sh\necho mine\n")
    with pytest.raises(UsageError, match="there is another pre-push hook"):
        installed(checkout, "pre-push", "")
    assert "mine" in path.read_text()


def test_a_folder_that_is_no_repository_gets_no_hook(tmp_path: Path):
    with pytest.raises(UsageError, match="is no git repository"):
        hooks.install("post-receive", tmp_path, "")


def test_the_repository_to_push_to_begins_with_the_commit_of_the_checkout(checkout: Path, tmp_path: Path):
    bare = hooks.bare_repository(tmp_path / "state" / "repository.git", checkout, "main")
    assert git(bare, "rev-parse", "main") == git(checkout, "rev-parse", "HEAD")
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "Two")
    assert hooks.bare_repository(bare, checkout, "main") == bare
    assert git(bare, "rev-parse", "main") != git(checkout, "rev-parse", "HEAD")
