from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import commands
from pipeline.cli import main, session
from pipeline.errors import GateClosed, PipelineError


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of this test's own: nothing that the commands find belongs to a fleet that is really there."""
    path = tmp_path / "slipway.toml"
    path.write_text(
        f'project = "none-{tmp_path.name}"\nstate = "{tmp_path}/var"\n'
        '[environments.staging]\nhosts = ["127.0.9.1"]\n[environments.production]\nhosts = ["127.0.9.2"]\n'
    )
    monkeypatch.setenv("SLIPWAY_FILE", str(path))
    return path


@pytest.mark.parametrize(("argv", "code", "said"), [
    (["promote", "--from", "staging", "--to", "production"], 2, "nothing is live on staging"),
    (["rollback", "moon"], 2, "there is no environment 'moon'"),
    (["deploy", "staging"], 2, "there is no release yet"),
    (["check", "--commit", "no-such-commit"], 2, "there is no commit 'no-such-commit'"),
    (["ask", "staging", "no-such-picture.jpg"], 2, "there is no picture"),
    (["ask", "staging"], 3, "does not answer"),
    (["fly"], 2, "No such command 'fly'"),
    (["loadtest", "staging", "--seconds", "soon"], 2, "Invalid value"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line_with_the_right_exit_code(
    settings_file: Path, capfd: pytest.CaptureFixture[str], argv: list[str], code: int, said: str
):
    assert main(argv) == code
    errors = capfd.readouterr().err
    assert said in errors
    assert "Traceback" not in errors


def test_a_misspelt_setting_stops_every_command(settings_file: Path, capfd: pytest.CaptureFixture[str]):
    settings_file.write_text('projekt = "x"\n' + settings_file.read_text())
    assert main(["history"]) == 2
    assert "unknown key 'projekt'" in capfd.readouterr().err


def test_the_result_is_one_json_document_on_standard_output(settings_file: Path, capfd: pytest.CaptureFixture[str]):
    assert main(["history", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == []


def test_a_broken_ledger_stops_every_decision(settings_file: Path, capfd: pytest.CaptureFixture[str]):
    (settings_file.parent / "var").mkdir()
    (settings_file.parent / "var" / "ledger.jsonl").write_text('{"number": 1}\n')
    assert main(["rollback", "production"]) == 3
    assert "ledger" in capfd.readouterr().err


def test_an_interrupt_ends_with_130(settings_file: Path, root: Path):
    code = (
        "import sys, pipeline.commands as c\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "c.history = stop\n"
        "from pipeline.cli import main; sys.exit(main(['history']))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=False).returncode == 130


def test_only_what_could_not_find_out_is_tried_again(
    settings_file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "FIRST_PAUSE", 0.0)
    assert main(["--attempts", "3", "ask", "staging"]) == 3
    assert capfd.readouterr().err.count("trying again") == 2
    assert main(["--attempts", "3", "rollback", "moon"]) == 2
    assert "trying again" not in capfd.readouterr().err


def test_an_attempt_that_succeeds_is_the_last(
    settings_file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    answers = iter([PipelineError("no answer yet"), GateClosed("never")])

    def history(*given: object) -> tuple[()]:
        error = next(answers, None)
        if error:
            raise error
        return ()

    monkeypatch.setattr(session, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(commands, "history", history)
    assert main(["--attempts", "5", "history", "staging", "--json"]) == 1
    assert main(["--attempts", "5", "history", "staging", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == []
