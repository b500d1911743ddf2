from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.engine import Engine, remove_stale
from pipeline.errors import PipelineError
from tests.fakes import Silence


def test_an_engine_that_answers_is_left_alone(tmp_path: Path):
    Engine(lambda: True, tmp_path).ensure(Silence())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up being root")
def test_without_an_engine_and_without_root_one_is_told_what_to_install(tmp_path: Path):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            Engine(lambda: False, tmp_path).ensure(Silence())
        except PipelineError as error:
            os.write(writer, json.dumps([error.exit_code, str(error), error.hint]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    code, message, hint = json.loads(os.read(reader, 4096))
    os.close(reader)
    assert (code, "no Docker engine answers" in message, "apt-get install docker.io" in hint) == (3, True, True)


def test_an_engine_of_somebody_else_is_not_ended(tmp_path: Path):
    assert Engine(lambda: True, tmp_path).stop_ours() is False


def test_a_process_that_took_over_the_recorded_id_is_not_ended(tmp_path: Path):
    with subprocess.Popen(["sleep", "30"]) as other:
        (tmp_path / "engine.json").write_text(json.dumps({"pid": other.pid}))
        assert Engine(lambda: True, tmp_path).stop_ours() is True
        assert other.poll() is None
        other.kill()
    assert not (tmp_path / "engine.json").exists()


def test_the_process_id_of_a_killed_engine_is_forgotten_and_that_of_a_living_one_kept(tmp_path: Path):
    with subprocess.Popen(["sleep", "30"]) as living:
        files = {tmp_path / "killed": "dockerd", tmp_path / "living": "sleep", tmp_path / "missing": "dockerd"}
        for name in ("killed", "living"):
            (tmp_path / name).write_text(f"{living.pid}\n")
        while Path(f"/proc/{living.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.01)  # a new process has its parent's name for a moment
        remove_stale(files)
        living.kill()
    assert [path.name for path in tmp_path.iterdir()] == ["living"]
