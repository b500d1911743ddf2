"""What README.md and the other pages say of the code is compared with the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from pipeline.cli import cli
from pipeline.settings import Settings
from pipeline.stages import SET_UP, Action, Situation, stages_of
from service.settings import Settings as ServiceSettings
from service.web.api import ENDPOINTS

ROOT = Path(__file__).parent.parent
WALKED = (SET_UP, *stages_of(Situation("HEAD")))
EVERY_OTHER = tuple(
    stage for action in Action for environment in ("staging", "production")
    for stage in stages_of(Situation("HEAD", action=action, environment=environment))
)  # fmt: skip
README = (ROOT / "README.md").read_text()


def table(header: str) -> dict[str, list[str]]:
    """First column -> the other cells, of the table whose header row begins with `header`."""
    lines = README.partition(header)[2].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[: _table_length(lines)]]
    return {row[0].strip("`"): row[1:] for row in rows}


def _table_length(lines: list[str]) -> int:
    return next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))


def test_the_verbs_of_the_readme_are_those_of_the_command_line():
    assert {verb: cells[0] for verb, cells in table("| verb | does |").items()} == {
        name: command.get_short_help_str(200) for name, command in cli.commands.items()
    }


def test_the_stages_of_the_readme_are_those_that_the_demo_walks():
    walked = [" ".join(word for word in stage.argv if word not in ("--commit", "{commit}")) for stage in WALKED]
    assert [cells[0].strip("`") for cells in table("| stage | verb |").values()] == walked


def test_every_stage_is_a_verb_with_options_that_it_has():
    for stage in (*WALKED, *EVERY_OTHER):
        command: click.Command = cli.commands[stage.argv[0]]
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in stage.argv[1:] if word.startswith("--")} <= known


def test_the_pipelines_settings_are_all_in_the_readme():
    documented = {name: cells[0].strip("`") for name, cells in table("| key | default |").items()}
    assert documented == {f.name: str(f.default) or "none" for f in fields(Settings) if f.name != "environments"}


def test_the_services_settings_are_all_in_the_readme():
    documented = {name: cells[0].strip("`") for name, cells in table("| variable | default |").items()}
    expected = {
        f"SERVICE_{f.name.upper()}": str(f.default).lower() if f.type == "bool" else str(f.default) for f in fields(ServiceSettings)
    }
    assert documented == expected


def test_the_routes_of_the_api_are_all_in_the_readme():
    documented = {route: cells[0] for route, cells in table("| route | does |").items()}
    assert documented == {f"{e.method} {e.path}": e.summary[:1].lower() + e.summary[1:] for e in ENDPOINTS}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_every_make_target_that_a_page_names_exists(page: str):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word
        for line in re.findall(r"(?:^|`)make ((?:[a-z]+ ?)+)", (ROOT / page).read_text(), re.MULTILINE)
        for word in line.split()
    }
    assert named - {"help"} <= targets
    assert named


@pytest.mark.parametrize("page", sorted(path.name for path in ROOT.glob("*.md")))
def test_every_link_of_a_page_leads_somewhere(page: str):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_folder_and_module_of_the_code_map_exists():
    code_map = (ROOT / "ARCHITECTURE.md").read_text().partition("## Code map")[2].split("```")[1]
    for line in re.split(r"\n(?=\S)", code_map.strip()):
        folder = line.split("/")[0]
        for name in re.findall(r"[\w/]+\.(?:py|yml)", line):
            assert (ROOT / folder / name).exists(), name


def test_the_architecture_is_short_enough_to_be_read():
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 80
