from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.commit import Commit
from pipeline.lint import Linters, judge
from pipeline.verdict import Answer
from tests.fakes import Silence

RULES = '[tool.ruff.lint]\nselect = ["F"]\n[tool.mypy]\nfiles = ["."]\nstrict = true\n'


@pytest.fixture
def linters(tmp_path: Path) -> Linters:
    return Linters(sys.executable, tmp_path / "reports", tmp_path / "cache", Silence())


@pytest.mark.parametrize(("code", "reason"), [
    ("import os\n", "style: module.py:1:8: F401"),
    ("x=1\n", "format: "),
    ('x: int = "one"\n', "types: module.py:1: error: Incompatible types"),
])  # fmt: skip
def test_what_style_format_or_types_refuse_is_said(linters: Linters, tmp_path: Path, code: str, reason: str):
    verdict = linters.run(commit(tmp_path, code))
    assert verdict.answer is Answer.REFUSED
    assert any(said.startswith(reason) for said in verdict.reasons), verdict.reasons
    assert reason.split(":", maxsplit=1)[0] in (tmp_path / "reports" / f"lint-{'c' * 12}.log").read_text()


def test_a_clean_tree_passes_and_nothing_is_left_in_it(linters: Linters, tmp_path: Path):
    assert linters.run(commit(tmp_path, "x: int = 1\n")).passed
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == ["module.py", "pyproject.toml"]


def test_a_linter_that_could_not_judge_is_no_pass(linters: Linters, tmp_path: Path):
    made = commit(tmp_path, "x: int = 1\n")
    (made.files / "pyproject.toml").write_text(RULES + 'plugins = ["no.such.plugin"]\n')
    assert linters.run(made).answer is Answer.INCONCLUSIVE


def test_a_complaint_counts_more_than_a_linter_that_could_not_judge():
    assert judge(["style: x"], ["types ended with 2"]).answer is Answer.REFUSED


def commit(folder: Path, code: str) -> Commit:
    files = folder / "files"
    files.mkdir()
    (files / "pyproject.toml").write_text(RULES)
    (files / "module.py").write_text(code)
    return Commit("c" * 40, "t" * 40, "A change", files)
