from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import process
from pipeline.errors import UsageError
from pipeline.repository import Repository

ME = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    root = tmp_path / "repository"
    root.mkdir()
    process.must(["git", "init", "-q", str(root)])
    (root / "file").write_text("committed")
    process.must(["git", "add", "."], cwd=root)
    process.must(["git", *ME, "commit", "-q", "-m", "Say it | with a line"], cwd=root)
    return Repository(root, tmp_path / "state")


def test_a_commit_brings_its_files_as_they_were_committed(repository: Repository, tmp_path: Path):
    (tmp_path / "repository" / "file").write_text("changed since")
    commit = repository.commit()
    assert (commit.files / "file").read_text() == "committed"
    assert commit.subject == "Say it | with a line"
    assert repository.changed_files() == 1


def test_the_same_tree_is_exported_once(repository: Repository):
    first = repository.commit()
    (first.files / "mark").touch()
    assert (repository.commit("HEAD").files / "mark").exists()


def test_what_an_export_that_was_killed_left_is_removed(repository: Repository, tmp_path: Path):
    left = tmp_path / "state" / "trees" / "partial" / "files" / "half"
    left.parent.mkdir(parents=True)
    left.touch()
    commit = repository.commit()
    assert [path.name for path in commit.files.iterdir()] == ["file"]
    assert not left.parent.parent.exists()


@pytest.mark.parametrize("name", ["no-such-branch", "--all", "deadbeef"])
def test_a_commit_that_is_not_there_is_asked_wrongly(repository: Repository, name: str):
    with pytest.raises(UsageError, match="there is no commit"):
        repository.commit(name)


def test_a_commit_comes_before_what_is_made_on_top_of_it_and_before_nothing_else(repository: Repository, tmp_path: Path):
    first = repository.commit().id
    root = tmp_path / "repository"
    process.must(["git", *ME, "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", ""], cwd=root)
    second = repository.commit()
    assert (second.subject, second.author) == ("", "ada <ada@example.org>")
    pairs = [(first, second.id), (second.id, first), (first, first), (first, "f" * 40)]
    assert [repository.came_before(*pair) for pair in pairs] == [True, False, False, False]
