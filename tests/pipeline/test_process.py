from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import process
from pipeline.commit import Commit
from pipeline.errors import PipelineError
from pipeline.testrun import PytestRunner
from tests.fakes import Silence


def test_a_program_that_is_not_installed_is_named():
    with pytest.raises(PipelineError, match="'no-such-program' is not installed"):
        process.run(["no-such-program"])


def test_a_program_that_takes_too_long_is_ended():
    with pytest.raises(PipelineError, match=r"took longer than 0 s"):
        process.run(["sleep", "30"], timeout=0.1)


def test_a_program_that_has_to_succeed_says_why_it_did_not():
    with pytest.raises(PipelineError, match="ended with 3: boom"):
        process.must(["sh", "-c", "echo first >&2; echo boom >&2; exit 3"])


def test_every_line_is_handed_over_as_it_comes():
    lines: list[str] = []
    code = process.follow(["sh", "-c", "echo a; echo b >&2; exit 4"], lines.append)
    assert (code, sorted(lines)) == (4, ["a", "b"])


def test_a_companion_ends_when_it_is_told_to(tmp_path: Path):
    companion = process.Companion(["sleep", "60"], log=tmp_path / "log")
    assert companion.running
    companion.stop(grace=5)
    assert not companion.running


def test_a_companion_that_ignores_the_request_is_made_to_end(tmp_path: Path):
    companion = process.Companion(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], log=tmp_path / "log")
    while "up" not in (tmp_path / "log").read_text():
        time.sleep(0.01)
    companion.stop(grace=0.2)
    assert not companion.running


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path, root: Path):
    code = (
        "import sys, time; from pathlib import Path; from pipeline import process\n"
        "c = process.Companion(['sleep', '60'], log=Path(sys.argv[1])); print(c._child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], cwd=root, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = Path("/proc", parent.stdout.readline().decode().strip())
    assert child.exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 5
    while alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(child)


def alive(process_folder: Path) -> bool:
    try:
        return "State:\tZ" not in (process_folder / "status").read_text()
    except OSError:
        return False


def test_a_variable_may_be_taken_away_from_a_child(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLIPWAY_STATE", "/elsewhere")
    monkeypatch.setenv("SLIPPERS", "kept")
    said = process.run(["env"], env={**process.without("SLIPWAY_"), "ADDED": "too"}).output.splitlines()
    assert not [line for line in said if line.startswith("SLIPWAY_")]
    assert {"SLIPPERS=kept", "ADDED=too"} <= {*said}


def test_the_tests_of_a_commit_see_none_of_the_settings_of_who_runs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLIPWAY_STATE", "/elsewhere")
    monkeypatch.setenv("SERVICE_PORT", "1")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "import os\ndef test_it(): assert not [n for n in os.environ if n.startswith(('SLIPWAY_', 'SERVICE_'))]\n"
    )
    commit = Commit("c" * 40, "t" * 40, "A change", tmp_path)
    verdict, counts = PytestRunner(sys.executable, tmp_path / "reports", Silence()).run(commit)
    assert (verdict.passed, counts["tests"]) == (True, 1), verdict.reasons
