"""The service's lines in README.md, run as they are printed. Only a busy port 8000 and the token of the reader's own are put in."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Running, free_port, running

README = Path(__file__).parent.parent / "README.md"
PRINTED = "http://127.0.0.1:8000"


def lines() -> list[str]:
    section = README.read_text().partition("## The service\n")[2].partition("| route |")[0]
    return [
        line for block in re.findall(r"```\n(.*?)```", section, re.DOTALL) for line in block.splitlines() if line != "make serve"
    ]


def printed_port() -> int:
    try:
        with socket.create_server(("127.0.0.1", 8000)):
            return 8000
    except OSError:
        return free_port()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("readme"), port=str(printed_port())) as service:
        yield service


@pytest.mark.slow
def test_every_line_for_programs_does_what_readme_says(service: Running, root: Path):
    token, outputs = "", list[str]()
    for line in lines():
        if line.startswith("export SLIPWAY_TOKEN="):
            token = json.loads(outputs[-1])["token"]
            continue
        done = subprocess.run(
            ["bash", "-c", line.replace(PRINTED, service.url)], cwd=root, capture_output=True, text=True, timeout=60,
            env={**os.environ, "SLIPWAY_TOKEN": token}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stderr)
        assert '"code"' not in done.stdout, (line, done.stdout)
        outputs.append(done.stdout)
    assert len(outputs) == 9
    assert [output.count("espresso") > 0 for output in outputs] == [True, False, True, True, False, False, True, True, True]
    assert "my cup" in outputs[-1]


def test_the_lines_speak_to_the_port_that_make_serve_takes(root: Path):
    assert PRINTED in "\n".join(lines())
    assert "PORT ?= 8000" in (root / "Makefile").read_text()
